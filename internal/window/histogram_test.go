package window

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	ms     = int64(time.Millisecond)
	minute = int64(time.Minute)
)

func TestHistogramBuckets(t *testing.T) {
	var widths, n float64
	next := int64(0)
	for b := range nBuckets {
		low, high := Bounds(b)
		require.Equal(t, next, low, "bucket %d begins where the one before ends", b)
		require.Equal(t, b, BucketOf(low))
		if b == nBuckets-1 {
			require.Equal(t, low, high)
			break
		}
		require.Equal(t, b, BucketOf(high-1))
		if low >= 1<<20 {
			width := float64(high-low) / float64(low)
			require.LessOrEqual(t, width, .125)
			require.Greater(t, width, 1/15.01)
			widths, n = widths+width, n+1
		}
		next = high
	}
	require.InDelta(t, .09, widths/n, .005)
	require.Greater(t, next, int64(20*time.Minute))
	require.InDelta(t, 20.6, time.Duration(next).Minutes(), .05)
	require.Equal(t, 0, BucketOf(-1))
	require.Equal(t, 0, BucketOf(math.MinInt64))
	require.Equal(t, nBuckets-1, BucketOf(math.MaxInt64))
}

func FuzzBucketOf(f *testing.F) {
	f.Add(int64(0), int64(1))
	f.Add(int64(1<<20-1), int64(1<<20))
	f.Add(int64(1<<40), int64(math.MaxInt64))
	f.Add(int64(-1), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, a, b int64) {
		a, b = min(a, b), max(a, b)
		i, j := BucketOf(a), BucketOf(b)
		if i > j || i < 0 || j >= nBuckets {
			t.Fatalf("%d in bucket %d, %d in %d", a, i, b, j)
		}
		low, high := Bounds(j)
		if d := max(b, 0); d < low || d >= high && j != nBuckets-1 {
			t.Fatalf("%d in bucket %d of %d to %d", b, j, low, high)
		}
		if low >= 1<<20 && (high-low)*8 > low {
			t.Fatalf("bucket %d of %d to %d is wide", j, low, high)
		}
	})
}

func TestHistogramQuantiles(t *testing.T) {
	qs := []float64{0, .5, .95, .99, 1}
	low, high := Bounds(BucketOf(2 * second))
	for _, tt := range []struct {
		name    string
		samples []int64
		want    []int64
	}{
		{"empty", nil, []int64{0, 0, 0, 0, 0}},
		{"one", []int64{2 * second}, []int64{low, (low + high) / 2, low + (high-low)*95/100, low + (high-low)*99/100, high}},
		{"zero", []int64{0, -1}, []int64{0, 1 << 16, 95 << 17 / 100, 99 << 17 / 100, 1 << 17}},
		{"beyond", []int64{math.MaxInt64}, []int64{9 << 37, 9 << 37, 9 << 37, 9 << 37, 9 << 37}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h Histogram
			for _, d := range tt.samples {
				h.Add(0, d)
			}
			require.InDeltaSlice(t, tt.want, h.Quantiles(0, 5*minute, qs...), 1)
			require.EqualValues(t, len(tt.samples), h.Count(0, 5*minute))
		})
	}
	var h Histogram
	h.Add(0, 2*second)
	got := h.Quantiles(0, minute, -1, 2, math.Inf(1))
	require.Equal(t, []int64{low, high, high}, got, "q is clamped")
	require.Empty(t, h.Quantiles(0, minute))
}

func TestHistogramLognormal(t *testing.T) {
	qs := []float64{.01, .1, .25, .5, .75, .9, .95, .99}
	worst := 0.0
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		median, sigma := 50*math.Exp(rnd.Float64()*6), .3+rnd.Float64() // 50 ms to 20 s
		var h Histogram
		exact := make([]int64, 20_000)
		for i := range exact {
			d := int64(median * math.Exp(sigma*rnd.NormFloat64()) * float64(ms))
			exact[i] = d
			h.Add(int64(i)*5*minute/int64(len(exact)), d)
		}
		slices.Sort(exact)
		for i, got := range h.Quantiles(5*minute-1, 5*minute, qs...) {
			want := exact[int(math.Ceil(qs[i]*float64(len(exact))))-1]
			if want < 1<<20 || want > 20*minute {
				continue
			}
			off := math.Abs(float64(got)/float64(want) - 1)
			require.Less(t, off, .02, "seed %d q %v: %d, exact %d", seed, qs[i], got, want)
			worst = max(worst, off)
		}
	}
	t.Logf("lognormal, 20 laws of 20,000 samples, p1 to p99: off by %.2f %% at most", 100*worst)
}

// Any data, however lumpy: the quantile shares a bucket with the exact one.
func TestHistogramBound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		var h Histogram
		exact := make([]int64, 1+rnd.IntN(50))
		for i := range exact {
			exact[i] = 1<<20 + int64(math.Exp(rnd.Float64()*20)*1000)
			h.Add(0, exact[i])
		}
		slices.Sort(exact)
		q := rnd.Float64()
		got := h.Quantiles(0, minute, q)[0]
		want := exact[max(int(math.Ceil(q*float64(len(exact)))), 1)-1]
		require.LessOrEqual(t, math.Abs(float64(got-want)), float64(want)/8)
	}
}

func TestHistogramModel(t *testing.T) {
	type entry struct{ number, d int64 }
	rnd := rand.New(rand.NewPCG(2, 2))
	var h Histogram
	var entries []entry
	var now, seen int64
	for step := range 10_000 {
		switch p := rnd.IntN(1000); {
		case p < 3:
			now += rnd.Int64N(20 * minute)
		case p < 700:
			at := max(now-rnd.Int64N(minute), 0)
			e := entry{at / minute, int64(math.Exp(rnd.Float64()*14) * float64(ms))}
			h.Add(at, e.d)
			entries = append(entries, e)
		default:
			now += rnd.Int64N(20 * second)
		}
		window := rnd.Int64N(7*minute) - 30*second
		first := max((now-min(max(window, 0), 5*minute))/minute, 0)
		var want, top int64
		for _, e := range entries {
			if e.number >= first && e.number <= now/minute {
				want++
				top = max(top, e.d)
			}
		}
		require.Equal(t, want, h.Count(now, window), "step %d at %d", step, now)
		if want > 0 {
			_, high := Bounds(BucketOf(top))
			require.Equal(t, high, h.Quantiles(now, window, 1)[0], "step %d", step)
		}
		seen += want
	}
	require.NotZero(t, seen)
}

func TestHistogramLimit(t *testing.T) {
	var h Histogram
	even, odd := BucketOf(1<<20), BucketOf(1<<20+1<<17)
	require.Equal(t, []int{8, 9}, []int{even, odd}, "two buckets of one cell")
	low, _ := Bounds(even)
	high, _ := Bounds(odd)
	for range countMax + 10 {
		h.Add(0, low)
	}
	require.EqualValues(t, countMax, h.Count(0, minute))
	h.Add(0, high)
	for range countMax + 10 {
		h.Add(0, high)
	}
	require.EqualValues(t, 2*countMax, h.Count(0, minute))
	h.Add(6*minute, low)
	require.EqualValues(t, 1, h.Count(6*minute, 5*minute), "a recycled cell starts at nothing, both halves")
	h.Add(minute-1, low)
	require.EqualValues(t, 1, h.Count(6*minute, 5*minute), "six minutes late is dropped")
}

func TestHistogramConcurrent(t *testing.T) {
	const adders, each = 4, 200_000
	var h Histogram
	for lap := range int64(3) {
		now := lap*6*minute + 1
		var wg sync.WaitGroup
		var stop atomic.Bool
		var reader sync.WaitGroup
		reader.Go(func() {
			last := int64(0)
			for !stop.Load() {
				n := h.Count(now, 5*minute)
				if n < last || n > adders*each {
					t.Errorf("%d after %d", n, last)
				}
				last = n
				if p := h.Quantiles(now, 5*minute, 1)[0]; p > 3*second {
					t.Errorf("p100 of %d", p)
				}
				runtime.Gosched()
			}
		})
		for i := range adders {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(i), 1))
				for range each {
					h.Add(now, rnd.Int64N(2*second))
				}
			})
		}
		wg.Wait()
		stop.Store(true)
		reader.Wait()
		require.EqualValues(t, adders*each, h.Count(now, 5*minute))
	}
}

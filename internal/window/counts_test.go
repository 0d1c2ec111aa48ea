package window

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestCountsWindow(t *testing.T) {
	c := NewCounts(10*second, 30, 2)
	for i := range int64(60) { // one at the start of each bucket, 2^i would overflow
		c.Add(i*10*second, 0, 1)
		c.Add(i*10*second, 1, i)
	}
	const now = 599 * second
	for _, tt := range []struct {
		name        string
		now, window int64
		n, sum      int64
	}{
		{"none", now, 0, 0, 0},
		{"negative", now, -1, 0, 0},
		{"most negative", now, math.MinInt64, 0, 0},
		{"a nanosecond is the current bucket", now, 1, 1, 59},
		{"one bucket", now, 10 * second, 1, 59},
		{"a nanosecond more is two", now, 10*second + 1, 2, 59 + 58},
		{"three", now, 30 * second, 3, 59 + 58 + 57},
		{"all", now, 300 * second, 30, 30 * (59 + 30) / 2},
		{"never more than all", now, math.MaxInt64, 30, 30 * (59 + 30) / 2},
		{"the next bucket is empty yet", 600 * second, 300 * second, 29, 29 * (59 + 31) / 2},
		{"all but the last has aged out", 880 * second, 300 * second, 1, 59},
		{"nothing", 890 * second, 300 * second, 0, 0},
		{"a lap later", 599*second + 320*second, 320 * second, 0, 0},
		{"the end of time", math.MaxInt64, 300 * second, 0, 0},
		{"a reader far behind", 100 * second, 300 * second, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, []int64{tt.sum, tt.n, tt.sum}, c.Sum(tt.now, tt.window, 1, 0, 1))
		})
	}
	require.Empty(t, c.Sum(now, 300*second))
}

func TestCountsAdd(t *testing.T) {
	c := NewCounts(10*second, 3, 2) // a ring of four
	c.Add(20*second, 0, 0)
	c.Add(20*second, 0, -5)
	require.Equal(t, []int64{0, 0}, c.Sum(20*second, 30*second, 0, 1), "an n below 1 adds nothing")
	c.Add(29*second, 1, 7)
	c.Add(15*second, 1, 2)
	require.Equal(t, []int64{0, 9}, c.Sum(29*second, 30*second, 0, 1), "late, into its own bucket")
	require.Equal(t, []int64{7}, c.Sum(29*second, 10*second, 1))
	c.Add(50*second, 1, 1) // takes the cell of 10 s
	c.Add(19*second, 1, 4)
	require.Equal(t, []int64{1}, c.Sum(50*second, 10*second, 1), "a lap late is dropped")
	require.Panics(t, func() { c.Add(0, 2, 1) })
	require.Panics(t, func() { c.Add(0, -1, 1) })
	require.Panics(t, func() { c.Sum(0, second, 2) })
}

func TestCountsLimits(t *testing.T) {
	for _, tt := range []struct {
		name              string
		bucket            int64
		buckets, counters int
		limit             int64
	}{
		{"five minutes", 10 * second, 30, 6, 1<<38 - 1},
		{"breaker", 3 * second, 10, 3, 1<<35 - 1},
		{"shortest", 1, 1, 1, 1<<19 - 1},
		{"nonsense", -1, -1, -1, 1<<19 - 1},
		{"days", 86_400 * second, 10, 1, 1<<40 - 1},
		{"longest", math.MaxInt64, 1, 1, 1<<40 - 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewCounts(tt.bucket, tt.buckets, tt.counters)
			for _, now := range []int64{0, 1 << 40, math.MaxInt64} {
				c.Add(now, 0, tt.limit-1)
				require.Equal(t, []int64{tt.limit - 1}, c.Sum(now, 1, 0))
				c.Add(now, 0, 1)
				c.Add(now, 0, math.MaxInt64)
				require.Equal(t, []int64{tt.limit}, c.Sum(now, 1, 0), "stops at the limit, and spares the lap")
				c.Begin(now)
				require.Equal(t, []int64{0}, c.Sum(now, math.MaxInt64, 0))
			}
		})
	}
}

func TestCountsBegin(t *testing.T) {
	c := NewCounts(3*second, 10, 1)
	sum := func(now int64) int64 { return c.Sum(now, 30*second, 0)[0] }
	for i := range int64(10) {
		c.Add(i*3*second, 0, 1)
	}
	const now = 28 * second
	require.EqualValues(t, 10, sum(now))
	c.Begin(now)
	require.Zero(t, sum(now), "also what the current bucket held")
	c.Add(now-1, 0, 1)
	require.Zero(t, sum(now), "an instant before")
	c.Add(now, 0, 1)
	require.EqualValues(t, 1, sum(now))
	c.Begin(now)
	require.Zero(t, sum(now), "twice at one instant")

	c.Add(now+2*second, 0, 1) // a writer whose clock reading is ahead of Begin's
	c.Begin(now)
	for ahead := range int64(200) {
		require.Zero(t, sum(now+ahead*second), "stays invisible, %d s on", ahead)
	}
	full := NewCounts(second, 4, 1) // a ring with no bucket to spare
	for ahead := range int64(4) {
		full.Add((10+ahead)*second, 0, 1)
	}
	full.Begin(10 * second)
	for ahead := range int64(8) {
		require.Equal(t, []int64{0}, full.Sum((10+ahead)*second, 4*second, 0))
	}
	for i := range 100_000 {
		c.Add(now, 0, 5)
		c.Begin(now)
		if i%1000 == 0 {
			require.Zero(t, sum(now))
		}
	}
	c.Add(now+30*second, 0, 2)
	require.EqualValues(t, 2, sum(now+40*second))
}

// The naive form keeps every Add and filters.
func TestCountsModel(t *testing.T) {
	type entry struct {
		number  int64
		counter int
		n       int64
	}
	for _, shape := range []struct{ bucket, buckets int64 }{{10 * second, 30}, {3 * second, 10}, {second, 1}, {second, 4}} {
		rnd := rand.New(rand.NewPCG(1, uint64(shape.buckets)))
		c := NewCounts(shape.bucket, int(shape.buckets), 3)
		var entries []entry
		var now, since, seen int64
		for step := range 10_000 {
			switch p := rnd.IntN(1000); {
			case p < 3: // idle, up to several laps
				now += rnd.Int64N(5 * shape.bucket * shape.buckets)
			case p < 6:
				c.Begin(now)
				entries, since = nil, now
			case p < 600:
				at := max(now-rnd.Int64N(2*shape.bucket), 0)
				e := entry{at / shape.bucket, rnd.IntN(3), rnd.Int64N(1000)}
				c.Add(at, e.counter, e.n)
				if at >= since {
					entries = append(entries, e)
				}
			default:
				now += rnd.Int64N(shape.bucket / 4)
			}
			window := rnd.Int64N(2 * shape.bucket * shape.buckets)
			covered := min((window+shape.bucket-1)/shape.bucket, shape.buckets)
			var want [3]int64
			for _, e := range entries {
				if age := now/shape.bucket - e.number; age >= 0 && age < covered {
					want[e.counter] += e.n
					seen++
				}
			}
			require.Equal(t, want[:], c.Sum(now, window, 0, 1, 2), "step %d at %d", step, now)
		}
		require.NotZero(t, seen)
	}
}

func TestCountsConcurrentExact(t *testing.T) {
	const adders, each = 4, 200_000
	c := NewCounts(10*second, 30, 2)
	for lap := range int64(3) { // the first Add of each lap recycles
		now := lap*320*second + 5*second
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range adders {
			wg.Go(func() {
				<-start
				for range each {
					c.Add(now, 0, 1)
					c.Add(now, 1, 3)
				}
			})
		}
		var stop atomic.Bool
		var reader sync.WaitGroup
		reader.Go(func() {
			<-start
			last := int64(0)
			for !stop.Load() {
				s := c.Sum(now, 300*second, 1, 0)
				if s[0] > 3*s[1] || s[1] < last || s[1] > adders*each {
					t.Errorf("a part of %d/3 of %d after %d", s[0], s[1], last)
					return
				}
				last = s[1]
				runtime.Gosched()
			}
		})
		close(start)
		wg.Wait()
		stop.Store(true)
		reader.Wait()
		require.Equal(t, []int64{adders * each, 3 * adders * each}, c.Sum(now, 300*second, 0, 1))
	}
}

// Each Add is announced before and confirmed after it, by bucket, so that every
// Sum has a lower and an upper bound however the goroutines interleave. The
// reader owns the clock: nobody is ahead of it.
func TestCountsConcurrentRecycling(t *testing.T) {
	const steps, buckets = 3_000, 4
	c := NewCounts(second, buckets, 1)
	var begun, done [steps]atomic.Int64
	var clock atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				now := clock.Load()
				if now >= steps*second {
					return
				}
				begun[now/second].Add(1)
				c.Add(now, 0, 1)
				if done[now/second].Add(1)%8 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	seen := 0
	for number := range int64(steps) {
		clock.Store(number * second)
		for range 3 {
			runtime.Gosched()
			lo, hi := int64(0), int64(0)
			first := max(number-buckets+1, 0)
			for i := first; i <= number; i++ {
				lo += done[i].Load()
			}
			sum := c.Sum(number*second, buckets*second, 0)[0]
			for i := first; i <= number; i++ {
				hi += begun[i].Load()
			}
			if sum < lo || sum > hi {
				t.Errorf("bucket %d: %d, not within %d and %d", number, sum, lo, hi)
			}
			if lo > 0 {
				seen++
			}
		}
	}
	clock.Store(steps * second)
	wg.Wait()
	require.NotZero(t, seen, "the adders were there")
}

func TestCountsConcurrentBegin(t *testing.T) {
	c := NewCounts(3*second, 10, 1)
	const now = 28 * second
	var begun, done atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				begun.Add(1)
				c.Add(now, 0, 1)
				if done.Add(1)%8 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	seen := int64(0)
	for range 2_000 {
		before := done.Load()
		c.Begin(now)
		runtime.Gosched()
		sum := c.Sum(now, 30*second, 0)[0]
		if after := begun.Load(); sum > after-before {
			t.Errorf("%d of at most %d came back", sum, after-before)
			break
		}
		seen += sum
	}
	stop.Store(true)
	wg.Wait()
	require.NotZero(t, seen)

	c.Begin(now)
	for range 4 {
		wg.Go(func() { c.Begin(now) })
	}
	wg.Wait()
	c.Add(now, 0, 1)
	require.Equal(t, []int64{1}, c.Sum(now, 30*second, 0))
}

func TestAllocations(t *testing.T) {
	c := NewCounts(10*second, 30, 6)
	var h Histogram
	var e EWMA
	var now int64
	for name, op := range map[string]func(){
		"Counts.Add":          func() { c.Add(now, 1, 1) },
		"Counts.Sum":          func() { c.Sum(now, 300*second, 0, 1, 2, 3) },
		"Counts.Begin":        func() { c.Begin(now) },
		"Histogram.Add":       func() { h.Add(now, now) },
		"Histogram.Quantiles": func() { h.Quantiles(now, 300*second, .5, .95, .99) },
		"EWMA.Observe":        func() { e.Observe(now, now%second) },
		"EWMA.Value":          func() { e.Value(now) },
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() { now += second; op() }), name)
	}
}

func TestMemory(t *testing.T) {
	c := NewCounts(10*second, 30, 6)
	counts := int(unsafe.Sizeof(*c)) + cap(c.cells)*int(unsafe.Sizeof(c.cells[0]))
	histogram, ewma := int(unsafe.Sizeof(Histogram{})), int(unsafe.Sizeof(EWMA{}))
	total := counts + histogram + ewma
	t.Logf("memory: Counts %d B, Histogram %d B, EWMA %d B, together %d B", counts, histogram, ewma, total)
	require.LessOrEqual(t, total, 6<<10)
}

func TestTotals(t *testing.T) {
	c, h := NewCounts(minBucket, 4, 2), new(Histogram)
	require.Nil(t, c.Totals())
	require.Zero(t, h.Totals())
	c.Keep()
	h.Keep()
	var wg sync.WaitGroup
	const writers, each = 4, 5000
	for w := range writers {
		wg.Go(func() {
			for i := range int64(each) {
				c.Add(i*minBucket/3, w%2, 2) // laps race with each other, and some come too late
				h.Add(i*slot/3, int64(w)<<20)
			}
		})
	}
	wg.Wait()
	require.Equal(t, []int64{2 * each * writers / 2, 2 * each * writers / 2}, c.Totals())
	var sum int64
	for _, n := range h.Totals() {
		sum += n
	}
	require.EqualValues(t, each*writers, sum)
}

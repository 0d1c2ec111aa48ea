package window

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

const tick = int64(1) << tickBits

func TestEWMA(t *testing.T) {
	var e EWMA
	require.Zero(t, e.Value(0))
	require.Zero(t, e.Value(math.MaxInt64))
	near := func(want float64, now int64, msg string) {
		t.Helper()
		require.InEpsilon(t, want, float64(e.Value(now)), 1e-4, msg)
	}
	const now = 1000 * tick
	e.Observe(now, second)
	near(1e9, now, "the first sample is the value")
	e.Observe(now, 3*second)
	near(3e9, now, "a larger one too, in the same tick")
	e.Observe(now+tick-1, second)
	near(3e9, now+tick-1, "a smaller one has no weight before a tick has passed")
	e.Observe(now-10*tick, 5*second)
	near(5e9, now, "late, but a peak")
	e.Observe(now-10*tick, second)
	near(5e9, now, "late, and no news")
	near(5e9*math.Exp(-float64(100*tick)/tau), now+100*tick, "decays unobserved")
	e.Observe(now+100*tick, second)
	w := math.Exp(-float64(100*tick) / tau)
	near(1e9+4e9*w, now+100*tick, "moves towards a smaller one")
	e.Observe(now+100*tick+1000*second, 7)
	require.EqualValues(t, 7, e.Value(now+100*tick+1000*second), "the past is forgotten")
	require.Zero(t, e.Value(math.MaxInt64))
	e.Observe(now+100*tick+2000*second, -5)
	require.Zero(t, e.Value(now+100*tick+2000*second))
	e.Observe(math.MaxInt64, math.MaxInt64)
	near(1<<62, math.MaxInt64, "the largest of both")
}

func TestEWMADecay(t *testing.T) {
	require.Equal(t, 1.0, decay(0))
	require.Zero(t, decay(1<<39))
	worst := 0.0
	for ticks := range uint64(200_000) {
		want := math.Exp(-float64(ticks) * float64(tick) / tau)
		off := math.Abs(decay(ticks)/want - 1)
		worst = max(worst, off)
	}
	t.Logf("decay: off by %.1e at most", worst)
	require.Less(t, worst, 3e-5)
	require.InEpsilon(t, float64(tick)/tau, 1-decay(1), .001, "the weight of one tick")
}

// Finagle's formula in floating point, on the exact instants.
func TestEWMAModel(t *testing.T) {
	for _, tt := range []struct {
		name      string
		gap       func(*rand.Rand) int64
		tolerance float64
	}{
		{"on ticks", func(r *rand.Rand) int64 { return tick * (1 + r.Int64N(200)) }, 2e-4},
		{"every tick", func(*rand.Rand) int64 { return tick }, 2e-4},
		{"between ticks", func(r *rand.Rand) int64 { return tick + r.Int64N(5*second) }, .004},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(4, 4))
			var e EWMA
			var now int64
			cost, stamp := 0.0, int64(0)
			for step := range 10_000 {
				now += tt.gap(rnd)
				d := 2e9 * math.Exp(.5*rnd.NormFloat64())
				e.Observe(now, int64(d))
				if d > cost {
					cost = d
				} else {
					w := math.Exp(-float64(now-stamp) / tau)
					cost = d*(1-w) + cost*w
				}
				stamp = now
				require.InEpsilon(t, cost, float64(e.Value(now)), tt.tolerance, "step %d", step)
				ahead := rnd.Int64N(20 * second)
				require.InEpsilon(t, cost*math.Exp(-float64(ahead)/tau), float64(e.Value(now+ahead)), tt.tolerance+.002)
			}
		})
	}
}

// One goroutine moves the clock and the average a tick at a time, the other
// keeps lifting it: no move may undo a lift.
func TestEWMAConcurrent(t *testing.T) {
	const peak = 1 << 40
	var e EWMA
	var clock atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			now := clock.Add(1)
			e.Observe(now*tick, 0)
			if now%16 == 0 {
				runtime.Gosched()
			}
		}
	})
	for range 20_000 {
		before := clock.Load()
		e.Observe(before*tick, peak)
		for clock.Load() == before { // what was under way is over
			runtime.Gosched()
		}
		value := e.Value(before * tick)
		ticks := clock.Load() - before
		if least := peak * decay(uint64(ticks)); ticks < 50 && float64(value) < least*(1-5e-4) {
			t.Errorf("%d, %d ticks after %d", value, ticks, peak)
			break
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestEWMALast(t *testing.T) {
	var e EWMA
	d, _ := e.Last(5e9)
	require.Zero(t, d)
	e.Observe(5e9, 1e9)
	d, age := e.Last(5e9)
	require.InDelta(t, 1e9, d, 1e4)
	require.Zero(t, age)
	d, age = e.Last(35e9)
	require.InDelta(t, 1e9, d, 1e4, "as it was")
	require.InDelta(t, 30e9, age, 2e7)
	_, age = e.Last(1e9)
	require.Zero(t, age, "a late reading")
}

package fallback

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestClassesAreBounded(t *testing.T) {
	f := New(Config{Strategy: Hedged})
	pool, err := resilience.NewPool(f)
	require.NoError(t, err)
	client, err := resilience.NewClient(pool, resilience.BindFunc("a", func(context.Context, string) (string, error) { return "", nil }))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for lane := range 4 {
		wg.Go(func() {
			for i := range maxClasses {
				_, _, err := client.Do(t.Context(), "", resilience.CallOptions{Op: fmt.Sprint(i + lane*maxClasses/2)})
				require.NoError(t, err)
			}
		})
	}
	wg.Wait()
	require.Len(t, *f.classes.list.Load(), maxClasses+1, "and one for all others")
}

func TestAllowance(t *testing.T) {
	var a allowance
	take := func() (n int) {
		for a.take() {
			n++
		}
		return n
	}
	require.Equal(t, 20, take(), "saved up")
	for range 100 {
		a.earn(.05)
	}
	require.Equal(t, 10, take(), "twice the share")
	for range 100_000 {
		a.earn(.05)
	}
	require.Equal(t, 20, take(), "no more is saved")
}

func TestWorth(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	var w worth
	fire := func(n int, won, missed float64) {
		for range n {
			switch x := chance.Float64(); {
			case x < won:
				w.learn(useful)
			case x < won+missed:
				w.learn(slow)
			default:
				w.learn(idle)
			}
		}
	}
	asked := func() (n int) {
		for range 1000 {
			if w.asks() {
				n++
			}
		}
		return n
	}
	fire(90, 0, 1)
	require.Equal(t, 1000, asked(), "too few to tell")
	fire(2000, .50, .02)
	require.Equal(t, 1000, asked(), "the model is slow")
	fire(2000, .12, .40)
	require.Equal(t, 50, asked(), "the request is slow")
	fire(2000, .50, .02)
	require.Equal(t, 1000, asked(), "a change is noticed")
	fire(2000, .20, 0)
	require.Equal(t, 1000, asked(), "the tail of a model that is well")
	fire(2000, .01, 0)
	require.Equal(t, 50, asked(), "of no use")
	require.InDelta(t, 1, w.perCall(), 1e-9)
	for range 1000 {
		w.count(2)
	}
	require.InDelta(t, 2, w.perCall(), .01)
}

// Hedges stop below one threshold and come back above another, both of the
// useful of those that tell and of all.
func TestWorthHasThresholds(t *testing.T) {
	for name, steps := range map[string][]struct {
		won, missed float64
		on          bool
	}{
		"useful and slow": {{.40, .60, true}, {.20, .80, false}, {.31, .69, false}, {.37, .63, true}, {.31, .69, true}, {.25, .75, false}},
		"useful of all":   {{.10, 0, true}, {.04, 0, false}, {.057, 0, false}, {.08, 0, true}, {.057, 0, true}, {.04, 0, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var w worth
			for i, step := range steps {
				won, missed := 0., 0.
				for range 3000 { // evenly, without chance
					o := idle
					if won += step.won; won >= 1 {
						won--
						o = useful
					} else if missed += step.missed / (1 - step.won); missed >= 1 {
						missed--
						o = slow
					}
					w.learn(o)
				}
				require.Equal(t, step.on, !w.off.Load(), "step %d", i)
			}
		})
	}
}

func TestLoadIsAnAverageOfTenSeconds(t *testing.T) {
	var l load
	l.add(0, .2)
	require.InDelta(t, .2, l.value(), 1e-9)
	for now := time.Duration(0); now < time.Minute; now += loadEvery {
		l.add(now, .2)
	}
	require.InDelta(t, .2, l.value(), 1e-9, "from the first sample on")
	for now := time.Minute; now < time.Minute+10*time.Second; now += loadEvery {
		l.add(now, .7)
	}
	require.InDelta(t, .2+.5*(1-1/2.718), l.value(), .01)
	l.add(time.Minute, .7) // late
	require.InDelta(t, .2+.5*(1-1/2.718), l.value(), .01)
}

func TestDelayIsAtLeastAMillisecondAndWithinWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rules{Config: Config{HedgeShare: .05}}
		for took, want := range map[time.Duration]time.Duration{
			0: least, 10 * time.Microsecond: least, time.Hour: 0,
		} {
			var k class
			for range 200 {
				k.record(0, took, nil)
			}
			require.Equal(t, want, k.after(time.Second, r), took)
		}
		var k class
		for i := range 2000 {
			k.record(0, time.Duration(i)*time.Millisecond, nil)
		}
		require.InDelta(t, 1.9*float64(time.Second), k.after(0, r), float64(20*time.Millisecond))
		r.HedgeShare = .1
		require.InDelta(t, 1.8*float64(time.Second), k.after(time.Second, r), float64(20*time.Millisecond), "a reload counts at once")
		r.HedgeShare = .001
		require.Zero(t, k.after(2*time.Second, r), "for so few more must be known")
		r.HedgeAfter = time.Minute
		require.Equal(t, time.Minute, k.after(3*time.Second, r))
	})
}

// The delay is learnt from a hundred calls on, each second while little is known,
// then every ten.
func TestDelayIsLearntNowAndThen(t *testing.T) {
	const ms = time.Millisecond
	r := &rules{Config: Config{HedgeShare: .05}}
	var k class
	calls := func(n int, took time.Duration) {
		for range n {
			k.record(0, took, nil)
		}
	}
	is := func(want, at time.Duration) {
		t.Helper()
		require.InDelta(t, want, k.after(at, r), float64(want)/10, at)
	}
	calls(99, 10*ms)
	is(0, 0)
	calls(1, 10*ms)
	is(10*ms, time.Second)
	calls(100, 100*ms)
	is(10*ms, 2*time.Second-1)
	is(100*ms, 2*time.Second)
	calls(800, time.Second)
	is(time.Second, 3*time.Second)
	calls(1000, 10*time.Second)
	is(time.Second, 13*time.Second-1)
	is(10*time.Second, 13*time.Second)
}

// Where a call that is hedged has two, half as many are to be.
func TestDelayGoesByHedges(t *testing.T) {
	r := &rules{Config: Config{HedgeShare: .1}}
	var k class
	for i := range 2000 {
		k.record(0, time.Duration(i)*time.Millisecond, nil)
	}
	for range 1000 {
		k.worth.count(2)
	}
	require.InDelta(t, 1.9*float64(time.Second), k.after(0, r), float64(20*time.Millisecond))
}

func TestWhatTellsHowLongAModelTakes(t *testing.T) {
	for _, tc := range []struct {
		err  error
		won  bool
		want int64
	}{
		{nil, false, 1}, {resilience.TimedOut, false, 1}, {resilience.Unreachable, false, 0},
		{resilience.Canceled, false, 0}, {resilience.Canceled, true, 1},
	} {
		pool, err := resilience.NewPool()
		require.NoError(t, err)
		h := hedge{way: way{f: &Manager{pool: pool}}, class: new(class), won: tc.won}
		h.record(tc.err)
		require.Equal(t, tc.want, h.class.spread.Count(0, int64(time.Minute)), "%+v", tc)
	}
}

package degrade_test

import (
	"context"
	"math"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

// A total outage leads straight up, and its end down one level at a time.
func TestOutage(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a", "b", "c"), func(r *rig) {
		stop := r.run()
		defer stop()
		time.Sleep(time.Minute)
		require.Empty(r, r.changes())
		require.Empty(r, r.log.take())
		r.hold(5*time.Minute, "a", "b", "c")
		time.Sleep(3500 * time.Millisecond)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		require.Equal(r, []string{"none → emergency: available 0 < 0.1"}, r.changes())
		require.Equal(r, []string{`level=WARN msg=degradation from=none to=emergency reason="available 0 < 0.1"`}, r.log.take())
		time.Sleep(297 * time.Second)
		require.Empty(r, r.changes(), "nothing while it lasts")
		last, at := time.Now(), degrade.Emergency
		for r.controller.Level() != degrade.None {
			time.Sleep(time.Second)
			if l := r.controller.Level(); l != at {
				require.Equal(r, at-1, l)
				require.GreaterOrEqual(r, time.Since(last), 30*time.Second)
				last, at = time.Now(), l
			}
		}
		require.Less(r, time.Since(last), 3*time.Minute)
		lines := r.log.take()
		require.Len(r, lines, 4)
		require.Contains(r, lines[0], "level=INFO msg=degradation from=emergency to=severe reason=\"available 0.")
		require.Contains(r, lines[0], " ≥ 0.28 for 30s")
		time.Sleep(time.Hour)
		require.Len(r, r.changes(), 4)
	})
}

// Part of the capacity goes, and the level is the one for what is left.
func TestPartOfCapacity(t *testing.T) {
	infos := []resilience.ModelInfo{{ID: "a", Weight: 3}, {ID: "b"}, {ID: "c"}, {ID: "d", Weight: 5}}
	degraded(t, degrade.Config{}, infos, func(r *rig) {
		stop := r.run()
		defer stop()
		require.NoError(r, r.pool.Model("d").Drain(r.Context(), by)) // on purpose, and no loss
		time.Sleep(time.Minute)
		require.Empty(r, r.changes())
		r.hold(time.Hour, "b") // 0.8 is not below 0.8
		time.Sleep(time.Minute)
		require.Empty(r, r.changes())
		r.pool.Model("a").SetRamp(0.9)
		time.Sleep(3 * time.Minute)
		require.Len(r, r.changes(), 1)
		require.Equal(r, degrade.Minimal, r.controller.Level())
		r.hold(time.Hour, "a")
		time.Sleep(4 * time.Second)
		require.Equal(r, []string{"minimal → severe: available 0.2 < 0.4"}, r.changes())
	})
}

// A limit that is over in two seconds is no collapse.
func TestBlip(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		stop := r.run()
		defer stop()
		for range 20 {
			r.hold(2*time.Second, "a")
			time.Sleep(30 * time.Second)
		}
		require.Empty(r, r.changes())
	})
}

// A model that flaps keeps its pool degraded, instead of making it flap.
func TestFlapping(t *testing.T) {
	for _, period := range []time.Duration{5 * time.Second, 20 * time.Second, time.Minute, 2 * time.Minute} {
		degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
			stop := r.run()
			defer stop()
			began := time.Now()
			var at []time.Duration
			last := r.controller.Level()
			for time.Since(began) < time.Hour {
				r.hold(period/2, "a")
				for range period / (500 * time.Millisecond) {
					time.Sleep(500 * time.Millisecond)
					if l := r.controller.Level(); l != last {
						if l < last {
							at = append(at, time.Since(began))
						}
						last = l
					}
				}
			}
			for i := 1; i < len(at); i++ {
				require.GreaterOrEqual(r, at[i]-at[i-1], 30*time.Second, "period %v", period)
			}
			require.LessOrEqual(r, len(r.changes()), 2*int(time.Hour/max(period, 30*time.Second)), "period %v", period)
		})
	}
}

// Models come back bit by bit, and the level goes down with them.
func TestBrownoutRamp(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a", "b"), func(r *rig) {
		stop := r.run()
		defer stop()
		ramp := func(f float64) {
			for _, m := range r.pool.Models() {
				m.SetRamp(f)
			}
			time.Sleep(10 * time.Second)
		}
		highest := degrade.None
		for f := 1.0; f > 0; f -= 0.02 {
			ramp(f)
			require.GreaterOrEqual(r, r.controller.Level(), highest, "one way")
			highest = r.controller.Level()
		}
		require.Equal(r, degrade.Emergency, highest)
		for f := 0.0; f <= 1; f += 0.02 {
			ramp(f)
			require.LessOrEqual(r, r.controller.Level(), highest, "and back")
			highest = r.controller.Level()
		}
		time.Sleep(2 * time.Minute)
		require.Equal(r, degrade.None, r.controller.Level())
		require.Len(r, r.changes(), 8)
	})
}

// Errors lead up one level at a time where nothing holds the models.
func TestErrorRate(t *testing.T) {
	degraded(t, degrade.Config{Throttle: -1}, ids("a"), func(r *rig) {
		stop := r.run()
		defer stop()
		bad := 0.0
		n := 0
		r.do = func(context.Context, *resilience.Model, string) (string, error) {
			if n++; float64(n%100) < 100*bad {
				return "", resilience.Overloaded
			}
			return "", nil
		}
		calls := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				_ = r.ask(resilience.Normal)
			}
		}
		calls(time.Minute)
		bad = 0.3
		calls(2 * time.Minute)
		require.Equal(r, degrade.Severe, r.controller.Level())
		list := r.changes()
		require.Len(r, list, 3)
		require.Contains(r, list[0], "none → minimal: errorRate 0.")
		require.Contains(r, list[0], " > 0.05")
		bad = 0
		calls(4 * time.Minute)
		require.Equal(r, degrade.None, r.controller.Level())

		r.do = func(context.Context, *resilience.Model, string) (string, error) { return "", resilience.Invalid }
		r.changes()
		calls(3 * time.Minute)
		require.Empty(r, r.changes(), "errors of callers")
		r.do = func(context.Context, *resilience.Model, string) (string, error) { return "", resilience.Overloaded }
		for range 60 {
			_ = r.ask(resilience.Normal)
			time.Sleep(5 * time.Second)
		}
		require.Empty(r, r.changes(), "six calls in half a minute say nothing")
	})
}

// Calls that take long lead up where there is a limit.
func TestSlow(t *testing.T) {
	cfg := degrade.Config{Levels: map[string]degrade.Step{"minimal": {P95: 2 * time.Second}, "moderate": {P95: time.Minute}}}
	degraded(t, cfg, ids("a"), func(r *rig) {
		stop := r.run()
		defer stop()
		var slow atomic.Bool
		r.do = func(context.Context, *resilience.Model, string) (string, error) {
			time.Sleep(time.Second)
			if slow.Load() {
				time.Sleep(3 * time.Second)
			}
			return "", nil
		}
		calls := func(n int) {
			for range n {
				r.calls.Go(func() { _ = r.ask(resilience.Normal) })
				time.Sleep(100 * time.Millisecond)
			}
		}
		calls(900)
		require.Empty(r, r.changes())
		slow.Store(true)
		calls(900)
		require.Equal(r, degrade.Minimal, r.controller.Level())
		require.Contains(r, r.changes()[0], "none → minimal: p95 ")
	})
}

// What was burning nobody knows is nothing, and a Burn that panics stops no level
// from going by the other signals.
func TestBurn(t *testing.T) {
	var burn atomic.Value
	cfg := degrade.Config{Burn: func() float64 { return burn.Load().(func() float64)() }, Levels: map[string]degrade.Step{"severe": {Burn: 6, Cheaper: true}}}
	degraded(t, cfg, ids("a"), func(r *rig) {
		for _, x := range []float64{math.NaN(), math.Inf(-1), -7, 0} {
			burn.Store(func() float64 { return x })
			stop := r.run()
			time.Sleep(time.Minute)
			require.Empty(r, r.changes())
			stop()
		}
		burn.Store(func() float64 { panic("oh") })
		stop := r.run()
		defer stop()
		r.hold(10*time.Second, "a")
		time.Sleep(4 * time.Second)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		require.Contains(r, r.log.take()[0], "Config.Burn of degrade panicked")
		r.changes()
		time.Sleep(5 * time.Minute)
		burn.Store(func() float64 { return math.Inf(1) })
		r.changes()
		time.Sleep(2 * time.Second)
		require.Equal(r, []string{"none → severe: burn 1e+06 > 6"}, r.changes(), "the lowest level that has such a limit")
	})
}

// A process that stood still for a minute believes what it sees only after a while,
// and what it did not see is no calm.
func TestSuspended(t *testing.T) {
	var stand atomic.Int64
	cfg := degrade.Config{Burn: func() float64 { time.Sleep(time.Duration(stand.Swap(0))); return 0 }}
	degraded(t, cfg, ids("a", "b"), func(r *rig) {
		stop := r.run()
		defer stop()
		r.do = func(context.Context, *resilience.Model, string) (string, error) { return "", resilience.TimedOut }
		time.Sleep(time.Minute)
		stand.Store(int64(time.Minute))
		time.Sleep(59500 * time.Millisecond)
		for range 100 { // all that was under way
			_ = r.ask(resilience.Critical)
		}
		r.hold(6*time.Second, "a", "b")
		time.Sleep(time.Minute)
		require.Empty(r, r.changes())

		r.hold(10*time.Second, "a", "b")
		time.Sleep(4 * time.Second)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		r.changes()
		time.Sleep(15 * time.Second)
		stand.Store(int64(time.Minute))
		time.Sleep(time.Minute + 5*time.Second)
		require.Empty(r, r.changes())
		time.Sleep(time.Minute)
		require.NotEmpty(r, r.changes())
	})
}

// With all models drained by hand nothing is left, and without a call nothing is
// known and all is well.
func TestAllDrained(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a", "b"), func(r *rig) {
		stop := r.run()
		defer stop()
		time.Sleep(time.Minute)
		require.Equal(r, degrade.None, r.controller.Level())
		for _, m := range r.pool.Models() {
			require.NoError(r, m.Drain(r.Context(), by))
		}
		time.Sleep(4 * time.Second)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		for _, m := range r.pool.Models() {
			require.NoError(r, m.Restore(r.Context(), by))
		}
		time.Sleep(4 * time.Minute)
		require.Equal(r, degrade.None, r.controller.Level())
	})
}

// Without Run there is no level, and when it ends there is none any more.
func TestRun(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		r.hold(time.Hour, "a")
		time.Sleep(time.Minute)
		require.Equal(r, degrade.None, r.controller.Level())
		stop := r.run()
		time.Sleep(4 * time.Second)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		stop()
		require.Equal(r, degrade.None, r.controller.Level())
		require.Equal(r, "emergency → none: Pool.Run has ended", r.changes()[1])
		stop = r.run()
		time.Sleep(4 * time.Second)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		stop()
	})
}

// Assessments are as many whatever happens, of five thousand models too.
func TestManyModels(t *testing.T) {
	var infos []resilience.ModelInfo
	for i := range 5000 {
		infos = append(infos, resilience.ModelInfo{ID: strconv.Itoa(i)})
	}
	var samples int
	cfg := degrade.Config{Burn: func() float64 { samples++; return 0 }}
	degraded(t, cfg, infos, func(r *rig) {
		for i := range 2500 {
			r.hold(time.Hour, strconv.Itoa(i))
		}
		stop := r.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		require.Equal(r, "none → moderate: available 0.5 < 0.6", r.changes()[0])
	})
	require.InDelta(t, 60, samples, 1, "constant work")
}

// A pool that no client has told of a model yet is not out.
func TestNoModelsYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := degrade.New(degrade.Config{})
		pool, err := resilience.NewPool(c)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- pool.Run(ctx) }()
		time.Sleep(time.Minute)
		level := c.Level()
		cancel()
		require.NoError(t, <-done)
		require.Equal(t, degrade.None, level)
	})
}

// When Run ends while assessing has failed, no level stays.
func TestRunEndsAfterBurn(t *testing.T) {
	var dead atomic.Bool
	cfg := degrade.Config{Levels: map[string]degrade.Step{"severe": {Burn: 1}}, Burn: func() float64 {
		if dead.Load() {
			runtime.Goexit()
		}
		return 10
	}}
	degraded(t, cfg, ids("a"), func(r *rig) {
		stop := r.run()
		time.Sleep(29500 * time.Millisecond)
		require.Equal(r, degrade.Severe, r.controller.Level())
		dead.Store(true)
		time.Sleep(time.Second)
		stop()
		require.Equal(r, degrade.None, r.controller.Level())
	})
}

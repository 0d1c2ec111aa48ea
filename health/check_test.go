package health_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/health"
)

var quick = health.Config{Interval: 10 * time.Second}

// Calls are enough: a model that has them is not probed, an idle one is.
func TestPassiveFirst(t *testing.T) {
	bubble(t, quick, models("busy", "idle"), func(r *rig) {
		for range 100 {
			r.call("busy", 1)
			time.Sleep(time.Second)
		}
		require.LessOrEqual(r, r.asked(0, "busy"), 1, "before it had any")
		require.InDelta(r, 10, r.asked(0, "idle"), 2)
		got := r.checker.Last(r.pool.Model("busy"))
		require.False(r, got.Probed)
		require.InDelta(r, 15, got.Calls, 5)
		require.Equal(r, resilience.Available, got.Status)
		require.Greater(r, got.Score, 0.9)
		require.WithinDuration(r, time.Now(), got.Time, 11*time.Second)
		require.Empty(r, r.told(resilience.EventHealth, resilience.EventHold), "nothing has changed")
	})
}

// Probes hold a model after Fall bad ones in a row, extend that, and lift it after
// Rise good ones. Each change is told once.
func TestProbesDecide(t *testing.T) {
	bubble(t, quick, models("a", "b", "c"), func(r *rig) {
		r.set(resilience.Unreachable, "a")
		time.Sleep(21 * time.Second)
		require.False(r, r.held("a"), "two are not enough")
		time.Sleep(11 * time.Second)
		require.True(r, r.held("a"))
		time.Sleep(10 * time.Minute)
		require.True(r, r.held("a"))
		h := r.pool.Model("a").Holds()[0]
		require.Equal(r, "probe: unreachable", h.Reason)
		require.False(r, h.Until.IsZero(), "its end is never open")
		got := r.checker.Last(r.pool.Model("a"))
		require.Equal(r, resilience.Unavailable, got.Status)
		require.Equal(r, "probe: unreachable", got.Reason)
		require.ErrorIs(r, got.Err, resilience.Unreachable)
		require.True(r, got.Probed)
		require.Equal(r, []string{"a available>unavailable: probe: unreachable"}, r.told(resilience.EventHealth))

		r.set(nil, "a")
		time.Sleep(11 * time.Second)
		require.True(r, r.held("a"), "one is not enough")
		time.Sleep(11 * time.Second)
		require.False(r, r.held("a"))
		require.Equal(r, []string{"a unavailable>available: good checks"}, r.told(resilience.EventHealth))
	})
}

// A single failure, or one in three, changes nothing.
func TestFlickeringProbe(t *testing.T) {
	bubble(t, quick, models("a", "b"), func(r *rig) {
		n := 0
		r.setBoth(func(context.Context) error {
			if n++; n%3 == 0 {
				return nil
			}
			return resilience.Overloaded
		}, nil, "a")
		time.Sleep(10 * time.Minute)
		require.Empty(r, r.told(resilience.EventHealth, resilience.EventHold))
	})
}

// What a limit, a key, a quota or the request is refused for says nothing of the
// model; that it is gone does.
func TestProbeKinds(t *testing.T) {
	for kind, holds := range map[resilience.Kind]bool{
		resilience.RateLimited: false, resilience.Unauthorized: false, resilience.QuotaSpent: false, resilience.Invalid: false,
		resilience.Filtered: false, resilience.Malformed: false, resilience.Rejected: false,
		resilience.NotFound: true, resilience.TimedOut: true, resilience.Overloaded: true, resilience.Truncated: true, resilience.Unknown: true,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			bubble(t, quick, models("a", "b"), func(r *rig) {
				r.set(kind, "a")
				time.Sleep(5 * time.Minute)
				require.Equal(r, holds, r.held("a"))
			})
		})
	}
}

// What calls have shown is not refuted by a probe: the hold lasts its time, and then
// a few calls decide, at once.
func TestCallsOutweighProbes(t *testing.T) {
	bubble(t, quick, models("a", "b"), func(r *rig) {
		r.setBoth(nil, fails(resilience.Overloaded), "a")
		traffic := func(d time.Duration) {
			for range int(d / time.Second) {
				if r.pool.Model("a").Available() {
					r.call("a", 1)
				}
				time.Sleep(time.Second)
			}
		}
		traffic(35 * time.Second)
		require.True(r, r.held("a"))
		since := time.Since(r.start)
		first := r.pool.Model("a").Holds()[0]
		require.Contains(r, first.Reason, "calls failed in 20s")
		r.told(resilience.EventHealth)
		time.Sleep(time.Until(first.Until) - time.Second)
		require.True(r, r.held("a"), "though its probes are good")
		require.GreaterOrEqual(r, r.asked(since, "a"), 1)

		traffic(20 * time.Second)
		require.True(r, r.held("a"), "one bad check is enough now")
		second := r.pool.Model("a").Holds()[0]
		require.Greater(r, second.Until.Sub(second.Since), first.Until.Sub(first.Since)*3/2, "and for longer")
		require.Len(r, r.told(resilience.EventHealth), 2)

		r.set(nil, "a")
		time.Sleep(time.Until(second.Until) + time.Second)
		require.Equal(r, resilience.Degraded, r.status("a"), "on trial")
		traffic(2 * time.Minute)
		require.Equal(r, resilience.Available, r.status("a"))
		r.setBoth(nil, fails(resilience.Overloaded), "a")
		traffic(45 * time.Second)
		third := r.pool.Model("a").Holds()[0]
		require.InDelta(r, first.Until.Sub(first.Since).Seconds(), third.Until.Sub(third.Since).Seconds(), 2.1, "what went well since counts")
	})
}

// A model held for its calls, whose probes fail, stays out longer.
func TestBadProbesExtend(t *testing.T) {
	bubble(t, quick, models("a", "b"), func(r *rig) {
		r.setBoth(nil, fails(resilience.Overloaded), "a")
		for range 35 {
			r.call("a", 1)
			time.Sleep(time.Second)
		}
		require.True(r, r.held("a"))
		r.setBoth(fails(resilience.Overloaded), nil, "a")
		time.Sleep(5 * time.Minute)
		require.True(r, r.held("a"))
	})
}

// Without a probe the same happens by calls and time alone, and a model that nobody
// asks is well again.
func TestWithoutProbes(t *testing.T) {
	cfg := quick
	cfg.Probes = -1
	bubble(t, cfg, models("a", "b"), func(r *rig) {
		r.set(resilience.Overloaded, "a")
		for range 40 {
			r.call("a", 1)
			time.Sleep(time.Second)
		}
		require.True(r, r.held("a"))
		time.Sleep(time.Minute)
		require.False(r, r.held("a"))
		require.Equal(r, resilience.Available, r.status("a"))
		require.Zero(r, r.asked(0))
	})
}

// A probe that hangs delays its own model, and ends with Run.
func TestHungProbe(t *testing.T) {
	cfg := quick
	cfg.Timeout = 5 * time.Minute
	bubble(t, cfg, models("a", "b", "c"), func(r *rig) {
		r.setBoth(hangs, nil, "a")
		time.Sleep(4 * time.Minute)
		require.Equal(r, 1, r.asked(0, "a"), "one at a time")
		require.InDelta(r, 24, r.asked(0, "b"), 2)
		require.InDelta(r, 24, r.asked(0, "c"), 2)
	})
}

// What a probe does wrong is its model's failure.
func TestWildProbes(t *testing.T) {
	bubble(t, quick, models("a", "b", "c", "d", "e", "f"), func(r *rig) {
		r.setBoth(func(context.Context) error { panic("at the disco") }, nil, "a")
		r.setBoth(func(context.Context) error { runtime.Goexit(); return nil }, nil, "b")
		time.Sleep(2 * time.Minute)
		require.True(r, r.held("a"))
		require.True(r, r.held("b"))
		require.Equal(r, resilience.Available, r.status("c"))
		require.Empty(r, r.told(resilience.EventPanic))
	})
}

// Who is held by hand or asked to wait is not probed; who is held by a breaker is.
func TestProbesNobodyWants(t *testing.T) {
	bubble(t, quick, models("a", "b", "c", "d"), func(r *rig) {
		require.NoError(r, r.pool.Model("a").Drain(r.Context(), by))
		until := time.Now().Add(time.Hour)
		r.pool.Model("b").Hold(r.Context(), resilience.Hold{By: resilience.HoldLimit, Until: until})
		r.pool.Model("c").Hold(r.Context(), resilience.Hold{By: resilience.HoldBreaker, Until: until})
		require.False(r, r.checker.Check(r.Context(), r.pool.Model("a")).Probed)
		require.Equal(r, resilience.Maintenance, r.status("a"))
		time.Sleep(5 * time.Minute)
		require.Zero(r, r.asked(0, "a", "b"))
		require.InDelta(r, 30, r.asked(0, "c"), 4)
		require.False(r, r.pool.Model("c").Available(), "that is the breaker's")
	})
}

// What the breaker holds because a model is gone is lifted by probes alone.
func TestNotFound(t *testing.T) {
	bubble(t, quick, models("a", "b"), func(r *rig) {
		r.set(resilience.NotFound, "a")
		r.call("a", 1)
		require.True(r, r.held("a"), "by the breaker")
		r.pool.Model("a").Hold(r.Context(), resilience.Hold{By: resilience.HoldHealth, Reason: "not_found", Until: time.Now().Add(time.Hour)})
		r.setBoth(fails(resilience.RateLimited), nil, "a")
		time.Sleep(5 * time.Minute)
		require.True(r, r.held("a"))
		r.setBoth(nil, nil, "a")
		time.Sleep(25 * time.Second)
		require.False(r, r.held("a"))
	}, breaker.New(breaker.Config{}))
}

// Half of the models are held at most, and never the last one that is free.
func TestMaxEjected(t *testing.T) {
	bubble(t, quick, models("a", "b", "c", "d", "e", "f"), func(r *rig) {
		count := func() (n int) {
			for _, m := range r.pool.Models() {
				if r.held(m.ID()) {
					n++
				}
			}
			return n
		}
		for _, id := range []string{"a", "b", "c", "d", "e"} { // not at once
			r.set(resilience.Unreachable, id)
			time.Sleep(time.Minute)
			require.LessOrEqual(r, count(), 3)
		}
		require.Equal(r, 3, count())
		require.Contains(r, r.told(resilience.EventHealth), "d available>degraded: probe: unreachable; not held: 3 of 6 models are, which is the most")
		require.Equal(r, resilience.Degraded, r.status("d"))
		r.set(nil, "a")
		time.Sleep(time.Minute)
		require.Equal(r, 3, count(), "another one in its place")
	})
	bubble(t, quick, models("a", "b"), func(r *rig) {
		r.pool.Model("b").Hold(r.Context(), resilience.Hold{By: resilience.HoldBreaker})
		r.set(resilience.Unreachable, "a")
		time.Sleep(5 * time.Minute)
		require.False(r, r.held("a"))
		require.Contains(r, r.told(resilience.EventHealth)[0], "not held: it is the last one")
	})
	bubble(t, quick, models("a"), func(r *rig) {
		r.set(resilience.Unreachable, "a")
		time.Sleep(5 * time.Minute)
		require.False(r, r.held("a"))
	})
}

// ObserveOnly holds nothing, and says what it would do; what others hold stays.
func TestObserveOnly(t *testing.T) {
	cfg := quick
	cfg.ObserveOnly = true
	bubble(t, cfg, models("a", "b", "c"), func(r *rig) {
		r.set(resilience.Unreachable, "a")
		r.pool.Model("b").Hold(r.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Hour)})
		r.told()
		time.Sleep(time.Minute)
		require.True(r, r.held("b"))
		require.NoError(r, r.pool.Reset(r.Context(), r.pool.Model("b"), by))
		time.Sleep(time.Minute)
		require.False(r, r.held("a"))
		require.Equal(r, resilience.Degraded, r.status("a"))
		r.set(nil, "a")
		time.Sleep(time.Minute)
		require.Equal(r, []string{
			"a available>unavailable: probe: unreachable (would)", "a unavailable>available: good checks (would)",
		}, r.told(resilience.EventHealth))
	})
}

// Reset and others' releases are respected.
func TestReset(t *testing.T) {
	bubble(t, quick, models("a", "b"), func(r *rig) {
		r.set(resilience.Unreachable, "a")
		time.Sleep(time.Minute)
		require.True(r, r.held("a"))
		r.told()
		require.NoError(r, r.pool.Reset(r.Context(), r.pool.Model("a"), by))
		require.Equal(r, resilience.Available, r.status("a"))
		require.NoError(r, r.pool.Reset(r.Context(), r.pool.Model("b"), by))
		require.Equal(r, []string{"a unavailable>available: reset"}, r.told(resilience.EventHealth))
		time.Sleep(15 * time.Second)
		require.False(r, r.held("a"), "it begins anew")
		time.Sleep(time.Minute)
		require.True(r, r.held("a"))
		r.pool.Model("a").Release(r.Context(), resilience.HoldHealth)
		time.Sleep(2 * time.Second)
		require.Equal(r, resilience.Degraded, r.status("a"), "on trial")
		time.Sleep(12 * time.Second)
		require.True(r, r.held("a"), "one bad check is enough")
	})
}

// Two of five, and one of four, that fail at two calls in five are seen within two
// intervals of the first check that can tell, where a rule of 1.9 deviations never
// would, and nobody else is held.
func TestOutliers(t *testing.T) {
	for name, c := range map[string]struct {
		models []string
		bad    int
	}{"2 of 5": {[]string{"a", "b", "c", "d", "e"}, 2}, "1 of 4": {[]string{"a", "b", "c", "d"}, 1}} {
		t.Run(name, func(t *testing.T) {
			cfg := quick
			cfg.Fall = 1
			bubble(t, cfg, models(c.models...), func(r *rig) {
				time.Sleep(time.Minute)
				n := 0
				for _, id := range c.models[:c.bad] {
					r.setBoth(nil, func(context.Context) error {
						if n++; n%5 < 2 {
							return resilience.Overloaded
						}
						return nil
					}, id)
				}
				for range 20 {
					for _, id := range c.models {
						if r.pool.Model(id).Available() {
							r.call(id, 10)
						}
					}
					time.Sleep(time.Second)
				}
				for i, id := range c.models {
					require.Equal(r, i < c.bad, r.held(id), id)
				}
				require.Contains(r, r.pool.Model("a").Holds()[0].Reason, "of its peers'")
			})
		})
	}
}

// A model that does not answer any more, though calls wait for it, is checked before
// its time.
func TestSilence(t *testing.T) {
	detect := func(wait time.Duration) (took time.Duration) {
		bubble(t, health.Config{}, models("a", "b"), func(r *rig) {
			r.setBoth(nil, func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil }, "a")
			for range 120 { // its regular traffic
				r.call("a", 1)
				time.Sleep(time.Second)
			}
			silent := time.Since(r.start)
			r.setBoth(hangs, hangs, "a")
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); _, _ = r.client.Pin("a").Call(ctx, "?") }()
			for !r.held("a") && time.Since(r.start) < silent+wait {
				time.Sleep(time.Second)
			}
			took = time.Since(r.start) - silent
			cancel()
			<-done
		})
		return took
	}
	took := detect(3 * time.Minute)
	t.Logf("a model that hangs while calls wait for it is held after %v", took)
	require.Less(t, took, 45*time.Second, "three checks of every 30 s would be later")
}

// SlowFirst and SlowToken make a model degraded and nothing more; how long answers
// take in all does not.
func TestSlow(t *testing.T) {
	cfg := quick
	cfg.SlowToken = 100 * time.Millisecond
	bubble(t, cfg, models("x"), func(r *rig) {
		var took atomic.Int64
		took.Store(int64(20 * time.Second))
		pool, err := resilience.NewPool(health.New(cfg), resilience.Models(resilience.ModelInfo{ID: "a"}))
		require.NoError(r, err)
		sub := pool.Subscribe(10, resilience.EventHealth)
		client, err := resilience.NewClient(pool, resilience.BindFunc("a", func(context.Context, string) (string, error) {
			time.Sleep(time.Duration(took.Load()))
			return "", nil
		}), resilience.Hooks[string, string]{Usage: func(string, string) resilience.Usage { return resilience.Usage{Output: 100} }})
		require.NoError(r, err)
		ctx, cancel := context.WithCancel(r.Context())
		done := make(chan error)
		go func() { done <- pool.Run(ctx) }()
		calls := func() {
			for range 120 {
				go func() { _, _ = client.Call(context.Background(), "?") }()
				time.Sleep(time.Second)
			}
			time.Sleep(20 * time.Second)
		}
		calls()
		require.Equal(r, "a available>degraded: a token takes 200ms", line(<-sub.C))
		require.True(r, pool.Model("a").Available())
		took.Store(int64(8 * time.Second))
		calls()
		require.Equal(r, "a degraded>available: fast again", line(<-sub.C))
		require.Empty(r, sub.C)
		cancel()
		require.NoError(r, <-done)
		sub.Close()
	})
}

// The score tells no data from little, good from bad, fast from slow.
func TestScore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, health.Config{Probes: -1}, models("a", "b", "c"))
		score := func(id string) float64 { return r.checker.Check(r.Context(), r.pool.Model(id)).Score }
		require.InDelta(r, 0.05, score("a"), 0.001)
		time.Sleep(30 * time.Second)
		r.call("a", 2)
		two := score("a")
		require.InDelta(r, 0.35, two, 0.03)
		time.Sleep(time.Minute)
		r.call("a", 50)
		require.Greater(r, score("a"), 0.9)
		r.call("b", 50)
		r.set(errors.New("out of order"), "b")
		r.call("b", 10)
		require.Less(r, score("b"), score("a"))
		r.set(resilience.Malformed, "c")
		r.call("c", 60)
		require.Zero(r, score("c"), "no answer was good")
		old := r.checker.Last(r.pool.Model("a")).Score
		time.Sleep(30 * time.Minute)
		require.Less(r, r.checker.Last(r.pool.Model("a")).Score, old, "what is old is less certain")
	})
}

// A check whose time is up says so, and changes nothing.
func TestCheckEnds(t *testing.T) {
	bubble(t, health.Config{Interval: time.Hour}, models("a", "b"), func(r *rig) {
		require.NoError(r, r.checker.Check(r.Context(), r.pool.Model("a")).Err)
		before := r.checker.Last(r.pool.Model("a"))
		r.setBoth(hangs, nil, "a")
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		got := r.checker.Check(ctx, r.pool.Model("a"))
		require.ErrorIs(r, got.Err, resilience.Canceled)
		after := r.checker.Last(r.pool.Model("a"))
		require.Equal(r, before.Time, after.Time)
		require.NoError(r, after.Err)
	})
}

package recovery_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/recovery"
)

func TestWhatOnlyPeopleCanMend(t *testing.T) {
	for name, kind := range map[string]resilience.Kind{"a refused key": resilience.Unauthorized, "a spent quota": resilience.QuotaSpent, "a model that is gone": resilience.NotFound} {
		virtual(t, name, func(t bubble) {
			var log logged
			w := newWorld(t, recovery.Config{}, []string{"a", "b"}, log.feature()).run()
			w.fail(kind, "a")
			w.trip("a")
			require.Zero(t, w.Times().Outcomes)
			w.pass(7 * time.Second)
			require.Equal(t, 1, w.count(func(e resilience.Event) bool { return e.To == "manual" }), "at once, when a probe says the same")
			require.Contains(t, log.String(), `reason="only people can mend `+kind.String()+`; tried probe failed (`+kind.String()+`)`)
			require.Equal(t, kind, w.History()[0].Cause)
			require.InDelta(t, 1, w.Times().Manual, 0)
			n := len(w.probed("a"))
			w.pass(10 * time.Minute)
			require.InDelta(t, 22, len(w.probed("a"))-n, 2, "it is still probed")
			w.fail(nil, "a")
			w.call(10, time.Minute)
			require.Equal(t, "recovered", w.last("a").To)
			require.True(t, w.History()[0].Recovered)
		})
	}
	virtual(t, "probes do not see it", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.probe["a"] = func(context.Context) error { return nil }
		w.fail(resilience.QuotaSpent, "a")
		w.call(10, 30*time.Second)
		require.Contains(t, w.steps("a"), "manual")
		require.Contains(t, w.steps("a"), "relapsed")
		calls := w.asked("a")
		w.call(10, time.Hour)
		require.LessOrEqual(t, w.asked("a")-calls, 13, "each costs a call")
	})
	virtual(t, "without a probe", func(t bubble) {
		w := newProbedWorld(t, recovery.Config{}, []string{"a", "b"}, false).run()
		w.fail(resilience.Unauthorized, "a")
		w.call(10, 10*time.Second)
		require.Equal(t, []string{"held"}, w.steps("a"), "one may be a slip of the provider")
		w.call(10, 10*time.Second)
		require.Equal(t, []string{"held", "manual"}, w.steps("a"))
		w.fail(nil, "a")
		w.call(10, time.Minute)
		require.Equal(t, []string{"held", "manual", "recovered"}, w.steps("a"))
	})
	virtual(t, "with a reset it ends by itself", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.fail(&resilience.Error{Kind: resilience.QuotaSpent, RetryAfter: 10 * time.Minute}, "a")
		w.trip("a")
		w.pass(9 * time.Minute)
		require.Empty(t, w.probed("a"))
		w.fail(nil, "a")
		w.pass(2 * time.Minute)
		require.Equal(t, "recovered", w.last("a").To)
		require.Zero(t, w.Times().Manual)
	})
	virtual(t, "never", func(t bubble) {
		w := newWorld(t, recovery.Config{Attempts: -1}, []string{"a", "b"}).run()
		w.fail(resilience.Unauthorized, "a")
		w.trip("a")
		w.pass(time.Hour)
		require.NotContains(t, w.steps("a"), "manual")
	})
}

func TestLimitsEndByThemselves(t *testing.T) {
	virtual(t, "alone", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.fail(&resilience.Error{Kind: resilience.RateLimited, RetryAfter: time.Minute}, "a")
		w.trip("a")
		w.pass(time.Minute)
		require.Empty(t, w.steps("a"))
		require.Empty(t, w.probed(""))
	})
	virtual(t, "or are lifted", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.model("a").Hold(t.Context(), resilience.Hold{By: resilience.HoldLimit})
		w.holdHealth("a", 5*time.Minute)
		w.pass(time.Minute)
		require.Empty(t, w.probed("a"))
		w.model("a").Release(t.Context(), resilience.HoldLimit)
		w.pass(time.Second)
		require.True(t, w.model("a").Available())
	})
	virtual(t, "and are not cut short", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.holdHealth("a", 5*time.Minute)
		w.model("a").Hold(t.Context(), resilience.Hold{By: resilience.HoldLimit, Until: time.Now().Add(2 * time.Minute)})
		w.pass(119 * time.Second)
		require.False(t, w.model("a").Available())
		require.Empty(t, w.probed("a"))
		w.pass(2 * time.Second)
		require.True(t, w.model("a").Available())
	})
}

func TestKeys(t *testing.T) {
	virtual(t, "the next one answers", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"b"}).run()
		w.reload(`{"models": [{"id": "a", "provider": "p", "keys": ["one", "two"]}]}`)
		var mu sync.Mutex
		var asked []string
		w.probe["a"] = func(ctx context.Context) error {
			key := resilience.KeyFrom(ctx)
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, key)
			if key == "one" {
				return resilience.Unauthorized
			}
			return nil
		}
		w.holdHealth("a", time.Hour)
		w.pass(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []string{"one", "two"}, asked)
		require.True(t, w.model("a").Available())
	})
}

func TestFallsBackAndRelapses(t *testing.T) {
	virtual(t, "a burst", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.holdHealth("a", time.Hour)
		w.pass(6500 * time.Millisecond)
		for w.last("a").To != "ramping 35 %" {
			w.call(100, 100*time.Millisecond)
		}
		w.fail(resilience.Truncated, "a")
		for from := w.asked("a"); w.asked("a") < from+6; {
			w.call(100, 10*time.Millisecond)
			if w.asked("a") == from+3 {
				w.fail(nil, "a")
			}
		}
		require.Equal(t, "ramping 20 %", w.last("a").To)
		require.Equal(t, "ramping 35 %", w.last("a").From)
		require.Contains(t, w.last("a").Reason, "3 of ")
		w.call(100, 30*time.Second)
		require.Equal(t, "recovered", w.last("a").To)
	})
	virtual(t, "for good", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.probe["a"] = func(context.Context) error { return nil }
		w.fail(resilience.Overloaded, "a")
		w.call(100, 10*time.Minute)
		var gaps []time.Duration
		last := time.Duration(0)
		for _, at := range w.probed("a") {
			gaps = append(gaps, at-last)
			last = at
		}
		t.Log(gaps)
		require.Contains(t, w.steps("a"), "relapsed")
		require.Contains(t, w.steps("a"), "manual")
		require.Less(t, len(gaps), 25, "less and less often")
		require.InDelta(t, 1, w.Times().Manual, 0)
		w.fail(nil, "a")
		w.call(100, 2*time.Minute)
		require.Equal(t, "recovered", w.last("a").To)
	})
	virtual(t, "again and again", func(t bubble) { // well for 40 s, down for 20
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		for range 10 {
			w.call(50, 40*time.Second)
			w.fail(resilience.Unreachable, "a")
			w.call(50, 20*time.Second)
			w.fail(nil, "a")
		}
		require.NotContains(t, w.steps("a"), "manual")
		require.Less(t, w.count(func(e resilience.Event) bool {
			return e.Kind == resilience.EventRecovery && e.To == "held" && e.Err == nil || e.To == "relapsed"
		}), 21)
	})
}

func TestActions(t *testing.T) {
	virtual(t, "", func(t bubble) {
		var mu sync.Mutex
		var done []string
		resets := 0
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			if what == "reset" {
				resets++
				return
			}
			done = append(done, what)
		}
		act := func(name string) func(context.Context, *resilience.Model) error {
			return func(_ context.Context, m *resilience.Model) error {
				note(name + " " + m.ID())
				return nil
			}
		}
		cfg := recovery.Config{Actions: map[resilience.Kind][]recovery.Action{resilience.Unreachable: {
			recovery.Switch(act("switch")), recovery.RotateKey(act("rotate")), recovery.Reload(act("reload")),
			recovery.WarmUp(act("warm")), recovery.WarmUp(nil), recovery.CloseIdle(closer(func() { note("close") })), recovery.Reset(),
		}}}
		w := newWorld(t, cfg, []string{"a", "b"}, onReset(func(*resilience.Model) { note("reset") })).run()
		w.fail(resilience.Unreachable, "a")
		w.trip("a")
		w.pass(7 * time.Second)
		require.False(t, w.model("a").Available(), "a reset before the probe does not bring it back")
		mu.Lock()
		require.Equal(t, 1, resets)
		done = nil
		mu.Unlock()
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
		require.Len(t, w.probed("a"), 2, "one of them to warm up")
		w.fail(nil, "a")
		w.pass(40 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []string{"switch a", "rotate a", "reload a", "warm a", "close"}, done)
		require.Equal(t, 3, resets)
		require.Equal(t, []string{
			"switch endpoint", "rotate key", "reload configuration", "warm up", "warm up failed (unreachable)",
			"close idle connections", "reset", "probe failed (unreachable)", "probe",
		}, w.History()[0].Actions)
	})
	for _, a := range []recovery.Action{recovery.Reset(), recovery.WarmUp(nil)} {
		require.ErrorContains(t, a.Run(t.Context(), nil), "runs only within a recoverer")
	}
}

type closer func()

func (f closer) CloseIdleConnections() { f() }

type onReset func(m *resilience.Model)

func (f onReset) Install(s *resilience.Setup) error {
	s.OnReset(f)
	return nil
}

// Whoever holds a model as a breaker does need not tell as one does.
func TestHoldsOfOthers(t *testing.T) {
	virtual(t, "a breaker", func(t bubble) {
		w := newProbedWorld(t, recovery.Config{}, []string{"a", "b"}, false).run()
		w.model("a").Hold(t.Context(), resilience.Hold{By: resilience.HoldBreaker, Reason: "a test", Until: time.Now().Add(time.Second)})
		w.call(10, 10*time.Second)
		require.Contains(t, w.steps("a"), "ramping 10 %")
		w.call(10, 40*time.Second)
		require.Equal(t, resilience.Unknown, w.History()[0].Cause)
	})
	virtual(t, "health, after a probe", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.fail(resilience.Overloaded, "a")
		w.model("a").Probe(t.Context(), time.Second)
		w.holdHealth("a", time.Hour)
		w.fail(nil, "a")
		w.pass(time.Minute)
		require.Equal(t, resilience.Overloaded, w.History()[0].Cause)
	})
}

// What health finds out need not be found out again.
func TestOthersProbes(t *testing.T) {
	virtual(t, "health lets go", func(t bubble) {
		w := newWorld(t, recovery.Config{After: time.Minute}, []string{"a", "b"}).run()
		w.holdHealth("a", time.Hour)
		w.pass(time.Second)
		w.model("a").Probe(t.Context(), time.Second)
		w.model("a").Release(t.Context(), resilience.HoldHealth)
		w.pass(time.Second)
		require.Len(t, w.probed("a"), 1)
		require.Equal(t, "ramping 10 %", w.last("a").To)
	})
	virtual(t, "health holds again what a breaker held first", func(t bubble) {
		w := newWorld(t, recovery.Config{After: time.Minute, Ramp: []float64{.1}, Step: time.Minute}, []string{"a", "b"}).run()
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		w.fail(nil, "a")
		w.pass(75 * time.Second)
		w.holdHealth("a", time.Hour)
		w.pass(time.Second)
		w.model("a").Probe(t.Context(), time.Second)
		w.model("a").Release(t.Context(), resilience.HoldHealth)
		w.pass(time.Second)
		require.Equal(t, []string{"held", "probing", "ramping 10 %", "relapsed", "probing", "ramping 10 %"}, w.steps("a"))
		require.Len(t, w.probed("a"), 2, "that one serves")
	})
	virtual(t, "a failure counts", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.fail(errors.New("broken"), "a")
		w.holdHealth("a", time.Hour)
		w.pass(4 * time.Second)
		w.model("a").Probe(t.Context(), time.Second)
		w.pass(3 * time.Second)
		require.Len(t, w.probed("a"), 1)
		require.Equal(t, []string{"held", "probing", "held"}, w.steps("a"))
	})
}

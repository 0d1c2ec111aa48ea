package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/recovery"
)

// logged is a log that background work may write to while a test reads.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) feature() resilience.Feature {
	return resilience.Logger(slog.New(slog.NewTextHandler(l, nil)))
}

func (w *world) holdHealth(id string, d time.Duration) {
	w.model(id).Hold(w.t.Context(), resilience.Hold{By: resilience.HoldHealth, Reason: "a test", Until: time.Now().Add(d)})
	synctest.Wait()
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestProbesThatHang(t *testing.T) {
	virtual(t, "and heed their time", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.probe["a"] = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		w.holdHealth("a", time.Hour)
		w.pass(time.Minute)
		require.Len(t, w.probed("a"), 3, "counted from start to start")
		require.ErrorIs(t, w.last("a").Err, resilience.TimedOut)
		require.Contains(t, w.last("a").Reason, "a probe failed (timed_out); next try in 2")
	})
	virtual(t, "for ever", func(t bubble) {
		w := newWorld(t, recovery.Config{AtOnce: 1}, []string{"a", "b"}).run()
		free := make(chan struct{})
		w.probe["a"] = func(context.Context) error { <-free; return nil }
		w.holdHealth("a", 30*time.Second)
		w.holdHealth("b", time.Hour)
		w.pass(time.Minute)
		require.True(t, w.model("a").Available(), "what held it has run out")
		require.Equal(t, "recovered", w.last("b").To, "others do not wait for it")
		close(free)
		synctest.Wait()
		w.pass(time.Minute)
		require.Equal(t, "recovered", w.last("a").To)
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
	})
	virtual(t, "panic and end their goroutine", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.probe["a"] = func(context.Context) error { panic("oops") }
		w.probe["b"] = func(context.Context) error { runtime.Goexit(); return nil }
		w.holdHealth("a", 40*time.Second)
		w.holdHealth("b", 40*time.Second)
		w.pass(time.Minute)
		require.Len(t, w.probed("a"), 3)
		require.Len(t, w.probed("b"), 3)
		w.mu.Lock()
		w.probe["a"], w.probe["b"] = nil, nil
		w.mu.Unlock()
		w.pass(time.Minute)
		require.Equal(t, "recovered", w.last("a").To)
		require.Equal(t, "recovered", w.last("b").To)
	})
}

func TestActionsThatFail(t *testing.T) {
	virtual(t, "panic, exit, hang and fail", func(t bubble) {
		var log logged
		cfg := recovery.Config{Actions: map[resilience.Kind][]recovery.Action{
			0: {{"every time", func(context.Context, *resilience.Model) error { return nil }}},
			resilience.Overloaded: {
				{"panics", func(context.Context, *resilience.Model) error { panic("oops") }},
				{"exits", func(context.Context, *resilience.Model) error { runtime.Goexit(); return nil }},
				{"hangs", func(ctx context.Context, _ *resilience.Model) error { <-ctx.Done(); return ctx.Err() }},
				{"fails", func(context.Context, *resilience.Model) error { return errors.New("sk-secret") }},
			},
			resilience.Unreachable: {{"another kind", func(context.Context, *resilience.Model) error { return nil }}},
		}}
		w := newWorld(t, cfg, []string{"a", "b"}, log.feature()).run()
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		w.fail(nil, "a")
		w.pass(time.Minute)
		require.Equal(t, "recovered", w.last("a").To)
		require.Equal(t, []string{"every time", "panics failed", "exits failed", "hangs failed (timed_out)", "fails failed", "probe", "reset"}, w.History()[0].Actions)
		require.Contains(t, log.String(), "a recovery action panicked")
		require.NotContains(t, log.String(), "sk-secret")
	})
}

func TestAuditThatRefuses(t *testing.T) {
	virtual(t, "a reset", func(t bubble) {
		var log logged
		var refuse atomic.Bool
		refuse.Store(true)
		w := newWorld(t, recovery.Config{Attempts: 3}, []string{"a", "b"}, log.feature(), resilience.Audit(func(_ context.Context, c resilience.Change) error {
			if refuse.Load() && c.What == "reset" {
				require.Equal(t, "recovery", c.Actor)
				return errors.New("change freeze")
			}
			return nil
		})).run()
		w.holdHealth("a", time.Hour)
		w.pass(10 * time.Second)
		require.False(t, w.model("a").Available())
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
		require.Contains(t, w.last("a").Reason, "reset: the audit refuses reset: change freeze; next try in")
		w.pass(time.Minute)
		require.Equal(t, 1, w.count(func(e resilience.Event) bool { return e.To == "manual" }))
		require.Contains(t, log.String(), "a model needs a person")
		require.Contains(t, log.String(), "not back after 3 tries; tried probe, reset failed")
		require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), "once")
		require.InDelta(t, 1, w.Times().Manual, 0)
		require.False(t, w.History()[0].Recovered)
		refuse.Store(false)
		w.pass(time.Minute)
		require.Equal(t, "recovered", w.last("a").To)
		require.Contains(t, w.last("a").Reason, "it needed nobody after all")
		require.Contains(t, log.String(), "a model that was left to people is back")
		require.True(t, w.History()[0].Recovered)
		require.Len(t, w.History(), 1)
		require.Zero(t, w.Times().Manual)
	})
	virtual(t, "and panics", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a"}, resilience.Audit(func(context.Context, resilience.Change) error { panic("oops") })).run()
		w.holdHealth("a", time.Hour)
		w.pass(20 * time.Second)
		require.False(t, w.model("a").Available())
		require.Contains(t, w.last("a").Reason, "panicked; next try in")
	})
}

func TestModelThatIsTakenAway(t *testing.T) {
	for name, at := range map[string]time.Duration{"held": time.Second, "probed": 6 * time.Second, "ramping": 20 * time.Second} {
		virtual(t, name, func(t bubble) {
			w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
			w.probe["a"] = func(ctx context.Context) error {
				select {
				case <-time.After(3 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			w.holdHealth("a", time.Hour)
			a := w.model("a")
			w.pass(at)
			w.reload(`{"models": [{"id": "b", "provider": "p"}]}`)
			w.pass(time.Minute)
			require.InDelta(t, 1, a.Ramp(), 0)
			require.Empty(t, w.History())
			last := w.last("a")
			require.Equal(t, "left", last.To)
			require.Equal(t, "a reload took the model away", last.Reason)
			w.reload(`{"models": [{"id": "a", "provider": "p"}, {"id": "b", "provider": "p"}]}`)
			w.fail(resilience.Overloaded, "a")
			w.trip("a")
			require.Equal(t, "held", w.last("a").To)
		})
	}
}

// What is under way when Run stops goes on by itself, and nothing stays at a part.
func TestRunThatStops(t *testing.T) {
	for name, at := range map[string]time.Duration{"held": time.Second, "probed": 6 * time.Second, "ramping": 12 * time.Second} {
		virtual(t, name, func(t bubble) {
			w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
			w.probe["a"] = func(ctx context.Context) error {
				select {
				case <-time.After(3 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			w.fail(resilience.Overloaded, "a")
			w.trip("a")
			w.pass(at)
			if name == "ramping" {
				require.Less(t, w.model("a").Ramp(), 1.)
			}
			w.stop()
			require.InDelta(t, 1, w.model("a").Ramp(), 0)
			w.fail(nil, "a")
			w.pass(40 * time.Second)
			require.True(t, w.model("a").Available(), "its holds have run out")
			w.run()
			w.pass(time.Second)
			require.InDelta(t, 1, w.model("a").Ramp(), 0)
		})
	}
	virtual(t, "and starts again in mid-outage", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"})
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		require.Empty(t, w.steps("a"))
		w.fail(nil, "a")
		w.run()
		w.pass(time.Minute)
		require.Equal(t, "recovered", w.last("a").To, "it looks at all models")
	})
}

func TestNobodyRuns(t *testing.T) {
	virtual(t, "nothing is held for ever", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"})
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		for _, h := range w.model("a").Holds() {
			require.Equal(t, resilience.HoldBreaker, h.By)
		}
		w.fail(nil, "a")
		time.Sleep(17 * time.Second)
		w.call(10, 3*time.Second)
		require.True(t, w.model("a").Available())
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
		require.Empty(t, w.probed("a"))
		w.model("b").Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth})
		time.Sleep(5*time.Minute + 1)
		require.True(t, w.model("b").Available())
	})
}

// A process that stands still for a minute finds all of its timers run out.
func TestSuspendedForAMinute(t *testing.T) {
	for name, at := range map[string]string{"when it is to probe": "probing", "when it ramps": "ramping 20 %"} {
		virtual(t, name, func(t bubble) {
			slept := false
			w := newWorld(t, recovery.Config{}, []string{"a", "b"}, watcher(func(e resilience.Event) {
				if e.To == at && !slept {
					slept = true
					time.Sleep(time.Minute)
				}
			})).run()
			w.fail(resilience.Overloaded, "a")
			w.trip("a")
			w.fail(nil, "a")
			w.call(1, 2*time.Minute)
			require.True(t, slept)
			steps := w.steps("a")
			require.Equal(t, "recovered", steps[len(steps)-1])
			for _, part := range []string{"10 %", "20 %", "35 %", "50 %", "70 %", "85 %"} {
				require.Contains(t, steps, "ramping "+part, "no step is left out")
			}
			require.InDelta(t, 1, w.model("a").Ramp(), 0)
		})
	}
	virtual(t, "while a probe is out", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		first := true
		w.probe["a"] = func(context.Context) error {
			if first {
				first = false
				time.Sleep(time.Minute) // its own timer is late, too
				return errors.New("i/o timeout")
			}
			return nil
		}
		w.holdHealth("a", time.Hour)
		w.pass(70 * time.Second)
		require.Contains(t, w.steps("a"), "ramping 10 %", "soon tried again, as that said nothing")
	})
}

func TestDrainWins(t *testing.T) {
	for name, at := range map[string]time.Duration{"while held": time.Second, "while probed": 6 * time.Second, "while ramping": 12 * time.Second} {
		virtual(t, name, func(t bubble) {
			w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
			w.probe["a"] = func(ctx context.Context) error {
				select {
				case <-time.After(3 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			w.holdHealth("a", 50*time.Second)
			w.pass(at)
			require.NoError(t, w.model("a").Drain(t.Context(), by))
			w.pass(time.Minute)
			require.Equal(t, resilience.Maintenance, w.model("a").Status())
			require.Len(t, w.model("a").Holds(), 1)
			require.InDelta(t, 1, w.model("a").Ramp(), 0)
			require.Equal(t, "left", w.last("a").To)
			n := len(w.probed("a"))
			w.pass(time.Minute)
			require.Len(t, w.probed("a"), n, "it is left alone")
			require.NoError(t, w.model("a").Restore(t.Context(), by))
			require.True(t, w.model("a").Available())
		})
	}
	virtual(t, "and a breaker that was isolated by hand stays so", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		until := by
		until.Until = time.Now().Add(time.Minute)
		require.NoError(t, w.breakers().Open(t.Context(), w.model("a"), until))
		require.NoError(t, w.breakers().Isolate(t.Context(), w.model("b"), by))
		w.pass(50 * time.Second)
		require.Empty(t, w.steps("a"))
		require.Empty(t, w.steps("b"))
		require.Empty(t, w.probed(""))
		w.pass(20 * time.Second)
		require.True(t, w.model("a").Available())
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		require.Equal(t, []string{"held"}, w.steps("a"), "now it is its own doing")
	})
	virtual(t, "somebody resets it", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.holdHealth("a", time.Hour)
		require.NoError(t, w.pool.Reset(t.Context(), w.model("a"), by))
		synctest.Wait()
		require.Equal(t, []string{"held", "left"}, w.steps("a"))
		require.True(t, w.model("a").Available())
		require.InDelta(t, 1, w.model("a").Ramp(), 0, "they want it now")
	})
}

// At no moment may all calls go to a model that has just come back.
func TestNoFloodPassesAReset(t *testing.T) {
	virtual(t, "", func(t bubble) {
		var bad []string
		var w *world
		look := func(at string) {
			if m := w.model("a"); m.Available() && m.Ramp() > .1 {
				bad = append(bad, at)
			}
		}
		w = newWorld(t, recovery.Config{}, []string{"a", "b"},
			watcher(func(e resilience.Event) {
				if e.Model != nil && e.Model.ID() == "a" && e.To != "ramping 20 %" {
					look(fmt.Sprint(e.Kind, e.From, e.To))
				}
			}))
		w.run()
		// A reset gives held keys another chance, and tells so in its very midst.
		w.reload(`{"models": [{"id": "a", "provider": "p", "keys": ["one", "two"]}, {"id": "b", "provider": "p"}]}`)
		w.fail(resilience.Unauthorized, "a by one")
		w.call(10, time.Second)
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		bad = nil
		w.fail(nil, "a", "a by one")
		w.pass(7 * time.Second)
		require.Equal(t, 1, w.count(func(e resilience.Event) bool { return e.Kind == resilience.EventRelease && e.Key == "one" }))
		require.Equal(t, "ramping 10 %", w.last("a").To)
		require.Empty(t, bad)
		require.GreaterOrEqual(t, w.count(func(e resilience.Event) bool { return e.Kind == resilience.EventRelease && e.From == "recovery" }), 2)
	})
}

func TestFewAtOnce(t *testing.T) {
	virtual(t, "", func(t bubble) {
		const n, atOnce = 300, 3
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprint("m", i))
		}
		var mu sync.Mutex
		now, most := 0, 0
		w := newWorld(t, recovery.Config{AtOnce: atOnce}, ids).run()
		for _, id := range ids {
			w.probe[id] = func(context.Context) error {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
				mu.Lock()
				now--
				mu.Unlock()
				return nil
			}
		}
		for _, m := range w.pool.Models() {
			m.Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Hour)})
		}
		perSecond := map[time.Time]int{}
		w.pass(time.Minute)
		for _, e := range w.events {
			if e.To == "ramping 10 %" {
				perSecond[e.Time.Truncate(time.Second)]++
			}
		}
		require.Equal(t, atOnce, most)
		total := 0
		for _, k := range perSecond {
			require.LessOrEqual(t, k, atOnce*1000/50+atOnce)
			total += k
		}
		require.Equal(t, n, total)
	})
}

// A breaker that closes while traffic returns changes nothing of the part.
func TestBreakerClosesOnTheWayBack(t *testing.T) {
	virtual(t, "closes", func(t bubble) {
		w := newProbedWorld(t, recovery.Config{Strategy: recovery.Gradual}, []string{"a", "b"}, false).run()
		w.fail(resilience.Unreachable, "a")
		w.trip("a") // its breaker
		w.holdHealth("a", 2*time.Minute)
		w.fail(nil, "a")
		w.pass(2*time.Minute + 15*time.Second)
		require.Equal(t, []string{"held", "ramping 10 %", "ramping 25 %", "ramping 50 %"}, w.steps("a"))
		require.InDelta(t, .5, w.model("a").Ramp(), 1e-9)
		require.Equal(t, breaker.HalfOpen, w.breakers().State(w.model("a")))
		for range 5 {
			_, _, err := w.Do(t.Context(), "", resilience.CallOptions{Model: "a"})
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Equal(t, breaker.Closed, w.breakers().State(w.model("a")))
		require.InDelta(t, .5, w.model("a").Ramp(), 1e-9)
	})
}

// A probe from before the hold says nothing of a model that is held no longer.
func TestProbeFromBeforeTheHold(t *testing.T) {
	virtual(t, "before", func(t bubble) {
		w := newWorld(t, recovery.Config{After: 10 * time.Second}, []string{"a", "b"}).run()
		require.NoError(t, w.model("a").Probe(t.Context(), time.Second).Err)
		time.Sleep(time.Minute)
		w.holdHealth("a", time.Hour)
		time.Sleep(2 * time.Second)
		w.model("a").Release(t.Context(), resilience.HoldHealth)
		time.Sleep(7 * time.Second)
		require.Equal(t, []string{"held"}, w.steps("a"))
		require.Len(t, w.probed("a"), 1)
		time.Sleep(4 * time.Second)
		require.Len(t, w.probed("a"), 2)
	})
	virtual(t, "before a relapse", func(t bubble) {
		w := newWorld(t, recovery.Config{After: 10 * time.Second}, []string{"a", "b"}).run()
		w.holdHealth("a", time.Hour)
		w.pass(13 * time.Second)
		require.Equal(t, "ramping 10 %", w.last("a").To)
		require.NoError(t, w.model("a").Probe(t.Context(), time.Second).Err)
		w.holdHealth("a", time.Hour)
		require.Equal(t, "relapsed", w.last("a").To)
		w.pass(2 * time.Second)
		w.model("a").Release(t.Context(), resilience.HoldHealth)
		w.pass(15 * time.Second)
		require.Equal(t, "relapsed", w.last("a").To)
		require.Len(t, w.probed("a"), 2)
		w.pass(10 * time.Second)
		require.Len(t, w.probed("a"), 3)
	})
}

// Once an operator has a model, what is left of an attempt is not done.
func TestResetActionAfterAnOperator(t *testing.T) {
	virtual(t, "isolated", func(t bubble) {
		hang := recovery.Reload(func(ctx context.Context, _ *resilience.Model) error {
			<-ctx.Done()
			return ctx.Err()
		})
		w := newWorld(t, recovery.Config{Actions: map[resilience.Kind][]recovery.Action{0: {hang, recovery.Reset()}}}, []string{"a", "b"}).run()
		w.holdHealth("a", time.Hour)
		w.pass(8 * time.Second)
		require.Equal(t, []string{"held", "probing"}, w.steps("a"))
		require.NoError(t, w.breakers().Isolate(t.Context(), w.model("a"), by))
		w.pass(time.Minute)
		require.Equal(t, breaker.Isolated, w.breakers().State(w.model("a")))
		require.Equal(t, []string{"held", "probing", "left"}, w.steps("a"))
		require.Empty(t, w.probed("a"))
	})
}

// However slow a reset is, recovery does not begin anew with what is left of the holds.
func TestSlowReset(t *testing.T) {
	virtual(t, "by hand", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}, watcher(func(e resilience.Event) {
			if e.Kind == resilience.EventRelease {
				time.Sleep(time.Millisecond)
			}
		})).run()
		w.holdHealth("a", time.Hour)
		w.model("a").Hold(t.Context(), resilience.Hold{By: resilience.HoldCredential, Until: time.Now().Add(time.Hour)})
		w.pass(time.Second)
		require.NoError(t, w.pool.Reset(t.Context(), w.model("a"), by))
		w.pass(time.Minute)
		require.Equal(t, []string{"held", "left"}, w.steps("a"))
		require.True(t, w.model("a").Available())
		require.Empty(t, w.probed("a"))
	})
}

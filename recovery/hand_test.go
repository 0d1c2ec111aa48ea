package recovery_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/recovery"
)

func TestRecoverByHand(t *testing.T) {
	virtual(t, "now", func(t bubble) {
		var audited []string
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}, resilience.Audit(func(_ context.Context, c resilience.Change) error {
			audited = append(audited, c.Actor+" "+c.What)
			return nil
		})).run()
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		o, err := w.Recover(t.Context(), w.model("a"), by)
		require.EqualError(t, err, "recovery of a: a: overloaded: probe failed")
		require.False(t, o.Recovered)
		require.False(t, w.model("a").Available())

		w.fail(nil, "a")
		o, err = w.Recover(t.Context(), w.model("a"), by)
		require.NoError(t, err)
		require.True(t, o.Recovered)
		require.Equal(t, resilience.Overloaded, o.Cause)
		require.Equal(t, []string{"probe", "reset"}, o.Actions)
		require.Equal(t, "mia: a test", o.Reason)
		require.Equal(t, 40*time.Millisecond, o.Detected)
		require.Equal(t, []string{"mia recover", "mia recover", "mia reset"}, audited)
		require.True(t, w.model("a").Available())
		require.InDelta(t, .1, w.model("a").Ramp(), 0)
		w.pass(time.Minute)
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
		require.Len(t, w.History(), 1)
		require.Equal(t, []string{"probe failed (overloaded)", "probe", "reset"}, w.History()[0].Actions)
	})
	virtual(t, "without a probe, and without Run", func(t bubble) {
		w := newProbedWorld(t, recovery.Config{}, []string{"a", "b"}, false)
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		o, err := w.Recover(t.Context(), w.model("a"), by)
		require.NoError(t, err, "they must know")
		require.Equal(t, []string{"reset"}, o.Actions)
		require.True(t, w.model("a").Available())
		require.InDelta(t, 1, w.model("a").Ramp(), 0, "nobody would give it more")
		require.Equal(t, []recovery.Outcome{o}, w.History())
	})
	virtual(t, "where recovery only observes", func(t bubble) {
		w := newWorld(t, recovery.Config{ObserveOnly: true}, []string{"a", "b"}).run()
		w.holdHealth("a", time.Hour)
		_, err := w.Recover(t.Context(), w.model("a"), by)
		require.NoError(t, err)
		w.pass(time.Second)
		require.True(t, w.model("a").Available())
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
		require.Equal(t, "recovered", w.last("a").To)
		require.Equal(t, "mia: a test", w.last("a").Reason)
	})
	virtual(t, "what cannot be", func(t bubble) {
		refuse := errors.New("change freeze")
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}, resilience.Audit(func(_ context.Context, c resilience.Change) error {
			if c.Actor == "intern" || c.Actor == "trainee" && c.What == "reset" {
				return refuse
			}
			return nil
		}))
		a := w.model("a")
		_, err := w.Recover(t.Context(), nil, by)
		require.EqualError(t, err, "model: is nil, gone, or of another pool")
		_, err = recovery.New(recovery.Config{}).Recover(t.Context(), a, by)
		require.EqualError(t, err, "model: is nil, gone, or of another pool")
		_, err = w.Recover(t.Context(), a, by)
		require.EqualError(t, err, "model: a is in rotation: nothing is to be recovered")
		w.holdHealth("a", time.Hour)
		_, err = w.Recover(t.Context(), a, resilience.Control{Actor: "mia"})
		require.ErrorContains(t, err, "control.reason")
		_, err = w.Recover(t.Context(), a, resilience.Control{Actor: "intern", Reason: "why not"})
		require.ErrorIs(t, err, refuse)
		require.Empty(t, w.probed(""))
		_, err = w.Recover(t.Context(), a, resilience.Control{Actor: "trainee", Reason: "why not"})
		require.ErrorIs(t, err, refuse)
		require.Len(t, a.Holds(), 1, "as before")
		require.NoError(t, a.Drain(t.Context(), by))
		_, err = w.Recover(t.Context(), a, by)
		require.EqualError(t, err, "recovery of a: an operator holds it; see Model.Restore")
	})
	virtual(t, "waits its turn", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a"}).run()
		var fine atomic.Bool
		w.probe["a"] = func(context.Context) error {
			time.Sleep(3 * time.Second)
			if fine.Load() {
				return nil
			}
			return resilience.Unreachable
		}
		w.holdHealth("a", time.Hour)
		w.pass(6500 * time.Millisecond) // it is being probed
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.Recover(ctx, w.model("a"), by)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		fine.Store(true)
		done := make(chan error, 1)
		go func() {
			_, err := w.Recover(t.Context(), w.model("a"), by)
			done <- err
		}()
		w.pass(time.Second)
		require.Len(t, w.probed("a"), 1)
		require.NoError(t, <-done)
		require.Len(t, w.probed("a"), 1, "that one brought it back")
		synctest.Wait()
		require.Equal(t, "ramping 10 %", w.last("a").To)
	})
}

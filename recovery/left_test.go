package recovery_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/recovery"
)

// What the background work holds, it lets go when it ends.
func TestRunThatStopsLeavesNoHold(t *testing.T) {
	virtual(t, "", func(t bubble) {
		w := newWorld(t, recovery.Config{After: time.Hour}, []string{"a", "b"}).run()
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		_, held := w.model("a").HeldSince(resilience.HoldRecovery)
		require.True(t, held)
		w.stop()
		_, held = w.model("a").HeldSince(resilience.HoldRecovery)
		require.False(t, held)
		w.pass(time.Minute)
		require.True(t, w.model("a").Available(), "the breaker's hold has run out")
	})
}

// A ramp that somebody else has set is no business of one who only observes.
func TestObserverThatStops(t *testing.T) {
	virtual(t, "", func(t bubble) {
		w := newWorld(t, recovery.Config{ObserveOnly: true}, []string{"a", "b"}).run()
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		w.model("a").SetRamp(.5)
		w.stop()
		require.InDelta(t, .5, w.model("a").Ramp(), 0)
	})
}

// A probe that heeds no context hangs whoever asks it, and nobody who waits for it.
func TestWaitsForAHungProbe(t *testing.T) {
	virtual(t, "", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"})
		free := make(chan struct{})
		defer func() { close(free); w.pass(time.Second) }()
		w.probe["a"] = func(context.Context) error { <-free; return nil }
		go w.model("a").Probe(t.Context(), time.Second)
		w.pass(time.Second)
		w.holdHealth("a", time.Hour)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := w.Recover(ctx, w.model("a"), by)
		require.ErrorIs(t, err, resilience.TimedOut)
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

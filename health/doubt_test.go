package health_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// Everything fails at once, at several providers: that is more likely here. Nothing
// is held, which is said once.
func TestEverythingFails(t *testing.T) {
	infos := append(many(4, resilience.ModelInfo{Provider: "a"}), many(4, resilience.ModelInfo{Provider: "b"})...)
	bubble(t, quick, infos, func(r *rig) {
		time.Sleep(time.Minute)
		for _, info := range infos {
			r.set(resilience.Unreachable, info.ID)
		}
		time.Sleep(10 * time.Minute)
		require.Empty(r, r.told(resilience.EventHold))
		for _, info := range infos {
			require.Equal(r, resilience.Degraded, r.status(info.ID))
		}
		for _, info := range infos[1:] {
			r.set(nil, info.ID)
		}
		time.Sleep(time.Minute)
		require.True(r, r.held(infos[0].ID), "now it is that one")
	})
	bubble(t, quick, infos, func(r *rig) {
		for _, info := range infos {
			r.set(resilience.Unreachable, info.ID)
		}
		time.Sleep(10 * time.Minute)
		warnings := r.told(resilience.EventWarning)
		require.Len(r, warnings, 1)
		require.Contains(r, warnings[0], "models, of several providers, turned bad at once; nothing is held for it")
	})
}

// Half of the models is no reason for doubt.
func TestHalfFails(t *testing.T) {
	bubble(t, quick, many(6, resilience.ModelInfo{}), func(r *rig) {
		time.Sleep(time.Minute)
		r.set(resilience.Unreachable, "m0", "m1", "m2")
		time.Sleep(time.Minute)
		for _, id := range []string{"m0", "m1", "m2"} {
			require.True(r, r.held(id))
		}
		require.Empty(r, r.told(resilience.EventWarning))
	})
}

// The process sleeps for a minute: probes and timers are late then, and what they
// seem to say is not believed for an interval, which is said once.
func TestSuspended(t *testing.T) {
	var asleep atomic.Bool
	sleeper := observer(func(e resilience.Event) {
		if e.Kind == resilience.EventHealth && asleep.CompareAndSwap(false, true) { // in the goroutine of the checks
			time.Sleep(time.Minute)
		}
	})
	cfg := quick
	cfg.Fall = 1
	bubble(t, cfg, models("a", "b", "c", "d", "e", "f", "g"), func(r *rig) {
		r.set(resilience.Unreachable, "a")
		for !asleep.Load() {
			time.Sleep(time.Second)
		}
		r.set(resilience.TimedOut, "b", "c")
		time.Sleep(time.Minute + 8*time.Second)
		require.Positive(r, r.asked(time.Since(r.start)-10*time.Second, "b"))
		require.False(r, r.held("b"))
		require.False(r, r.held("c"))
		time.Sleep(20 * time.Second)
		require.True(r, r.held("b"), "what goes on is no fault of ours")
		warnings := r.told(resilience.EventWarning)
		require.Len(r, warnings, 1)
		require.Regexp(r, `^pool >: health: the checks were .*s late; nothing is held for 10s$`, warnings[0])
	}, sleeper)
}

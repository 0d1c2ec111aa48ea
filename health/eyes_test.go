package health_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// deaf is a probe that heeds no context until free is closed.
func deaf(free chan struct{}) func(context.Context) error {
	return func(context.Context) error { <-free; return nil }
}

// A model whose probe never ends is bad by that probe, and goes on to be judged.
func TestProbeThatNeverEnds(t *testing.T) {
	bubble(t, quick, models("a", "b", "c", "d"), func(r *rig) {
		free := make(chan struct{})
		defer close(free)
		r.setBoth(deaf(free), nil, "a")
		time.Sleep(time.Minute)
		require.Equal(r, 1, r.asked(0, "a"), "one at a time")
		require.True(r, r.held("a"))
		r.setBoth(deaf(free), nil, "b")
		time.Sleep(15 * time.Second)
		r.setBoth(deaf(free), fails(resilience.Overloaded), "b")
		for range 12 {
			r.call("b", 3)
			time.Sleep(5 * time.Second)
		}
		require.True(r, r.held("b"))
		require.Contains(r, r.checker.Last(r.pool.Model("b")).Reason, "calls failed")
	})
}

// An outage goes on to be asked about, though a probe of it never ends.
func TestOutageWithAProbeThatNeverEnds(t *testing.T) {
	infos := append(many(4, resilience.ModelInfo{Provider: "acme"}), many(2, resilience.ModelInfo{Provider: "bolt"})...)
	bubble(t, quick, infos, func(r *rig) {
		free := make(chan struct{})
		time.Sleep(30 * time.Second)
		for i := range 4 {
			r.setBoth(deaf(free), nil, fmt.Sprintf("acmem%d", i))
		}
		r.out(time.Second, "acmem0", "acmem1", "acmem2")
		time.Sleep(2 * time.Second)
		require.Contains(r, r.told(resilience.EventHealth)[0], "provider acme: 3 of 4 models are out")
		time.Sleep(5 * time.Minute)
		require.True(r, r.held("acmem0"))
		close(free)
		time.Sleep(30 * time.Second)
		require.False(r, r.held("acmem0"))
	})
}

// The reason is that of the status.
func TestReasonOfAHold(t *testing.T) {
	bubble(t, quick, models("a", "b"), func(r *rig) {
		a := r.pool.Model("a")
		require.NoError(r, a.Drain(r.Context(), by))
		require.Equal(r, resilience.Maintenance, r.checker.Last(a).Status)
		require.Equal(r, "held by manual (operator: a test) until lifted", r.checker.Last(a).Reason)
	})
}

// That recovery holds models it brings back is no outage; nor does anybody but recovery
// probe them, and what it finds counts.
func TestLeftToRecovery(t *testing.T) {
	infos := append(many(2, resilience.ModelInfo{Provider: "acme"}), many(2, resilience.ModelInfo{Provider: "bolt"})...)
	bubble(t, quick, infos, func(r *rig) {
		time.Sleep(30 * time.Second)
		for _, m := range r.pool.Models()[:2] {
			m.Hold(r.Context(), resilience.Hold{By: resilience.HoldRecovery, Until: time.Now().Add(time.Hour)})
		}
		since := time.Since(r.start)
		r.set(resilience.Unreachable, "acmem0")
		time.Sleep(time.Minute)
		require.Empty(r, r.told(resilience.EventHealth))
		require.Zero(r, r.asked(since, "acmem0", "acmem1"))
		for range 3 {
			r.pool.Model("acmem0").Probe(r.Context(), time.Second)
			time.Sleep(12 * time.Second)
		}
		require.True(r, r.held("acmem0"))
	})
}

package degrade_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

// The latest override that is still held wins, and each ends by itself.
func TestOverridesNest(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		long := r.override(degrade.Severe, time.Hour)
		r.override(degrade.Minimal, time.Minute)
		require.Equal(r, degrade.Minimal, r.controller.Level())
		top := r.override(degrade.Emergency, 2*time.Minute)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		top()
		top()
		require.Equal(r, degrade.Minimal, r.controller.Level())
		time.Sleep(time.Minute)
		require.Equal(r, degrade.Severe, r.controller.Level())
		long()
		require.Equal(r, degrade.None, r.controller.Level())
		require.Equal(r, []string{
			"none → severe: override by a test: to see",
			"severe → minimal: override by a test: to see",
			"minimal → emergency: override by a test: to see",
			"emergency → minimal: released: override by a test: to see",
			"minimal → severe: an override ran out",
			"severe → none: released: override by a test: to see",
		}, r.changes())
		require.Len(r, r.log.take(), 6)

		r.override(degrade.Severe, time.Minute)
		time.Sleep(time.Minute)
		require.NoError(r, r.ask(resilience.Low), "a call notices as well")
		require.Equal(r, "severe → none: an override ran out", r.changes()[1])
	})
}

// An override may also be to less than signals call for, and does not end what they
// say.
func TestOverrideOfSignals(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		stop := r.run()
		defer stop()
		r.hold(time.Hour, "a")
		time.Sleep(4 * time.Second)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		r.override(degrade.None, time.Minute)
		require.Equal(r, degrade.None, r.controller.Level())
		time.Sleep(30 * time.Second)
		require.Equal(r, degrade.None, r.controller.Level())
		time.Sleep(31 * time.Second)
		require.Equal(r, "none → emergency: an override ran out", r.changes()[2], "the assessment notices")
	})
}

func TestOverrideRefused(t *testing.T) {
	no := errors.New("frozen")
	var asked []resilience.Change
	audit := resilience.Audit(func(_ context.Context, c resilience.Change) error {
		asked = append(asked, c)
		return no
	})
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		soon := time.Now().Add(time.Minute)
		for name, c := range map[string]struct {
			level degrade.Level
			by    resilience.Control
			want  string
		}{
			"no end":    {degrade.Severe, resilience.Control{Actor: "x", Reason: "y"}, "control.until: is missing"},
			"over":      {degrade.Severe, resilience.Control{Actor: "x", Reason: "y", Until: time.Now()}, "control.until: has passed"},
			"no actor":  {degrade.Severe, resilience.Control{Reason: "y", Until: soon}, "control.actor: is missing"},
			"no reason": {degrade.Severe, resilience.Control{Actor: "x", Until: soon}, "control.reason: is missing"},
			"no level":  {degrade.Emergency + 1, resilience.Control{Actor: "x", Reason: "y", Until: soon}, "degrade.override: is to a level"},
		} {
			release, err := r.controller.Override(r.Context(), c.level, c.by)
			require.ErrorContains(r, err, c.want, name)
			require.Nil(r, release)
		}
		require.Empty(r, asked)
		_, err := r.controller.Override(r.Context(), degrade.Severe, resilience.Control{Actor: "x", Reason: "y", Until: soon})
		require.ErrorIs(r, err, no)
		require.Len(r, asked, 1)
		require.Equal(r, "degrade.override", asked[0].What)
		require.Equal(r, "none", asked[0].From)
		require.Equal(r, "severe", asked[0].To)
		require.Equal(r, degrade.None, r.controller.Level())
		require.Empty(r, r.changes())
	}, audit)

	alone := degrade.New(degrade.Config{})
	_, err := alone.Override(t.Context(), degrade.Severe, by)
	require.ErrorContains(t, err, "belongs to no pool")
	require.Equal(t, degrade.None, alone.Level())
	require.True(t, alone.Enabled("x"))
}

// However overrides come and go, the last word is that of those that are held.
func TestOverridesConcurrently(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		stop := r.run()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				control := by
				control.Until = time.Now().Add(time.Duration(i%7+1) * time.Second)
				release, err := r.controller.Override(r.Context(), degrade.Level(i%5), control)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(i%11) * 700 * time.Millisecond)
				_ = r.ask(resilience.Critical)
				_ = r.controller.Enabled("x")
				release()
				release()
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(r, degrade.None, r.controller.Level())
		stop()
	})
}

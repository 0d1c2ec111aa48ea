package resilience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestHoldsExtendAndNeverShorten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, models("a"))
		m, ctx, start := p.Model("a"), t.Context(), time.Now()
		events := p.Subscribe(10, resilience.EventHold, resilience.EventRelease)
		hold := func(by resilience.HoldBy, d time.Duration, reason string) {
			m.Hold(ctx, resilience.Hold{By: by, Reason: reason, Until: time.Now().Add(d)})
		}
		hold(resilience.HoldLimit, time.Minute, "first")
		time.Sleep(time.Second)
		hold(resilience.HoldLimit, 10*time.Second, "shorter")
		require.Equal(t, []resilience.Hold{{By: resilience.HoldLimit, Reason: "first", Since: start, Until: start.Add(time.Minute)}}, m.Holds())
		hold(resilience.HoldLimit, 2*time.Minute, "longer")
		require.Equal(t, []resilience.Hold{{By: resilience.HoldLimit, Reason: "longer", Since: start, Until: start.Add(121 * time.Second)}}, m.Holds())
		hold(resilience.HoldQuota, 10*time.Second, "")
		hold(resilience.HoldQuota, -time.Second, "past")
		hold(0, time.Hour, "nobody")
		hold(200, time.Hour, "nobody")
		require.Len(t, m.Holds(), 2)
		require.False(t, m.Available())
		require.Equal(t, resilience.Unavailable, m.Status())

		m.Release(ctx, resilience.HoldLimit)
		m.Release(ctx, resilience.HoldLimit)
		m.Release(ctx, 0)
		require.False(t, m.Available(), "the quota's is left")
		time.Sleep(10 * time.Second)
		require.True(t, m.Available())
		require.True(t, m.Available())
		require.Empty(t, m.Holds())
		events.Close()
		var got []string
		for e := range events.C {
			require.Same(t, m, e.Model)
			got = append(got, e.Kind.String()+" "+e.From+e.To+" "+e.Reason)
		}
		require.Equal(t, []string{"hold limit first", "hold limit longer", "hold quota ", "release limit ", "release quota ran out"}, got)
	})
}

func TestOpenEndedHolds(t *testing.T) {
	for by := resilience.HoldManual; by <= resilience.HoldRecovery; by++ {
		t.Run(by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				byPeople := by == resilience.HoldManual || by == resilience.HoldBreaker
				p := newPool(t, models("unattended", "attended"))
				m, n := p.Model("unattended"), p.Model("attended")
				m.Hold(t.Context(), resilience.Hold{By: by})
				time.Sleep(5*time.Minute - 1)
				require.False(t, m.Available())
				time.Sleep(1)
				require.Equal(t, !byPeople, m.Available())

				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- p.Run(ctx) }()
				synctest.Wait()
				n.Hold(t.Context(), resilience.Hold{By: by})
				require.True(t, n.Holds()[0].Until.IsZero())
				time.Sleep(24 * time.Hour)
				require.False(t, n.Available(), "as long as Run is there to lift it")
				stop()
				require.NoError(t, <-done)
				time.Sleep(5*time.Minute - 1)
				require.False(t, n.Available())
				time.Sleep(1)
				require.Equal(t, !byPeople, n.Available(), "Run's end bounds it")
			})
		})
	}
}

func TestDrainAndRestoreByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []resilience.Change
		var refuse error
		p := newPool(t, models("a"), resilience.Audit(func(_ context.Context, c resilience.Change) error {
			seen = append(seen, c)
			return refuse
		}))
		m, ctx := p.Model("a"), t.Context()
		var config *resilience.ConfigError
		require.ErrorAs(t, m.Drain(ctx, resilience.Control{Reason: "x"}), &config)
		require.Equal(t, "control.actor", config.Path)
		require.ErrorAs(t, m.Drain(ctx, resilience.Control{Actor: "x"}), &config)
		require.Equal(t, "control.reason", config.Path)
		late := by
		late.Until = time.Now()
		require.ErrorAs(t, m.Drain(ctx, late), &config)
		require.Equal(t, "control.until", config.Path)
		require.Empty(t, seen)

		refuse = errors.New("change freeze")
		require.ErrorIs(t, m.Drain(ctx, by), refuse)
		require.True(t, m.Available())
		refuse = nil

		require.NoError(t, m.Drain(ctx, by))
		require.Equal(t, resilience.Maintenance, m.Status())
		require.Equal(t, "operator: a test", m.Holds()[0].Reason)
		soon := by
		soon.Until = time.Now().Add(time.Minute)
		require.NoError(t, m.Drain(ctx, soon))
		require.Equal(t, soon.Until, m.Holds()[0].Until, "a later order counts even if it ends sooner")

		limit(t, p, "a", time.Hour)
		refuse = errors.New("change freeze")
		require.ErrorIs(t, m.Restore(ctx, by), refuse)
		require.Equal(t, resilience.Maintenance, m.Status())
		refuse = nil
		require.NoError(t, m.Restore(ctx, by))
		require.Equal(t, resilience.Unavailable, m.Status(), "other holds stay")
		require.Equal(t, "drain", seen[1].What)
		require.Equal(t, "restore", seen[4].What)
		require.Equal(t, "operator", seen[4].Actor)
		require.Same(t, m, seen[4].Model)
		require.Equal(t, time.Now(), seen[4].Time)
	})
}

// TestDrainPastItsTime: the audit takes longer than the drain was to last, and
// an earlier one must not stay without a trace.
func TestDrainPastItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, models("a"), resilience.Audit(func(context.Context, resilience.Change) error {
			time.Sleep(time.Minute)
			return nil
		}))
		m := p.Model("a")
		require.NoError(t, m.Drain(t.Context(), by))
		soon := by
		soon.Until = time.Now().Add(time.Second)
		require.NoError(t, m.Drain(t.Context(), soon))
		require.Empty(t, m.Holds())
		require.True(t, m.Available(), "what no hold explains is not held")
	})
}

func TestStatus(t *testing.T) {
	m := newPool(t, models("a")).Model("a")
	require.Equal(t, resilience.Available, m.Status())
	for in, want := range map[float64]float64{0.5: 0.5, -1: 0, 2: 1, 0: 0} {
		m.SetRamp(in)
		require.Equal(t, want, m.Ramp())
	}
	zero := 0.0
	m.SetRamp(zero / zero)
	require.Zero(t, m.Ramp())
	require.Equal(t, resilience.Degraded, m.Status())
	for s, name := range map[resilience.Status]string{
		resilience.Available: "available", resilience.Degraded: "degraded", resilience.Unavailable: "unavailable",
		resilience.Maintenance: "maintenance", 9: "unknown",
	} {
		require.Equal(t, name, s.String())
	}
}

func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, resilience.Models(
			resilience.ModelInfo{ID: "spare", Tier: 1}, resilience.ModelInfo{ID: "b-eu", Name: "b"},
			resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b-us", Name: "b"}))
		at := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339) }
		limit(t, p, "b-eu", time.Minute)
		p.Model("b-eu").Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Reason: "probe:\nrefused", Until: time.Now().Add(2 * time.Minute)})
		p.Model("a").SetRamp(0.25)
		p.Model("b-us").Hold(t.Context(), resilience.Hold{By: resilience.HoldQuota, Until: time.Now().Add(time.Minute)})
		require.NoError(t, p.Model("b-us").Drain(t.Context(), by))
		var lines []string
		for _, v := range p.Explain("") {
			lines = append(lines, v.String())
		}
		require.Equal(t, []string{
			"b-eu held by health (probe: refused), held by limit until " + at(2*time.Minute),
			"a usable, at 25 % of its traffic",
			"b-us held by manual (operator: a test), held by quota until lifted",
			"spare usable",
		}, lines)
		require.Len(t, p.Explain("b"), 2)
		require.Len(t, p.Explain("a"), 1)
		require.Empty(t, p.Explain("x"))
	})
}

func TestHeldSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, models("a"))
		m := p.Model("a")
		_, held := m.HeldSince(resilience.HoldLimit)
		require.False(t, held)
		time.Sleep(time.Second)
		limit(t, p, "a", time.Minute)
		time.Sleep(30 * time.Second)
		limit(t, p, "a", time.Minute)
		since, held := m.HeldSince(resilience.HoldLimit)
		require.True(t, held)
		require.Equal(t, time.Second, since, "when it was first set, on the pool's clock")
		_, held = m.HeldSince(resilience.HoldQuota)
		require.False(t, held)
		_, held = m.HeldSince(0)
		require.False(t, held)
		time.Sleep(time.Minute)
		_, held = m.HeldSince(resilience.HoldLimit)
		require.False(t, held)
	})
}

func TestReset(t *testing.T) {
	var did []string
	note := func(name string) resilience.Feature {
		return feature(func(s *resilience.Setup) error {
			s.OnReset(func(m *resilience.Model) { did = append(did, name+" "+m.ID()) })
			return nil
		})
	}
	p := newPool(t, models("a"), note("one"), note("two"))
	m := p.Model("a")
	require.NoError(t, m.Drain(t.Context(), by))
	limit(t, p, "a", time.Hour)
	m.SetRamp(0.1)
	require.Error(t, p.Reset(t.Context(), m, resilience.Control{}))
	require.Empty(t, did)
	require.NoError(t, p.Reset(t.Context(), m, by))
	require.Equal(t, []string{"one a", "two a"}, did)
	require.Len(t, m.Holds(), 1, "the manual one")
	require.Equal(t, 1.0, m.Ramp())
}

func TestStatsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := resilience.Wrap(ask(func(context.Context, string) (string, error) {
			time.Sleep(100 * time.Millisecond)
			if n++; n%4 == 0 {
				return "", resilience.Overloaded
			}
			if n%4 == 1 {
				return "", resilience.RateLimited
			}
			return "ok", nil
		}))
		for range 40 {
			_, _ = c.Call(t.Context(), "")
		}
		m := c.Models()[0]
		s := m.Stats(time.Minute)
		require.Equal(t, int64(40), s.Calls)
		require.Equal(t, int64(10), s.Failures)
		require.Equal(t, int64(10), s.Throttled)
		require.Equal(t, 0.25, s.ErrorRate)
		require.InDelta(t, 40./60, s.PerSecond, 1e-9)
		require.InDelta(t, 0.1, s.P50.Seconds(), 0.0125)
		require.InDelta(t, 0.1, m.Latency().Seconds(), 0.001)
		require.InDelta(t, 4, m.Stats(time.Second).PerSecond, 1e-9, "rounded up to ten seconds")
		require.Zero(t, m.Stats(0))
		require.Zero(t, m.Stats(-time.Second))
		require.Equal(t, m.Stats(5*time.Minute), m.Stats(time.Hour))
		time.Sleep(6 * time.Minute)
		require.Zero(t, m.Stats(5*time.Minute))
	})
}

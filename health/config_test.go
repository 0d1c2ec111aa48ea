package health_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestConfig(t *testing.T) {
	require.NoError(t, settings.Lint(health.Config{}))
	require.Equal(t,
		"interval=30s timeout=5s probes=1 rise=2 fall=3 errorRate=0.5 minCalls=5 slowFirst=off slowToken=off maxEjected=0.5 observeOnly=false",
		health.New(health.Config{}).String())
	for problem, cfg := range map[string]health.Config{
		"health.interval: 1ms is less than 1s":                                    {Interval: time.Millisecond},
		"health.fall: -1 must not be negative":                                    {Fall: -1},
		"health.errorRate: 1.5 is more than 1":                                    {ErrorRate: 1.5},
		"health.models.a.timeout: 1h is more than 10m":                            {Models: map[string]health.Config{"a": {Timeout: time.Hour}}},
		"health.models.a.probes: is the pool's; here it can only be switched off": {Models: map[string]health.Config{"a": {Probes: 2}}},
		"health.models.a.maxEjected: is the pool's":                               {Models: map[string]health.Config{"a": {MaxEjected: 1}}},
		"health.models.a.models: an override cannot hold overrides":               {Models: map[string]health.Config{"a": {Models: map[string]health.Config{"b": {}}}}},
	} {
		_, err := resilience.NewPool(health.New(cfg))
		require.EqualError(t, err, problem)
		require.Panics(t, func() {
			health.Wrap(resilience.FuncOf(func(context.Context, string) (string, error) { return "", nil }), cfg)
		}, problem)
	}
	c := health.New(health.Config{})
	_, err := resilience.NewPool(c)
	require.NoError(t, err)
	_, err = resilience.NewPool(c)
	require.EqualError(t, err, "health: this checker belongs to another pool")
}

// A reload changes settings and keeps what is known: it makes no second schedule,
// and forgets no hold. What is absent means what New was given.
func TestReload(t *testing.T) {
	bubble(t, health.Config{Interval: 10 * time.Second}, models("a", "b", "c"), func(r *rig) {
		r.set(resilience.Unreachable, "a")
		time.Sleep(40 * time.Second)
		require.True(t, r.held("a"))
		for range 20 {
			require.NoError(r, r.pool.Reload(r.Context(), []byte(`{"health":{"rise":3,"models":{"b":{"probes":-1}}}}`), by))
		}
		require.True(t, r.held("a"))
		require.Contains(t, r.checker.String(), "interval=10s timeout=5s probes=1 rise=3")
		since := time.Since(r.start)
		time.Sleep(time.Minute)
		require.InDelta(t, 6, r.asked(since, "a"), 1.1)
		require.Zero(t, r.asked(since, "b"))
		require.InDelta(t, 6, r.asked(since, "c"), 1.1)

		require.NoError(r, r.pool.Reload(r.Context(), []byte(`{"health":{"observeOnly":true}}`), by))
		time.Sleep(2 * time.Second)
		require.False(t, r.held("a"), "what it held is lifted")
		require.NoError(r, r.pool.Reload(r.Context(), []byte(`{}`), by))
		time.Sleep(time.Minute)
		require.True(t, r.held("a"))
		require.ErrorContains(t, r.pool.Reload(r.Context(), []byte(`{"health":{"falls":3}}`), by), "health.falls")
		require.Empty(t, r.told(resilience.EventPanic))
	})
}

// A model that a reload takes away is checked no more, one that it brings is.
func TestReloadModels(t *testing.T) {
	bubble(t, health.Config{Interval: 10 * time.Second}, models("a", "b"), func(r *rig) {
		time.Sleep(30 * time.Second)
		gone := r.pool.Model("b")
		require.NoError(r, r.pool.Reload(r.Context(), []byte(`{"models":[{"id":"a"},{"id":"c"}]}`), by))
		since := time.Since(r.start)
		time.Sleep(30 * time.Second)
		require.InDelta(t, 3, r.asked(since, "a"), 1)
		require.LessOrEqual(t, r.asked(since, "b"), 0)
		require.InDelta(t, 3, r.asked(since, "c"), 1)
		require.EqualError(t, r.checker.Check(r.Context(), gone).Err, "model: is nil, or of another pool")
		require.EqualError(t, r.checker.Last(nil).Err, "model: is nil, or of another pool")
	})
}

// Nothing is held where nobody runs the pool, and Check works.
func TestWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, health.Config{}, models("a", "b"))
		r.set(resilience.Unreachable, "a")
		for range 10 {
			got := r.checker.Check(t.Context(), r.pool.Model("a"))
			require.ErrorIs(t, got.Err, resilience.Unreachable)
			require.True(t, got.Probed)
			require.Equal(t, resilience.Available, got.Status)
		}
		require.Less(t, r.checker.Last(r.pool.Model("a")).Score, 0.01)
		require.NoError(t, r.checker.Check(t.Context(), r.pool.Model("b")).Err)
		time.Sleep(time.Hour)
		require.False(t, r.held("a"))
		require.Equal(t, 11, r.asked(0))
	})
}

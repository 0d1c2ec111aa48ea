package degrade_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestConfigTags(t *testing.T) { require.NoError(t, settings.Lint(degrade.Config{})) }

func TestLevelNames(t *testing.T) {
	require.Equal(t, "none", degrade.None.String())
	require.Equal(t, "emergency", degrade.Emergency.String())
	require.Equal(t, "unknown", degrade.Level(5).String())
}

func TestConfigIsChecked(t *testing.T) {
	steps := func(name string, s degrade.Step) degrade.Config {
		return degrade.Config{Levels: map[string]degrade.Step{name: s}}
	}
	for want, cfg := range map[string]degrade.Config{
		`degrade.levels.sever: is no level; they are minimal, moderate, severe, emergency; did you mean "severe"?`: steps("sever", degrade.Step{}),
		`degrade.levels.none: is no level`:                                            steps("none", degrade.Step{}),
		`degrade.levels.severe.admit: "hi" is none of low, normal, high, critical`:    steps("severe", degrade.Step{Admit: "hi"}),
		`degrade.levels.severe.burn: has nothing to be compared with`:                 steps("severe", degrade.Step{Burn: 2}),
		`degrade.levels.severe.available: 0.7 is not beyond that of moderate, 0.6`:    steps("severe", degrade.Step{Available: 0.7}),
		`degrade.levels.moderate.errorRate: 0.01 is not beyond that of minimal, 0.05`: steps("moderate", degrade.Step{ErrorRate: 0.01}),
		`degrade.levels.severe.errorRate: 0.1 is not beyond that of minimal, 0.2`:     {Levels: map[string]degrade.Step{"minimal": {ErrorRate: 0.2}, "moderate": {}, "severe": {ErrorRate: 0.1}}},
		`degrade.levels.severe.available: 1.5 is more than 1`:                         steps("severe", degrade.Step{Available: 1.5}),
		`degrade.levels.severe.timeouts: -1 must not be negative`:                     steps("severe", degrade.Step{Timeouts: -1}),
		`degrade.interval: -1s must not be negative`:                                  {Interval: -time.Second},
		`degrade.throttle: 0.5 is less than 1`:                                        {Throttle: 0.5},
		`degrade.reserve: -0.1 must not be negative`:                                  {Reserve: -0.1},
	} {
		_, err := resilience.NewPool(degrade.New(cfg))
		require.ErrorContains(t, err, want)
		var bad *resilience.ConfigError
		require.ErrorAs(t, err, &bad)
	}
	c := degrade.New(degrade.Config{})
	_, err := resilience.NewPool(c)
	require.NoError(t, err)
	_, err = resilience.NewPool(c)
	require.ErrorContains(t, err, "belongs to another pool")
}

func TestString(t *testing.T) {
	c := degrade.New(degrade.Config{Throttle: -1})
	p, err := resilience.NewPool(c)
	require.NoError(t, err)
	require.Equal(t, []string{"admit    degrade  interval=1s calm=30s throttle=off reserve=off observeOnly=false"}, p.Stack())
}

// A reload changes what the level does, and not the level; levels that it does not
// name are as the program has them.
func TestReload(t *testing.T) {
	cfg := degrade.Config{Levels: map[string]degrade.Step{"emergency": {Available: 0.05, Admit: "critical"}}}
	degraded(t, cfg, ids("a"), func(r *rig) {
		stop := r.run()
		defer stop()
		r.hold(10*time.Second, "a")
		time.Sleep(11 * time.Second)
		require.Equal(r, degrade.Emergency, r.controller.Level())
		require.Zero(r, r.asks(1, resilience.High))
		reload := func(config string) error { return r.pool.Reload(r.Context(), []byte(config), by) }
		require.NoError(r, reload(`{"degrade": {"levels": {"severe": {"available": 0.3, "disabled": ["x"]}}}}`))
		require.Equal(r, degrade.Emergency, r.controller.Level())
		require.Zero(r, r.asks(1, resilience.High), "as the program has it")
		require.NoError(r, reload(`{"degrade": {"levels": {"emergency": {"available": 0.05, "admit": "high"}}}}`))
		require.Equal(r, degrade.Emergency, r.controller.Level())
		require.Equal(r, 1, r.asks(1, resilience.High))
		require.ErrorContains(r, reload(`{"degrade": {"levels": {"emergency": {"admit": "hihg"}}}}`), `did you mean "high"?`)
		require.ErrorContains(r, reload(`{"degrade": {"calm": "0s"}}`), "degrade.calm")
		require.Len(r, r.changes(), 1)
		require.NoError(r, reload(`{"degrade": {"observeOnly": true}}`))
		require.Equal(r, degrade.None, r.controller.Level())
		require.Equal(r, 1, r.asks(1, resilience.Low))
		require.NoError(r, reload(`{}`))
		require.Equal(r, degrade.Emergency, r.controller.Level())
		require.Zero(r, r.asks(1, resilience.High))
		require.NoError(r, reload(`{"degrade": {"levels": {"minimal": {}, "moderate": {}, "severe": {}, "emergency": {}}}}`))
		time.Sleep(time.Minute)
		require.Equal(r, []string{
			"emergency → none: a reload", "none → emergency: a reload", "emergency → none: its limits are gone",
		}, r.changes())
	})
}

// What a reload begins or ends is told.
func TestReloadOfObserveOnly(t *testing.T) {
	degraded(t, degrade.Config{ObserveOnly: true}, ids("a"), func(r *rig) {
		r.override(degrade.Severe, time.Hour)
		require.NoError(r, r.pool.Reload(r.Context(), []byte(`{"degrade": {"observeOnly": false, "throttle": 3}}`), by))
		require.Equal(r, degrade.Severe, r.controller.Level())
		require.Equal(r, []string{"none → severe: override by a test: to see (would)", "none → severe: a reload"}, r.changes())
	})
}

type onDegrade func()

func (f onDegrade) Install(s *resilience.Setup) error {
	s.Observe(func(context.Context, resilience.Event) { f() }, resilience.EventDegrade)
	return nil
}

// Who is told of a change may use the pool.
func TestReloadTellsOutsideOfLocks(t *testing.T) {
	var r *rig
	told := 0
	degraded(t, degrade.Config{}, ids("a"), func(rig *rig) {
		r = rig
		r.override(degrade.Severe, time.Minute)
		time.Sleep(time.Minute)
		require.NoError(r, r.pool.Reload(r.Context(), []byte(`{"degrade": {"throttle": 3}}`), by))
		require.NoError(r, r.ask(resilience.Low))
		require.Equal(r, 2, told)
	}, onDegrade(func() {
		r.with(resilience.Hooks[string, string]{})
		told++
	}))
}

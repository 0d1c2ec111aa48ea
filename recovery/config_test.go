package recovery_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/recovery"
)

func TestBadConfigs(t *testing.T) {
	require.NoError(t, settings.Lint(recovery.Config{}))
	act := func(context.Context, *resilience.Model) error { return nil }
	for _, tc := range []struct {
		cfg        recovery.Config
		path, want string
	}{
		{recovery.Config{Strategy: "progresive"}, "recovery.strategy", `did you mean "progressive"?`},
		{recovery.Config{Ramp: []float64{.5, .2}}, "recovery.ramp[1]", "want more than 0.5 and less than 1, got 0.2"},
		{recovery.Config{Ramp: []float64{1}}, "recovery.ramp[0]", "less than 1"},
		{recovery.Config{Step: -1}, "recovery.step", ""},
		{recovery.Config{After: time.Millisecond}, "recovery.after", "is less than 10ms"},
		{recovery.Config{Timeout: -1}, "recovery.timeout", ""},
		{recovery.Config{AtOnce: -1}, "recovery.atOnce", ""},
		{recovery.Config{Models: map[string]recovery.Config{"a": {AtOnce: 1}}}, "recovery.models.a.atOnce", "is for the whole pool"},
		{recovery.Config{Models: map[string]recovery.Config{"a": {Ramp: []float64{-1}}}}, "recovery.models.a.ramp[0]", "want more than 0"},
		{recovery.Config{Actions: map[resilience.Kind][]recovery.Action{resilience.NotFound: {{Name: "x", Run: act}, recovery.RotateKey(nil)}}}, "recovery.actions.not_found[1]", "a name and a function"},
		{recovery.Config{Actions: map[resilience.Kind][]recovery.Action{0: {recovery.CloseIdle(nil)}}}, "recovery.actions.ok[0]", "a name and a function"},
	} {
		_, err := resilience.NewPool(recovery.New(tc.cfg))
		var bad *resilience.ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, tc.path, bad.Path)
		require.ErrorContains(t, err, tc.want)
	}
	r := recovery.New(recovery.Config{})
	_, err := resilience.NewPool(r)
	require.NoError(t, err)
	_, err = resilience.NewPool(r)
	require.ErrorContains(t, err, "belongs to another pool")
}

func TestReload(t *testing.T) {
	virtual(t, "", func(t bubble) {
		w := newWorld(t, recovery.Config{Strategy: recovery.Gradual, AtOnce: 3}, []string{"a", "b"}).run()
		require.Equal(t, "strategy=gradual step=strategy after=5s timeout=5s attempts=10 atOnce=3 observeOnly=false", w.String())
		w.reload(`{"recovery": {"strategy": "conservative", "attempts": -1, "models": {"a": {"ramp": [0.3, 0.6], "step": "2s"}}}}`)
		require.Equal(t, "strategy=conservative step=strategy after=5s timeout=5s attempts=off atOnce=3 observeOnly=false models=1", w.String())
		err := w.pool.Reload(t.Context(), []byte(`{"recovery": {"ramp": [0.5, 0.5]}}`), by)
		require.ErrorContains(t, err, "recovery.ramp[1]: want more than 0.5")

		w.holdHealth("a", time.Hour)
		w.pass(6500 * time.Millisecond)
		require.InDelta(t, .3, w.model("a").Ramp(), 0)
		w.pass(2 * time.Second)
		require.InDelta(t, .6, w.model("a").Ramp(), 0)
		w.reload(`{"recovery": {"ramp": [0.4]}}`) // in mid-ramp
		w.pass(time.Minute)
		require.Equal(t, "recovered", w.last("a").To)
		w.reload(`{}`)
		require.Equal(t, "strategy=gradual step=strategy after=5s timeout=5s attempts=10 atOnce=3 observeOnly=false", w.String())
	})
	virtual(t, "to observe only and back, in mid-recovery", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.holdHealth("a", time.Minute)
		w.holdHealth("b", time.Minute)
		w.pass(6500 * time.Millisecond)
		require.Less(t, w.model("a").Ramp(), 1.)
		w.holdHealth("b", time.Minute)
		w.reload(`{"recovery": {"observeOnly": true}}`)
		w.pass(time.Second)
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
		require.Len(t, w.model("b").Holds(), 1, "that of health")
		w.reload(`{}`)
		w.pass(time.Second)
		require.Len(t, w.model("b").Holds(), 2)
	})
}

func TestStrategies(t *testing.T) {
	for strategy, takes := range map[recovery.Strategy]time.Duration{
		recovery.Adaptive: 24 * time.Second, recovery.Immediate: 0, recovery.Gradual: 28 * time.Second,
		recovery.Progressive: 27 * time.Second, recovery.Conservative: 70 * time.Second,
	} {
		virtual(t, string(strategy), func(t bubble) {
			w := newWorld(t, recovery.Config{Strategy: strategy}, []string{"a", "b"}).run()
			w.holdHealth("a", time.Hour)
			w.pass(3 * time.Minute)
			require.Equal(t, "recovered", w.last("a").To)
			var began, ended time.Time
			for _, e := range w.events {
				switch {
				case e.Kind == resilience.EventRelease && e.From == "recovery":
					began = e.Time
				case e.To == "recovered":
					ended = e.Time
				}
			}
			require.Equal(t, takes, ended.Sub(began), "without traffic, by time")
		})
	}
}

func TestObserveOnly(t *testing.T) {
	virtual(t, "", func(t bubble) {
		w := newWorld(t, recovery.Config{ObserveOnly: true}, []string{"a", "b"}).run()
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		require.Len(t, w.model("a").Holds(), 1)
		w.fail(nil, "a")
		for range 40 {
			w.call(10, time.Second)
			require.InDelta(t, 1, w.model("a").Ramp(), 0)
		}
		require.Empty(t, w.probed(""))
		require.Equal(t, []string{"held", "recovered"}, w.steps("a"))
		require.True(t, w.last("a").Would)
		require.True(t, w.History()[0].Recovered)
	})
}

package resilience_test

import (
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/retry"
)

// setAside is how many tokens of the run are still set aside.
func setAside(t *testing.T, run context.Context) float64 { //nolint:revive // it is the run's
	t.Helper()
	c := newClient(t, newPool(t), resilience.BindFunc("m", says("x")))
	_, _, err := c.Do(run, "x", of("", 1<<40))
	return refusedBy(t, err).Reserved
}

// TestAPanicOfAHookLeavesNothingBehind has hooks panic after a model has answered.
func TestAPanicOfAHookLeavesNothingBehind(t *testing.T) {
	type hooks = resilience.Hooks[string, string]
	boom := func() { panic("hook") }
	for name, row := range map[string]struct {
		call  ask
		hooks hooks
	}{
		"usage":    {says("x"), hooks{Usage: func(string, string) resilience.Usage { boom(); return resilience.Usage{} }}},
		"validate": {uses(100), hooks{Validate: func(string, string) error { boom(); return nil }}},
		"cost": {uses(100), hooks{Cost: func(_ *resilience.Model, _, answer string, _ resilience.Usage) float64 {
			if answer != "" {
				boom()
			}
			return 0
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t)
			c := newClient(t, p, resilience.BindFunc("m", row.call), row.hooks)
			run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10_000})
			require.PanicsWithValue(t, "hook", func() { _, _, _ = c.Do(run, "x", of("", 1000)) })
			idle(t, p)
			require.Zero(t, setAside(t, run))
		})
	}
}

func TestAPanicOfARuleLeavesNothingBehind(t *testing.T) {
	p := newPool(t, resilience.Classify(func(error) resilience.Kind { panic("rule") }))
	c := newClient(t, p, resilience.BindFunc("m", fails(errBroken)))
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10_000})
	require.PanicsWithValue(t, "rule", func() { _, _, _ = c.Do(run, "x", of("", 1000)) })
	idle(t, p)
	require.Zero(t, setAside(t, run))
}

func TestAPanicOfCostAtTheEndOfAStream(t *testing.T) {
	p := newPool(t)
	open := func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) { yield("a", nil) }
	}
	c, err := resilience.NewClient(p, resilience.BindStream("m", open, resilience.StreamHooks[string, string]{
		Usage: func(string) (resilience.Usage, bool) { return resilience.Usage{Output: 7}, true },
	}), resilience.Hooks[string, *resilience.Stream[string]]{
		Cost: func(_ *resilience.Model, _ string, _ *resilience.Stream[string], u resilience.Usage) float64 {
			if u.Output == 7 {
				panic("cost")
			}
			return 0
		},
	})
	require.NoError(t, err)
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10_000})
	s, _, err := c.Do(run, "x", of("", 1000))
	require.NoError(t, err)
	require.PanicsWithValue(t, "cost", func() {
		for range s.All() {
		}
	})
	idle(t, p)
	require.Zero(t, setAside(t, run))
}

// TestAPanicOfReviseIsNoAttempt: nobody was asked, so nothing is charged.
func TestAPanicOfReviseIsNoAttempt(t *testing.T) {
	var heard []string
	hooks := teaches()
	hooks.Revise = func(string, string, error) string { panic("revise") }
	p := newPool(t, retry.New(retry.Config{}))
	c := newClient(t, p, resilience.BindFunc("m", learns(1, &heard)), hooks)
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10_000})
	require.PanicsWithValue(t, "revise", func() { _, _, _ = c.Do(run, "x", of("", 100)) })
	total, _ := resilience.Spent(run)
	require.Equal(t, int64(100), total.Usage.Input)
	require.Zero(t, setAside(t, run))
}

// TestARevisedRequestIsEstimatedAnew has a request that grows by what was wrong.
func TestARevisedRequestIsEstimatedAnew(t *testing.T) {
	var heard []string
	hooks := teaches()
	hooks.Tokens = func(req string) int { return len(req) }
	c := newClient(t, newPool(t, retry.New(retry.Config{})), resilience.BindFunc("m", learns(1, &heard)), hooks)
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 1000})
	_, err := c.Call(run, "?")
	require.NoError(t, err)
	total, _ := resilience.Spent(run)
	require.Equal(t, int64(len(heard[0])+len(heard[1])), total.Usage.Input)
}

package resilience_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

func TestABudgetWithoutABound(t *testing.T) {
	for _, most := range []float64{math.Inf(1), math.MaxFloat64, 1e12} {
		c := newClient(t, newPool(t, priced("m")), resilience.BindFunc("m", uses(10)))
		_, _, err := c.Do(resilience.WithBudget(t.Context(), resilience.Budget{Cost: most}), "x", of("", 10))
		require.NoError(t, err)
	}
}

func TestCostsThatAreNone(t *testing.T) {
	for _, odd := range []float64{math.Inf(1), math.NaN(), -5, 1e300} {
		p := newPool(t, priced("m"))
		c := newClient(t, p, resilience.BindFunc("m", uses(10)), resilience.Hooks[string, string]{
			Cost: func(_ *resilience.Model, _, resp string, _ resilience.Usage) float64 {
				if resp == "" {
					return 0.01
				}
				return odd
			},
		})
		run := resilience.WithBudget(t.Context(), resilience.Budget{Cost: 0.1})
		for range 3 {
			_, _, _ = c.Do(run, "x", of("", 10))
		}
		total, _ := resilience.Spent(run)
		require.GreaterOrEqual(t, total.Cost, 0.0, "%v", odd)
		if odd > 0 {
			_, _, err := c.Do(run, "x", of("", 10))
			refusedBy(t, err)
		}
	}
}

func TestUsageThatIsNone(t *testing.T) {
	for _, u := range []resilience.Usage{{Input: -500}, {Input: math.MaxInt64, Output: math.MaxInt64}} {
		c := newClient(t, newPool(t), resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, u)
			return "x", nil
		}))
		run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 1000})
		_, _, err := c.Do(run, "x", of("", 100))
		require.NoError(t, err)
		_, _, err = c.Do(run, "x", of("", 1001))
		e := refusedBy(t, err)
		require.GreaterOrEqual(t, e.Spent, 0.0)
	}
}

func TestAHookThatKnowsNoCostBeforeIsNotFree(t *testing.T) {
	c := newClient(t, newPool(t, priced("m")), resilience.BindFunc("m", uses(10)), resilience.Hooks[string, string]{
		Cost: func(_ *resilience.Model, _, resp string, _ resilience.Usage) float64 {
			if resp == "" {
				return 0
			}
			return 1
		},
	})
	run := resilience.WithBudget(t.Context(), resilience.Budget{Cost: 3})
	n := 0
	for ; n < 10; n++ {
		if _, _, err := c.Do(run, "x", of("", 10)); err != nil {
			break
		}
	}
	require.Equal(t, 3, n)
}

func TestADeadlineBeyondAllTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, at := range []time.Time{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1<<40, 0)} {
			p := newPool(t)
			time.Sleep(time.Second)
			c := newClient(t, p, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) { return "x", ctx.Err() }))
			_, err := c.Call(resilience.WithBudget(t.Context(), resilience.Budget{Deadline: at}), "x")
			require.NoError(t, err)
		}
		p := newPool(t)
		time.Sleep(time.Second)
		c := newClient(t, p, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) { return "x", ctx.Err() }))
		_, _, err := c.Do(t.Context(), "x", resilience.CallOptions{Timeout: math.MaxInt64})
		require.NoError(t, err)
		_, err = c.Call(resilience.WithBudget(t.Context(), resilience.Budget{Deadline: time.Unix(-1<<40, 0)}), "x")
		require.Equal(t, "deadline", refusedBy(t, err).Resource)
	})
}

func TestABudgetOfAnInnerPoolTellsWhenToComeBack(t *testing.T) {
	refuses := layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, _ resilience.Handler) error {
		return c.Refuse(ctx, &resilience.BudgetError{Budget: "tenant x", Resource: "cost", Max: 1, Spent: 1, RetryAfter: time.Hour}, false)
	})
	inner := newClient(t, newPool(t, refuses), resilience.BindFunc("in", says("x")))
	outer := newClient(t, newPool(t), resilience.Bind("out", resilience.ModelCaller[string, string](inner)))
	_, err := inner.Call(t.Context(), "x")
	require.Equal(t, time.Hour, resilience.RetryAfter(err))
	code, after := resilience.HTTPStatus(err)
	require.Equal(t, 429, code)
	require.Equal(t, time.Hour, after)
	_, err = outer.Call(t.Context(), "x")
	require.Equal(t, resilience.Rejected, resilience.KindOf(err))
	require.Equal(t, time.Hour, resilience.RetryAfter(err))
	code, after = resilience.HTTPStatus(err)
	require.Equal(t, 429, code)
	require.Equal(t, time.Hour, after)
}

func TestABudgetErrorNamesTheModelThatItRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, resilience.Models(
			resilience.ModelInfo{ID: "a", Price: resilience.Price{Input: 100, Output: 100}},
			resilience.ModelInfo{ID: "b", Price: resilience.Price{Free: true}}), fallback.New(fallback.Config{}), retry.New(retry.Config{}))
		c := newClient(t, p, resilience.BindFunc("a", says("x")), resilience.BindFunc("b", fails(resilience.Invalid)))
		_, _, err := c.Do(t.Context(), "x", resilience.CallOptions{MaxCost: 0.01, Tokens: 1000})
		require.ErrorIs(t, err, resilience.Invalid)
		require.ErrorContains(t, err, "skipped a refused: call budget: $0.10 more at a")
	})
}

func TestACallThatARunCannotAffordIsAnEvent(t *testing.T) {
	p := newPool(t, priced("m"))
	s := p.Subscribe(10, resilience.EventReject)
	c := newClient(t, p, resilience.BindFunc("m", uses(10)))
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10})
	_, _, err := c.Do(run, "x", of("", 10))
	require.NoError(t, err)
	_, rep, err := c.Do(run, "x", of("", 10))
	refusedBy(t, err)
	require.Empty(t, rep.Attempts)
	require.Len(t, s.C, 1)
}

func TestCallsThatOutliveTheirAttempt(t *testing.T) {
	inner := newClient(t, newPool(t, priced("in")), resilience.BindFunc("in", uses(100)))
	outer := newClient(t, newPool(t, priced("out"), retry.New(retry.Config{})), resilience.BindFunc("out", func(ctx context.Context, _ string) (string, error) {
		go func() { _, _, _ = inner.Do(ctx, "x", of("tool", 200)) }()
		return "", nil
	}))
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 1e9, Cost: 1e6})
	ctx := resilience.WithOptions(run, resilience.CallOptions{MaxCost: 1, Tokens: 300})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { _, _ = outer.Call(ctx, "x") })
	}
	wg.Wait()
	require.NoError(t, inner.Pool().Drain(t.Context()))
	require.NoError(t, outer.Pool().Drain(t.Context()))
	require.Zero(t, setAside(t, run))
}

func TestWhatABudgetSays(t *testing.T) {
	unknown := newClient(t, newPool(t), resilience.BindFunc("m", says("x")))
	known := newClient(t, newPool(t, priced("m")), resilience.BindFunc("m", says("x")))
	for want, row := range map[string]struct {
		c    *client
		opts resilience.CallOptions
		code int
	}{
		"the price of m is not known":           {unknown, resilience.CallOptions{MaxCost: 1}, 503},
		"nothing is left of $0.00, $0.00 spent": {known, resilience.CallOptions{MaxCost: -1}, 429},
		"$0.103 more at m of $0.102,":           {known, resilience.CallOptions{MaxCost: 0.102, Tokens: 103_000}, 429},
		"$1.304 more at m of $1.30,":            {known, resilience.CallOptions{MaxCost: 1.3, Tokens: 1_304_000}, 429},
		"$0.00001 more at m of $0.000001,":      {known, resilience.CallOptions{MaxCost: 1e-6, Tokens: 10}, 429},
	} {
		_, _, err := row.c.Do(t.Context(), "x", row.opts)
		require.ErrorContains(t, err, want)
		code, after := resilience.HTTPStatus(err)
		require.Equal(t, row.code, code)
		require.Zero(t, after)
	}
	_, err := known.Call(resilience.WithBudget(t.Context(), resilience.Budget{Deadline: time.Now()}), "x")
	code, _ := resilience.HTTPStatus(err)
	require.Equal(t, 504, code)
}

// TestTheSoonestOfTwoRefusals: the first model has room again before the last one.
func TestTheSoonestOfTwoRefusals(t *testing.T) {
	refuses := layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, _ resilience.Handler) error {
		after := map[string]time.Duration{"a": time.Minute, "b": time.Hour}[c.Model().ID()]
		return c.Refuse(ctx, &resilience.BudgetError{Budget: "model " + c.Model().ID(), Resource: "tokens", Max: 1, Spent: 1, RetryAfter: after}, false)
	})
	c := newClient(t, newPool(t, refuses, fallback.New(fallback.Config{})), echo("a", "b")...)
	_, err := c.Call(t.Context(), "x")
	require.Equal(t, time.Minute, resilience.RetryAfter(err))
	code, after := resilience.HTTPStatus(err)
	require.Equal(t, 429, code)
	require.Equal(t, time.Minute, after)
}

package resilience_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestPriceOfLongInputs(t *testing.T) {
	p := resilience.Price{
		Input: 2, CachedInput: 0.5, Output: 10, Reasoning: 4,
		LongOver: 200_000, Long: &resilience.Price{Input: 4, Output: 15},
	}
	for name, row := range map[string]struct {
		usage resilience.Usage
		want  float64
	}{
		"up to the bound":     {resilience.Usage{Input: 200_000}, 0.4},
		"one more":            {resilience.Usage{Input: 200_001}, 0.800004},
		"all of it is dearer": {resilience.Usage{Input: 300_000, CachedInput: 100_000, Output: 1000}, 1.2 + 0.015},
		"reasoning":           {resilience.Usage{Output: 1000, Reasoning: 400}, 0.006 + 0.0016},
		"all of it reasoning": {resilience.Usage{Output: 1000, Reasoning: 2000}, 0.008},
	} {
		got, ok := p.Cost(row.usage)
		require.True(t, ok, name)
		require.InDelta(t, row.want, got, 1e-9, name)
	}
}

func TestPricesAreCheckedAndReloaded(t *testing.T) {
	for price, problem := range map[string]string{
		`{"input":-1}`:                       "is negative or too large",
		`{"reasoning":1e9}`:                  "is negative or too large",
		`{"free":true,"input":1}`:            "is free and has a price",
		`{"input":1,"longOver":5}`:           "needs both of long and longOver",
		`{"input":1,"long":{"input":2}}`:     "needs both of long and longOver",
		`{"longOver":-5,"long":{"input":2}}`: "has a negative longOver",
		`{"longOver":5,"long":{}}`:           "has an empty long price",
		`{"longOver":5,"long":{"input":-2}}`: "is negative or too large",
		`{"longOver":5,"long":{"input":2,"longOver":9,"long":{"input":3}}}`: "has a long price within the long one",
		`{"longOver":5,"long":{"inputs":2}}`:                                `did you mean "input"?`,
	} {
		p := newPool(t, resilience.Models(resilience.ModelInfo{ID: "m"}))
		err := p.Reload(t.Context(), []byte(`{"models":[{"id":"m","price":`+price+`}]}`), by)
		require.ErrorContains(t, err, problem, price)
		require.ErrorContains(t, err, "models[0].price", price)
	}

	p := newPool(t, resilience.Models(resilience.ModelInfo{ID: "m"}))
	c := newClient(t, p, resilience.BindFunc("m", uses(1_000_000)))
	cost := func() float64 {
		_, rep, err := c.Do(t.Context(), "x", resilience.CallOptions{})
		require.NoError(t, err)
		return rep.Cost
	}
	require.Zero(t, cost())
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models":[{"id":"m","price":{"input":2,"output":8,"longOver":500000,"long":{"input":3,"output":9}}}]}`), by))
	require.InDelta(t, 3, cost(), 1e-9)
}

func TestUsageReportedAfterTheAnswerIsPricedToo(t *testing.T) {
	late := layer(resilience.LayerFault, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		err := next(ctx, c)
		resilience.ReportUsage(ctx, resilience.Usage{Output: 1_000_000})
		return err
	})
	p, err := resilience.NewPool(resilience.Models(resilience.ModelInfo{ID: "m", Price: resilience.Price{Input: 1, Output: 5}}), late)
	require.NoError(t, err)
	c, err := resilience.NewClient(p, resilience.Bind("m", says("x")), resilience.Hooks[string, string]{
		Usage: func(string, string) resilience.Usage { return resilience.Usage{Input: 2_000_000} },
	})
	require.NoError(t, err)
	_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, resilience.Usage{Input: 2_000_000, Output: 1_000_000}, rep.Usage)
	require.InDelta(t, 7, rep.Cost, 1e-9)
	require.InDelta(t, 7, p.Model("m").Stats(5*time.Minute).Cost, 1e-9)
}

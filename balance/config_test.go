package balance_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestBadConfigs(t *testing.T) {
	require.NoError(t, settings.Lint(balance.Config{}))
	for _, tc := range []struct {
		cfg        balance.Config
		path, want string
	}{
		{balance.Config{Algorithm: "round-robin"}, "balance.algorithm", `did you mean "round_robin"?`},
		{balance.Config{Algorithm: "sticky"}, "balance.algorithm", `is none of two_choices, `},
		{balance.Config{Algorithm: balance.Scored}, "balance.algorithm", `needs Config.Score`},
		{balance.Config{LastResort: 1.5}, "balance.lastResort", "1.5 is more than 1"},
		{balance.Config{LastResort: -1}, "balance.lastResort", "-1 must not be negative"},
		{balance.Config{SlowStart: 1 << 62}, "balance.slowStart", "is more than 24h"},
	} {
		_, err := resilience.NewPool(balance.New(tc.cfg))
		var bad *resilience.ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, tc.path, bad.Path)
		require.ErrorContains(t, err, tc.want)
	}
	_, err := resilience.NewPool(balance.New(balance.Config{Algorithm: "x", LastResort: 2}))
	require.ErrorContains(t, err, "balance.algorithm")
	require.ErrorContains(t, err, "balance.lastResort", "all that is wrong")

	b := balance.New(balance.Config{})
	_, err = resilience.NewPool(b)
	require.NoError(t, err)
	_, err = resilience.NewPool(b)
	require.ErrorContains(t, err, "belongs to another pool")
	_, err = resilience.NewPool(balance.New(balance.Config{}), balance.New(balance.Config{}))
	require.ErrorContains(t, err, "two features")
}

func TestReload(t *testing.T) {
	score := func(*resilience.Model) float64 { return 1 }
	b := balance.New(balance.Config{Region: "eu", Score: score})
	pool, err := resilience.NewPool(b)
	require.NoError(t, err)
	require.Equal(t, "algorithm=two_choices region=eu slowStart=30s lastResort=off score=set", b.String())
	reload := func(config string) error { return pool.Reload(t.Context(), []byte(config), by) }

	require.NoError(t, reload(`{"balance": {"algorithm": "scored", "slowStart": "-1s", "lastResort": 0.5}}`))
	require.Equal(t, "algorithm=scored region=eu slowStart=off lastResort=0.5 score=set", b.String())
	for config, want := range map[string]string{
		`{"balance": {"algorithm": "leastlatency"}}`: `balance.algorithm: "leastlatency" is none of`,
		`{"balance": {"lastResort": 50}}`:            `balance.lastResort: 50 is more than 1`,
		`{"balance": {"algoritm": "weighted"}}`:      `balance.algoritm: unknown key; did you mean "algorithm"?`,
		`{"balance": {"score": 1}}`:                  `balance.score: unknown key`,
		`{"balance": {"slowStart": "0s"}}`:           `balance.slowStart: `,
	} {
		require.ErrorContains(t, reload(config), want)
	}
	require.Equal(t, "algorithm=scored region=eu slowStart=off lastResort=0.5 score=set", b.String(), "what is refused changes nothing")
	require.NoError(t, reload(`{}`))
	require.Equal(t, "algorithm=two_choices region=eu slowStart=30s lastResort=off score=set", b.String(), "an absent section is as it was given")

	pool, err = resilience.NewPool(balance.New(balance.Config{}))
	require.NoError(t, err)
	err = pool.Reload(t.Context(), []byte(`{"balance": {"algorithm": "scored"}}`), by)
	require.ErrorContains(t, err, "only the program can set")
}

func TestReloadChangesTheOrder(t *testing.T) {
	w := newWorld(t, balance.Config{Algorithm: balance.RoundRobin}, names("a", "b", "c")...)
	require.Equal(t, "abcabc", w.order(6))
	w.reload(`{"models": [{"id": "c", "provider": "p"}, {"id": "b", "provider": "p"}], "balance": {"slowStart": "-1s"}}`)
	require.Equal(t, "cbcb", w.order(4))
}

func TestWrap(t *testing.T) {
	caller := func(answer string) resilience.ModelCaller[string, string] {
		return resilience.FuncOf(func(context.Context, string) (string, error) { return answer, nil })
	}
	c := balance.Wrap(balance.Config{Algorithm: balance.RoundRobin}, caller("one"), caller("two"))
	for _, want := range []string{"one", "two", "one"} {
		got, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Panics(t, func() { balance.Wrap(balance.Config{Algorithm: "x"}, caller("one")) })
}

// A score that panics is the program's own, and costs the pool nothing.
func TestScorePanics(t *testing.T) {
	cfg := balance.Config{Algorithm: balance.Scored, Score: func(*resilience.Model) float64 { panic("boom") }}
	w := newWorld(t, cfg, names("a", "b")...)
	require.PanicsWithValue(t, "boom", func() { _, _ = w.Call(t.Context(), "") })
	require.Zero(t, w.Pool().InFlight())
}

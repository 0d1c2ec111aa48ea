package budget_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/internal/settings"
)

var by = resilience.Control{Actor: "operator", Reason: "a test"}

func TestBadConfigs(t *testing.T) {
	require.NoError(t, settings.Lint(budget.Config{}))
	day := budget.Day(nil)
	limit := func(l budget.Limit) budget.Config {
		return budget.Config{Limits: []budget.Limit{{Cost: 1, Window: budget.Month(nil)}, {Tokens: 1, Window: budget.Every(time.Hour)}, l}}
	}
	for _, tc := range []struct {
		cfg        budget.Config
		path, want string
	}{
		{limit(budget.Limit{Window: day}), "budget.limits[2].cost", "is missing, and so are tokens and requests"},
		{limit(budget.Limit{Cost: -1, Window: day}), "budget.limits[2].cost", "-1 must not be negative"},
		{limit(budget.Limit{Cost: math.NaN(), Window: day}), "budget.limits[2].cost", "is not a finite number"},
		{limit(budget.Limit{Cost: 1e10, Window: day}), "budget.limits[2].cost", "is more than"},
		{limit(budget.Limit{Tokens: -1, Window: day}), "budget.limits[2].tokens", "must not be negative"},
		{limit(budget.Limit{Requests: -1, Window: day}), "budget.limits[2].requests", "must not be negative"},
		{limit(budget.Limit{Requests: 1}), "budget.limits[2].window", `is missing; say "day"`},
		{limit(budget.Limit{Requests: 1, Window: budget.Every(time.Millisecond)}), "budget.limits[2].window", "1ms is less than 1s"},
		{limit(budget.Limit{Requests: 1, Window: budget.Sliding(-1)}), "budget.limits[2].window", "is less than 1s"},
		{limit(budget.Limit{Requests: 1, Window: day, Scope: "user"}), "budget.limits[2].scope", `"user" is none of pool, tenant, op, model`},
		{limit(budget.Limit{Requests: 1, Window: day, Only: "acme"}), "budget.limits[2].only", "a pool has no name"},
		{limit(budget.Limit{Requests: 1, Window: day, Soft: 1.5}), "budget.limits[2].soft", "1.5 is more than 1"},
		{limit(budget.Limit{Requests: 1, Window: day, Soft: -1}), "budget.limits[2].soft", "-1 must not be negative"},
		{limit(budget.Limit{Requests: 1, Window: budget.Every(60 * time.Minute)}), "budget.limits[2].window", "limits[1] has the same scope and window"},
		{budget.Config{Unpriced: "guess"}, "budget.unpriced", `"guess" is none of refuse, assume, ignore`},
		{budget.Config{Names: -1}, "budget.names", "must not be negative"},
		{budget.Config{Wait: 2 * time.Hour}, "budget.wait", "2h is more than 1h"},
	} {
		_, err := resilience.NewPool(budget.New(tc.cfg))
		var bad *resilience.ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, tc.path, bad.Path)
		require.ErrorContains(t, err, tc.want)
	}
	_, err := resilience.NewPool(budget.New(budget.Config{Wait: 2 * time.Hour, Limits: []budget.Limit{{}}}))
	require.ErrorContains(t, err, "budget.wait")
	require.ErrorContains(t, err, "budget.limits[0].window", "all that is wrong")

	_, err = resilience.NewPool(budget.New(budget.Config{Limits: []budget.Limit{
		{Scope: budget.Tenant, Cost: 1, Window: day}, {Scope: budget.Tenant, Only: "acme", Cost: 2, Window: day},
		{Scope: budget.Tenant, Cost: 1, Window: budget.Week(nil)}, {Scope: budget.Op, Cost: 1, Window: day}, {Scope: budget.Pool, Cost: 1, Window: day},
	}}))
	require.NoError(t, err)

	b := budget.New(budget.Config{})
	require.Empty(t, b.Accounts("", ""))
	_, err = resilience.NewPool(b)
	require.NoError(t, err)
	require.Empty(t, b.Accounts("", ""))
	_, err = resilience.NewPool(b)
	require.ErrorContains(t, err, "belong to another pool")
	_, err = resilience.NewPool(budget.New(budget.Config{}), budget.New(budget.Config{}))
	require.ErrorContains(t, err, "two features own this section")
}

func TestConfigFile(t *testing.T) {
	b := budget.New(budget.Config{Names: 5})
	pool, err := resilience.NewPool(b)
	require.NoError(t, err)
	require.Equal(t, "unpriced=refuse wait=10s queue=1000 names=5 observeOnly=false", b.String())
	reload := func(config string) error { return pool.Reload(t.Context(), []byte(config), by) }
	require.NoError(t, reload(`{"budget": {"unpriced": "assume", "wait": "-1s", "limits": [
		{"cost": 200, "window": "day"}, {"scope": "tenant", "tokens": 1000000, "window": "month Europe/Lisbon", "soft": 0.5}]}}`))
	require.Equal(t, "limits=2 unpriced=assume wait=off queue=1000 names=5 observeOnly=false", b.String())
	for config, want := range map[string]string{
		`{"budget": {"limit": []}}`:                                               `budget.limit: unknown key; did you mean "limits"?`,
		`{"budget": {"limits": [{"cost": 1, "window": "daily"}]}}`:                `budget.limits[0].window: "daily" is no window such as`,
		`{"budget": {"limits": [{"cost": 1, "window": "day Mars/Base"}]}}`:        `budget.limits[0].window: there is no time zone "Mars/Base" here`,
		`{"budget": {"limits": [{"window": "day"}]}}`:                             `budget.limits[0].cost: is missing`,
		`{"budget": {"limits": [{"cost": 1, "window": "day", "soft": 0}]}}`:       `budget.limits[0].soft: 0 means the default here, 0.8`,
		`{"budget": {"limits": [{"cost": 1, "window": "day", "scope": "user"}]}}`: `budget.limits[0].scope: "user" is none of`,
		`{"budget": {"names": 0}}`:                                                `budget.names: 0 means the default here, 10000`,
	} {
		require.ErrorContains(t, reload(config), want)
	}
	require.Equal(t, "limits=2 unpriced=assume wait=off queue=1000 names=5 observeOnly=false", b.String(), "what is refused changes nothing")
	require.NoError(t, reload(`{}`))
	require.Equal(t, "unpriced=refuse wait=10s queue=1000 names=5 observeOnly=false", b.String(), "an absent section is as it was given")
}

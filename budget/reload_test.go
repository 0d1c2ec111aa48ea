package budget_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
)

// A limit that is still there keeps what was spent and is reserved.
func TestReloadKeepsAccounts(t *testing.T) {
	hour := budget.Every(time.Hour)
	cfg := budget.Config{Limits: []budget.Limit{
		{Requests: 20, Window: hour}, {Scope: budget.Tenant, Requests: 3, Window: hour}, {Scope: budget.Tenant, Only: "vip", Requests: 100, Window: hour},
	}}
	acme, vip := resilience.CallOptions{Tenant: "acme"}, resilience.CallOptions{Tenant: "vip"}
	limited(t, cfg, models("a"), func(r *rig) {
		for range 3 {
			require.NoError(r, r.ask(acme))
			require.NoError(r, r.ask(vip))
		}
		r.refused(r.ask(acme))
		r.go1(vip, r.fine)
		r.reload(`{"budget": {"limits": [
			{"scope": "tenant", "requests": 4, "tokens": 5000, "window": "1h"}, {"requests": 19, "window": "60m"},
			{"scope": "tenant", "requests": 1, "window": "day"}]}}`)
		require.Len(r, r.budgets.Accounts("", ""), 3, "the pool's and two of acme")
		pool := r.account(budget.Pool, "")
		require.Equal(r, int64(19), pool.Limit.Requests)
		require.Equal(r, int64(6), pool.Spent.Requests)
		require.Equal(r, int64(1), pool.Reserved.Requests)
		r.calls.Wait()
		require.Equal(r, int64(7), r.account(budget.Pool, "").Spent.Requests, "what was under way settles there")

		require.NoError(r, r.ask(acme))
		require.Equal(r, "tenant acme (1h)", r.refused(r.ask(acme)).Budget)
		list := r.budgets.Accounts(budget.Tenant, "acme")
		require.Len(r, list, 2)
		require.Equal(r, budget.Amounts{Requests: 4, Tokens: 1000}, list[0].Spent, "tokens count from now on")
		require.Equal(r, budget.Amounts{Requests: 1}, list[1].Spent)
		require.NoError(r, r.ask(vip))
		require.Equal(r, "tenant vip (day)", r.refused(r.ask(vip)).Budget, "a general limit is the first of his")

		r.reload(`{}`)
		require.Equal(r, int64(9), r.account(budget.Pool, "").Spent.Requests)
		require.Zero(r, r.account(budget.Tenant, "vip").Spent, "it was gone meanwhile")
		require.NoError(r, r.ask(vip))
	})
}

// Who waits looks again when there is more.
func TestReloadWakes(t *testing.T) {
	for name, config := range map[string]string{
		"more":              `{"budget": {"limits": [{"tokens": 2000, "window": "day"}]}}`,
		"no limit any more": `{"budget": {"limits": [{"tokens": 2000, "window": "1h"}]}}`,
		"none at all":       `{"budget": {"limits": []}}`,
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, only(budget.Limit{Tokens: 1000, Window: budget.Day(nil)}), models("a"), func(r *rig) {
				r.do = takes(8*time.Second, 10)
				start := time.Now()
				r.go1(asks(600), r.fine)
				for range 2 {
					r.go1(asks(600), func(err error) {
						require.NoError(r, err)
						require.Equal(r, 9*time.Second, time.Since(start))
					})
				}
				time.Sleep(time.Second)
				r.reload(config)
				r.calls.Wait()
			})
		})
	}
}

// Prices come with the file that the models come in.
func TestReloadChangesPrices(t *testing.T) {
	limited(t, only(budget.Limit{Cost: 1, Window: budget.Day(nil)}), models("a"), func(r *rig) {
		require.NoError(r, r.ask(asks(1000)))
		r.reload(`{"models": [{"id": "a", "provider": "p"}]}`)
		require.Equal(r, "price", r.refused(r.ask(asks(1000))).Resource)
		r.reload(`{"models": [{"id": "a", "provider": "p"}, {"id": "b", "provider": "p", "price": {"input": 2, "output": 7}}], "budget": {"unpriced": "assume", "limits": [{"cost": 1, "window": "day"}]}}`)
		require.NoError(r, r.ask(resilience.CallOptions{Model: "a", Tokens: 1000}))
		require.InDelta(r, 0.001+0.007, r.account(budget.Pool, "").Spent.Cost, 1e-12)
	})
}

// Calls go on while settings change, and nothing gets lost.
func TestReloadUnderLoad(t *testing.T) {
	cfg := budget.Config{Names: 20, Limits: []budget.Limit{{Requests: 1e9, Window: budget.Day(nil)}, {Scope: budget.Tenant, Requests: 1e9, Window: budget.Day(nil)}}}
	limited(t, cfg, models("a"), func(r *rig) {
		r.do = takes(0, 1)
		const workers, calls = 8, 500
		for w := range workers {
			r.calls.Go(func() {
				for i := range calls {
					require.NoError(r, r.ask(resilience.CallOptions{Tenant: fmt.Sprint(w, i%10), Tokens: 5}))
				}
			})
		}
		for i := range 50 {
			tokens := ""
			if i%2 == 0 {
				tokens = `"tokens": 1000000000,`
			}
			r.reload(fmt.Sprintf(`{"budget": {"names": 20, "limits": [
				{"scope": "tenant", %s "requests": %d, "window": "day"}, {"requests": %d, "window": "day"}]}}`, tokens, 1_000_000+i, 2_000_000+i))
		}
		r.calls.Wait()
		require.Equal(r, int64(workers*calls), r.account(budget.Pool, "").Spent.Requests)
		var sum int64
		for _, a := range r.budgets.Accounts(budget.Tenant, "") {
			sum += a.Spent.Requests
		}
		require.Equal(r, int64(workers*calls), sum)
	})
}

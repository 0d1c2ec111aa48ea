package budget_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
)

// Names beyond what is told apart share an account, until one of the others is
// empty.
func TestManyNames(t *testing.T) {
	cfg := only(budget.Limit{Scope: budget.Tenant, Requests: 3, Window: budget.Every(time.Hour)})
	cfg.Names = 4
	limited(t, cfg, models("a"), func(r *rig) {
		r.do = takes(0, 1)
		ask := func(tenant string) error { return r.ask(resilience.CallOptions{Tenant: tenant}) }
		for _, tenant := range []string{"a", "b", "c", "d", "e", "f", "other"} {
			require.NoError(r, ask(tenant))
		}
		require.Len(r, r.budgets.Accounts(budget.Tenant, ""), 5)
		require.Equal(r, int64(3), r.account(budget.Tenant, "other").Spent.Requests)
		require.Equal(r, "tenant other (1h)", r.refused(ask("g")).Budget)
		require.NoError(r, ask("a"), "who was there first does not feel it")
		time.Sleep(time.Hour)
		for range 3 {
			require.NoError(r, ask("g"), "has a place now")
		}
		require.Equal(r, "tenant g (1h)", r.refused(ask("g")).Budget)
		require.Equal(r, int64(3), r.account(budget.Tenant, "g").Spent.Requests)
		require.NoError(r, ask("e"))
	})
}

// What was spent or is reserved keeps a name's place, of a sliding window too.
func TestPlacesAreKept(t *testing.T) {
	cfg := only(budget.Limit{Scope: budget.Tenant, Requests: 3, Window: budget.Sliding(time.Minute)})
	cfg.Names = 1
	limited(t, cfg, models("a"), func(r *rig) {
		r.do = takes(10*time.Second, 1)
		r.go1(resilience.CallOptions{Tenant: "a"}, r.fine)
		r.go1(resilience.CallOptions{Tenant: "b"}, r.fine)
		r.calls.Wait()
		require.Equal(r, int64(1), r.account(budget.Tenant, "a").Spent.Requests)
		require.Equal(r, int64(1), r.account(budget.Tenant, "other").Spent.Requests)
		time.Sleep(30 * time.Second)
		r.do = takes(0, 1)
		require.NoError(r, r.ask(resilience.CallOptions{Tenant: "c"}))
		require.Empty(r, r.budgets.Accounts(budget.Tenant, "c"))
		time.Sleep(time.Minute)
		require.NoError(r, r.ask(resilience.CallOptions{Tenant: "c"}))
		require.Len(r, r.budgets.Accounts(budget.Tenant, "c"), 1)
		require.Empty(r, r.budgets.Accounts(budget.Tenant, "a"))
	})
}

// A million names take no more memory than the places that there are.
func TestNamesAreBounded(t *testing.T) {
	names := 200_000
	switch {
	case *long:
		names = 1_000_000
	case testing.Short():
		names = 50_000
	}
	b := budget.New(budget.Config{Limits: []budget.Limit{
		{Scope: budget.Tenant, Cost: 1000, Window: budget.Day(nil)}, {Scope: budget.Op, Tokens: 1e12, Window: budget.Sliding(time.Hour)},
	}})
	pool, err := resilience.NewPool(b, resilience.Models(resilience.ModelInfo{ID: "m", Price: dollarAMillion}))
	require.NoError(t, err)
	client, err := resilience.NewClient(pool,
		resilience.BindFunc("m", func(context.Context, string) (int, error) { return 7, nil }),
		resilience.Hooks[string, int]{Usage: func(_ string, n int) resilience.Usage { return resilience.Usage{Output: int64(n)} }})
	require.NoError(t, err)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	next := 0
	call := func(n int) {
		for range n {
			name := strconv.Itoa(next)
			next++
			_, _, err := client.Do(t.Context(), "?", resilience.CallOptions{Tenant: "tenant " + name, Op: "op " + name, Tokens: 100})
			require.NoError(t, err)
		}
	}
	empty := heap()
	call(20_000)
	full := heap()
	call(names - 20_000)
	after := heap()
	t.Logf("%d KiB for the places, %d KiB after %d names", (full-empty)>>10, (int64(after)-int64(empty))>>10, names)
	require.Less(t, float64(after), float64(full)+float64(full-empty)/4)
	require.Len(t, b.Accounts(budget.Tenant, ""), 10_001)
	require.Len(t, b.Accounts(budget.Op, ""), 10_001)
	var spent int64
	for _, a := range b.Accounts(budget.Op, "") {
		spent += a.Spent.Tokens
	}
	require.Equal(t, int64(7*names), spent, "nothing is lost")
}

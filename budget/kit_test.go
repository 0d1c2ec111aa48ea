package budget_test

import (
	"context"
	"flag"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/fallback"
)

// million is a dollar's worth of the models of a rig.
const million = 1_000_000

var long = flag.Bool("long", false, "run the heavy checks whole")

// dollarAMillion is the price of a rig's models.
var dollarAMillion = resilience.Price{Input: 1, Output: 1}

// A rig is a pool with budgets on the clock of a test. What models do is said by
// do; without it they answer after a second, having used a thousand tokens.
type rig struct {
	*testing.T
	budgets *budget.Budgets
	pool    *resilience.Pool
	client  *resilience.Client[string, int]
	rejects *resilience.Subscription
	alarms  *resilience.Subscription
	do      func(ctx context.Context, m *resilience.Model, question string) (used int, err error)
	calls   sync.WaitGroup
}

func models(ids ...string) (infos []resilience.ModelInfo) {
	for i, id := range ids {
		infos = append(infos, resilience.ModelInfo{ID: id, Provider: "p", Tier: i, Price: dollarAMillion})
	}
	return infos
}

// limited runs f on a rig, whose calls have all ended when it returns.
func limited(t *testing.T, cfg budget.Config, infos []resilience.ModelInfo, f func(r *rig), features ...resilience.Feature) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, budgets: budget.New(cfg), do: takes(time.Second, 1000)}
		features := append([]resilience.Feature{r.budgets, resilience.Models(infos...), fallback.New(fallback.Config{})}, features...)
		pool, err := resilience.NewPool(features...)
		require.NoError(t, err)
		r.pool = pool
		r.client, err = resilience.NewClient(pool,
			resilience.BindProvider("p", func(ctx context.Context, m *resilience.Model, q string) (int, error) { return r.do(ctx, m, q) }),
			resilience.Hooks[string, int]{Usage: func(_ string, used int) resilience.Usage { return resilience.Usage{Output: int64(used)} }})
		require.NoError(t, err)
		r.rejects = pool.Subscribe(100_000, resilience.EventReject)
		r.alarms = pool.Subscribe(1000, resilience.EventBudget)
		f(r)
		r.calls.Wait()
		for _, a := range r.budgets.Accounts("", "") {
			require.Zero(t, a.Reserved, "%s %s", a.Limit.Scope, a.Who)
		}
		r.rejects.Close()
		r.alarms.Close()
	})
}

// takes answers after a time, having used so many tokens.
func takes(d time.Duration, used int) func(context.Context, *resilience.Model, string) (int, error) {
	return func(ctx context.Context, _ *resilience.Model, _ string) (int, error) {
		select {
		case <-time.After(d):
			return used, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// ask makes a call.
func (r *rig) ask(opts resilience.CallOptions) error {
	_, _, err := r.client.Do(r.Context(), "?", opts)
	return err
}

// go1 makes a call beside the test, tells done of its outcome, and returns when it
// is under way or waits.
func (r *rig) go1(opts resilience.CallOptions, done func(error)) {
	r.calls.Go(func() { done(r.ask(opts)) })
	synctest.Wait()
}

func (r *rig) fine(err error) {
	r.Helper()
	require.NoError(r, err)
}

// refused requires err to be a refusal of a budget, and returns it.
func (r *rig) refused(err error) *resilience.BudgetError {
	r.Helper()
	require.ErrorIs(r, err, resilience.Rejected)
	var e *resilience.BudgetError
	require.ErrorAs(r, err, &e)
	return e
}

// account is the only one of a scope and name.
func (r *rig) account(scope budget.Scope, who string) budget.Account {
	r.Helper()
	list := r.budgets.Accounts(scope, who)
	require.Len(r, list, 1)
	return list[0]
}

func (r *rig) reload(config string) {
	r.Helper()
	require.NoError(r, r.pool.Reload(r.Context(), []byte(config), by))
}

// drain returns the events that came since.
func drain(s *resilience.Subscription) (events []resilience.Event) {
	for {
		select {
		case e := <-s.C:
			events = append(events, e)
		default:
			return events
		}
	}
}

// only is one limit.
func only(l budget.Limit) budget.Config { return budget.Config{Limits: []budget.Limit{l}} }

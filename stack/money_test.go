package stack_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// A biller is a provider that bills what it accepts, in tokens, to whom the call
// says that it is for.
type biller struct {
	tenants [billedTenants]atomic.Int64 // tokens
	asked   atomic.Int64
}

const (
	billedTenants = 20
	largest       = 4000 // tokens of a call, as its estimate says
)

// charge bills tokens to the call that ctx belongs to, and tells the caller.
func (b *biller) charge(ctx context.Context, tenant int, tokens int64) {
	b.tenants[tenant].Add(tokens)
	resilience.ReportUsage(ctx, resilience.Usage{Input: tokens})
}

func (b *biller) total() (tokens int64) {
	for i := range b.tenants {
		tokens += b.tenants[i].Load()
	}
	return tokens
}

// An order is what a call asks for, and what is to become of its attempts.
type order struct {
	tenant int
	seed   uint64
}

// serve is an attempt: it may be refused, bill and fail, bill and panic, or take
// its time, and bill as it goes.
func (b *biller) serve(ctx context.Context, o order) (parts int, err error) {
	n := b.asked.Add(1)
	draw := rand.New(rand.NewPCG(o.seed, uint64(n)))
	switch draw.IntN(12) {
	case 0:
		return 0, &resilience.Error{Kind: resilience.RateLimited, Status: 429}
	case 1:
		return 0, &resilience.Error{Kind: resilience.Overloaded, Status: 529}
	}
	b.charge(ctx, o.tenant, draw.Int64N(largest/2)+1) // the prompt
	select {
	case <-time.After(time.Duration(draw.Int64N(int64(3 * time.Second)))):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	switch draw.IntN(12) {
	case 0:
		return 0, errors.New("connection reset by peer")
	case 1:
		panic("a bug of the caller's")
	}
	return 1 + draw.IntN(4), nil
}

const partTokens = largest / 8

func (b *biller) whole(ctx context.Context, o order) (int, error) {
	parts, err := b.serve(ctx, o)
	if err == nil {
		b.charge(ctx, o.tenant, int64(parts)*partTokens)
	}
	return parts, err
}

func (b *biller) stream(ctx context.Context, o order) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		parts, err := b.serve(ctx, o)
		if err != nil {
			yield(0, err)
			return
		}
		for i := range parts {
			b.charge(ctx, o.tenant, partTokens)
			time.Sleep(100*time.Millisecond + time.Duration(o.seed%1e6))
			if !yield(parts-i, nil) {
				return
			}
		}
	}
}

// TestMoney lets very many calls happen at once, with retries, fallbacks, hedges,
// cancels, panics and streams that nobody reads, and compares what the budgets
// say with the provider's bills.
func TestMoney(t *testing.T) {
	for name, c := range map[string]struct {
		cfg   fallback.Config
		calls int
	}{
		"hedged":   {fallback.Config{Strategy: fallback.Hedged, HedgeAfter: time.Second}, 100_000},
		"parallel": {fallback.Config{Strategy: fallback.Parallel, Width: 2}, 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				c.calls = 5_000 // the race detector knows no more than 8,128 goroutines
			}
			synctest.Test(t, func(t *testing.T) { spend(t, c.calls, 1, c.cfg) })
		})
	}
}

const perMillion = 7. // dollars, in and out

func spend(t *testing.T, calls int, seed uint64, cfg fallback.Config) {
	t.Helper()
	mean := float64(largest) / 2 * perMillion / 1e6
	most := float64(calls) * mean / 3 // dollars: not all of it can be had
	budgets := budget.New(budget.Config{Limits: []budget.Limit{
		{Scope: budget.Pool, Cost: most, Window: budget.Day(nil)},
		{Scope: budget.Tenant, Cost: most / billedTenants * 1.5, Tokens: int64(calls) * largest / billedTenants / 4, Window: budget.Day(nil)},
		{Scope: budget.Op, Only: "batch", Cost: most / 10, Window: budget.Day(nil)},
	}})
	var infos []resilience.ModelInfo
	for i := range 4 {
		infos = append(infos, resilience.ModelInfo{
			ID: fmt.Sprint("m", i), Provider: fmt.Sprint("p", i/2), Price: resilience.Price{Input: perMillion, Output: perMillion},
		})
	}
	pool, err := resilience.NewPool(resilience.Models(infos...), resilience.Seed(rand.NewPCG(seed, 1)), budgets,
		resilience.Timeouts{Call: 20 * time.Second, Attempt: 5 * time.Second}, fallback.New(cfg), retry.New(retry.Config{}),
		balance.New(balance.Config{}))
	require.NoError(t, err)
	var b biller
	hooks := resilience.Hooks[order, int]{Tokens: func(order) int { return largest }}
	wholes, err := resilience.NewClient(pool, resilience.BindAll(
		func(ctx context.Context, _ *resilience.Model, o order) (int, error) { return b.whole(ctx, o) }), hooks)
	require.NoError(t, err)
	streams, err := resilience.NewClient(pool, resilience.BindAllStreams(
		func(ctx context.Context, _ *resilience.Model, o order) iter.Seq2[int, error] { return b.stream(ctx, o) },
		resilience.StreamHooks[order, int]{Terminal: func(left int) bool { return left == 1 }}),
		resilience.Hooks[order, *resilience.Stream[int]]{Tokens: func(order) int { return largest }})
	require.NoError(t, err)

	run := resilience.WithBudget(t.Context(), resilience.Budget{Cost: most / 5})
	var answered, refused atomic.Int64
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			draw := rand.New(rand.NewPCG(seed, uint64(i)))
			time.Sleep(time.Duration(draw.Int64N(int64(10 * time.Second))))
			o := order{draw.IntN(billedTenants), draw.Uint64()}
			opts := resilience.CallOptions{Tenant: fmt.Sprint("t", o.tenant), Op: []string{"chat", "batch", ""}[draw.IntN(3)]}
			base := t.Context()
			if draw.IntN(10) == 0 {
				base = run
			}
			ctx, cancel := context.WithTimeout(base, time.Hour)
			defer cancel()
			if draw.IntN(5) == 0 {
				time.AfterFunc(time.Duration(draw.Int64N(int64(4*time.Second))), cancel)
			}
			defer func() { _ = recover() }()
			count := func(err error) {
				var e *resilience.BudgetError
				switch {
				case err == nil:
					answered.Add(1)
				case errors.As(err, &e):
					refused.Add(1)
				}
			}
			if draw.IntN(2) == 0 {
				_, _, err := wholes.Do(ctx, o, opts)
				count(err)
				return
			}
			s, _, err := streams.Do(ctx, o, opts)
			count(err)
			if err != nil {
				return
			}
			if draw.IntN(3) == 0 {
				_ = s.Close()
				return
			}
			for _, err := range s.All() {
				if err != nil || draw.IntN(8) == 0 {
					break
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, pool.Drain(t.Context()))

	dollars := func(tokens int64) float64 { return float64(tokens) * perMillion / 1e6 }
	one := dollars(largest)
	spent := map[string]budget.Account{}
	for _, a := range budgets.Accounts("", "") {
		require.Zero(t, a.Reserved, "%v %s", a.Limit, a.Who)
		require.LessOrEqual(t, a.Spent.Cost, a.Limit.Cost+one, "%v %s", a.Limit, a.Who)
		if a.Limit.Tokens > 0 {
			require.LessOrEqual(t, a.Spent.Tokens, a.Limit.Tokens+largest, "%v %s", a.Limit, a.Who)
		}
		spent[string(a.Limit.Scope)+a.Who] = a
	}
	require.InDelta(t, dollars(b.total()), spent["pool"].Spent.Cost, .005, "to the cent")
	for i := range billedTenants {
		require.InDelta(t, dollars(b.tenants[i].Load()), spent["tenant"+fmt.Sprint("t", i)].Spent.Cost, .005)
	}
	total, _ := resilience.Spent(run)
	require.LessOrEqual(t, total.Cost, most/5)
	require.Greater(t, spent["pool"].Spent.Cost, most*.95, "the budget was used")
	t.Logf("published: money, %s: measured %d calls at once, %d answered, %d refused for want of budget, $%.4f spent and $%.4f billed, reference none, target the same to the cent, no limit exceeded, nothing reserved",
		cfg.Strategy, calls, answered.Load(), refused.Load(), spent["pool"].Spent.Cost, dollars(b.total()))
	require.Positive(t, answered.Load())
	require.Positive(t, refused.Load())
}

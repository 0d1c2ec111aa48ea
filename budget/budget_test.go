package budget_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// What is spent counts against what the scope allows, and others do not care.
func TestScopes(t *testing.T) {
	acme := resilience.CallOptions{Tenant: "acme", Op: "ask"}
	for name, c := range map[string]struct {
		limit  budget.Limit
		other  resilience.CallOptions // that is not limited with acme
		budget string
	}{
		"pool":        {budget.Limit{}, resilience.CallOptions{}, "pool (1h)"},
		"tenant":      {budget.Limit{Scope: budget.Tenant}, resilience.CallOptions{Op: "ask"}, "tenant acme (1h)"},
		"op":          {budget.Limit{Scope: budget.Op}, resilience.CallOptions{Tenant: "acme"}, "op ask (1h)"},
		"model":       {budget.Limit{Scope: budget.Model}, resilience.CallOptions{Model: "b"}, "model a (1h)"},
		"only acme":   {budget.Limit{Scope: budget.Tenant, Only: "acme"}, resilience.CallOptions{Tenant: "b"}, "tenant acme (1h)"},
		"only model":  {budget.Limit{Scope: budget.Model, Only: "a"}, resilience.CallOptions{Model: "b"}, "model a (1h)"},
		"by requests": {budget.Limit{Scope: budget.Tenant, Requests: 3}, resilience.CallOptions{Op: "ask"}, "tenant acme (1h)"},
		"by tokens":   {budget.Limit{Scope: budget.Tenant, Tokens: 3000}, resilience.CallOptions{Op: "ask"}, "tenant acme (1h)"},
	} {
		t.Run(name, func(t *testing.T) {
			l := c.limit
			l.Window = budget.Every(time.Hour)
			if l.Tokens+l.Requests == 0 {
				l.Cost = 0.003
			}
			limited(t, only(l), models("a", "b"), func(r *rig) {
				acme := acme
				acme.Model = "a"
				for range 3 {
					require.NoError(r, r.ask(acme))
				}
				e := r.refused(r.ask(acme))
				require.Equal(r, c.budget, e.Budget)
				require.InDelta(r, e.Max, e.Spent, 0)
				require.Equal(r, time.Hour-3*time.Second, e.RetryAfter)
				require.Equal(r, time.Hour-3*time.Second, resilience.RetryAfter(r.ask(acme)))
				if l.Scope != "" {
					require.NoError(r, r.ask(c.other))
				}
				time.Sleep(e.RetryAfter - 2*time.Second)
				r.refused(r.ask(acme))
				time.Sleep(2 * time.Second)
				require.NoError(r, r.ask(acme), "another window")
			})
		})
	}
}

// A limit of one name's own takes the place of the general ones of its scope.
func TestOnly(t *testing.T) {
	cfg := budget.Config{Limits: []budget.Limit{
		{Scope: budget.Tenant, Requests: 1, Window: budget.Every(time.Hour)},
		{Scope: budget.Tenant, Tokens: 1, Window: budget.Sliding(time.Hour)},
		{Scope: budget.Tenant, Only: "acme", Requests: 3, Window: budget.Every(time.Hour)},
	}}
	limited(t, cfg, models("a"), func(r *rig) {
		for range 3 {
			require.NoError(r, r.ask(resilience.CallOptions{Tenant: "acme"}))
		}
		r.refused(r.ask(resilience.CallOptions{Tenant: "acme"}))
		for _, tenant := range []string{"b", ""} {
			require.NoError(r, r.ask(resilience.CallOptions{Tenant: tenant}))
			require.Zero(r, r.refused(r.ask(resilience.CallOptions{Tenant: tenant})).RetryAfter%time.Second)
		}
		require.Len(r, r.budgets.Accounts(budget.Tenant, "acme"), 1)
		require.Len(r, r.budgets.Accounts(budget.Tenant, "b"), 2)
		require.Len(r, r.budgets.Accounts("", ""), 5)
	})
}

// What is charged, by how an attempt ends.
func TestCharges(t *testing.T) {
	estimated := resilience.CallOptions{Tokens: 5000}
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		do   func(ctx context.Context, m *resilience.Model, q string) (int, error)
		opts resilience.CallOptions
		want budget.Amounts
	}{
		"an answer":                   {takes(0, 1234), estimated, budget.Amounts{Cost: 0.001234, Tokens: 1234, Requests: 1}},
		"more than estimated":         {takes(0, 7000), estimated, budget.Amounts{Cost: 0.007, Tokens: 7000, Requests: 1}},
		"without an estimate":         {takes(0, 7000), resilience.CallOptions{}, budget.Amounts{Cost: 0.007, Tokens: 7000, Requests: 1}},
		"usage unknown":               {takes(0, 0), estimated, budget.Amounts{Cost: 0.005, Tokens: 5000, Requests: 1}},
		"nothing known at all":        {takes(0, 0), resilience.CallOptions{}, budget.Amounts{Requests: 1}},
		"our timeout":                 {takes(time.Hour, 0), resilience.CallOptions{Tokens: 5000, Timeout: time.Second}, budget.Amounts{Cost: 0.005, Tokens: 5000, Requests: 1}},
		"refused by the provider":     {fails(resilience.RateLimited), estimated, budget.Amounts{}},
		"failed, nobody knows when":   {fails(boom), estimated, budget.Amounts{Cost: 0.005, Tokens: 5000, Requests: 1}},
		"failed, and said what it is": {failsHaving(900, boom), estimated, budget.Amounts{Cost: 0.0009, Tokens: 900, Requests: 1}},
		"panicked": {
			func(context.Context, *resilience.Model, string) (int, error) { panic("boom") },
			estimated, budget.Amounts{Cost: 0.005, Tokens: 5000, Requests: 1},
		},
		"ended its goroutine": {
			func(context.Context, *resilience.Model, string) (int, error) { runtime.Goexit(); return 0, nil },
			estimated, budget.Amounts{Cost: 0.005, Tokens: 5000, Requests: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := only(budget.Limit{Cost: 1, Tokens: million, Requests: 100, Window: budget.Day(nil)})
			limited(t, cfg, models("a"), func(r *rig) {
				r.do = func(ctx context.Context, m *resilience.Model, q string) (int, error) {
					a := r.account(budget.Pool, "")
					require.Equal(r, int64(1), a.Reserved.Requests)
					require.Equal(r, int64(max(c.opts.Tokens, 1)), a.Reserved.Tokens)
					require.InDelta(r, max(float64(c.opts.Tokens)/million, 1e-9), a.Reserved.Cost, 1e-15)
					return c.do(ctx, m, q)
				}
				r.calls.Go(func() {
					defer func() { _ = recover() }()
					_ = r.ask(c.opts)
				})
				r.calls.Wait()
				require.Equal(r, c.want, r.account(budget.Pool, "").Spent)
			})
		})
	}
}

func fails(err error) func(context.Context, *resilience.Model, string) (int, error) {
	return func(context.Context, *resilience.Model, string) (int, error) { return 0, err }
}

func failsHaving(used int64, err error) func(context.Context, *resilience.Model, string) (int, error) {
	return func(ctx context.Context, _ *resilience.Model, _ string) (int, error) {
		resilience.ReportUsage(ctx, resilience.Usage{Input: used})
		return 0, err
	}
}

// A refusal further in has cost nothing.
func TestRefusedFurtherIn(t *testing.T) {
	b := breaker.New(breaker.Config{})
	limited(t, only(budget.Limit{Requests: 1, Window: budget.Day(nil)}), models("a"), func(r *rig) {
		m := r.pool.Model("a")
		require.NoError(r, b.Isolate(r.Context(), m, by))
		m.Release(r.Context(), resilience.HoldBreaker)
		for range 3 {
			require.ErrorContains(r, r.ask(resilience.CallOptions{}), "breaker isolated")
		}
		require.Zero(r, r.account(budget.Pool, "").Spent)
	}, b)
}

// The caller leaves; the provider may have accepted what it asked.
func TestCanceled(t *testing.T) {
	limited(t, only(budget.Limit{Tokens: million, Requests: 5, Window: budget.Day(nil)}), models("a"), func(r *rig) {
		ctx, cancel := context.WithCancel(r.Context())
		r.calls.Go(func() {
			_, _, err := r.client.Do(ctx, "?", resilience.CallOptions{Tokens: 700})
			require.ErrorIs(r, err, context.Canceled)
		})
		synctest.Wait()
		require.Equal(r, budget.Amounts{Tokens: 700, Requests: 1}, r.account(budget.Pool, "").Reserved)
		cancel()
		r.calls.Wait()
		require.Equal(r, budget.Amounts{Tokens: 700, Requests: 1}, r.account(budget.Pool, "").Spent)
	})
}

// Every attempt is charged: retries, fallbacks, losers of races.
func TestEveryAttempt(t *testing.T) {
	day := budget.Day(nil)
	cfg := budget.Config{Limits: []budget.Limit{{Requests: 100, Tokens: million, Window: day}, {Scope: budget.Model, Requests: 100, Window: day}}}
	opts := resilience.CallOptions{Tokens: 100}
	limited(t, cfg, models("a", "b"), func(r *rig) {
		r.do = func(ctx context.Context, m *resilience.Model, q string) (int, error) {
			if m.ID() == "a" {
				return 0, resilience.Unreachable
			}
			return 50, nil
		}
		require.NoError(r, r.ask(opts))
		require.Equal(r, budget.Amounts{Requests: 3, Tokens: 250}, r.account(budget.Pool, "").Spent, "a twice, then b")
		require.Equal(r, int64(2), r.account(budget.Model, "a").Spent.Requests)
		require.Equal(r, int64(1), r.account(budget.Model, "b").Spent.Requests)
	}, retry.New(retry.Config{}))
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(cfg)
		pool, err := resilience.NewPool(b, resilience.Models(models("a", "b")...), fallback.New(fallback.Config{Strategy: fallback.Parallel}))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindProvider("p",
			func(_ context.Context, m *resilience.Model, _ string) (int, error) {
				if m.ID() == "a" {
					time.Sleep(time.Hour) // and does not notice that it has lost
				}
				return 0, nil
			}))
		require.NoError(t, err)
		_, _, err = client.Do(t.Context(), "?", opts)
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		a := b.Accounts(budget.Pool, "")[0]
		require.Equal(t, budget.Amounts{Requests: 2, Tokens: 200}, a.Spent)
		require.Zero(t, a.Reserved)
	})
}

// A call that a free model failed does not spend what there is not.
func TestFreeModelFallsBackToPaidOne(t *testing.T) {
	infos := models("free", "paid")
	infos[0].Price = resilience.Price{Free: true}
	limited(t, only(budget.Limit{Cost: 0.001, Window: budget.Day(nil)}), infos, func(r *rig) {
		require.NoError(r, r.ask(resilience.CallOptions{Model: "paid"}))
		require.NoError(r, r.ask(resilience.CallOptions{}), "the free one costs nothing")
		asked := ""
		r.do = func(_ context.Context, m *resilience.Model, _ string) (int, error) {
			asked += m.ID() + " "
			return 0, resilience.Overloaded
		}
		e := r.refused(r.ask(resilience.CallOptions{}))
		require.Equal(r, "paid", e.Model)
		require.Equal(r, "free ", asked)
		require.ErrorIs(r, r.ask(resilience.CallOptions{}), resilience.Overloaded, "and that is told first")
		r.refused(r.ask(resilience.CallOptions{Model: "paid"}))
		require.Equal(r, "free free ", asked)
	})
}

// A call that no model could help is refused before it goes through them.
func TestRefusedAtOnce(t *testing.T) {
	var ids []string
	for i := range 500 {
		ids = append(ids, fmt.Sprint("m", i))
	}
	for _, l := range []budget.Limit{{Requests: 2}, {Tokens: 2000}, {Cost: 0.002}} {
		l.Window = budget.Day(nil)
		limited(t, only(l), models(ids...), func(r *rig) {
			for range 2 {
				require.NoError(r, r.ask(resilience.CallOptions{}))
			}
			require.NotEmpty(r, drain(r.alarms))
			r.refused(r.ask(resilience.CallOptions{}))
			rejects := drain(r.rejects)
			require.Len(r, rejects, 1)
			require.Nil(r, rejects[0].Model)
		})
	}
}

// A model without a price is an explicit choice.
func TestUnpriced(t *testing.T) {
	infos := models("a", "b", "c")
	infos[0].Price = resilience.Price{}
	infos[1].Price = resilience.Price{Input: 1, Output: 2}
	infos[2].Price = resilience.Price{Input: 5, Output: 1}
	day := budget.Day(nil)
	dollars := budget.Limit{Cost: 1, Window: day}
	with := func(u budget.Unpriced, l budget.Limit) budget.Config {
		return budget.Config{Unpriced: u, Limits: []budget.Limit{l}}
	}
	opts := resilience.CallOptions{Model: "a", Tokens: 2000}
	limited(t, with("", dollars), infos, func(r *rig) {
		e := r.refused(r.ask(opts))
		require.Equal(r, "price", e.Resource)
		require.ErrorContains(r, e, "the price of a is not known, and the pool (day) budget is in dollars: give the model a Price, or Free")
		require.NoError(r, r.ask(resilience.CallOptions{}), "another one has a price")
		require.Empty(r, drain(r.alarms), "nothing was spent")
	})
	limited(t, with("", budget.Limit{Tokens: million, Window: day}), infos, func(r *rig) {
		require.NoError(r, r.ask(opts), "dollars are not limited")
	})
	limited(t, with("", budget.Limit{Scope: budget.Model, Only: "b", Cost: 1, Window: day}), infos, func(r *rig) {
		require.NoError(r, r.ask(opts), "its dollars are not")
	})
	limited(t, with(budget.Assume, dollars), infos, func(r *rig) {
		r.do = func(context.Context, *resilience.Model, string) (int, error) {
			require.InDelta(r, 2000*5e-6, r.account(budget.Pool, "").Reserved.Cost, 1e-12)
			return 1000, nil
		}
		require.NoError(r, r.ask(opts))
		require.InDelta(r, 1000*2e-6, r.account(budget.Pool, "").Spent.Cost, 1e-12, "a thousand of output at most at b")
		r.do = takes(0, 0)
		require.NoError(r, r.ask(opts))
		require.InDelta(r, 1000*2e-6+2000*5e-6, r.account(budget.Pool, "").Spent.Cost, 1e-12)
	})
	limited(t, with(budget.Assume, dollars), infos[:1], func(r *rig) {
		require.Equal(r, "price", r.refused(r.ask(opts)).Resource)
	})
	limited(t, with(budget.Ignore, budget.Limit{Cost: 0.001, Window: day}), infos, func(r *rig) {
		require.NoError(r, r.ask(opts))
		require.Zero(r, r.account(budget.Pool, "").Spent)
		require.NoError(r, r.ask(resilience.CallOptions{Model: "b"}))
		r.refused(r.ask(resilience.CallOptions{Model: "b"}))
		require.NoError(r, r.ask(opts), "it still costs nothing")
	})
	limited(t, budget.Config{ObserveOnly: true, Limits: []budget.Limit{dollars}}, infos, func(r *rig) {
		require.NoError(r, r.ask(opts))
		require.True(r, drain(r.rejects)[0].Would)
	})
}

// Soft and hard limits are told of once a window.
func TestEvents(t *testing.T) {
	limited(t, only(budget.Limit{Scope: budget.Tenant, Requests: 5, Window: budget.Every(time.Hour)}), models("a"), func(r *rig) {
		for range 2 {
			opts := resilience.CallOptions{Tenant: "acme"}
			for range 3 {
				require.NoError(r, r.ask(opts))
			}
			require.Empty(r, drain(r.alarms))
			require.NoError(r, r.ask(opts))
			soft := drain(r.alarms)
			require.Len(r, soft, 1)
			require.Equal(r, "tenant acme (1h): 4 requests of 5 requests spent", soft[0].Reason)
			require.NoError(r, soft[0].Err)
			require.Equal(r, "acme", soft[0].Tenant)
			require.NoError(r, r.ask(opts))
			require.Empty(r, drain(r.alarms))
			for range 3 {
				r.refused(r.ask(opts))
			}
			hard := drain(r.alarms)
			require.Len(r, hard, 1)
			require.ErrorIs(r, hard[0].Err, resilience.Rejected)
			require.Contains(r, hard[0].Reason, "refused: tenant acme (1h) budget: nothing is left of 5 requests, 5 requests spent, retry in 59m")
			require.Len(r, drain(r.rejects), 3)
			require.False(r, hard[0].Would)
			time.Sleep(hard[0].Err.(*resilience.BudgetError).RetryAfter)
		}
	})
}

func TestObserveOnly(t *testing.T) {
	cfg := only(budget.Limit{Requests: 2, Tokens: 5000, Window: budget.Every(time.Hour)})
	cfg.ObserveOnly = true
	limited(t, cfg, models("a"), func(r *rig) {
		for range 4 {
			require.NoError(r, r.ask(resilience.CallOptions{Tokens: 4000}))
		}
		require.Equal(r, budget.Amounts{Requests: 4, Tokens: 4000}, r.account(budget.Pool, "").Spent)
		rejects := drain(r.rejects)
		require.Len(r, rejects, 2)
		for _, e := range rejects {
			require.True(r, e.Would)
		}
		alarms := drain(r.alarms)
		require.Len(r, alarms, 2)
		require.False(r, alarms[0].Would, "the soft limit")
		require.True(r, alarms[1].Would)
		r.go1(resilience.CallOptions{Tokens: million}, r.fine)
		r.go1(resilience.CallOptions{Tokens: million}, r.fine)
		require.Equal(r, int64(2), r.account(budget.Pool, "").Reserved.Requests)
	})
}

// Past the soft limit cheaper models go first, and dearer ones if those fail.
func TestSoftPrefersCheaper(t *testing.T) {
	infos := models("dear", "cheap", "cheap-too", "unknown")
	infos[0].Price = resilience.Price{Input: 10, Output: 10}
	infos[3].Price = resilience.Price{}
	for name, c := range map[string]struct {
		limit budget.Limit
		want  string
	}{
		"dollars":            {budget.Limit{Cost: 0.1}, "cheap"},
		"a tenant's dollars": {budget.Limit{Scope: budget.Tenant, Cost: 0.1}, "cheap"},
		"tokens":             {budget.Limit{Tokens: 10_000}, "dear"},
		"a model's dollars":  {budget.Limit{Scope: budget.Model, Cost: 0.1}, "dear"},
		"later":              {budget.Limit{Cost: 0.1, Soft: 0.9}, "dear"},
		"observed":           {budget.Limit{Cost: 0.1}, "dear"},
	} {
		t.Run(name, func(t *testing.T) {
			c.limit.Window = budget.Every(time.Hour)
			cfg := only(c.limit)
			cfg.ObserveOnly = name == "observed"
			limited(t, cfg, infos, func(r *rig) {
				var asked []string
				down := map[string]bool{}
				r.do = func(_ context.Context, m *resilience.Model, _ string) (int, error) {
					asked = append(asked, m.ID())
					if down[m.ID()] {
						return 0, resilience.Overloaded
					}
					return 1000, nil
				}
				for range 8 {
					require.NoError(r, r.ask(resilience.CallOptions{}))
				}
				require.Equal(r, []string{"dear"}, asked[7:])
				require.NoError(r, r.ask(resilience.CallOptions{}))
				require.Equal(r, []string{c.want}, asked[8:])
				if c.want == "dear" {
					return
				}
				require.NoError(r, r.ask(resilience.CallOptions{Model: "dear"}), "who asks for it gets it")
				down["cheap"], down["cheap-too"] = true, true
				asked = nil
				_ = r.ask(resilience.CallOptions{})
				require.Equal(r, []string{"cheap", "cheap-too", "dear"}, asked, "rather than none")
				time.Sleep(time.Hour)
				asked = nil
				require.NoError(r, r.ask(resilience.CallOptions{}))
				require.Equal(r, []string{"dear"}, asked, "another window")
			})
		})
	}
}

// Names are bounded where they get into text.
func TestNamesInText(t *testing.T) {
	limited(t, only(budget.Limit{Scope: budget.Tenant, Requests: 1, Window: budget.Day(nil)}), models("a"), func(r *rig) {
		for name, want := range map[string]string{
			"":                        `tenant "" (day)`,
			"Ünïcode":                 "tenant Ünïcode (day)",
			"a\nb\x00\xff":            "tenant ab (day)",
			strings.Repeat("x", 5000): "tenant " + strings.Repeat("x", 64) + "… (day)",
			strings.Repeat("é", 50):   "tenant " + strings.Repeat("é", 32) + "… (day)",
		} {
			require.NoError(r, r.ask(resilience.CallOptions{Tenant: name}))
			require.Equal(r, want, r.refused(r.ask(resilience.CallOptions{Tenant: name})).Budget)
		}
	})
}

// Reset is for what is learnt of a model, not for what was spent.
func TestReset(t *testing.T) {
	limited(t, only(budget.Limit{Requests: 1, Window: budget.Day(nil)}), models("a"), func(r *rig) {
		require.NoError(r, r.ask(resilience.CallOptions{}))
		require.NoError(r, r.pool.Reset(r.Context(), r.pool.Model("a"), by))
		r.refused(r.ask(resilience.CallOptions{}))
	})
}

// Explain says which budget keeps calls from a model.
func TestExplain(t *testing.T) {
	infos := models("a", "b")
	infos[1].Price = resilience.Price{Free: true}
	cfg := budget.Config{Limits: []budget.Limit{
		{Cost: 0.001, Window: budget.Every(time.Hour)}, {Scope: budget.Model, Only: "b", Requests: 1, Window: budget.Sliding(time.Hour)},
	}}
	limited(t, cfg, infos, func(r *rig) {
		reasons := func() []string {
			list := r.pool.Explain("")
			return []string{list[0].Reason, list[1].Reason}
		}
		require.Equal(r, []string{"", ""}, reasons())
		require.NoError(r, r.ask(resilience.CallOptions{Model: "a"}))
		require.Equal(r, []string{"pool (1h) budget: nothing is left of $0.001, $0.001 spent, retry in 59m59s", ""}, reasons())
		require.NoError(r, r.ask(resilience.CallOptions{Model: "b"}))
		require.Contains(r, reasons()[1], "model b (sliding 1h) budget: nothing is left of 1 requests, 1 requests spent, retry in 1h")
		time.Sleep(time.Hour)
		require.Empty(r, reasons()[0])
		time.Sleep(2 * time.Minute)
		require.Equal(r, []string{"", ""}, reasons())
	})
	cfg.ObserveOnly = true
	limited(t, cfg, infos, func(r *rig) {
		require.NoError(r, r.ask(resilience.CallOptions{Model: "a"}))
		require.Empty(r, r.pool.Explain("")[0].Reason)
	})
}

// Keys that are refused within an attempt cost nothing.
func TestRotatedKeys(t *testing.T) {
	infos := models("a")
	infos[0].Keys = []string{"one", "two"}
	limited(t, only(budget.Limit{Tokens: million, Requests: 10, Window: budget.Day(nil)}), infos, func(r *rig) {
		r.do = func(ctx context.Context, _ *resilience.Model, _ string) (int, error) {
			if resilience.KeyFrom(ctx) == "one" {
				return 0, resilience.RateLimited
			}
			return 30, nil
		}
		for range 2 {
			require.NoError(r, r.ask(asks(500)))
		}
		require.Equal(r, budget.Amounts{Tokens: 60, Requests: 2}, r.account(budget.Pool, "").Spent)
	})
}

package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// priced are models at a dollar per million tokens, in and out.
func priced(ids ...string) resilience.Feature {
	var infos []resilience.ModelInfo
	for _, id := range ids {
		infos = append(infos, resilience.ModelInfo{ID: id, Price: resilience.Price{Input: 1, Output: 1}})
	}
	return resilience.Models(infos...)
}

// uses answers, and has used tokens.
func uses(tokens int64) ask {
	return func(ctx context.Context, _ string) (string, error) {
		resilience.ReportUsage(ctx, resilience.Usage{Input: tokens})
		return "done", nil
	}
}

// of is a call that takes tokens.
func of(op string, tokens int) resilience.CallOptions {
	return resilience.CallOptions{Op: op, Tokens: tokens}
}

func refusedBy(t *testing.T, err error) *resilience.BudgetError {
	t.Helper()
	var e *resilience.BudgetError
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, resilience.Rejected)
	return e
}

func TestARunStopsAtItsBudget(t *testing.T) {
	c := newClient(t, newPool(t, priced("m")), resilience.BindFunc("m", uses(10_000)))
	ctx := resilience.WithBudget(t.Context(), resilience.Budget{Cost: 0.05})
	steps := []string{"plan", "search", "search", "summarize"}
	var err error
	n := 0
	for ; err == nil; n++ {
		_, _, err = c.Do(ctx, "go on", of(steps[n%len(steps)], 10_000))
	}
	require.Equal(t, 6, n)
	e := refusedBy(t, err)
	require.Equal(t, "run", e.Budget)
	require.Equal(t, "cost", e.Resource)
	require.Equal(t, "search", e.Op)
	require.InDelta(t, 0.05, e.Spent, 1e-12)
	require.Zero(t, e.Reserved)
	require.Len(t, e.Steps, 5)
	require.ErrorContains(t, err, `run budget: nothing is left for "search" of $0.05, $0.05 spent (plan $0.02, search $0.02, summarize $0.01)`)
	code, _ := resilience.HTTPStatus(err)
	require.Equal(t, 429, code)

	total, spent := resilience.Spent(ctx)
	require.InDelta(t, 0.05, total.Cost, 1e-12)
	require.Equal(t, int64(50_000), total.Usage.Input)
	require.Equal(t, e.Steps, spent)

	_, _, err = c.Do(resilience.Detach(ctx), "go on", of("other", 10_000))
	require.NoError(t, err, "not of the run")
	_, none := resilience.Spent(t.Context())
	require.Empty(t, none)
}

func TestWhatDoesNotFitIsRefusedAtItsModel(t *testing.T) {
	c := newClient(t, newPool(t, priced("m")), resilience.BindFunc("m", uses(10_000)))
	ctx := resilience.WithBudget(t.Context(), resilience.Budget{Cost: 0.025})
	for range 2 {
		_, _, err := c.Do(ctx, "go on", of("step", 10_000))
		require.NoError(t, err)
	}
	_, rep, err := c.Do(ctx, "go on", of("step", 10_000))
	e := refusedBy(t, err)
	require.Equal(t, "m", e.Model)
	require.InDelta(t, 0.01, e.Next, 1e-12)
	require.Empty(t, rep.Attempts)
	require.ErrorContains(t, err, `$0.01 more at m for "step" of $0.025, $0.02 spent`)
	_, _, err = c.Do(ctx, "go on", of("small", 5_000))
	require.NoError(t, err, "this fits")
}

func TestTokensOfARun(t *testing.T) {
	c := newClient(t, newPool(t), resilience.BindFunc("m", uses(10)))
	ctx := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 25})
	for range 3 { // nobody knew what they would take
		_, err := c.Call(ctx, "go on")
		require.NoError(t, err)
	}
	_, err := c.Call(ctx, "go on")
	e := refusedBy(t, err)
	require.Equal(t, "tokens", e.Resource)
	require.InDelta(t, 30, e.Spent, 0)
	require.ErrorContains(t, err, "nothing is left of 25 tokens, 30 tokens spent (call 1 10 tokens, call 2 10 tokens, call 3 10 tokens)")
}

func TestAFreeModelDoesNotFallBackToOneThatIsPaid(t *testing.T) {
	pool := newPool(t, resilience.Models(
		resilience.ModelInfo{ID: "free", Price: resilience.Price{Free: true}},
		resilience.ModelInfo{ID: "paid", Price: resilience.Price{Input: 1, Output: 10}},
		resilience.ModelInfo{ID: "odd"},
	), fallback.New(fallback.Config{}))
	var paid atomic.Int32
	spends := func(context.Context, string) (string, error) { paid.Add(1); return "paid", nil }
	c := newClient(t, pool, resilience.BindFunc("free", fails(resilience.Overloaded)),
		resilience.BindFunc("paid", spends), resilience.BindFunc("odd", spends))
	_, rep, err := c.Do(t.Context(), "x", resilience.CallOptions{MaxCost: 0.001, Tokens: 1000})
	require.ErrorIs(t, err, resilience.Overloaded)
	require.Equal(t, resilience.Overloaded, resilience.KindOf(err))
	refusedBy(t, err)
	require.ErrorContains(t, err, "skipped paid refused: call budget: $0.01 more at paid of $0.001, $0.00 spent, odd")
	require.ErrorContains(t, err, "odd refused: the price of odd is not known, and the call budget is in dollars: give the model a Price, or Free")
	require.Len(t, rep.Attempts, 1)
	require.Zero(t, paid.Load())

	_, rep, err = c.Do(t.Context(), "x", resilience.CallOptions{MaxCost: 0.01, Tokens: 1000})
	require.NoError(t, err)
	require.Equal(t, "paid", rep.Model.ID())

	only := newClient(t, pool, resilience.BindFunc("free", says("free")))
	_, _, err = only.Do(t.Context(), "x", resilience.CallOptions{MaxCost: -1, Tokens: 1000})
	require.NoError(t, err, "it costs nothing")
}

func TestAnswersArePricedApart(t *testing.T) {
	pool := newPool(t, resilience.Models(resilience.ModelInfo{ID: "m", Price: resilience.Price{Input: 1, Output: 10}}))
	var got resilience.Estimate
	look := layer(resilience.LayerLimit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
		got = c.Estimate()
		return next(ctx, c)
	})
	estimate := func(hooks resilience.Hooks[string, string], tokens int) resilience.Estimate {
		pool = newPool(t, look, resilience.Models(resilience.ModelInfo{ID: "m", Price: resilience.Price{Input: 1, Output: 10}}))
		c := newClient(t, pool, resilience.BindFunc("m", says("x")), hooks)
		_, _, err := c.Do(t.Context(), "x", resilience.CallOptions{Tokens: tokens})
		require.NoError(t, err)
		return got
	}
	type hooks = resilience.Hooks[string, string]
	n := func(tokens int) func(string) int { return func(string) int { return tokens } }
	require.Equal(t, resilience.Estimate{Priced: true}, estimate(hooks{}, 0))
	require.Equal(t, resilience.Estimate{Tokens: 1000, Cost: 0.01, Priced: true}, estimate(hooks{Tokens: n(1000)}, 0))
	require.Equal(t, resilience.Estimate{Tokens: 1000, Cost: 0.0019, Priced: true}, estimate(hooks{Tokens: n(1000), Output: n(100)}, 0))
	require.Equal(t, resilience.Estimate{Tokens: 1000, Cost: 0.01, Priced: true}, estimate(hooks{Output: n(5000)}, 1000), "no more than all")
	require.Equal(t, resilience.Estimate{Tokens: 1000, Cost: 0.01, Priced: true}, estimate(hooks{Output: n(-1)}, 1000))
	cost := func(_ *resilience.Model, _, _ string, u resilience.Usage) float64 { return float64(u.Input) }
	require.Equal(t, resilience.Estimate{Tokens: 7, Cost: 7, Priced: true}, estimate(hooks{Cost: cost}, 7))
}

// TestWhatAnAttemptIsCharged has one attempt that was estimated at 1000 tokens.
func TestWhatAnAttemptIsCharged(t *testing.T) {
	reports := func(n int64, err error) ask {
		return func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Input: n})
			return "", err
		}
	}
	status := func(code int) error { return &resilience.Error{Kind: resilience.Overloaded, Status: code} }
	for name, row := range map[string]struct {
		call ask
		want int64
	}{
		"an answer with its usage":       {uses(300), 300},
		"an answer without":              {says("x"), 1000},
		"more than estimated":            {uses(3000), 3000},
		"an error status":                {fails(status(529)), 0},
		"an error status with its usage": {reports(300, status(529)), 300},
		"a rate limit":                   {fails(resilience.RateLimited), 0},
		"no key":                         {fails(errors.New("401 unauthorized")), 0},
		"an error after a while":         {fails(resilience.TimedOut), 1000},
		"the caller left":                {untilLeft, 1000},
		"a panic":                        {func(context.Context, string) (string, error) { panic("x") }, 1000},
		"the goroutine ended":            {func(context.Context, string) (string, error) { runtime.Goexit(); return "", nil }, 1000},
		"a refusal further in":           {fails(resilience.Reject("no", 0)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, newPool(t), resilience.BindFunc("m", row.call))
				run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10_000})
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() { _ = recover() }()
					ctx, cancel := context.WithTimeout(run, time.Minute)
					defer cancel()
					_, _, _ = c.Do(ctx, "x", of("", 1000))
				})
				wg.Wait()
				total, _ := resilience.Spent(run)
				require.Equal(t, row.want, total.Usage.Input)
				_, _, err := c.Do(run, "x", of("", 20_000))
				require.Zero(t, refusedBy(t, err).Reserved)
			})
		})
	}
}

func untilLeft(ctx context.Context, _ string) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func TestStreamsAreChargedAtTheirEnd(t *testing.T) {
	hooks := resilience.StreamHooks[string, string]{Usage: func(s string) (resilience.Usage, bool) {
		return resilience.Usage{Output: 70}, s == "."
	}}
	c, err := resilience.NewClient(newPool(t), resilience.BindStream("m",
		func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for _, s := range []string{"a", "b", "."} {
					if !yield(s, nil) {
						return
					}
				}
			}
		}, hooks))
	require.NoError(t, err)
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 1000})
	spent := func() int64 { total, _ := resilience.Spent(run); return total.Usage.Input + total.Usage.Output }

	s, _, err := c.Do(run, "x", of("", 400))
	require.NoError(t, err)
	require.Zero(t, spent())
	_, _, err = c.Do(run, "x", of("", 700))
	require.InDelta(t, 400, refusedBy(t, err).Reserved, 0, "it is set aside")
	for _, err := range s.All() {
		require.NoError(t, err)
	}
	require.Equal(t, int64(70), spent())

	s, _, err = c.Do(run, "x", of("", 400))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Equal(t, int64(470), spent(), "nobody knows what was made of it")
	_, _, err = c.Do(run, "x", of("", 700))
	require.Zero(t, refusedBy(t, err).Reserved)
}

func TestCallsWithinACallDrawInItsPlace(t *testing.T) {
	inner := newClient(t, newPool(t, priced("in")), resilience.BindFunc("in", uses(100)))
	outer := newClient(t, newPool(t, priced("out")), resilience.BindFunc("out", func(ctx context.Context, _ string) (string, error) {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _, _ = inner.Do(ctx, "x", of("tool", 200)) })
		}
		wg.Wait()
		return "", nil
	}))
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 1000, Cost: 1})
	_, _, err := outer.Do(run, "x", resilience.CallOptions{Op: "agent", Tokens: 400, MaxCost: 0.5})
	require.NoError(t, err)
	total, steps := resilience.Spent(run)
	require.Equal(t, int64(300), total.Usage.Input)
	require.Len(t, steps, 3)
	_, _, err = outer.Do(run, "x", of("", 701))
	e := refusedBy(t, err)
	require.Zero(t, e.Reserved)
	require.InDelta(t, 300, e.Spent, 0)

	within := resilience.WithBudget(run, resilience.Budget{Tokens: 150})
	_, _, err = inner.Do(within, "x", of("", 100))
	require.NoError(t, err)
	_, _, err = inner.Do(within, "x", of("", 100))
	require.InDelta(t, 150, refusedBy(t, err).Max, 0, "the narrower one")
	total, _ = resilience.Spent(within)
	require.Equal(t, int64(100), total.Usage.Input)
	total, _ = resilience.Spent(run)
	require.Equal(t, int64(400), total.Usage.Input, "the outer one, too")
}

// An attempt that calls a model of the pool, and asks a provider besides, tells what
// that has used.
func TestWhatAnAttemptUsesBesideCallsWithinIt(t *testing.T) {
	inner := newClient(t, newPool(t), resilience.BindFunc("in", uses(100)))
	outer := newClient(t, newPool(t), resilience.BindFunc("out", func(ctx context.Context, _ string) (string, error) {
		_, err := inner.Call(ctx, "look it up")
		resilience.ReportUsage(ctx, resilience.Usage{Input: 30})
		return "done", err
	}), resilience.Hooks[string, string]{Usage: func(string, string) resilience.Usage { return resilience.Usage{Input: 1000} }})
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 1000})
	_, err := outer.Call(run, "x")
	require.NoError(t, err)
	total, steps := resilience.Spent(run)
	require.Equal(t, int64(130), total.Usage.Input)
	require.Len(t, steps, 2)
	_, _, err = outer.Do(run, "x", of("", 2000))
	require.Zero(t, refusedBy(t, err).Reserved)
}

func TestAttemptsOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		down := func(context.Context, string) (string, error) { asked.Add(1); return "", resilience.Unreachable }
		c := newClient(t, newPool(t, retry.New(retry.Config{Attempts: 3})), resilience.BindFunc("m", down))
		run := resilience.WithBudget(t.Context(), resilience.Budget{Attempts: 3})
		for range 4 {
			_, err := c.Call(run, "x")
			require.ErrorIs(t, err, resilience.Unreachable)
		}
		require.Equal(t, int32(4+3), asked.Load())
		asked.Store(0)
		_, err := c.Call(resilience.WithBudget(t.Context(), resilience.Budget{Attempts: -1}), "x")
		require.ErrorIs(t, err, resilience.Unreachable)
		require.Equal(t, int32(1), asked.Load())
		_, err = c.Call(resilience.WithBudget(run, resilience.Budget{Attempts: 5}), "x")
		require.ErrorIs(t, err, resilience.Unreachable)
		require.Equal(t, int32(2), asked.Load(), "the outer run has none left")
	})
}

func TestDeadlineOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newPool(t, resilience.Timeouts{}), resilience.BindFunc("m", untilLeft))
		run := resilience.WithBudget(t.Context(), resilience.Budget{Deadline: time.Now().Add(5 * time.Second)})
		start := time.Now()
		_, err := c.Call(run, "x")
		require.ErrorIs(t, err, resilience.TimedOut)
		require.ErrorContains(t, err, "Budget.Deadline")
		require.Equal(t, 5*time.Second, time.Since(start))
		_, err = c.Call(run, "x")
		require.Equal(t, "deadline", refusedBy(t, err).Resource)
		require.ErrorContains(t, err, "the deadline of the run budget has passed")
		start = time.Now()
		_, _, err = c.Do(resilience.WithBudget(t.Context(), resilience.Budget{Deadline: start.Add(time.Hour)}), "x",
			resilience.CallOptions{Timeout: time.Second})
		require.ErrorContains(t, err, "CallOptions.Timeout")
		require.Equal(t, time.Second, time.Since(start), "the sooner one")
	})
}

func TestLosersOfARaceAreCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := newPool(t, fallback.New(fallback.Config{Strategy: fallback.Parallel, Width: 2}))
		loses := func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // on its way back
			resilience.ReportUsage(ctx, resilience.Usage{Input: 30})
			return "", ctx.Err()
		}
		wins := func(ctx context.Context, _ string) (string, error) {
			time.Sleep(time.Millisecond)
			return uses(50)(ctx, "")
		}
		c := newClient(t, pool, resilience.BindFunc("a", loses), resilience.BindFunc("b", wins))
		run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10_000})
		_, _, err := c.Do(run, "x", of("", 100))
		require.NoError(t, err)
		require.NoError(t, pool.Drain(t.Context()))
		total, steps := resilience.Spent(run)
		require.Equal(t, int64(80), total.Usage.Input)
		require.Len(t, steps, 1)
	})
}

// TestLosersThatWereRefusedAreNotCharged has them refused when they have lost.
func TestLosersThatWereRefusedAreNotCharged(t *testing.T) {
	for name, refusal := range map[string]error{
		"an SDK's error": &keyStatus{StatusCode: 500}, "one of ours": &resilience.Error{Kind: resilience.RateLimited, Status: 429},
		"a kind": resilience.RateLimited,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := newPool(t, fallback.New(fallback.Config{Strategy: fallback.Parallel, Width: 2}))
				loses := func(context.Context, string) (string, error) { time.Sleep(time.Second); return "", refusal }
				wins := func(ctx context.Context, _ string) (string, error) {
					time.Sleep(time.Millisecond)
					return uses(50)(ctx, "")
				}
				c := newClient(t, pool, resilience.BindFunc("b", wins), resilience.BindFunc("a", loses))
				run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10_000})
				_, _, err := c.Do(run, "x", of("", 100))
				require.NoError(t, err)
				require.NoError(t, pool.Drain(t.Context()))
				total, _ := resilience.Spent(run)
				require.Equal(t, int64(50), total.Usage.Input)
			})
		})
	}
}

// TestABudgetUnderLoad lets everything happen at once, and compares what was
// spent with what the models say they have charged.
func TestABudgetUnderLoad(t *testing.T) {
	var billed atomic.Int64
	model := func(seed uint64) ask {
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, 1))
		return func(ctx context.Context, _ string) (string, error) {
			mu.Lock()
			outcome, n := random.IntN(6), random.Int64N(1000)
			mu.Unlock()
			charge := func() {
				resilience.ReportUsage(ctx, resilience.Usage{Input: n + 1})
				billed.Add(n + 1)
			}
			switch outcome {
			case 0:
				return "", resilience.RateLimited
			case 1:
				charge()
				return "", resilience.Overloaded
			case 2:
				charge()
				panic("model")
			case 3:
				charge()
				return "", context.Canceled
			default:
				charge()
				return "x", nil
			}
		}
	}
	pool := newPool(t, priced("a", "b", "c"), fallback.New(fallback.Config{Strategy: fallback.Parallel, Width: 2}),
		retry.New(retry.Config{Attempts: 2, Base: time.Nanosecond}))
	c := newClient(t, pool, resilience.BindFunc("a", model(1)), resilience.BindFunc("b", model(2)), resilience.BindFunc("c", model(3)))
	calls := 20_000
	if testing.Short() {
		calls = 2_000
	}
	const most = 1000 // tokens of an attempt
	budget := int64(calls) * most / 4
	run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: budget})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < calls; i += 16 {
				func() {
					defer func() { _ = recover() }()
					ctx, cancel := context.WithCancel(run)
					defer cancel()
					if i%7 == 0 {
						cancel()
					}
					_, _, _ = c.Do(ctx, "x", of(fmt.Sprint(i%5), most))
				}()
			}
		})
	}
	wg.Wait()
	require.NoError(t, pool.Drain(t.Context()))
	total, _ := resilience.Spent(run)
	require.Equal(t, billed.Load(), total.Usage.Input)
	require.InDelta(t, float64(billed.Load())/1e6, total.Cost, 1e-6)
	require.LessOrEqual(t, total.Usage.Input, budget, "no attempt took more than was set aside")
	require.Greater(t, total.Usage.Input, budget-2*most, "it was spent")
	other := newClient(t, newPool(t, priced("a")), resilience.BindFunc("a", says("x")))
	_, _, err := other.Do(run, "x", of("", 10*most))
	require.Zero(t, refusedBy(t, err).Reserved)
}

package budget_test

import (
	"context"
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
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/fallback"
)

func asks(tokens int) resilience.CallOptions { return resilience.CallOptions{Tokens: tokens} }

// What others have reserved and do not need is worth waiting for.
func TestWaitsForReservations(t *testing.T) {
	limited(t, only(budget.Limit{Tokens: 2000, Window: budget.Day(nil)}), models("a"), func(r *rig) {
		r.do = takes(time.Second, 100)
		start := time.Now()
		var order []int
		var mu sync.Mutex
		for i := range 5 {
			r.go1(asks(1500), func(err error) {
				mu.Lock()
				defer mu.Unlock()
				require.NoError(r, err)
				require.Equal(r, time.Duration(i+1)*time.Second, time.Since(start))
				order = append(order, i)
			})
		}
		require.Equal(r, int64(1500), r.account(budget.Pool, "").Reserved.Tokens)
		r.calls.Wait()
		require.Equal(r, []int{0, 1, 2, 3, 4}, order, "first come, first served")
		require.Equal(r, int64(500), r.account(budget.Pool, "").Spent.Tokens)
		require.Empty(r, drain(r.rejects))
	})
}

// No more wait than may, and not for long while there is another model to go to.
func TestWaitsAreBounded(t *testing.T) {
	limit := []budget.Limit{{Tokens: 1000, Window: budget.Day(nil)}}
	limited(t, budget.Config{Queue: 1, Limits: limit}, models("a"), func(r *rig) {
		r.do = takes(time.Second, 10)
		r.go1(asks(900), r.fine)
		r.go1(asks(900), r.fine)
		start := time.Now()
		require.ErrorIs(r, r.ask(asks(900)), resilience.Rejected)
		require.Zero(r, time.Since(start))
	})
	limited(t, budget.Config{Limits: limit}, models("a", "b"), func(r *rig) {
		r.do = takes(time.Minute, 100)
		r.go1(asks(900), r.fine)
		start := time.Now()
		require.ErrorIs(r, r.ask(asks(900)), resilience.Rejected)
		require.Equal(r, 11*time.Second, time.Since(start))
	})
}

// A small one does not overtake, also if it would fit.
func TestNobodyOvertakes(t *testing.T) {
	limited(t, only(budget.Limit{Tokens: 1000, Window: budget.Day(nil)}), models("a"), func(r *rig) {
		r.do = takes(time.Second, 10)
		start := time.Now()
		r.go1(asks(600), r.fine)
		r.go1(asks(900), r.fine)
		r.go1(asks(50), func(err error) {
			require.NoError(r, err)
			require.Equal(r, 2*time.Second, time.Since(start), "with the second")
		})
		r.calls.Wait()
	})
}

func TestWaitsNoLongerThan(t *testing.T) {
	for name, c := range map[string]struct {
		wait time.Duration
		opts resilience.CallOptions
		took time.Duration
		kind resilience.Kind
	}{
		"the default":         {0, asks(600), 10 * time.Second, resilience.Rejected},
		"what is set":         {3 * time.Second, asks(600), 3 * time.Second, resilience.Rejected},
		"not at all":          {-1, asks(600), 0, resilience.Rejected},
		"the call's time":     {0, resilience.CallOptions{Tokens: 600, Timeout: 2 * time.Second}, 2 * time.Second, 0},
		"where nothing helps": {0, asks(1001), 0, resilience.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := only(budget.Limit{Tokens: 1000, Window: budget.Day(nil)})
			cfg.Wait = c.wait
			limited(t, cfg, models("a"), func(r *rig) {
				r.do = takes(time.Minute, 10)
				r.go1(asks(600), r.fine)
				start := time.Now()
				r.go1(c.opts, func(err error) {
					require.Equal(r, c.took, time.Since(start))
					if c.kind == 0 {
						require.Error(r, err)
						return
					}
					e := r.refused(err)
					require.Zero(r, e.RetryAfter)
					require.InDelta(r, 600, e.Reserved, 0)
					require.ErrorContains(r, e, "of 1000 tokens, 0 tokens spent, 600 tokens set aside")
				})
				r.calls.Wait()
				require.NoError(r, r.ask(asks(900)), "nobody stands in the way any more")
			})
		})
	}
}

// A caller that leaves the queue lets the next one look.
func TestLeavesTheQueue(t *testing.T) {
	limited(t, only(budget.Limit{Tokens: 1000, Window: budget.Day(nil)}), models("a"), func(r *rig) {
		r.do = takes(5*time.Second, 10)
		r.go1(asks(500), r.fine)
		ctx, cancel := context.WithCancel(r.Context())
		r.calls.Go(func() {
			_, _, err := r.client.Do(ctx, "?", asks(900))
			require.ErrorIs(r, err, context.Canceled)
		})
		synctest.Wait()
		start := time.Now()
		r.go1(asks(500), func(err error) {
			require.NoError(r, err)
			require.Equal(r, 6*time.Second, time.Since(start), "at once when the one before has left")
		})
		time.Sleep(time.Second)
		cancel()
		r.calls.Wait()
	})
}

// A window that ends ends the wait, too.
func TestWindowEndsTheWait(t *testing.T) {
	for _, w := range []budget.Window{budget.Every(5 * time.Second), budget.Day(nil)} {
		limited(t, only(budget.Limit{Tokens: 1000, Window: w}), models("a"), func(r *rig) {
			if w != budget.Every(5*time.Second) { // the bubble's clock starts at midnight
				time.Sleep(24*time.Hour - 5*time.Second)
			}
			r.do = takes(0, 300)
			require.NoError(r, r.ask(asks(300)))
			r.do = takes(8*time.Second, 10)
			r.go1(asks(600), r.fine)
			start := time.Now()
			r.go1(asks(400), func(err error) {
				require.NoError(r, err)
				require.Equal(r, 13*time.Second, time.Since(start))
			})
			r.calls.Wait()
			want := map[string]int64{"5s": 10, "day": 20}
			require.Equal(r, want[w.String()], r.account(budget.Pool, "").Spent.Tokens, "in the window in which they ended")
		})
	}
}

// One that waits is refused when what it waits for has been spent.
func TestWaitsInVain(t *testing.T) {
	limited(t, only(budget.Limit{Tokens: 1000, Window: budget.Every(time.Hour)}), models("a"), func(r *rig) {
		r.do = takes(3*time.Second, 600)
		r.go1(asks(600), r.fine)
		start := time.Now()
		for range 2 {
			r.go1(asks(600), func(err error) {
				require.Equal(r, 3*time.Second, time.Since(start))
				require.Equal(r, time.Hour-3*time.Second, r.refused(err).RetryAfter)
			})
		}
		r.calls.Wait()
		require.Len(r, drain(r.alarms), 1)
	})
}

// Who waits for one account holds nothing of another.
func TestWaitsForSeveralAccounts(t *testing.T) {
	cfg := budget.Config{Limits: []budget.Limit{
		{Tokens: 1000, Window: budget.Day(nil)},
		{Scope: budget.Tenant, Tokens: 500, Window: budget.Day(nil)},
	}}
	limited(t, cfg, models("a"), func(r *rig) {
		r.do = takes(time.Second, 10)
		start := time.Now()
		for i, tenant := range []string{"a", "a", "a", "b"} {
			opts := asks(400)
			opts.Tenant = tenant
			r.go1(opts, func(err error) {
				require.NoError(r, err)
				want := []int{1, 2, 3, 1}[i]
				require.Equal(r, time.Duration(want)*time.Second, time.Since(start), "%d", i)
			})
		}
		require.Equal(r, int64(800), r.account(budget.Pool, "").Reserved.Tokens)
		r.calls.Wait()
	})
}

// Fifty agents that allow for 64,000 tokens a call and use 600 fit into ten
// dollars.
func TestGenerousEstimates(t *testing.T) {
	infos := models("m")
	infos[0].Price = resilience.Price{Input: 3, Output: 15}
	limited(t, only(budget.Limit{Cost: 10, Window: budget.Day(nil)}), infos, func(r *rig) {
		r.do = takes(2*time.Second, 600)
		var slowest atomic.Int64
		for range 50 {
			r.calls.Go(func() {
				for range 10 {
					start := time.Now()
					require.NoError(r, r.ask(resilience.CallOptions{Op: "agent", Tokens: 64_000}))
					slowest.Store(max(slowest.Load(), int64(time.Since(start))))
					time.Sleep(time.Millisecond)
				}
			})
		}
		r.calls.Wait()
		require.Empty(r, drain(r.rejects))
		require.InDelta(r, 500*600*15e-6, r.account(budget.Pool, "").Spent.Cost, 1e-9)
		r.Logf("the slowest call took %v of 2s", time.Duration(slowest.Load()))
	})
}

// Experience is forgotten with time, and only lowers what was estimated.
func TestExperience(t *testing.T) {
	limited(t, only(budget.Limit{Tokens: 1e9, Window: budget.Day(nil)}), models("m"), func(r *rig) {
		used, reserved := 0, int64(0)
		r.do = func(context.Context, *resilience.Model, string) (int, error) {
			reserved = r.account(budget.Pool, "").Reserved.Tokens
			return used, nil
		}
		call := func(n, uses, estimate int) int64 {
			used = uses
			for range n {
				require.NoError(r, r.ask(asks(estimate)))
			}
			return reserved
		}
		require.Equal(r, int64(8000), call(16, 1000, 8000), "too few to tell")
		require.Equal(r, int64(1250), call(1, 1000, 8000))
		require.Equal(r, int64(1250), call(1, 1000, 0), "where nobody knows")
		require.Equal(r, int64(900), call(1, 1000, 900))
		call(1, 4000, 8000)
		require.Equal(r, int64(5000), call(108, 1000, 8000))
		require.Equal(r, int64(5000), call(128, 100, 8000))
		require.Equal(r, int64(125), call(1, 100, 8000), "longer ago than that")

		used = 100
		_, _, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Op: "another", Tokens: 8000})
		require.NoError(r, err)
		require.Equal(r, int64(8000), reserved, "another operation")
	})
}

// A stream holds what it has reserved to its end.
func TestStreams(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(s *resilience.Stream[int])
		want budget.Amounts
	}{
		"read":   {func(s *resilience.Stream[int]) { drainStream(s) }, budget.Amounts{Tokens: 30, Requests: 1}},
		"closed": {func(s *resilience.Stream[int]) { _ = s.Close() }, budget.Amounts{Tokens: 10, Requests: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := budget.New(only(budget.Limit{Tokens: 1000, Requests: 10, Window: budget.Day(nil)}))
				pool, err := resilience.NewPool(b)
				require.NoError(t, err)
				client, err := resilience.NewClient(pool, resilience.BindStream("m", func(ctx context.Context, _ string) iter.Seq2[int, error] {
					return func(yield func(int, error) bool) {
						for range 3 {
							time.Sleep(time.Second)
							resilience.ReportUsage(ctx, resilience.Usage{Output: 10})
							if !yield(1, nil) {
								return
							}
						}
					}
				}))
				require.NoError(t, err)
				s, _, err := client.Do(t.Context(), "?", asks(500))
				require.NoError(t, err)
				a := b.Accounts("", "")[0]
				require.Equal(t, budget.Amounts{Tokens: 500, Requests: 1}, a.Reserved)
				require.Zero(t, a.Spent)
				c.end(s)
				a = b.Accounts("", "")[0]
				require.Zero(t, a.Reserved)
				require.Equal(t, c.want, a.Spent)
			})
		})
	}
}

func drainStream(s *resilience.Stream[int]) {
	for range s.All() {
		continue
	}
}

// A stream that nobody reads or closes gives back what it has reserved.
func TestAbandonedStream(t *testing.T) {
	b := budget.New(only(budget.Limit{Requests: 10, Window: budget.Day(nil)}))
	pool, err := resilience.NewPool(b)
	require.NoError(t, err)
	client, err := resilience.NewClient(pool, resilience.BindStream("m", func(context.Context, string) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for yield(1, nil) {
				continue
			}
		}
	}))
	require.NoError(t, err)
	func() {
		_, err := client.Call(t.Context(), "?")
		require.NoError(t, err)
	}()
	require.Eventually(t, func() bool {
		runtime.GC()
		return b.Accounts("", "")[0].Reserved.Requests == 0
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, int64(1), b.Accounts("", "")[0].Spent.Requests)
}

// A hundred thousand attempts at once, of which many fail, take no more than there
// is, beyond what they took more than was reserved for them; and nothing stays
// reserved.
func TestNoOvershoot(t *testing.T) {
	const most, estimate, workers = 50_000_000, 1000, 64
	attempts := 100_000
	if testing.Short() {
		attempts = 20_000
	}
	cfg := budget.Config{Wait: 10 * time.Millisecond, Limits: []budget.Limit{
		{Tokens: most, Window: budget.Day(nil)},
		{Scope: budget.Tenant, Tokens: most / 4, Window: budget.Sliding(24 * time.Hour)},
		{Scope: budget.Tenant, Requests: int64(attempts), Window: budget.Month(nil)},
	}}
	b := budget.New(cfg)
	pool, err := resilience.NewPool(b)
	require.NoError(t, err)
	var took, over, made atomic.Int64
	client, err := resilience.NewClient(pool,
		resilience.BindFunc("m", func(ctx context.Context, used int) (int, error) {
			if used%7 == 0 {
				return 0, resilience.RateLimited
			}
			made.Add(1)
			took.Add(int64(used))
			over.Add(max(int64(used)-estimate, 0))
			runtime.Gosched()
			return used, nil
		}),
		resilience.Hooks[int, int]{Usage: func(_, used int) resilience.Usage { return resilience.Usage{Input: int64(used)} }})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for range attempts / workers {
				opts := resilience.CallOptions{Tenant: fmt.Sprint(rng.IntN(5)), Tokens: estimate, Op: fmt.Sprint(rng.IntN(100))}
				_, _, _ = client.Do(t.Context(), 1+rng.IntN(estimate*11/10), opts)
			}
		})
	}
	wg.Wait()
	spent, asked := int64(0), int64(0)
	for _, a := range b.Accounts("", "") {
		require.Zero(t, a.Reserved)
		switch {
		case a.Limit.Scope == budget.Pool:
			require.Equal(t, took.Load(), a.Spent.Tokens)
			require.LessOrEqual(t, a.Spent.Tokens, most+over.Load())
		case a.Limit.Tokens > 0:
			spent += a.Spent.Tokens
			require.LessOrEqual(t, a.Spent.Tokens, most/4+over.Load())
		default:
			asked += a.Spent.Requests
		}
	}
	require.Equal(t, took.Load(), spent)
	require.Equal(t, made.Load(), asked)
	t.Logf("%d attempts took %d of %d", made.Load(), took.Load(), most)
}

// Each attempt of a stream that is rescued is charged what it took.
func TestRescuedStream(t *testing.T) {
	b := budget.New(budget.Config{Limits: []budget.Limit{
		{Tokens: 1000, Requests: 10, Window: budget.Day(nil)}, {Scope: budget.Model, Requests: 10, Window: budget.Day(nil)},
	}})
	pool, err := resilience.NewPool(b, fallback.New(fallback.Config{}))
	require.NoError(t, err)
	streams := func(broken error) func(context.Context, string) iter.Seq2[int, error] {
		return func(ctx context.Context, _ string) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				resilience.ReportUsage(ctx, resilience.Usage{Output: 10})
				if yield(1, nil) && broken != nil {
					yield(0, broken)
				}
			}
		}
	}
	hooks := resilience.StreamHooks[string, int]{Resume: func(q string, _ []int) (string, bool) { return q, true }}
	client, err := resilience.NewClient(pool,
		resilience.BindStream("a", streams(resilience.Unreachable), hooks), resilience.BindStream("b", streams(nil), hooks))
	require.NoError(t, err)
	s, _, err := client.Do(t.Context(), "?", asks(500))
	require.NoError(t, err)
	drainStream(s)
	require.True(t, s.Report().Rescued)
	for _, a := range b.Accounts("", "") {
		require.Zero(t, a.Reserved)
		if a.Limit.Scope == budget.Pool {
			require.Equal(t, budget.Amounts{Tokens: 20, Requests: 2}, a.Spent)
		} else {
			require.Equal(t, int64(1), a.Spent.Requests, a.Who)
		}
	}
}

package balance_test

import (
	"context"
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
)

// limitLoad keeps n callers asking, for some time.
func (r *limitRig) limitLoad(n int, d time.Duration) (good, refused int) {
	var mu sync.Mutex
	end := time.Now().Add(d)
	for range n {
		r.calls.Go(func() {
			for time.Now().Before(end) {
				_, err := r.client.Call(r.Context(), "?")
				mu.Lock()
				switch {
				case err == nil:
					good++
				case resilience.KindOf(err) == resilience.Rejected:
					refused++
				}
				mu.Unlock()
				if err != nil {
					time.Sleep(time.Second)
				}
			}
		})
	}
	r.calls.Wait()
	return good, refused
}

// A model that bears any number gets what is asked for within a few answers.
func TestLimiterGrows(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		require.Equal(r, 20, r.limiter.Limit(r.model))
		r.limitLoad(15, 5*time.Second)
		require.Less(r, r.limiter.Limit(r.model), 27, "nobody waited")
		r.do = limitTakes(10 * time.Second)
		r.limitLoad(100, 4*time.Minute) // two of them until it is clear that ten seconds are as long as it takes
		require.Greater(r, r.limiter.Limit(r.model), 95)
		require.Less(r, r.limiter.Limit(r.model), 220, "no more than twice of what was asked for")
	})
}

// A model that works on eight at a time, and lets the others stand in line, is
// not given hundreds.
func TestLimiterDoesNotGrowAQueueElsewhere(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		slots := make(chan struct{}, 8)
		r.do = func(ctx context.Context, q string) (string, error) {
			slots <- struct{}{}
			defer func() { <-slots }()
			return limitTakes(1500*time.Millisecond)(ctx, q)
		}
		r.limitLoad(8, 30*time.Second)
		r.limitLoad(200, 2*time.Minute)
		require.Less(r, r.limiter.Limit(r.model), 64)
	})
}

// A model that is overloaded with more than thirty gets about thirty.
func TestLimiterShrinks(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		r.do = func(ctx context.Context, q string) (string, error) {
			if r.model.InFlight() > 30 {
				return "", resilience.Overloaded
			}
			return limitTakes(time.Second)(ctx, q)
		}
		good, _ := r.limitLoad(100, 2*time.Minute)
		require.Greater(r, good, 30*120*8/10)
		require.InDelta(r, 28, r.limiter.Limit(r.model), 14)
	})
}

// A model that hangs swallows few calls, and gets its limit back afterwards.
func TestLimiterBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := balance.NewLimiter(balance.LimiterConfig{})
		pool, err := resilience.NewPool(limiter, resilience.Timeouts{Attempt: 8 * time.Second})
		require.NoError(t, err)
		hangs := true
		client, err := resilience.NewClient(pool, resilience.BindFunc("m", func(ctx context.Context, q string) (string, error) {
			if hangs {
				<-ctx.Done()
				return "", context.Cause(ctx)
			}
			return limitTakes(time.Second)(ctx, q)
		}))
		require.NoError(t, err)
		m := pool.Model("m")
		r := &limitRig{T: t, limiter: limiter, model: m, client: client}
		good, _ := r.limitLoad(100, time.Minute)
		require.Zero(t, good)
		require.LessOrEqual(t, limiter.Limit(m), 4)
		require.Less(t, m.Stats(5*time.Minute).Calls, int64(100))
		hangs = false
		time.Sleep(time.Minute)
		r.limitLoad(50, 40*time.Second)
		require.Greater(t, limiter.Limit(m), 40)
	})
}

// One call in fifty that hangs says nothing about how many there may be.
func TestLimiterSingleFailures(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		rng := rand.New(rand.NewPCG(1, 1))
		var mu sync.Mutex
		r.do = func(ctx context.Context, q string) (string, error) {
			mu.Lock()
			fails := rng.IntN(50) == 0
			mu.Unlock()
			s, err := limitTakes(time.Second)(ctx, q)
			if fails {
				return "", resilience.Overloaded
			}
			return s, err
		}
		r.limitLoad(60, 3*time.Minute)
		require.Greater(r, r.limiter.Limit(r.model), 40)
	})
}

// A burst of failures of calls that began together counts once.
func TestLimiterOneCutARoundTrip(t *testing.T) {
	limited(t, balance.LimiterConfig{Wait: -1}, resilience.Limits{}, func(r *limitRig) {
		r.do = func(ctx context.Context, q string) (string, error) {
			_, _ = limitTakes(time.Second)(ctx, q)
			return "", resilience.Overloaded
		}
		round := func(n int) {
			for range n {
				r.go1(resilience.CallOptions{}, nil)
			}
			r.calls.Wait()
		}
		round(20)
		require.Equal(r, 14, r.limiter.Limit(r.model))
		round(14)
		require.Equal(r, 9, r.limiter.Limit(r.model))
	})
}

// So does a burst of rate limits.
func TestLimiterOneCutOfTheRate(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		r.do = func(ctx context.Context, q string) (string, error) {
			_, _ = limitTakes(time.Second)(ctx, q)
			return "", resilience.RateLimited
		}
		for range 20 {
			r.go1(resilience.CallOptions{}, nil)
		}
		r.calls.Wait()
		require.Equal(r, "pacing: 56ms until the next request", r.pool.Explain("")[0].Reason, "0.9 of twenty a second")
		time.Sleep(time.Minute)
		require.Empty(r, r.pool.Explain("")[0].Reason)
	})
}

// Where calls last long, a rate limit is one of how many there may be at once.
func TestLimiterConcurrencyRefusedAsRateLimit(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		var mu sync.Mutex
		under, refused := 0, 0
		r.do = func(ctx context.Context, q string) (string, error) {
			mu.Lock()
			if under >= 10 {
				refused++
				mu.Unlock()
				return "", resilience.RateLimited
			}
			under++
			mu.Unlock()
			defer func() { mu.Lock(); under--; mu.Unlock() }()
			return limitTakes(40*time.Second)(ctx, q)
		}
		good, _ := r.limitLoad(30, 10*time.Minute)
		require.Greater(r, good, 10*15*8/10)
		require.Less(r, refused, good)
		t.Logf("answered %d of %d, refused %d", good, 10*15, refused)
	})
}

// First chunks that come late are a reason to ask for less; answers that get
// longer are none.
func TestLimiterFirstChunks(t *testing.T) {
	for name, c := range map[string]struct {
		first, rest time.Duration // later on, what each that is under way adds
		shrinks     bool
	}{
		"late first chunks": {first: 30 * time.Millisecond, shrinks: true},
		"long answers":      {rest: 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limiter := balance.NewLimiter(balance.LimiterConfig{})
				pool, err := resilience.NewPool(limiter)
				require.NoError(t, err)
				var first, rest atomic.Int64
				client, err := resilience.NewClient(pool, resilience.BindStream("m", func(context.Context, string) iter.Seq2[string, error] {
					return func(yield func(string, error) bool) {
						n := time.Duration(pool.Model("m").InFlight())
						time.Sleep(200*time.Millisecond + n*time.Duration(first.Load()))
						if yield("a", nil) {
							time.Sleep(2*time.Second + n*time.Duration(rest.Load()))
							yield("b", nil)
						}
					}
				}))
				require.NoError(t, err)
				load := func(n int, d time.Duration) {
					var calls sync.WaitGroup
					end := time.Now().Add(d)
					for range n {
						calls.Go(func() {
							for time.Now().Before(end) {
								s, err := client.Call(t.Context(), "?")
								if err != nil {
									time.Sleep(time.Second)
									continue
								}
								for _, err := range s.All() {
									require.NoError(t, err)
								}
							}
						})
					}
					calls.Wait()
				}
				m := func() int { return limiter.Limit(pool.Model("m")) }
				load(100, time.Minute)
				require.Greater(t, m(), 90)
				first.Store(int64(c.first))
				rest.Store(int64(c.rest))
				load(100, time.Minute)
				if c.shrinks {
					require.Less(t, m(), 60)
				} else {
					require.Greater(t, m(), 90)
				}
			})
		})
	}
}

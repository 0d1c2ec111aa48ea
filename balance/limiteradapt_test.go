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

// What goes well is not limited, however much comes at once.
func TestLimiterRefusesNothingWithoutTrouble(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		require.Zero(r, r.limiter.Limit(r.model))
		_, refused := r.limitLoad(500, 5*time.Second)
		require.Zero(r, refused)
		r.limitLoad(5, 3*time.Minute)
		good, refused := r.limitLoad(1000, 10*time.Second)
		require.Zero(r, refused)
		require.Equal(r, 10000, good)
		r.limitLoad(200, 3*time.Minute)
		r.do = limitTakes(30 * time.Second)
		_, refused = r.limitLoad(200, 10*time.Minute)
		require.Zero(r, refused, "answers may become longer")
		require.Zero(r, r.model.Queued())
	})
}

// A model that works on eight at a time, and lets the others stand in line until
// they are out of time, is not given hundreds.
func TestLimiterDoesNotGrowAQueueElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := balance.NewLimiter(balance.LimiterConfig{})
		pool, err := resilience.NewPool(limiter, resilience.Timeouts{Attempt: 8 * time.Second})
		require.NoError(t, err)
		slots := make(chan struct{}, 8)
		client, err := resilience.NewClient(pool, resilience.BindFunc("m", func(ctx context.Context, q string) (string, error) {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
			defer func() { <-slots }()
			return limitTakes(1500*time.Millisecond)(ctx, q)
		}))
		require.NoError(t, err)
		r := &limitRig{T: t, limiter: limiter, model: pool.Model("m"), client: client}
		r.limitLoad(8, 2*time.Minute)
		good, _ := r.limitLoad(200, 2*time.Minute)
		require.Less(t, limiter.Limit(r.model), 64)
		require.Greater(t, good, 120*8*2/3*8/10, "of what it can")
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
		require.True(t, limiter.Limit(m) > 0 && limiter.Limit(m) <= 5, "%d", limiter.Limit(m))
		require.EqualValues(t, limiter.Limit(m), m.Capacity())
		require.Less(t, m.Stats(5*time.Minute).Calls, int64(150), "of which a hundred came before anything was known")
		hangs = false
		time.Sleep(time.Minute)
		good, refused := r.limitLoad(50, 40*time.Second)
		require.Greater(t, good, 50*40*9/10)
		require.Zero(t, refused)
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
		_, refused := r.limitLoad(60, 3*time.Minute)
		require.Zero(r, refused)
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

// overload makes n calls at once that the model turns down a second later.
func (r *limitRig) overload(n int) {
	r.do = func(ctx context.Context, q string) (string, error) {
		_, _ = limitTakes(time.Second)(ctx, q)
		return "", resilience.Overloaded
	}
	for range n {
		r.go1(resilience.CallOptions{}, nil)
	}
	r.calls.Wait()
	r.do = limitTakes(time.Second)
}

// A limit of four, which is the least, grows when it is in use.
func TestLimiterGrowsFromTheLeast(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		r.overload(5)
		require.Equal(r, 4, r.limiter.Limit(r.model))
		r.limitLoad(4, 30*time.Second)
		require.Greater(r, r.limiter.Limit(r.model), 4)
	})
}

// Four that hang at once are too many; fewer say nothing.
func TestLimiterFewThatHang(t *testing.T) {
	for n, want := range map[int]int{3: 0, 4: 4} {
		synctest.Test(t, func(t *testing.T) {
			limiter := balance.NewLimiter(balance.LimiterConfig{})
			pool, err := resilience.NewPool(limiter, resilience.Timeouts{Attempt: time.Second})
			require.NoError(t, err)
			client, err := resilience.NewClient(pool, resilience.BindFunc("m", limitTakes(time.Hour)))
			require.NoError(t, err)
			r := &limitRig{T: t, client: client}
			for range n {
				r.go1(resilience.CallOptions{}, func(err error) { require.ErrorIs(t, err, resilience.TimedOut) })
			}
			r.calls.Wait()
			require.Equal(t, want, limiter.Limit(pool.Model("m")), "%d", n)
		})
	}
}

// Limits that were found out last for a window, and over reloads that do not
// change it.
func TestLimiterWindow(t *testing.T) {
	limited(t, balance.LimiterConfig{Window: 10 * time.Second}, resilience.Limits{}, func(r *limitRig) {
		limit := func(after time.Duration) int {
			time.Sleep(after)
			_, err := r.client.Call(r.Context(), "?")
			require.NoError(r, err)
			return r.limiter.Limit(r.model)
		}
		r.overload(20)
		require.Equal(r, 14, limit(6*time.Second))
		require.Zero(r, limit(4*time.Second))

		r.overload(20)
		reload := func(text string) { require.NoError(r, r.pool.Reload(r.Context(), []byte(text), by)) }
		reload(`{"limiter": {"queue": 50}}`)
		require.Equal(r, 14, r.limiter.Limit(r.model))
		reload(`{"limiter": {"window": "20s"}}`)
		require.Zero(r, r.limiter.Limit(r.model))
	})
}

// Calls that last longer than a sixth of the window are limited by how many there
// are at once.
func TestLimiterWindowOfLongCalls(t *testing.T) {
	for window, want := range map[time.Duration]int{6 * time.Second: 50, time.Minute: 0} {
		limited(t, balance.LimiterConfig{Window: window}, resilience.Limits{}, func(r *limitRig) {
			ask := func(n int) {
				for range n {
					r.go1(resilience.CallOptions{}, nil)
					time.Sleep(50 * time.Millisecond)
				}
			}
			r.do = limitTakes(3 * time.Second)
			ask(50)
			r.do = func(context.Context, string) (string, error) { return "", resilience.RateLimited }
			ask(5)
			require.Equal(r, want, r.limiter.Limit(r.model), window)
		})
	}
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
				require.Zero(t, m())
				first.Store(int64(c.first))
				rest.Store(int64(c.rest))
				load(100, time.Minute)
				if c.shrinks {
					require.True(t, m() > 0 && m() < 60, "%d", m())
				} else {
					require.True(t, m() == 0 || m() >= 200, "%d", m())
				}
			})
		})
	}
}

// Rate limits that have nothing to do with the rate do not slow calls down.
func TestLimiterStrayRateLimits(t *testing.T) {
	limited(t, balance.LimiterConfig{}, resilience.Limits{}, func(r *limitRig) {
		rng := rand.New(rand.NewPCG(1, 1))
		var mu sync.Mutex
		r.do = func(ctx context.Context, q string) (string, error) {
			mu.Lock()
			stray := rng.IntN(100) == 0
			mu.Unlock()
			if stray {
				return "", resilience.RateLimited
			}
			return limitTakes(200*time.Millisecond)(ctx, q)
		}
		var waits time.Duration
		calls, refused := 0, 0
		limitPoisson(rand.New(rand.NewPCG(2, 2)), 100, 2*time.Minute, func() {
			_, rep, err := r.client.Do(r.Context(), "?", resilience.CallOptions{})
			mu.Lock()
			defer mu.Unlock()
			calls++
			if resilience.KindOf(err) == resilience.Rejected {
				refused++
			}
			for _, a := range rep.Attempts {
				waits += a.Wait
			}
		})
		time.Sleep(20 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Less(r, waits/time.Duration(calls), 20*time.Millisecond)
		require.Less(r, refused, calls/1000)
	})
}

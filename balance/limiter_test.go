package balance_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestLimiterMakesCallsWaitForRoom(t *testing.T) {
	for name, c := range map[string]struct {
		cfg    balance.LimiterConfig
		limits resilience.Limits
	}{
		"by its configuration":    {cfg: balance.LimiterConfig{InFlight: 2}},
		"by the model's limits":   {balance.LimiterConfig{InFlight: 5}, resilience.Limits{Concurrency: 2}},
		"by the model's settings": {cfg: balance.LimiterConfig{InFlight: 5, Models: map[string]balance.LimiterConfig{"m": {InFlight: 2}}}},
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, c.cfg, c.limits, func(r *limitRig) {
				require.Equal(r, 2, r.limiter.Limit(r.model))
				require.EqualValues(r, 2, r.model.Capacity())
				r.fill(1)
				require.False(r, r.model.Full())
				r.fill2()
				require.True(r, r.model.Full())
				start := time.Now()
				r.go1(resilience.CallOptions{}, func(err error) {
					require.NoError(r, err)
					require.Equal(r, 2*time.Second, time.Since(start))
				})
				require.EqualValues(r, 1, r.model.Queued())
				require.EqualValues(r, 2, r.model.InFlight())
				require.Equal(r, "full: 2 of 2 under way, 1 waiting", r.pool.Explain("")[0].Reason)
				time.Sleep(time.Second)
				synctest.Wait()
				require.Zero(r, r.model.Queued())
				require.Empty(r, r.pool.Explain("")[0].Reason)
			})
		})
	}
}

func TestLimiterOff(t *testing.T) {
	limited(t, balance.LimiterConfig{InFlight: -1}, resilience.Limits{}, func(r *limitRig) {
		require.Zero(r, r.limiter.Limit(r.model))
		r.fill(500)
	})
}

// Room goes by priority, then to tenants in turn, then by deadline.
func TestLimiterOrder(t *testing.T) {
	tenant := func(name string) resilience.CallOptions { return resilience.CallOptions{Tenant: name} }
	until := func(d time.Duration) resilience.CallOptions { return resilience.CallOptions{Timeout: d} }
	for name, c := range map[string]struct {
		calls []resilience.CallOptions
		want  []string
	}{
		"as they came": {make([]resilience.CallOptions, 3), []string{"0", "1", "2"}},
		"priority": {
			[]resilience.CallOptions{{Priority: resilience.Low}, {}, {Priority: resilience.Critical}, {Priority: resilience.High}, {Priority: 99}},
			[]string{"2", "4", "3", "1", "0"},
		},
		"tenants": {
			[]resilience.CallOptions{tenant("a"), tenant("a"), tenant("a"), tenant("b"), tenant("c"), tenant("b")},
			[]string{"0", "3", "4", "1", "5", "2"},
		},
		"deadlines": {
			[]resilience.CallOptions{{}, until(9 * time.Second), until(7 * time.Second), until(8 * time.Second), {}},
			[]string{"2", "3", "1", "0", "4"},
		},
		"a tenant's deadlines say nothing to others": {
			[]resilience.CallOptions{tenant("a"), {Tenant: "b", Timeout: 9 * time.Second}, {Tenant: "b", Timeout: 5 * time.Second}},
			[]string{"0", "2", "1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, balance.LimiterConfig{InFlight: 1}, resilience.Limits{}, func(r *limitRig) {
				var order limitOrder
				time.Sleep(time.Second) // the clock of the pool does not stand at zero
				r.fill(1)
				for i, opts := range c.calls {
					r.go1(opts, order.note(strconv.Itoa(i)))
				}
				require.EqualValues(r, len(c.calls), r.model.Queued())
				r.calls.Wait()
				require.Equal(r, c.want, order.list)
			})
		})
	}
}

// A queue that is full has room for what goes first, at the cost of what goes
// last.
func TestLimiterFullQueue(t *testing.T) {
	for name, c := range map[string]struct {
		calls []resilience.CallOptions // of which the queue holds three
		want  []string
	}{
		"the last is refused": {make([]resilience.CallOptions, 4), []string{"3 rejected", "0", "1", "2"}},
		"a lower one is refused": {
			[]resilience.CallOptions{{}, {}, {}, {Priority: resilience.Low}}, []string{"3 rejected", "0", "1", "2"},
		},
		"a higher one takes the place of the last of the lowest": {
			[]resilience.CallOptions{{Priority: resilience.High}, {}, {}, {Priority: resilience.High}, {Priority: resilience.Critical}},
			[]string{"2 rejected", "1 rejected", "4", "0", "3"},
		},
		"a tenant that has less takes the place of the last of who has most": {
			[]resilience.CallOptions{{Tenant: "a"}, {Tenant: "a"}, {Tenant: "a"}, {Tenant: "b"}, {Tenant: "b"}, {Tenant: "c"}},
			[]string{"2 rejected", "4 rejected", "1 rejected", "0", "3", "5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, balance.LimiterConfig{InFlight: 1, Queue: 3}, resilience.Limits{}, func(r *limitRig) {
				var order limitOrder
				r.fill(1)
				for i, opts := range c.calls {
					r.go1(opts, order.note(strconv.Itoa(i)))
				}
				require.EqualValues(r, 3, r.model.Queued())
				r.calls.Wait()
				require.Equal(r, c.want, order.list)
			})
		})
	}
}

func TestLimiterSaysWhy(t *testing.T) {
	limited(t, balance.LimiterConfig{InFlight: 1, Queue: 1, Wait: 500 * time.Millisecond}, resilience.Limits{}, func(r *limitRig) {
		r.fill(1)
		r.go1(resilience.CallOptions{Priority: resilience.Low}, func(err error) {
			require.ErrorIs(r, err, resilience.Rejected)
			require.ErrorContains(r, err, "the queue is full, and a call that goes first took its place")
		})
		r.go1(resilience.CallOptions{}, func(err error) {
			require.ErrorIs(r, err, resilience.Rejected)
			require.ErrorContains(r, err, "no room within 500ms, full: 1 of 1 under way, 0 waiting")
		})
		r.go1(resilience.CallOptions{}, func(err error) {
			require.ErrorContains(r, err, "full: 1 of 1 under way, 1 waiting, and no more may wait")
		})
		r.calls.Wait()
		for range 3 {
			e := <-r.events.C
			require.Equal(r, r.model, e.Model)
			require.False(r, e.Would)
			require.ErrorIs(r, e.Err, resilience.Rejected)
		}
	})
	limited(t, balance.LimiterConfig{InFlight: 1, Wait: -1}, resilience.Limits{}, func(r *limitRig) {
		r.fill(1)
		r.go1(resilience.CallOptions{}, func(err error) { require.ErrorContains(r, err, "full: 1 of 1 under way, 0 waiting") })
	})
	limited(t, balance.LimiterConfig{InFlight: 1, Queue: -1}, resilience.Limits{}, func(r *limitRig) {
		r.fill(1)
		r.go1(resilience.CallOptions{}, func(err error) { require.ErrorContains(r, err, "and no more may wait") })
	})
}

// A call whose time ends while it waits leaves at once, and nobody waits for it.
func TestLimiterCallsThatLeave(t *testing.T) {
	limited(t, balance.LimiterConfig{InFlight: 1}, resilience.Limits{}, func(r *limitRig) {
		r.fill(1)
		start := time.Now()
		r.go1(resilience.CallOptions{Timeout: 300 * time.Millisecond, Priority: resilience.Critical}, func(err error) {
			require.Error(r, err)
			require.Equal(r, 300*time.Millisecond, time.Since(start))
		})
		ctx, cancel := context.WithCancel(r.Context())
		r.calls.Go(func() {
			_, err := r.client.Call(ctx, "?")
			require.ErrorIs(r, err, context.Canceled)
			require.Zero(r, time.Since(start))
		})
		synctest.Wait()
		var order limitOrder
		r.go1(resilience.CallOptions{Priority: resilience.Low}, order.note("low"))
		require.EqualValues(r, 3, r.model.Queued())
		cancel()
		synctest.Wait()
		require.EqualValues(r, 2, r.model.Queued())
		r.calls.Wait()
		require.Equal(r, []string{"low"}, order.list)
		require.Equal(r, 2*time.Second, time.Since(start))
	})
}

// A call that is let in as it leaves gives its place back.
func TestLimiterLetInTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := resilience.NewPool(balance.NewLimiter(balance.LimiterConfig{InFlight: 1, Tenant: 1}))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindStream("m", func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) { yield("a", nil) }
		}))
		require.NoError(t, err)
		for range 300 {
			s, err := client.Call(t.Context(), "?")
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			calls.Go(func() {
				if s, err := client.Call(ctx, "?"); err == nil {
					require.NoError(t, s.Close())
				}
			})
			synctest.Wait()
			cancel()
			require.NoError(t, s.Close())
			calls.Wait()
		}
	})
}

// Those who wait for a place do not wait for their turns by pace on top.
func TestLimiterWaitsForWhatIsScarce(t *testing.T) {
	limited(t, balance.LimiterConfig{InFlight: 1, Wait: time.Second}, resilience.Limits{RequestsPerMinute: 50}, func(r *limitRig) {
		r.do = limitTakes(100 * time.Millisecond)
		var order limitOrder
		for i := range 5 {
			r.go1(resilience.CallOptions{}, order.note(strconv.Itoa(i)))
		}
		r.calls.Wait()
		require.Equal(r, []string{"0", "1", "2", "3", "4"}, order.list)
	})
}

// While there is somewhere else to go, a call does not wait for long.
func TestLimiterGoesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := resilience.NewPool(fallback.New(fallback.Config{}), balance.NewLimiter(balance.LimiterConfig{
			Models: map[string]balance.LimiterConfig{"a": {InFlight: 1}, "b": {InFlight: 1}},
		}))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool,
			resilience.BindFunc("a", limitTakes(time.Minute)), resilience.BindFunc("b", limitTakes(5*time.Second)))
		require.NoError(t, err)
		start := time.Now()
		var calls sync.WaitGroup
		for _, want := range []time.Duration{time.Minute, 5 * time.Second, 10 * time.Second} {
			calls.Go(func() {
				_, err := client.Call(t.Context(), "?")
				require.NoError(t, err)
				require.InDelta(t, want, time.Since(start), float64(10*time.Millisecond), "a has room, b has, and neither: a second at a, then b")
			})
			time.Sleep(time.Millisecond)
		}
		calls.Wait()
	})
}

func TestLimiterTenantCap(t *testing.T) {
	limited(t, balance.LimiterConfig{InFlight: 3, Tenant: 2}, resilience.Limits{}, func(r *limitRig) {
		var order limitOrder
		for i := range 4 {
			r.go1(resilience.CallOptions{Tenant: "a"}, order.note("a"+strconv.Itoa(i)))
		}
		require.EqualValues(r, 2, r.model.InFlight())
		require.EqualValues(r, 2, r.model.Queued())
		require.False(r, r.model.Full(), "there is room for others")
		r.go1(resilience.CallOptions{Tenant: "b"}, order.note("b"))
		require.EqualValues(r, 3, r.model.InFlight())
		r.calls.Wait()
		require.ElementsMatch(r, []string{"a0", "a1", "b"}, order.list[:3])
		require.ElementsMatch(r, []string{"a2", "a3"}, order.list[3:])
	})
	limited(t, balance.LimiterConfig{InFlight: 3, Tenant: 1, Wait: -1}, resilience.Limits{}, func(r *limitRig) {
		r.go1(resilience.CallOptions{Tenant: "a"}, nil)
		r.go1(resilience.CallOptions{Tenant: "a"}, func(err error) { require.ErrorContains(r, err, "its tenant is full: 1 under way") })
	})
	limited(t, balance.LimiterConfig{Tenant: 1}, resilience.Limits{}, func(r *limitRig) {
		r.do = func(context.Context, string) (string, error) { return "", resilience.Overloaded }
		_, err := r.client.Call(r.Context(), "?")
		require.ErrorIs(r, err, resilience.Overloaded)
		r.do = limitTakes(time.Second)
		for range 3 {
			r.go1(resilience.CallOptions{Tenant: "a"}, nil)
		}
		require.EqualValues(r, 1, r.model.InFlight(), "with no other limit, and after a failure")
	})
}

// Who asks for ten times its share gets what the others leave.
func TestLimiterFairness(t *testing.T) {
	const tenants, d = 5, 2 * time.Minute
	good := func(greedy float64) (others float64) {
		limited(t, balance.LimiterConfig{InFlight: 10}, resilience.Limits{}, func(r *limitRig) { // ten a second
			var mu sync.Mutex
			served := map[string]int{}
			asked := 0
			rng := rand.New(rand.NewPCG(1, 2))
			limitPoisson(rand.New(rand.NewPCG(3, 4)), tenants-1+greedy, d, func() {
				mu.Lock()
				name := "greedy"
				if rng.Float64()*(tenants-1+greedy) < tenants-1 {
					name = strconv.Itoa(rng.IntN(tenants - 1))
					asked++
				}
				mu.Unlock()
				_, _, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Tenant: name, Timeout: 8 * time.Second})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					served[name]++
				}
			})
			time.Sleep(time.Minute)
			mu.Lock()
			defer mu.Unlock()
			for name, n := range served {
				if name != "greedy" {
					others += float64(n) / float64(asked)
				}
			}
		})
		return others
	}
	even, uneven := good(2), good(20)
	t.Logf("published: fairness, goodput of tenants beside one at ten times its share: measured %.4f, without it %.4f, target %.2f of that", uneven, even, 0.95)
	require.GreaterOrEqual(t, uneven, 0.95*even)
}

// However an attempt ends, its place is free again.
func TestLimiterPlacesComeBack(t *testing.T) {
	for name, do := range map[string]func(context.Context, string) (string, error){
		"panic":  func(context.Context, string) (string, error) { panic("boom") },
		"goexit": func(context.Context, string) (string, error) { runtime.Goexit(); return "", nil },
		"error":  func(context.Context, string) (string, error) { return "", resilience.Invalid },
	} {
		t.Run(name, func(t *testing.T) {
			limited(t, balance.LimiterConfig{InFlight: 1, Tenant: 1}, resilience.Limits{}, func(r *limitRig) {
				r.do = do
				var waits sync.WaitGroup
				for range 3 {
					waits.Go(func() {
						defer func() { _ = recover() }()
						_, _ = r.client.Call(r.Context(), "?")
					})
				}
				waits.Wait()
				r.do = limitTakes(0)
				_, err := r.client.Call(r.Context(), "?")
				require.NoError(r, err)
			})
		})
	}
}

// A stream is under way until its end.
func TestLimiterStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := balance.NewLimiter(balance.LimiterConfig{InFlight: 1, Wait: -1})
		pool, err := resilience.NewPool(limiter)
		require.NoError(t, err)
		broken := errors.New("broken")
		client, err := resilience.NewClient(pool, resilience.BindStream("m", func(_ context.Context, q string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				_ = yield("a", nil) && yield("b", nil) && q == "break" && yield("", broken)
			}
		}))
		require.NoError(t, err)
		for name, finish := range map[string]func(*resilience.Stream[string]){
			"read": func(s *resilience.Stream[string]) {
				for _, err := range s.All() {
					require.NoError(t, err)
				}
			},
			"closed": func(s *resilience.Stream[string]) { require.NoError(t, s.Close()) },
		} {
			s, err := client.Call(t.Context(), name)
			require.NoError(t, err)
			_, err = client.Call(t.Context(), "?")
			require.ErrorIs(t, err, resilience.Rejected, name)
			finish(s)
		}
		s, err := client.Call(t.Context(), "break")
		require.NoError(t, err)
		var last error
		for _, err := range s.All() {
			last = err
		}
		require.ErrorIs(t, last, broken)
		s, err = client.Call(t.Context(), "?")
		require.NoError(t, err)
		require.NoError(t, s.Close())
	})
}

// Calls that give up meet calls that are let in: no place is lost or given
// twice.
func TestLimiterHammer(t *testing.T) {
	limiter := balance.NewLimiter(balance.LimiterConfig{InFlight: 4, Tenant: 3, Queue: 20, Wait: 3 * time.Millisecond})
	pool, err := resilience.NewPool(limiter)
	require.NoError(t, err)
	var mu sync.Mutex
	under, most := 0, 0
	var places chan struct{}
	var turn atomic.Int64
	client, err := resilience.NewClient(pool, resilience.BindFunc("m", func(context.Context, string) (string, error) {
		mu.Lock()
		under++
		most = max(most, under)
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			under--
		}()
		if runtime.Gosched(); places != nil {
			<-places
		}
		return "", nil
	}))
	require.NoError(t, err)
	calls := 300
	if testing.Short() {
		calls = 50
	}
	var workers sync.WaitGroup
	for i := range 24 {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range calls {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(400))*time.Microsecond)
				_, _, _ = client.Do(ctx, "?", resilience.CallOptions{Tenant: strconv.Itoa(rng.IntN(3)), Priority: resilience.Priority(rng.IntN(3))})
				cancel()
			}
		})
	}
	workers.Wait()
	m := pool.Model("m")
	require.LessOrEqual(t, most, 4)
	require.Zero(t, m.Queued())
	require.False(t, m.Full())
	places = make(chan struct{}) // all are there
	for range 4 {
		workers.Go(func() {
			_, _, err := client.Do(t.Context(), "?", resilience.CallOptions{Tenant: strconv.Itoa(int(turn.Add(1)))})
			require.NoError(t, err)
		})
	}
	for range 4 {
		places <- struct{}{}
	}
	workers.Wait()
	require.Empty(t, pool.Explain("")[0].Reason)
}

func TestLimiterReload(t *testing.T) {
	by := resilience.Control{Actor: "a test", Reason: "to see"}
	limited(t, balance.LimiterConfig{InFlight: 4}, resilience.Limits{}, func(r *limitRig) {
		var order limitOrder
		r.fill(4)
		r.go1(resilience.CallOptions{}, order.note("waits"))
		reload := func(text string) { require.NoError(r, r.pool.Reload(r.Context(), []byte(text), by)) }
		reload(`{"limiter": {"inFlight": 2}}`)
		require.Equal(r, 2, r.limiter.Limit(r.model))
		require.EqualValues(r, 4, r.model.InFlight(), "what is under way goes on")
		require.True(r, r.model.Full())
		reload(`{"models": [{"id": "m", "limits": {"concurrency": 5}}]}`)
		synctest.Wait()
		require.EqualValues(r, 5, r.model.InFlight())
		reload(`{"limiter": {"inFlight": -1}}`)
		require.Zero(r, r.limiter.Limit(r.model))
		reload(`{}`)
		require.Equal(r, 4, r.limiter.Limit(r.model))
		err := r.pool.Reload(r.Context(), []byte(`{"limiter": {"inFlight": 2, "tenant": 3, "models": {"m": {"tenant": 4}}}}`), by)
		require.ErrorContains(r, err, "limiter.tenant: 3 is more than inFlight, 2")
		require.ErrorContains(r, err, "limiter.models.m.tenant: 4 is more than inFlight, 2")
		require.Equal(r, 4, r.limiter.Limit(r.model))
	})
}

func TestLimiterObserveOnly(t *testing.T) {
	limited(t, balance.LimiterConfig{InFlight: 2, ObserveOnly: true}, resilience.Limits{RequestsPerMinute: 40}, func(r *limitRig) {
		r.fill(3)
		require.False(r, r.model.Full())
		time.Sleep(1001 * time.Millisecond)
		r.fill(2)
		for _, want := range []string{"full: 2 of 2 under way", "pacing: 499ms until"} {
			e := <-r.events.C
			require.True(r, e.Would)
			require.Contains(r, e.Reason, want)
		}
		require.Empty(r, r.pool.Explain("")[0].Reason)
	})
}

func TestLimiterConfig(t *testing.T) {
	require.NoError(t, settings.Lint(balance.LimiterConfig{}))
	require.Equal(t, "inFlight=adaptive wait=10s queue=100 window=1m tenant=off observeOnly=false", balance.NewLimiter(balance.LimiterConfig{}).String())
	for want, cfg := range map[string]balance.LimiterConfig{
		"limiter.tenant: 6 is more than inFlight, 5":             {InFlight: 5, Tenant: 6},
		"limiter.models.m.tenant: 3 is more than inFlight, 2":    {Tenant: 3, Models: map[string]balance.LimiterConfig{"m": {InFlight: 2}}},
		"limiter.queue: 10001 is more than 10000":                {Queue: 10_001},
		"limiter.wait: 2h is more than 1h":                       {Wait: 2 * time.Hour},
		"limiter.models.m.models: an override cannot hold overr": {Models: map[string]balance.LimiterConfig{"m": {Models: map[string]balance.LimiterConfig{"n": {}}}}},
	} {
		_, err := resilience.NewPool(balance.NewLimiter(cfg))
		require.ErrorContains(t, err, want)
	}
	l := balance.NewLimiter(balance.LimiterConfig{})
	_, err := resilience.NewPool(l)
	require.NoError(t, err)
	_, err = resilience.NewPool(l)
	require.ErrorContains(t, err, "limiter: this limiter belongs to another pool")
	require.Zero(t, l.Limit(resilience.Wrap(resilience.FuncOf(limitTakes(0))).Pool().Models()[0]), "a model that it does not know")
}

// Names of tenants come from outside: a million of them leave nothing behind.
func TestLimiterMemory(t *testing.T) {
	limited(t, balance.LimiterConfig{InFlight: 1, Tenant: 1, Wait: -1}, resilience.Limits{}, func(r *limitRig) {
		r.do = func(context.Context, string) (string, error) { return "", nil }
		ask := func(n int) {
			for i := range n {
				_, _, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Tenant: "tenant " + strconv.Itoa(i)})
				require.NoError(r, err)
			}
		}
		n := 200_000
		switch {
		case *long:
			n = 1_000_000
		case testing.Short():
			n = 20_000
		}
		ask(1000)
		before := limitHeap()
		ask(n)
		require.Less(r, limitHeap(), before+200<<10)
	})
}

func limitHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

package balance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
)

func TestPublishedTwoChoices(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	t.Run("static", func(t *testing.T) {
		good, seeds := 0, 20
		if *long {
			seeds = 100
		}
		for seed := range seeds {
			if maxLoad(t, uint64(seed), 1000) <= 3 {
				good++
			}
		}
		t.Logf("published: TwoChoices/static, n = 1,000: measured a load of at most 3 with %d of %d seeds, reference 3.00 in the mean, target ≥ 95 %%", good, seeds)
		require.GreaterOrEqual(t, good*100, 95*seeds)
		if *long {
			most := maxLoad(t, 1, 1<<16) // as many as a pool may have
			t.Logf("published: TwoChoices/static, n = 65,536: measured a load of at most %d, reference 3.30 at n = 100,000 and 4.00 at 1,000,000, target ≤ 4", most)
			require.LessOrEqual(t, most, int64(4))
		}
	})
	// Services are short against what a latency is remembered for, and as long.
	for _, service := range []time.Duration{100 * time.Millisecond, 10 * time.Second} {
		for _, tc := range []struct {
			load, want float64 // E[T] in services
			long       bool
		}{{.5, 1.266, true}, {.7, 1.614, false}, {.8, 1.947, true}, {.9, 2.614, true}, {.95, 3.383, true}} {
			if tc.long && !*long {
				continue
			}
			t.Run(fmt.Sprintf("dynamic, service %v, load %v", service, tc.load), func(t *testing.T) {
				warm, calls := 20_000, 30_000
				if *long {
					warm, calls = 200_000, 800_000
				}
				const servers = 500
				synctest.Test(t, func(t *testing.T) {
					rate := tc.load * servers / service.Seconds()
					e := offer(t, 1, serversOf(servers, 1, service), rate, warm, calls, balancer(balance.TwoChoices))
					got := e.mean().Seconds() / service.Seconds()
					t.Logf("published: TwoChoices/load %v, service %v: measured %.3f services, reference %.3f, target within 3 %%", tc.load, service, got, tc.want)
					require.InEpsilon(t, tc.want, got, 0.03)
				})
			})
		}
	}
}

func serversOf(n, slots int, service time.Duration) (servers []*server) {
	for i := range n {
		servers = append(servers, newServer(uint64(i)+1000, slots, service))
	}
	return servers
}

// lessLoaded is power of two choices over attempts in flight, to compare with.
type lessLoaded struct{}

func (lessLoaded) Install(s *resilience.Setup) error { s.Pick(lessLoaded{}); return nil }

func (lessLoaded) Pick(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
	a, b := from.Two()
	if b != nil && b.InFlight() < a.InFlight() {
		return b
	}
	return a
}

// Ten servers with four slots each.
func TestPublishedUneven(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	calls := 20_000
	if *long {
		calls = 200_000
	}
	run := func(t *testing.T, load float64, change func(s []*server), features ...resilience.Feature) (e *experiment) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			servers := serversOf(10, 4, 100*time.Millisecond)
			change(servers)
			capacity := 0.
			for _, s := range servers {
				capacity += 4 / s.mean.Seconds()
			}
			e = offer(t, 1, servers, load*capacity, 5000, calls, features...)
		})
		return e
	}
	even := func([]*server) {}
	slow := func(s []*server) { s[0].mean, s[1].mean = 400*time.Millisecond, 400*time.Millisecond }
	hole := func(part float64) func(s []*server) {
		return func(s []*server) { s[0].failures, s[0].failsIn = part, 2*time.Millisecond }
	}
	everywhere := func(s []*server) {
		for _, s := range s {
			s.failures, s.failsIn = 0.01, 2*time.Millisecond
		}
	}

	t.Run("even", func(t *testing.T) {
		ours, theirs := run(t, .9, even, balancer(balance.TwoChoices)), run(t, .9, even, lessLoaded{})
		got, reference := ours.quantile(.99), theirs.quantile(.99)
		t.Logf("published: Uneven/all alike, load .9, p99: measured %v, reference %v by load alone (published: 498ms), target within 5 %%",
			got.Round(time.Millisecond), reference.Round(time.Millisecond))
		require.LessOrEqual(t, got.Seconds(), 1.05*reference.Seconds())
	})
	t.Run("slow", func(t *testing.T) {
		for _, load := range []float64{.7, .85} {
			got := run(t, load, slow, balancer(balance.TwoChoices)).quantile(.99)
			t.Logf("published: Uneven/2 of 10 at quarter speed, load %v, p99: measured %v, reference round robin 495 s, target ≤ 700ms", load, got.Round(time.Millisecond))
			require.LessOrEqual(t, got, 700*time.Millisecond)
		}
	})
	t.Run("failing", func(t *testing.T) {
		share := func(e *experiment) float64 { return 100 * float64(e.errors) / float64(calls) }
		for _, part := range []float64{1, .5} {
			broken := share(run(t, .6, hole(part), balancer(balance.TwoChoices), breaker.New(breaker.Config{})))
			alone := share(run(t, .6, hole(part), balancer(balance.TwoChoices)))
			least := share(run(t, .6, hole(part), balancer(balance.LeastInFlight)))
			t.Logf("published: Uneven/1 of 10 fails %v%% of calls at once: measured %.3f%% errors with a breaker, %.2f%% without, %.2f%% with least_inflight, "+
				"reference least outstanding 63%% (half: 9.1%%), target ≤ 0.1%%", 100*part, broken, alone, least)
			require.LessOrEqual(t, broken, 0.1)
			require.LessOrEqual(t, alone, 0.3)
			require.LessOrEqual(t, least, 0.3)
		}
	})
	t.Run("noise", func(t *testing.T) { // what failures by chance cost those that look out for them
		got, reference := run(t, .85, everywhere, balancer(balance.TwoChoices)).quantile(.99), run(t, .85, everywhere, lessLoaded{}).quantile(.99)
		t.Logf("1 %% of failures everywhere, load .85, p99: %v, by load alone %v", got.Round(time.Millisecond), reference.Round(time.Millisecond))
		require.LessOrEqual(t, got.Seconds(), 1.1*reference.Seconds())
	})
}

// maxLoad returns the most calls in flight at one of n models after n calls, of
// which none ends.
func maxLoad(t *testing.T, seed uint64, n int) (most int64) {
	t.Helper()
	var infos []resilience.ModelInfo
	for i := range n {
		infos = append(infos, resilience.ModelInfo{ID: fmt.Sprint("m", i), Provider: "p"})
	}
	pool, err := resilience.NewPool(balance.New(balance.Config{}), resilience.Models(infos...), resilience.Seed(rand.NewPCG(seed, 9)))
	require.NoError(t, err)
	begun, end := make(chan struct{}), make(chan struct{})
	client, err := resilience.NewClient(pool, resilience.BindProvider("p",
		func(context.Context, *resilience.Model, string) (string, error) {
			begun <- struct{}{}
			<-end
			return "", nil
		}))
	require.NoError(t, err)
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() { _, _ = client.Call(t.Context(), "") })
		<-begun
	}
	for _, m := range pool.Models() {
		most = max(most, m.InFlight())
	}
	close(end)
	calls.Wait()
	return most
}

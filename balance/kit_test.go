package balance_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

var long = flag.Bool("long", false, "run the heavy checks whole")

var algorithms = []balance.Algorithm{
	balance.TwoChoices, balance.RoundRobin, balance.Weighted, balance.WeightedRandom, balance.LeastInFlight,
	balance.LeastLatency, balance.Cheapest, balance.Scored, balance.Regional, balance.Priority,
}

// A way is how a call may be balanced.
type way struct {
	name string
	cfg  balance.Config
	opts resilience.CallOptions
}

// ways are all algorithms, and an affinity.
var ways = func() (ways []way) {
	for _, a := range algorithms {
		cfg := balance.Config{Algorithm: a, Score: func(*resilience.Model) float64 { return 1 }, Region: "eu"}
		ways = append(ways, way{string(a), cfg, resilience.CallOptions{}})
	}
	return append(ways, way{"affinity", balance.Config{}, resilience.CallOptions{Affinity: "a user"}})
}()

var by = resilience.Control{Actor: "operator", Reason: "a test"}

// A server serves in the order of arrival, as many at once as it has slots. It
// does not notice that a client has left.
type server struct {
	mu   sync.Mutex
	rng  *rand.Rand
	mean time.Duration   // of its service, exponential
	free []time.Duration // from when on each slot is
	from time.Time

	failures float64       // part of the calls that fail,
	failsIn  time.Duration // after so long
}

func newServer(seed uint64, slots int, mean time.Duration) *server {
	return &server{rng: rand.New(rand.NewPCG(seed, 77)), mean: mean, free: make([]time.Duration, slots), from: time.Now()}
}

// accept returns how long a call that comes now takes, and how it ends.
func (s *server) accept() (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 && s.rng.Float64() < s.failures {
		return s.failsIn, resilience.Unreachable
	}
	now := time.Since(s.from)
	slot := 0
	for i, free := range s.free {
		if free < s.free[slot] {
			slot = i
		}
	}
	s.free[slot] = max(now, s.free[slot]) + time.Duration(s.rng.ExpFloat64()*float64(s.mean))
	return s.free[slot] - now, nil
}

func (s *server) Call(context.Context, struct{}) (struct{}, error) {
	took, err := s.accept()
	time.Sleep(took)
	return struct{}{}, err
}

// An experiment is what came of calls at random times.
type experiment struct {
	took   []time.Duration // of calls that succeeded, sorted
	errors int
}

func (e *experiment) quantile(q float64) time.Duration {
	return e.took[min(int(q*float64(len(e.took))), len(e.took)-1)]
}

func (e *experiment) mean() time.Duration {
	var sum time.Duration
	for _, d := range e.took {
		sum += d
	}
	return sum / time.Duration(len(e.took))
}

// offer makes calls at random times, rate a second, to servers behind a pool of
// features. The first ones warm up and do not count. It is called in a bubble.
func offer(t *testing.T, seed uint64, servers []*server, rate float64, warm, calls int, features ...resilience.Feature) *experiment {
	t.Helper()
	pool, err := resilience.NewPool(append(features, resilience.Seed(rand.NewPCG(seed, 1)))...)
	require.NoError(t, err)
	var bindings []resilience.ClientOption[struct{}, struct{}]
	for i, s := range servers {
		bindings = append(bindings, resilience.Bind(fmt.Sprint("m", i), s))
	}
	client, err := resilience.NewClient(pool, bindings...)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed, 2))
	e := &experiment{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := time.Now()
	for i := range warm + calls {
		next = next.Add(time.Duration(rng.ExpFloat64() / rate * float64(time.Second)))
		time.Sleep(time.Until(next))
		wg.Go(func() {
			start := time.Now()
			_, err := client.Call(t.Context(), struct{}{})
			if i < warm {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				e.errors++
				return
			}
			e.took = append(e.took, time.Since(start))
		})
	}
	wg.Wait()
	slices.Sort(e.took)
	return e
}

func balancer(algorithm balance.Algorithm) *balance.Balancer {
	return balance.New(balance.Config{Algorithm: algorithm})
}

// near requires count of n to be within three standard deviations of a share.
func near(t *testing.T, share float64, n, count int, what string) {
	t.Helper()
	require.InDelta(t, share*float64(n), count, 3*math.Sqrt(float64(n)*share*(1-share))+1, what)
}

// A world is a client whose models do as the test says.
type world struct {
	*resilience.Client[string, string]
	t     *testing.T
	takes map[string]time.Duration
	fail  map[string]float64
}

func names(ids ...string) (infos []resilience.ModelInfo) {
	for _, id := range ids {
		infos = append(infos, resilience.ModelInfo{ID: id, Provider: "p", Region: "eu"})
	}
	return infos
}

func newWorld(t *testing.T, cfg balance.Config, infos ...resilience.ModelInfo) *world {
	t.Helper()
	for i := range infos {
		infos[i].Provider = "p"
	}
	w := &world{t: t, takes: map[string]time.Duration{}, fail: map[string]float64{}}
	pool, err := resilience.NewPool(resilience.Models(infos...), balance.New(cfg), resilience.Seed(rand.NewPCG(1, 2)), inTurn{})
	require.NoError(t, err)
	w.Client, err = resilience.NewClient(pool, resilience.BindProvider("p",
		func(ctx context.Context, m *resilience.Model, _ string) (string, error) {
			select {
			case <-time.After(w.takes[m.ID()]):
			case <-ctx.Done():
			}
			if f := w.fail[m.ID()]; f > 0 && pool.Rand() < f {
				return "", resilience.Unreachable
			}
			return m.ID(), nil
		}))
	require.NoError(t, err)
	return w
}

// spread makes calls one after the other and counts the answers by model.
func (w *world) spread(opts resilience.CallOptions, calls int) map[string]int {
	w.t.Helper()
	got := map[string]int{}
	for range calls {
		id, _, err := w.Do(w.t.Context(), "", opts)
		require.NoError(w.t, err)
		got[id]++
	}
	return got
}

// order makes calls one after the other and returns who answered.
func (w *world) order(calls int) (ids string) {
	w.t.Helper()
	for range calls {
		id, err := w.Call(w.t.Context(), "")
		require.NoError(w.t, err)
		ids += id
	}
	return ids
}

// start makes calls, each of them begun before the next, and returns while
// they are under way. They end with the test at the latest.
func (w *world) start(opts resilience.CallOptions, calls int) {
	for range calls {
		go func() { _, _, _ = w.Do(w.t.Context(), "", opts) }()
		synctest.Wait()
	}
}

func (w *world) hold(id string, by resilience.HoldBy, d time.Duration) {
	m := w.Pool().Model(id)
	m.Hold(w.t.Context(), resilience.Hold{By: by, Reason: "a test", Until: time.Now().Add(d)})
}

func (w *world) reload(config string) {
	w.t.Helper()
	require.NoError(w.t, w.Pool().Reload(w.t.Context(), []byte(config), by))
}

// inTurn goes through models until one answers.
type inTurn struct{}

func (inTurn) Install(s *resilience.Setup) error {
	s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
		var last error
		for r.Next(ctx, false) != nil {
			if last = next(ctx, r.Call()); last == nil || !r.Extra(last) {
				return last
			}
		}
		if last == nil {
			return r.None()
		}
		return last
	})
	return nil
}

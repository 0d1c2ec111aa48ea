package recovery_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

var long = flag.Bool("long", false, "run the checks that are too heavy for the default suite")

// A cold backend has a fifth of its capacity when it starts, and all of it after it
// has served as much as it could for thirty seconds.
type cold struct {
	mu       sync.Mutex
	full     float64 // calls a second, when it is warm
	warmth   float64
	down     bool
	room     float64 // calls it could answer now
	at       time.Time
	answered int
	refused  int
}

const coldStart, warmUp = .2, 30

func (c *cold) set(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down, c.warmth, c.at, c.room = down, coldStart, time.Now(), 0
}

// serve answers a call if there is capacity for it: a bucket of a tenth of a second.
func (c *cold) serve() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	capacity := c.full * c.warmth
	c.room = min(c.room+capacity*now.Sub(c.at).Seconds(), max(capacity/10, 1))
	c.at = now
	switch {
	case c.down:
		return resilience.Unreachable
	case c.room < 1:
		c.refused++
		return resilience.Overloaded
	}
	c.room--
	c.answered++
	c.warmth = min(1, c.warmth+(1-coldStart)/(warmUp*capacity))
	return nil
}

// restart is what became of a cold restart.
type restart struct {
	trips  int           // after the first re-open
	errors int           // of the backend, after that
	full   time.Duration // from the last re-open until it has 95 % of its traffic, for good; 0 is never
	spread time.Duration // from the first re-open to the last
}

func (r restart) String() string {
	full := "never all of the traffic"
	if r.full > 0 {
		full = fmt.Sprintf("all of the traffic after %.1f s", r.full.Seconds())
	}
	return fmt.Sprintf("%d re-trips, %d errors, %s", r.trips, r.errors, full)
}

// play has n models behind one backend and as many elsewhere, each called at a rate
// of which the backend could take 1.25 times as much. It is down for a minute.
func play(t *testing.T, n int, probe bool, features ...resilience.Feature) (r restart) {
	t.Helper()
	const rate, pause, down, after = 80., 30 * time.Second, time.Minute, 300 * time.Second
	backend := &cold{full: rate / .8}
	var infos []resilience.ModelInfo
	for i := range n {
		infos = append(infos, resilience.ModelInfo{ID: fmt.Sprint("cold-", i), Provider: "cold"}, resilience.ModelInfo{ID: fmt.Sprint("warm-", i), Provider: "warm"})
	}
	var mu sync.Mutex
	var restarted time.Time
	reopened := map[*resilience.Model]time.Time{}
	features = append(features, resilience.Models(infos...), resilience.Seed(rand.NewPCG(10, 1)), watcher(func(e resilience.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case e.Kind != resilience.EventBreaker || restarted.IsZero():
		case e.To == "closed" && reopened[e.Model].IsZero():
			reopened[e.Model] = time.Now()
		case e.To == "open" && !reopened[e.Model].IsZero():
			r.trips++
		}
	}))
	if probe {
		features = append(features, resilience.Probe(func(context.Context, *resilience.Model) error {
			backend.mu.Lock()
			defer backend.mu.Unlock()
			if backend.down {
				return resilience.Unreachable
			}
			return nil
		}))
	}
	pool, err := resilience.NewPool(features...)
	require.NoError(t, err)
	client, err := resilience.NewClient(pool,
		resilience.BindProvider("cold", func(context.Context, *resilience.Model, string) (string, error) { return "cold", backend.serve() }),
		resilience.BindProvider("warm", func(context.Context, *resilience.Model, string) (string, error) { return "warm", nil }))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = pool.Run(ctx) })
	defer run.Wait()
	defer cancel()

	calls := 0
	chance := rand.New(rand.NewPCG(7, 7))
	call := func(d time.Duration, look func()) {
		for end, next := time.Now().Add(d), time.Now().Add(time.Second); time.Now().Before(end); {
			_, _ = client.Call(t.Context(), "")
			calls++
			time.Sleep(time.Duration(chance.ExpFloat64() / (2 * rate) * float64(time.Second)))
			if look != nil && !time.Now().Before(next) {
				look()
				next = next.Add(time.Second)
			}
		}
	}
	backend.set(false)
	backend.mu.Lock()
	backend.warmth = 1
	backend.mu.Unlock()
	call(pause, nil)
	backend.set(true)
	call(down, nil)
	mu.Lock()
	restarted = time.Now()
	mu.Unlock()
	backend.set(false)
	backend.mu.Lock()
	backend.refused, backend.answered, calls = 0, 0, 0
	backend.mu.Unlock()
	var shares []float64 // of the calls of each second that the backend got
	var ends []time.Time
	asked, all := 0, 0
	call(after, func() {
		backend.mu.Lock()
		defer backend.mu.Unlock()
		cold := backend.answered + backend.refused
		shares = append(shares, float64(cold-asked)/float64(calls-all))
		ends = append(ends, time.Now())
		asked, all = cold, calls
	})
	mu.Lock()
	defer mu.Unlock()
	r.errors = backend.refused
	require.Len(t, reopened, n, "all have come back once")
	var first, last time.Time
	for _, at := range reopened {
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	r.spread = last.Sub(first)
	for s := len(shares) - 10; s >= 0 && mean(shares[s:s+10]) >= .95*.5; s-- {
		if shares[s] >= .95*.5 {
			r.full = ends[s].Sub(last)
		}
	}
	return r
}

func mean(xs []float64) (m float64) {
	for _, x := range xs {
		m += x / float64(len(xs))
	}
	return m
}

func TestPublishedRamp(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	parts := func(slowStart time.Duration, more ...resilience.Feature) []resilience.Feature {
		return append(more, inTurn{}, breaker.New(breaker.Config{OpenFor: 10 * time.Second}),
			balance.New(balance.Config{Algorithm: balance.RoundRobin, SlowStart: slowStart}))
	}
	whole := func() []resilience.Feature {
		return []resilience.Feature{
			stack.New(stack.Config{Balance: balance.Config{Algorithm: balance.RoundRobin}}), recovery.New(recovery.Config{}),
		}
	}
	const linear = "0 re-trips, 0 errors, full service after 30 s (a linear ramp)"
	for _, tc := range []struct {
		name     string
		models   int
		probe    bool
		features []resilience.Feature
		ref      string
	}{
		{"no ramp", 1, false, parts(-1), "29 re-trips, never recovers"},
		{"no ramp, 20 models", 20, false, parts(-1), "29 re-trips, never recovers"},
		{"recovery and slow start", 1, true, parts(0, recovery.New(recovery.Config{})), linear},
		{"recovery and slow start without a probe", 1, false, parts(0, recovery.New(recovery.Config{})), linear},
		{"recovery alone", 1, true, parts(-1, recovery.New(recovery.Config{})), linear},
		{"the stack", 1, true, whole(), linear},
		{"the stack, a herd of 20 models", 20, true, whole(), linear},
		{"recovery alone, a herd of 20 models", 20, true, parts(-1, recovery.New(recovery.Config{})), linear},
	} {
		virtual(t, tc.name, func(t *testing.T) {
			r := play(t, tc.models, tc.probe, tc.features...)
			t.Logf("published: Ramp, %s: measured %v, reference %s, target 0 re-trips, full service after ≤ 30 s", tc.name, r, tc.ref)
			if tc.ref != linear {
				require.Positive(t, r.trips)
				return
			}
			require.Zero(t, r.trips)
			require.Positive(t, r.full)
			require.LessOrEqual(t, r.full, 30*time.Second)
			if tc.models > 1 {
				t.Logf("published: Ramp, %s: measured %.1f s from the first to come back to the last, reference all at once, target ≥ 1 s", tc.name, r.spread.Seconds())
				require.GreaterOrEqual(t, r.spread, time.Second)
			}
		})
	}
}

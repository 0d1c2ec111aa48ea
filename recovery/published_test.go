package recovery_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
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
	alone := func() []resilience.Feature { return parts(-1, recovery.New(recovery.Config{})) }
	const linear = "0 re-trips, 0 errors, full service after 30 s (a linear ramp)"
	for _, tc := range []struct {
		name     string
		models   int
		probe    bool
		features func() []resilience.Feature
		ref      string
	}{
		{"no ramp", 1, false, func() []resilience.Feature { return parts(-1) }, "29 re-trips, never recovers"},
		{"recovery and slow start", 1, true, func() []resilience.Feature { return parts(0, recovery.New(recovery.Config{})) }, linear},
		{"recovery and slow start without a probe", 1, false, func() []resilience.Feature { return parts(0, recovery.New(recovery.Config{})) }, linear},
		{"recovery alone", 1, true, alone, linear},
		{"the stack", 1, true, whole, linear},
		{"the stack, a herd of 20 models", 20, true, whole, linear},
		{"recovery alone, a herd of 20 models", 20, true, alone, linear},
	} {
		virtual(t, tc.name, func(t bubble) {
			var plays []restart // of several models, which come back in an order of chance, the median
			for range 1 + 2*min(tc.models-1, 1) {
				plays = append(plays, play(t.T, tc.models, tc.probe, tc.features()...))
			}
			slices.SortFunc(plays, func(a, b restart) int { return cmp.Compare(a.trips, b.trips) })
			r := plays[len(plays)/2]
			target := "0 re-trips, full service after ≤ 30 s"
			if tc.ref != linear {
				target = "floods as published"
			}
			t.Logf("published: Ramp, %s: measured %v, reference %s, target %s", tc.name, r, tc.ref, target)
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

// outage is what became of one.
type outage struct {
	calls  int           // that failed until it was noticed
	probes int           // within a minute, those that were users' calls among them
	back   time.Duration // from its end until the model was in rotation for good
}

// Ten models fail at random, in all the ways that pass by themselves, and some as if
// people had to mend them.
func TestRecoveryTimes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	span := 40 * time.Minute
	if *long {
		span = 24 * time.Hour
	}
	synctest.Test(t, func(t *testing.T) {
		const pollEvery, settled, breakerOpens = 10 * time.Millisecond, 40 * time.Second, 15 * time.Second
		w := newWorld(bubble{t}, recovery.Config{}, []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}).run()
		kinds := []error{resilience.Overloaded, resilience.Unreachable, resilience.Truncated, resilience.Unknown, errHang, resilience.Unauthorized, resilience.NotFound}
		var mu sync.Mutex
		var outages []outage
		var drivers sync.WaitGroup
		end := time.Now().Add(span)
		for at, m := range w.pool.Models() {
			chance := rand.New(rand.NewPCG(uint64(at), 1))
			drivers.Go(func() {
				for time.Now().Before(end) {
					time.Sleep(time.Duration(chance.ExpFloat64() * float64(3*time.Minute)))
					for m.Ramp() < 1 || !m.Available() { // it is an outage of its own
						time.Sleep(time.Second)
					}
					long := time.Minute
					if chance.IntN(2) == 0 {
						long = 5*time.Second + time.Duration(chance.ExpFloat64()*float64(time.Minute))
					}
					var o outage
					begin, held := time.Now(), time.Time{}
					look := func() {
						w.mu.Lock()
						defer w.mu.Unlock()
						if held.IsZero() && !m.Available() {
							held, o.calls = time.Now(), w.calls[m.ID()]
						}
					}
					w.mu.Lock()
					w.fails[m.ID()], w.calls[m.ID()] = kinds[chance.IntN(len(kinds))], 0
					w.probes[m.ID()] = nil
					w.mu.Unlock()
					for time.Since(begin) < long {
						time.Sleep(pollEvery)
						look()
						if time.Since(begin) <= time.Minute {
							w.mu.Lock()
							o.probes = len(w.probes[m.ID()])
							if !held.IsZero() {
								o.probes += w.calls[m.ID()] - o.calls
							}
							w.mu.Unlock()
						}
					}
					w.fail(nil, m.ID())
					for over := time.Now(); time.Since(over) < settled; time.Sleep(pollEvery) {
						if look(); !m.Available() {
							o.back = time.Since(over) + pollEvery
						}
					}
					if !held.IsZero() {
						mu.Lock()
						outages = append(outages, o)
						mu.Unlock()
					}
				}
			})
		}
		w.call(50, span)
		drivers.Wait()
		w.call(50, 2*time.Minute)

		var detect, probes []int
		var back []time.Duration
		for _, o := range outages {
			detect, probes, back = append(detect, o.calls), append(probes, o.probes), append(back, o.back)
		}
		slices.Sort(detect)
		slices.Sort(probes)
		slices.Sort(back)
		n := len(outages)
		times := w.Times()
		told := w.count(func(e resilience.Event) bool { return e.To == "manual" && e.Kind == resilience.EventRecovery })
		t.Logf("published: RecoveryTimes, detection: measured %d calls in the median of %d outages, reference 5 in a row, target ≤ 5", detect[n/2], n)
		t.Logf("published: RecoveryTimes, back after the end: measured %.1f s in the median, %.1f s at most, reference < 30 s, target ≤ %.0f s, < 30 s always", back[n/2].Seconds(), back[n-1].Seconds(), breakerOpens.Seconds())
		t.Logf("published: RecoveryTimes, probes within a minute of an outage: measured %d at most, users' calls among them, reference –, target ≤ 3", probes[n-1])
		t.Logf("published: RecoveryTimes, left to people: measured %.2f %% (%d of %d outages told of early, all of them taken back), reference < 1 %%, target 0", 100*times.Manual, told, n)
		t.Log(times)
		require.LessOrEqual(t, detect[n/2], 5)
		require.LessOrEqual(t, back[n/2], breakerOpens)
		require.Less(t, back[n-1], 30*time.Second)
		require.LessOrEqual(t, probes[n-1], 3)
		require.Zero(t, times.Manual)
		require.Greater(t, n, 50)
	})
}

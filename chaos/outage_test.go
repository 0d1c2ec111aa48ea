package chaos_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

var long = flag.Bool("long", false, "run the heavy checks whole")

// Five replicas answer 26.7 requests a second in all; an outage takes two.
const (
	replicas, lost = 5, 2
	slots          = 8
	service        = 1500 * time.Millisecond
	capacity       = float64(replicas-lost) * slots / 1.5 // of those left, a second

	attemptTime = 8 * time.Second
	patience    = 3 * attemptTime // of those who call

	warmUp       = 2 * time.Minute
	outageLasts  = 5 * time.Minute
	heal         = warmUp + outageLasts
	watched      = 20 * time.Minute // after the heal
	episodeLasts = heal + watched
)

// An episode is what an outage did.
type episode struct {
	during        float64 // answers in the outage ÷ calls then, or what the replicas left could answer if that is less
	after         float64 // share of the calls begun after the heal that were answered
	recovery      float64 // seconds after the heal from which on that is and stays 99 %, over ten seconds; see never
	amplification float64 // attempts a call, from the outage on
}

const never = float64(watched / time.Second)

// lose sends calls through features to replicas that go on with requests whose
// clients have left. In the outage two accept and never answer. What they had
// accepted is lost; they come back empty.
func lose(t *testing.T, seed uint64, perSecond float64, features ...resilience.Feature) (e episode) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var servers []*simtest.Server
		var bindings []resilience.ClientOption[struct{}, struct{}]
		for i := range uint64(replicas) {
			s := simtest.NewServer(seed*replicas+i, slots, simtest.LogNormal(service, 0.5))
			servers = append(servers, s)
			bindings = append(bindings, resilience.BindFunc(fmt.Sprintf("replica-%d", i+1),
				func(ctx context.Context, _ struct{}) (struct{}, error) { return struct{}{}, s.Do(ctx) }))
		}
		pool, err := resilience.NewPool(append(features, resilience.Seed(rand.NewPCG(seed, 1)))...)
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, bindings...)
		require.NoError(t, err)

		attempts := func() (n int64) {
			for _, s := range servers {
				n += s.Asked()
			}
			return n
		}
		var before int64
		time.AfterFunc(warmUp, func() {
			before = attempts()
			for _, s := range servers[:lost] {
				s.Set(simtest.Fault{Hang: true})
			}
		})
		time.AfterFunc(heal, func() {
			for _, s := range servers[:lost] {
				s.Set(simtest.Fault{})
			}
		})
		const seconds = int(episodeLasts / time.Second)
		var calls, good [seconds]atomic.Int64 // by the second they began in
		var inOutage atomic.Int64
		start := time.Now()
		simtest.Arrive(t.Context(), seed, perSecond, episodeLasts, func(at time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			calls[at/time.Second].Add(1)
			if _, err := client.Call(ctx, struct{}{}); err != nil {
				return
			}
			good[at/time.Second].Add(1)
			if now := time.Since(start); now >= warmUp && now < heal {
				inOutage.Add(1)
			}
		})
		sum := func(of *[seconds]atomic.Int64, from, to time.Duration) (n float64) {
			for s := int(from / time.Second); s < int(to/time.Second); s++ {
				n += float64(of[s].Load())
			}
			return n
		}
		e.during = float64(inOutage.Load()) / min(sum(&calls, warmUp, heal), capacity*outageLasts.Seconds())
		e.after = sum(&good, heal, episodeLasts) / sum(&calls, heal, episodeLasts)
		e.amplification = float64(attempts()-before) / sum(&calls, warmUp, episodeLasts)
		const window = 10 * time.Second
		for s := heal; s < episodeLasts; s += window {
			if sum(&good, s, s+window) < 0.99*sum(&calls, s, s+window) {
				e.recovery = (s - heal + window).Seconds()
			}
		}
	})
	return e
}

// episodes are one for each seed.
type episodes []episode

func (all episodes) each(of func(episode) float64) (sorted []float64) {
	for _, e := range all {
		sorted = append(sorted, of(e))
	}
	slices.Sort(sorted)
	return sorted
}

func (all episodes) String() string {
	last := len(all) - 1
	during := all.each(func(e episode) float64 { return 100 * e.during })
	after := all.each(func(e episode) float64 { return 100 * e.after })
	recovery := all.each(func(e episode) float64 { return e.recovery })
	amplification := all.each(func(e episode) float64 { return e.amplification })
	s := fmt.Sprintf("%.1f %% during (worst seed %.1f) / %.1f %% after (%.1f), amplification %.2f (%.2f), ",
		during[last/2], during[0], after[last/2], after[0], amplification[last/2], amplification[last])
	if n := all.broken(); n > 0 {
		return s + fmt.Sprintf("%d of %d seeds never recover", n, len(all))
	}
	return s + fmt.Sprintf("back after %.0f s (%.0f), %d seeds", recovery[last/2], recovery[last], len(all))
}

func (all episodes) broken() (n int) {
	for _, e := range all {
		if e.recovery == never {
			n++
		}
	}
	return n
}

// survive checks the target.
func survive(t *testing.T, all episodes) {
	t.Helper()
	for i, e := range all {
		require.GreaterOrEqual(t, e.during, .97, "seed %d: %+v", i+1, e)
		require.LessOrEqual(t, e.recovery, 60., "seed %d: %+v", i+1, e)
		require.LessOrEqual(t, e.amplification, 1.1, "seed %d: %+v", i+1, e)
	}
}

// outages runs an episode for each seed.
func outages(t *testing.T, seeds int, perSecond float64, features func() []resilience.Feature) (all episodes) {
	t.Helper()
	if *long {
		seeds = 20
	}
	for i := range seeds {
		all = append(all, lose(t, uint64(i+1), perSecond, features()...))
	}
	return all
}

// A picker is a feature that chooses models.
type picker func(c *resilience.Call, from resilience.Candidates) *resilience.Model

func (p picker) Install(s *resilience.Setup) error { s.Pick(p); return nil }

func (p picker) Pick(c *resilience.Call, from resilience.Candidates) *resilience.Model {
	return p(c, from)
}

// ring takes replicas in turn and, after a failure, the next in the list, as
// many proxies do.
func ring() picker {
	var turn atomic.Uint64
	return func(c *resilience.Call, from resilience.Candidates) *resilience.Model {
		first := 0
		if failed := c.Model(); failed == nil {
			first = int(turn.Add(1) % replicas)
		} else {
			_, _ = fmt.Sscanf(failed.ID(), "replica-%d", &first) // counted from 1, so this is the next one's place
		}
		for i := range from.Len() {
			if m := from.At((first + i) % from.Len()); m != nil {
				return m
			}
		}
		return nil
	}
}

func naive() []resilience.Feature {
	return []resilience.Feature{
		resilience.Timeouts{Call: -1, Attempt: attemptTime}, fallback.New(fallback.Config{Limit: 3}), ring(),
	}
}

func withBreaker() []resilience.Feature { return append(naive(), breaker.New(breaker.Config{})) }

func withRetry() []resilience.Feature {
	return append(withBreaker(), retry.New(retry.Config{}))
}

func readyMade() []resilience.Feature {
	return []resilience.Feature{stack.New(stack.Config{Timeouts: resilience.Timeouts{Call: -1, Attempt: attemptTime}})}
}

// Two of five replicas go silent for five minutes, at half load. Fallback alone
// spreads that to the other three, and what it leaves behind in their queues
// keeps the whole from coming back after the outage is over.
func TestOutageWithFiniteCapacity(t *testing.T) {
	for _, tt := range []struct {
		name      string
		features  func() []resilience.Feature
		perSecond float64
		seeds     int
		reference string
		target    string
		check     func(t *testing.T, all episodes)
	}{
		{
			"fallback ×3", naive, 14, 1, "14.7 / 1.0 %, amplification 2.62, 20 of 20 seeds never recover", "collapses as published",
			func(t *testing.T, all episodes) {
				t.Helper()
				for _, e := range all {
					require.InDelta(t, .147, e.during, .04)
					require.InDelta(t, .010, e.after, .02)
				}
				require.Equal(t, len(all), all.broken())
			},
		},
		{"fallback ×3 and breaker", withBreaker, 14, 1, "33.1 / 58.6 % with gobreaker, 11 of 20 seeds never recover", "none", nil},
		{"fallback ×3, breaker and retry", withRetry, 14, 1, "47.0 / 99.7 % with gobreaker and a budget", "none", nil},
		{"stack", readyMade, 14, 3, "99.9 / 100 % with a fixed cap and least load", "≥ 97 / ≥ 99 % within 60 s, amplification ≤ 1.1, 20 of 20 seeds", survive},
		{"stack", readyMade, 18, 0, "88.2 of 88.9 % / 100 % with a fixed cap and least load", "none", nil},
		{"fallback ×3", naive, 18, 0, "10.1 / 0.3 %", "none", nil},
		{"fallback ×3 and breaker", withBreaker, 18, 0, "21.8 / 32.8 % with gobreaker", "none", nil},
		{"fallback ×3, breaker and retry", withRetry, 18, 0, "25.3 / 80.2 % with gobreaker and a budget", "none", nil},
	} {
		t.Run(fmt.Sprintf("%s at %.0f", tt.name, tt.perSecond), func(t *testing.T) {
			if !*long && (tt.seeds == 0 || testing.Short()) {
				t.Skip("heavy; -long runs all of it")
			}
			all := outages(t, tt.seeds, tt.perSecond, tt.features)
			t.Logf("published: outage at %.0f a second, %s: measured %v, reference %s, target %s", tt.perSecond, tt.name, all, tt.reference, tt.target)
			if tt.check != nil {
				tt.check(t, all)
			}
		})
	}
}

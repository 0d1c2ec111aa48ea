package sim_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

// A simulation is ten minutes. Faults end at heal; from settled on all must be
// well.
const (
	lasts   = 10 * time.Minute
	heal    = 7 * time.Minute
	settled = heal + 80*time.Second // at least twice the longest open time, and 60 s
)

// A scenario is all that is drawn from a seed, but for the calls.
type scenario struct {
	seed   uint64
	models []modelPlan
	config stack.Config
	runs   bool    // Pool.Run does
	room   float64 // requests a second that the models can answer
	rate   float64 // calls a second
	rescue bool    // streams can be resumed
	faults []fault
	plant  bool // a defect, for the test of the shrinker

	keys    bool            // models have
	guests  bool            // some who call bring their own
	budgets *budget.Config  // or nil
	blind   bool            // nobody estimates what calls of one operation take
	levels  *degrade.Config // or nil
	blast   *chaos.Blast    // of what the pool itself injects, or nil

	health   *health.Config   // or nil
	recovery *recovery.Config // or nil
	probe    probeKind
}

// A modelPlan is a model and the server behind it.
type modelPlan struct {
	resilience.ModelInfo

	slots  int
	mean   time.Duration
	inners int // models of a pool behind this one
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return (from + time.Duration(r.Int64N(int64(to-from)))).Truncate(time.Millisecond)
}

// draw makes the scenario of a seed.
func draw(seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 0x51))
	s := scenario{seed: seed, runs: chance(r, .5), rescue: chance(r, .4)}
	s.config = drawConfig(r)
	s.drawModels(r)
	width := 1.
	if s.config.Fallback.Strategy == fallback.Parallel {
		width = float64(cmp.Or(s.config.Fallback.Width, 2))
	}
	s.rate = min(1.2+1.1*r.Float64(), s.room/width/3)
	s.drawFaults(r)
	s.drawKeys(rand.New(rand.NewPCG(seed, 0x52)))
	s.drawBudgets(rand.New(rand.NewPCG(seed, 0x53)))
	s.drawLevels(rand.New(rand.NewPCG(seed, 0x55)))
	s.drawInjected(rand.New(rand.NewPCG(seed, 0x54)))
	s.drawHealing(rand.New(rand.NewPCG(seed, 0x56)))
	return s
}

func (s *scenario) drawModels(r *rand.Rand) {
	n, providers := 6+r.IntN(9), 2+r.IntN(3)
	tiers := pick(r, 1, 1, 1, 2)
	// Where the choice does not go by load, there is room for what chance brings.
	spread, tight := 1, chance(r, .3)
	switch s.config.Balance.Algorithm {
	case balance.TwoChoices, balance.LeastInFlight:
	case balance.Cheapest, balance.Scored, balance.LeastLatency: // all go to one
		spread, tight = 6, false
	default:
		spread, tight = 2, false
	}
	switch s.config.Fallback.Strategy {
	case fallback.Weighted, fallback.Random, fallback.Parallel:
		spread, tight = max(spread, 2), false
	}
	for i := range n {
		m := modelPlan{slots: spread * (1 + r.IntN(4)), mean: between(r, 300*time.Millisecond, 1500*time.Millisecond)}
		if tight {
			m.slots, m.mean = 1+r.IntN(2), between(r, time.Second, 2*time.Second) // more would be late by chance
		}
		m.ID = fmt.Sprintf("m%d", i)
		if chance(r, .3) {
			m.Name = "shared"
		}
		m.Provider = fmt.Sprintf("p%d", i%providers)
		m.Region = pick(r, "eu", "us", "")
		m.Weight = pick(r, 0., 1, 2, 5)
		if i >= (n+1)/2 && tiers == 2 {
			m.Tier = 1
		}
		m.ContextWindow = pick(r, 0, 8000, 32000)
		m.Capabilities = []string{"text"}
		if chance(r, .6) {
			m.Capabilities = append(m.Capabilities, "tools")
		}
		m.Price = resilience.Price{Input: cents(1 + 9*r.Float64()), Output: cents(10 + 20*r.Float64())}
		if chance(r, .2) {
			m.Limits.Concurrency = m.slots + r.IntN(4)
		}
		if chance(r, .1) {
			m.Limits.RequestsPerMinute = 60 + r.IntN(60)
		}
		if chance(r, .08) {
			m.inners = 2
		}
		if m.Tier == 0 {
			s.room += float64(m.slots) / m.mean.Seconds()
		}
		s.models = append(s.models, m)
	}
}

func drawConfig(r *rand.Rand) stack.Config {
	const s = time.Second
	c := stack.Config{
		Timeouts: resilience.Timeouts{
			Call: pick(r, 0, 45*s, 60*s), Attempt: pick(r, 6*s, 8*s, 12*s, 20*s),
			FirstChunk: pick(r, 5*s, 10*s, 15*s), Gap: pick(r, 3*s, 6*s, 10*s),
			HoldBack: pick(r, 0, 0, 400*time.Millisecond), Total: pick(r, 0, 60*s),
		},
		Fallback: fallback.Config{
			Strategy: pick(r, fallback.Sequential, fallback.Sequential, fallback.Parallel, fallback.Weighted, fallback.Random, fallback.Hedged, fallback.Hedged),
			Limit:    pick(r, 0, 0, 2, 3), Width: pick(r, 0, 3), HedgeAfter: pick(r, 0, s, 3*s),
			HedgeShare: pick(r, 0, .2), LastResort: chance(r, .3), Filtered: chance(r, .3),
		},
		Balance: balance.Config{
			Algorithm: pick(r, balance.TwoChoices, balance.TwoChoices, balance.RoundRobin, balance.Weighted, balance.WeightedRandom,
				balance.LeastInFlight, balance.LeastLatency, balance.Cheapest, balance.Scored, balance.Regional, balance.Priority),
			Region: "eu", SlowStart: pick(r, 0, -1, 10*s), LastResort: pick(r, 0, 0, 0, .5),
			Score: func(m *resilience.Model) float64 {
				h := fnv.New32()
				_, _ = h.Write([]byte(m.ID()))
				return float64(h.Sum32())
			},
		},
		Limiter: balance.LimiterConfig{
			InFlight: pick(r, 0, 0, 4, 8, -1), Wait: pick(r, 0, 2*s, -1), Queue: pick(r, 0, 3, 20),
			Window: pick(r, 0, 10*s), Tenant: pick(r, 0, 0, 4),
		},
		Retry: retry.Config{
			Attempts: 1 + r.IntN(4), Base: between(r, 100*time.Millisecond, s), Budget: pick(r, 0, .05, .2),
			Patience: pick(r, 0, 2*s), Pace: chance(r, .15), LastModelOnly: chance(r, .15), Jitter: pick(r, 0, .5),
		},
		Breaker: breaker.Config{
			Consecutive: pick(r, 0, 3, 8), Drift: pick(r, 0, 6.), MinCalls: pick(r, 0, 5), Window: pick(r, 0, 10*s),
			OpenFor: pick(r, 2*s, 5*s, 10*s, 15*s), MaxOpenFor: pick(r, 20*s, 30*s, 40*s), Probes: 1 + r.IntN(3),
		},
	}
	if chance(r, .2) {
		c.Breaker.SlowRate, c.Breaker.SlowAfter = .6, 5*s
	}
	return c
}

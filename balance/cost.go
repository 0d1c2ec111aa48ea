package balance

import (
	"cmp"
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// penalty is what failures cost, in answers, by the square of their share: one
// in ten, which may be chance, as much as an answer takes, and nothing but
// failures a hundred times that. How long they took says nothing, as those that
// come at once are no better; so it is the time of the slower of the two models
// that are compared.
func (v *view) penalty(m *resilience.Model) float64 {
	e := m.ErrorsAt(v.now)
	return 100 * e * e
}

// order compares two models by the algorithm.
func (v *view) order(a, b *resilience.Model) int {
	switch v.Algorithm {
	case LeastInFlight:
		return cmp.Compare(v.burden(a), v.burden(b))
	case LeastLatency:
		return v.faster(a, b)
	case Cheapest:
		return cmp.Or(cmp.Compare(price(a), price(b)), v.compare(a, b))
	default: // Scored
		return cmp.Or(cmp.Compare(v.Score(b), v.Score(a)), v.compare(a, b)) // NaN is the least
	}
}

// stale is the certainty below which two latencies count as equal: that of one
// that was not confirmed for half a minute, where the other was just now.
const stale = 0.1

// compare compares what a call costs at a and at b. Peak-EWMA lets a latency
// that is not confirmed fall towards zero, so that a model once slow is tried
// again. Here the two become alike instead: where calls are as long as the
// average remembers, the older one would otherwise win whatever the load.
func (v *view) compare(a, b *resilience.Model) int {
	da, ageA := a.LatencyAge(v.now)
	db, ageB := b.LatencyAge(v.now)
	la, lb := float64(da), float64(db)
	if la > 0 && lb > 0 && max(ageA, ageB) > fresh {
		fa, fb := certainty(ageA), certainty(ageB)
		sure := 2 * fa * fb / max(fa+fb, stale)
		if sure < stale {
			sure = 0
		}
		mean := (la + lb) / 2
		la, lb = mean+(la-mean)*sure, mean+(lb-mean)*sure
	}
	slower := max(la, lb, 1)
	if mutants.On("balance-quick-failures-attract") {
		slower = 0
	}
	return cmp.Compare(v.cost(a, la, slower), v.cost(b, lb, slower))
}

// fresh is the age up to which a latency is what it was: it has lost a hundredth
// of its certainty.
const fresh = 100 * time.Millisecond

// certainty is how much of a latency of this age still holds: with the time
// constant of the average itself.
func certainty(age time.Duration) float64 { return math.Exp(-age.Seconds() / 10) }

// cost is how long a call takes at m as things are, per weight.
func (v *view) cost(m *resilience.Model, latency, slower float64) float64 {
	load := v.load(m)
	if latency == 0 && load > 0 {
		latency = unknown
	}
	return (latency + v.penalty(m)*slower) * (load + 1) / m.Weight()
}

// burden is what m has to do, per weight.
func (v *view) burden(m *resilience.Model) float64 {
	return (v.load(m) + 1) * (1 + v.penalty(m)) / m.Weight()
}

// faster compares medians. A load beyond twice what follows from the median and
// the rate of answers, by Little's law, is a queue that the median does not know
// of yet, and counts in proportion.
func (v *view) faster(a, b *resilience.Model) int {
	pa, pb := v.speeds.of(v.now, a), v.speeds.of(v.now, b)
	slower := max(pa.median, pb.median, 1)
	takes := func(m *resilience.Model, p speed) float64 {
		load, latency := v.load(m), p.median
		if latency == 0 && load > 0 {
			latency = unknown
		}
		return latency*max(1, load/(2*p.usual+few)) + v.penalty(m)*slower
	}
	return cmp.Compare(takes(a, pa), takes(b, pb))
}

// price is what four million tokens cost, three of them input, and more than
// any price if that is unknown.
func price(m *resilience.Model) float64 {
	dollars, known := m.Info().Price.Cost(resilience.Usage{Input: 3e6, Output: 1e6})
	if !known {
		return math.Inf(1)
	}
	return dollars
}

package bipadapter

import (
	"math/big"
	"slices"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// needed returns how many independent voters must agree: more than (n+f)/2, so
// that of the n−f who do not lie more are for it than against it, and no two
// options can have so many (Malkhi and Reiter, Byzantine quorum systems, 1998).
func (t *table) needed() int {
	if t.rule.Faults == 0 || mutants.On("tally-liars-decide") {
		return 0
	}
	return (t.units+t.rule.Faults)/2 + 1
}

// agree returns how many units are for an option: all voters of each, heard.
func (t *table) agree(option int) int {
	against := make([]bool, t.units)
	for i := range t.seats {
		s := &t.seats[i]
		if s.cast.Standing != Counted || s.option != option {
			against[s.unit] = true
		}
	}
	n := 0
	for _, a := range against {
		if !a {
			n++
		}
	}
	return n
}

// withoutLiars reports whether the share reaches a part, or is below it, also
// where any Faults of the units are left out of the count. With σ the weighted
// points and β the weight that they are a part of, (σ − σ(L)) / (β − β(L)) ≥ p
// for all sets L of f units if σ − pβ is at least the sum of the f largest
// σ(u) − pβ(u).
func (t *table) withoutLiars(part *big.Rat, below bool) bool {
	rest := new(big.Int)
	units := make([]*big.Int, t.units)
	for i := range units {
		units[i] = new(big.Int)
	}
	zero := new(big.Int)
	for i := range t.seats {
		s := &t.seats[i]
		points := s.points
		switch {
		case s.cast.Standing == Abstained && t.rule.AbstainOut:
			continue
		case s.cast.Standing == Abstained, !s.heard() && !below:
			points = zero
		case !s.heard():
			points = t.full
		}
		// weight × (points − part × full), times the part's denominator
		x := new(big.Int).Mul(points, part.Denom())
		x.Sub(x, new(big.Int).Mul(t.full, part.Num()))
		x.Mul(x, s.weight)
		rest.Add(rest, x)
		units[s.unit].Add(units[s.unit], x)
	}
	slices.SortFunc(units, (*big.Int).Cmp)
	if !below {
		slices.Reverse(units)
	}
	for _, x := range units[:min(t.rule.Faults, len(units))] {
		if below == (x.Sign() < 0) {
			rest.Sub(rest, x)
		}
	}
	if below {
		return rest.Sign() < 0
	}
	return rest.Sign() >= 0
}

package bipadapter

import (
	"math/big"
	"slices"
)

// pivotal reports whether one voter, by another ballot or none, would have made
// another verdict of v.
func (t *table) pivotal(s *sums, v verdict) bool {
	for i := range t.seats {
		if slices.ContainsFunc(t.seats[:i], func(s seat) bool { return t.alike(&s, &t.seats[i]) }) {
			continue
		}
		kept := t.seats[i]
		s.put(&kept, t.rule.AbstainOut, -1)
		changed := t.swings(&t.seats[i], s, v)
		t.seats[i] = kept
		s.put(&kept, t.rule.AbstainOut, 1)
		if changed {
			return true
		}
	}
	return false
}

// alike reports whether it makes no difference which of two voters changes.
func (t *table) alike(a, b *seat) bool {
	return (t.rule.Faults == 0 || t.units == len(t.seats)) && a.cast.Standing == b.cast.Standing && a.voter.Role == b.voter.Role &&
		a.option == b.option && a.veto == b.veto && a.weight.Cmp(b.weight) == 0 && a.points.Cmp(b.points) == 0
}

// swings tries all that s could have done.
func (t *table) swings(s *seat, all *sums, v verdict) bool {
	other := func(standing Standing, option int, points *big.Int, veto bool) bool {
		s.cast.Standing, s.option, s.points, s.veto = standing, option, points, veto
		all.put(s, t.rule.AbstainOut, 1)
		u := t.decide(all, nil)
		all.put(s, t.rule.AbstainOut, -1)
		return u.outcome != v.outcome || u.option != v.option
	}
	zero, general := new(big.Int), s.voter.Role == General
	if other(Absent, -1, zero, false) || other(Abstained, -1, zero, false) {
		return true
	}
	if t.rule.Method == Scores {
		step := new(big.Int).Quo(t.full, big.NewInt(10))
		for rating := range int64(11) {
			points := new(big.Int).Mul(step, big.NewInt(rating))
			if other(Counted, -1, points, false) ||
				general && float64(rating) <= t.rule.Veto.Score && other(Counted, -1, points, true) {
				return true
			}
		}
		return false
	}
	for i, text := range t.options {
		points := zero
		if text == Approve {
			points = t.full
		}
		if other(Counted, i, points, false) || general && text == Reject && other(Counted, i, points, true) {
			return true
		}
	}
	return false
}

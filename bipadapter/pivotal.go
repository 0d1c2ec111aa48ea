package bipadapter

import "math/big"

// pivotal reports whether one voter, by another ballot or none, would have made
// another verdict of v.
func (t *table) pivotal(s *sums, v verdict) bool {
	for i := range t.seats {
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

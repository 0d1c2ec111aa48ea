package bipadapter

import (
	"math/big"
	"slices"
)

// Settled reports whether poll is decided whatever those voters cast who have no
// cast in it yet, so that a round may end. If nobody is left it is. The errors are
// those of [Rule.Count].
func (r Rule) Settled(poll Poll) (bool, error) {
	if err := r.Check(); err != nil {
		return false, err
	}
	t, err := newTable(r, poll)
	if err != nil {
		return false, err
	}
	v := t.decide(t.add(), nil)
	if v.outcome == NoDecision {
		return !slices.ContainsFunc(t.seats, func(s seat) bool { return s.awaited }), nil
	}
	// What is decided is monotone in each way that a voter can go, so those in
	// which all go together are the utmost: but for objections, of which some send
	// back and more reject.
	before := t.objected()
	for _, way := range t.ways() {
		kept := slices.Clone(t.seats)
		for i := range t.seats {
			if s := &t.seats[i]; s.awaited {
				way(s)
			}
		}
		u, after := t.decide(t.add(), nil), t.objected()
		copy(t.seats, kept)
		if u.outcome != v.outcome || u.option != v.option || before == "" && after == Refused && t.revise.Sign() > 0 {
			return false, nil
		}
	}
	return true, nil
}

// objected is what objections decide, "" for nothing.
func (t *table) objected() Outcome {
	var v verdict
	t.vetoed(&v, nil)
	return v.outcome
}

// ways are the utmost that those who are awaited can do.
func (t *table) ways() []func(*seat) {
	cast := func(standing Standing, option int, points *big.Int, veto bool) func(*seat) {
		return func(s *seat) {
			s.cast.Standing, s.option, s.points, s.veto = standing, option, points, veto && s.voter.Role == General
		}
	}
	zero := new(big.Int)
	ways := []func(*seat){cast(Abstained, -1, zero, false)}
	if t.rule.Method == Scores {
		return append(ways, cast(Counted, -1, t.full, false), cast(Counted, -1, zero, false), cast(Counted, -1, zero, true))
	}
	for i, text := range t.options {
		points := zero
		if text == Approve {
			points = t.full
		}
		ways = append(ways, cast(Counted, i, points, false), cast(Counted, i, points, text == Reject))
	}
	return ways
}

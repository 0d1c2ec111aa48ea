package bipadapter

import (
	"fmt"
	"math/big"
)

// introduce says what is counted: the rule and every voter's part.
func (t *table) introduce(say teller) {
	of := "the weight of eligible voters"
	if t.rule.AbstainOut {
		of += " who do not abstain"
	}
	say("rule %s: %s, %s %s of %s", clip(t.rule.Name), t.rule.Method, t.least(), show(t.threshold), of)
	if t.emergency && t.rule.Emergency > 0 {
		say("emergency: the quorum is %s of the eligible voters", show(part(t.rule.Emergency)))
	} else if t.emergency {
		say("emergency: the rule knows no quorum for one, so its own holds")
	}
	for i := range t.seats {
		s := &t.seats[i]
		say("%q weighs %s: %s", s.voter.Name, t.w(s.weight), t.did(s))
	}
	for _, name := range t.strangers {
		say("set aside: %s is no eligible voter", clip(name))
	}
}

// did says what a voter did.
func (t *table) did(s *seat) string {
	var text string
	switch {
	case s.cast.Standing == Abstained:
		return "abstains"
	case s.cast.Standing != Counted:
		return string(s.cast.Standing)
	case t.rule.Method == Scores:
		text = "rates " + show(decimal(s.cast.Ballot.Score))
	default:
		text = fmt.Sprintf("%q", s.cast.Ballot.Choice)
	}
	if s.veto && t.rule.vetoes() {
		text += ", vetoes"
	}
	return text
}

// w returns a scaled weight as it is.
func (t *table) w(x *big.Int) amount { return amount{x, t.scale} }

func (t *table) spared() string {
	if t.rule.Faults == 0 {
		return ""
	}
	return fmt.Sprintf(", without the %d that weigh most", t.rule.Faults)
}

// figures returns the tally, the share and the margin.
func (t *table) figures(s *sums) (tally map[string]float64, share, margin float64) {
	if t.rule.Method == Scores {
		tally = map[string]float64{"score": ratio(s.points, t.per)}
	} else {
		tally = make(map[string]float64, len(t.options))
		for i, text := range t.options {
			tally[text] = ratio(s.by[i], t.scale)
		}
	}
	if s.base.Sign() == 0 {
		return tally, 0, 0
	}
	of := new(big.Rat)
	if t.rule.decides() {
		of.SetFrac(s.points, new(big.Int).Mul(t.full, s.base))
	} else {
		first, second := new(big.Int), new(big.Int)
		for _, w := range s.by {
			switch {
			case w.Cmp(first) > 0:
				first, second = w, first
			case w.Cmp(second) > 0:
				second = w
			}
		}
		of.SetFrac(first, s.base)
		if t.threshold.Sign() == 0 {
			lead := new(big.Int).Sub(first, second)
			share, _ = of.Float64()
			return tally, share, ratio(lead, s.base)
		}
	}
	share, _ = of.Float64()
	margin, _ = of.Sub(of, t.threshold).Float64()
	return tally, share, margin
}

package bipadapter

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A verdict is what a table comes to.
type verdict struct {
	outcome Outcome
	option  int // that won, or -1
	reason  string
	cast    int
}

func (t *table) winner(v verdict) string {
	if v.option < 0 {
		return ""
	}
	return t.options[v.option]
}

// sums are what the seats of a table add up to.
type sums struct {
	cast    int
	base    *big.Int // weight that a threshold is a part of
	unheard *big.Int // weight of those who have not been heard
	points  *big.Int // weight × points
	by      []*big.Int
}

func (t *table) add() *sums {
	s := &sums{base: new(big.Int), unheard: new(big.Int), points: new(big.Int), by: make([]*big.Int, len(t.options))}
	for i := range s.by {
		s.by[i] = new(big.Int)
	}
	for i := range t.seats {
		s.put(&t.seats[i], t.rule.AbstainOut, 1)
	}
	return s
}

// put adds a seat to s or, with a sign of -1, takes it out.
func (s *sums) put(seat *seat, abstainOut bool, sign int) {
	put := (*big.Int).Add
	if sign < 0 {
		put = (*big.Int).Sub
	}
	abstained := seat.cast.Standing == Abstained
	if !seat.heard() {
		put(s.unheard, s.unheard, seat.weight)
		if mutants.On("tally-absent-voters-shrink-the-whole") {
			return
		}
	} else {
		s.cast += sign
	}
	if !abstained || !abstainOut {
		put(s.base, s.base, seat.weight)
	}
	if abstained || !seat.heard() {
		return
	}
	put(s.points, s.points, new(big.Int).Mul(seat.weight, seat.points))
	if seat.option >= 0 {
		put(s.by[seat.option], s.by[seat.option], seat.weight)
	}
}

// A teller writes a step down. It may be nil: then nothing is.
type teller func(format string, args ...any)

func (say teller) f(format string, args ...any) {
	if say != nil {
		say(format, args...)
	}
}

// decide is the rule.
func (t *table) decide(s *sums, say teller) verdict {
	v := verdict{outcome: NoDecision, option: -1, cast: s.cast}
	switch n := len(t.seats); {
	case n < max(t.rule.Voters, 1):
		v.because(say, "%d eligible voters, and the rule wants %d", n, max(t.rule.Voters, 1))
		return v
	case t.units < 3*t.rule.Faults+1 && t.rule.Faults > 0:
		v.because(say, "%d independent voters withstand no %d liars: that takes %d", t.units, t.rule.Faults, 3*t.rule.Faults+1)
		return v
	case s.cast < t.quorum:
		v.because(say, "%d of %d cast a ballot, and the quorum is %d", s.cast, n, t.quorum)
		return v
	case s.base.Sign() == 0:
		v.because(say, "nobody whose ballot weighs anything has voted")
		return v
	}
	say.f("quorum: %d of %d cast a ballot, and %d must", s.cast, len(t.seats), t.quorum)
	switch {
	case !t.rule.decides():
		t.chooseOne(&v, s, say)
	case !t.vetoed(&v, say):
		t.judge(&v, s, say)
	}
	return v
}

// because sets the reason, if somebody listens.
func (v *verdict) because(say teller, format string, args ...any) {
	if say != nil {
		v.reason = fmt.Sprintf(format, args...)
	}
}

// chooseOne decides among options that are alike.
func (t *table) chooseOne(v *verdict, s *sums, say teller) {
	first, second := 0, -1
	for i := range s.by {
		switch {
		case i == 0:
		case s.by[i].Cmp(s.by[first]) > 0:
			first, second = i, first
		case second < 0 || s.by[i].Cmp(s.by[second]) > 0:
			second = i
		}
	}
	lead := new(big.Int).Set(s.by[first])
	if second >= 0 {
		lead.Sub(lead, s.by[second])
	}
	say.f("%s leads with %s of %s, by %s; unheard: %s", named(t.options[first]), t.w(s.by[first]), t.w(s.base), t.w(lead), t.w(s.unheard))
	enough := amount{s.by[first], s.base}.compare(t.threshold)
	switch agree := t.agree(first); {
	case s.by[first].Sign() == 0:
		v.because(say, "no option has any weight")
	case lead.Sign() == 0:
		v.because(say, "a tie between %s and %s", named(t.options[first]), named(t.options[second]))
	case enough < 0, enough == 0 && t.rule.Method == Majority:
		v.because(say, "%s has %s of %s, and it takes %s %s", named(t.options[first]), t.w(s.by[first]), t.w(s.base), t.least(), exactly{t.threshold})
	case lead.Cmp(s.unheard) <= 0:
		v.because(say, "%s leads by %s, which the unheard %s could make up for", named(t.options[first]), t.w(lead), t.w(s.unheard))
	case agree < t.needed():
		v.because(say, "%d independent voters are for %s; to withstand %d liars among %d it takes %d", agree, named(t.options[first]), t.rule.Faults, t.units, t.needed())
	default:
		v.option = first
		v.outcome = Chosen
		if !t.custom {
			v.outcome = map[string]Outcome{Approve: Approved, Reject: Refused}[t.options[first]]
		}
		v.because(say, "%s has %s of %s, and it takes %s %s", named(t.options[first]), t.w(s.by[first]), t.w(s.base), t.least(), exactly{t.threshold})
	}
}

func (t *table) least() string {
	if t.rule.Method == Majority {
		return "more than"
	}
	return "at least"
}

// judge decides on a proposal.
func (t *table) judge(v *verdict, s *sums, say teller) {
	whole := new(big.Int).Mul(t.full, s.base)
	most := new(big.Int).Add(s.points, new(big.Int).Mul(t.full, s.unheard))
	low, high := amount{s.points, whole}, amount{most, whole}
	say.f("for: %s of %s; with the unheard, who weigh %s, at most %s", amount{s.points, t.per}, amount{new(big.Int).Mul(s.base, t.full), t.per}, t.w(s.unheard), amount{most, t.per})
	say.f("share: %s to %s; threshold %s, hold %s", low, high, exactly{t.threshold}, exactly{t.hold})
	tie := t.rule.Method == Approval && s.by[0].Cmp(new(big.Int).Add(s.by[1], s.unheard)) <= 0
	floor := t.threshold
	if t.hold.Sign() > 0 {
		floor = t.hold
	}
	switch {
	case low.compare(t.threshold) >= 0 && tie:
		v.because(say, "a tie at %s, or one that the unheard could make", low)
	case low.compare(t.threshold) >= 0:
		t.settle(v, Approved, t.threshold, nil, say)
	case high.compare(floor) < 0:
		t.settle(v, Refused, nil, floor, say)
	case low.compare(floor) >= 0 && high.compare(t.threshold) < 0:
		t.settle(v, Revised, floor, t.threshold, say)
	default:
		v.because(say, "those who have not been heard could still take %s to %s", low, high)
	}
}

// settle decides for an outcome whose share is from from on and below to, if
// liars could not have made it so.
func (t *table) settle(v *verdict, o Outcome, from, to *big.Rat, say teller) {
	choice := map[Outcome]string{Approved: Approve, Refused: Reject}[o]
	switch option := slices.Index(t.options, choice); {
	case t.rule.Faults == 0:
	case t.rule.Method == Approval && choice != "":
		if agree := t.agree(option); agree < t.needed() {
			v.because(say, "%d independent voters %s; to withstand %d liars among %d it takes %d", agree, choice, t.rule.Faults, t.units, t.needed())
			return
		}
	case from != nil && !t.withoutLiars(from, false), to != nil && !t.withoutLiars(to, true):
		v.because(say, "without %d of the voters, any of whom may lie, it could be otherwise", t.rule.Faults)
		return
	}
	v.outcome = o
	v.option = slices.Index(t.options, choice)
	switch o {
	case Approved:
		v.because(say, "the share reaches the threshold of %s", exactly{from})
	case Revised:
		v.because(say, "the share is from %s on and below %s", exactly{from}, exactly{to})
	default:
		v.because(say, "the share is below %s", exactly{to})
	}
}

// vetoed decides by objections, if there are enough.
func (t *table) vetoed(v *verdict, say teller) bool {
	if !t.rule.vetoes() {
		return false
	}
	generals, against := new(big.Int), new(big.Int)
	byUnit := make([]*big.Int, t.units)
	for i := range t.seats {
		seat := &t.seats[i]
		if seat.voter.Role != General {
			continue
		}
		generals.Add(generals, seat.weight)
		if !seat.veto || !seat.heard() {
			continue
		}
		against.Add(against, seat.weight)
		if byUnit[seat.unit] == nil {
			byUnit[seat.unit] = new(big.Int)
		}
		byUnit[seat.unit].Add(byUnit[seat.unit], seat.weight)
	}
	if generals.Sign() == 0 {
		return false
	}
	byUnit = slices.DeleteFunc(byUnit, func(w *big.Int) bool { return w == nil })
	slices.SortFunc(byUnit, func(a, b *big.Int) int { return b.Cmp(a) })
	for _, w := range byUnit[:min(t.rule.Faults, len(byUnit))] {
		against.Sub(against, w)
	}
	say.f("vetoes: %s of the generals' %s%s; %s sends back, %s rejects", t.w(against), t.w(generals), t.spared(), never{t.revise}, never{t.reject})
	switch {
	case t.reject.Sign() > 0 && amount{against, generals}.compare(t.reject) >= 0:
		v.outcome, v.option = Refused, slices.Index(t.options, Reject)
	case t.revise.Sign() > 0 && amount{against, generals}.compare(t.revise) >= 0:
		v.outcome = Revised
	default:
		return false
	}
	v.because(say, "vetoes of %s of the generals' %s", t.w(against), t.w(generals))
	return true
}

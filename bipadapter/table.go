package bipadapter

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/cmmv-hive/resilience"
)

// A seat is an eligible voter and what it cast, as numbers.
type seat struct {
	voter   Voter
	weight  *big.Int
	awaited bool // there is no cast
	unit    int  // voters of a group share one
	cast    Cast
	option  int      // that it is for
	points  *big.Int // that it gives a proposal, of table.full
	veto    bool
}

func (s *seat) heard() bool { return s.cast.Standing == Counted || s.cast.Standing == Abstained }

// A table is a poll laid out for counting, all numbers whole.
type table struct {
	rule      Rule
	topic     string
	options   []string
	custom    bool // options other than approve and reject
	seats     []seat
	units     int // voters, a group being one
	strangers []string
	scale     *big.Int // of weights
	full      *big.Int // points that a ballot gives at most
	per       *big.Int // points × weight in the unit of ballots and weights
	quorum    int
	emergency bool

	threshold, hold, revise, reject *big.Rat
}

func newTable(r Rule, poll Poll) (*table, error) {
	if r.Method == "" {
		r.Method = Majority
	}
	if r.Veto.Score == 0 {
		r.Veto.Score = 2
	}
	t := &table{
		rule: r, topic: poll.Topic, emergency: poll.Emergency,
		threshold: part(r.threshold(poll.Topic)), hold: part(r.Hold), revise: part(r.Veto.Revise), reject: part(r.Veto.Reject),
	}
	if err := t.choose(poll.Options); err != nil {
		return nil, err
	}
	voters, err := Collapse(poll.Voters)
	if err != nil {
		return nil, err
	}
	voters = slices.DeleteFunc(voters, func(v Voter) bool { return !r.votes(v.Role) })
	slices.SortFunc(voters, func(a, b Voter) int { return cmp.Compare(a.Name, b.Name) })
	casts, strangers, err := sift(voters, poll.Casts, t.abstains)
	if err != nil {
		return nil, err
	}
	t.strangers = strangers
	if err := t.seat(voters, casts); err != nil {
		return nil, err
	}
	switch n := len(voters); {
	case poll.Emergency && r.Emergency > 0:
		t.quorum = ceil(part(r.Emergency), n)
	default:
		t.quorum = max(ceil(part(r.Quorum), n), r.Ballots)
	}
	t.quorum = max(t.quorum, 1)
	return t, nil
}

// choose sets the options.
func (t *table) choose(options []string) error {
	options, err := optionsOf(options)
	if err != nil {
		return &resilience.ConfigError{Path: "poll", Problem: err.Error()}
	}
	if len(options) == 0 {
		options = []string{Approve, Reject}
	}
	slices.Sort(options)
	t.options, t.custom = options, !slices.Equal(options, []string{Approve, Reject})
	if t.custom && t.rule.decides() {
		return &resilience.ConfigError{Path: "poll.options", Problem: fmt.Sprintf("%q decides on one proposal: leave the options out, or take another method", t.rule.Method)}
	}
	return nil
}

func (t *table) abstains(b Ballot) bool {
	return b.Choice == Abstain || b.Choice == "" && t.rule.Method != Scores
}

// seat gives each voter a seat.
func (t *table) seat(voters []Voter, casts []Cast) error {
	weights, units, err := t.rule.weigh(voters)
	if err != nil {
		return err
	}
	t.units = len(units.names)
	var ints []*big.Int
	ints, t.scale = whole(weights)
	points := make([]*big.Rat, len(voters))
	for i := range casts {
		points[i] = new(big.Rat)
		s := seat{voter: voters[i], weight: ints[i], unit: units.of[i], cast: casts[i], option: -1}
		if s.cast.Standing == "" {
			s.awaited, s.cast.Standing = true, Absent
		}
		if s.cast.Standing == Counted {
			points[i] = t.read(&s)
		}
		t.seats = append(t.seats, s)
	}
	full := int64(1)
	if t.rule.Method == Scores {
		full = 10
	}
	ints, times := whole(points)
	t.full = new(big.Int).Mul(times, big.NewInt(full))
	t.per = times.Mul(times, t.scale)
	for i := range t.seats {
		t.seats[i].points = ints[i]
	}
	return nil
}

// read reads the ballot of s into it, and returns its points.
func (t *table) read(s *seat) *big.Rat {
	b := s.cast.Ballot
	objects := s.voter.Role == General && strings.TrimSpace(b.Veto) != ""
	if t.rule.Method == Scores {
		if !(b.Score >= 0 && b.Score <= 10) {
			s.cast.Standing, s.cast.Reason = Illegible, "no rating from 0 to 10"
			return new(big.Rat)
		}
		s.veto = objects && b.Score <= t.rule.Veto.Score
		return decimal(b.Score)
	}
	s.option = slices.Index(t.options, b.Choice)
	if s.option < 0 {
		s.cast.Standing, s.cast.Reason = Illegible, "votes for no option of the poll"
		return new(big.Rat)
	}
	s.veto = objects && b.Choice == Reject
	if b.Choice == Approve {
		return big.NewRat(1, 1)
	}
	return new(big.Rat)
}

// ceil returns how many of n are a part of them.
func ceil(part *big.Rat, n int) int {
	x := new(big.Rat).Mul(part, big.NewRat(int64(n), 1))
	up := new(big.Int).Add(x.Num(), x.Denom())
	up.Sub(up, big.NewInt(1))
	return int(up.Quo(up, x.Denom()).Int64())
}

package bipadapter

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// Outcome is how a poll ended.
type Outcome string

// What a poll can come to.
const (
	Approved   Outcome = "approved"
	Revised    Outcome = "revise"
	Refused    Outcome = "rejected"
	Chosen     Outcome = "chosen" // among options other than approve and reject
	NoDecision Outcome = "no_decision"
)

// Standing is what became of a voter in a poll.
type Standing string

// What can become of a voter.
const (
	Counted   Standing = "counted"
	Abstained Standing = "abstained"
	Absent    Standing = "absent"    // held, failed or timed out
	Illegible Standing = "malformed" // the judge could not read it, or it votes for no option
	Late      Standing = "late"
	Void      Standing = "void" // two ballots, another model served, a bad signature
)

// A Cast is what came of one voter.
type Cast struct {
	Voter string `json:"voter"` // its name

	// Standing is what the ballot counts as; by default Counted, or Abstained if
	// it is one that abstains. Of casts that are neither the ballot is not
	// looked at.
	Standing Standing `json:"standing,omitempty"`

	Ballot Ballot `json:"ballot,omitzero"`
	Reason string `json:"reason,omitempty"` // why it does not count
}

// A Poll is all that is counted.
type Poll struct {
	Topic     string   `json:"topic,omitempty"`   // see [Rule.Topics]
	Options   []string `json:"options,omitempty"` // approve, reject
	Voters    []Voter  `json:"voters"`            // all that may vote, heard or not
	Casts     []Cast   `json:"casts"`             // in any order; a voter without one is absent
	Emergency bool     `json:"emergency,omitempty"`
}

// A Count is how a poll came out.
type Count struct {
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
	Winner  string  `json:"winner,omitempty"` // the option that was decided for

	// Tally is the weight for each option; in Scores weight × rating, under
	// "score".
	Tally map[string]float64 `json:"tally"`

	// Share is the part of the weight of eligible voters that is for the leading
	// option or, in Approval and Scores, for approval. Margin is what it has
	// more than the threshold; in a plurality without one, more than the second.
	Share  float64 `json:"share"`
	Margin float64 `json:"margin"`

	// Pivotal says that any one voter, by casting another ballot or none, would
	// have changed Outcome or Winner. In Scores, with a whole rating.
	Pivotal bool `json:"pivotal"`

	Ballots int `json:"ballots"` // that were cast, abstentions too
	Quorum  int `json:"quorum"`  // how many must be

	Casts []Cast   `json:"casts"` // one for each eligible voter, by name
	Steps []string `json:"steps"` // the arithmetic, to be repeated by hand
}

// Count counts poll. A cast is of the voter that goes by its name, or by an
// alias. Count depends on its arguments alone, and neither on the order of
// voters and casts nor on reasons and confidences. Each eligible voter
// has one ballot: one that comes twice counts once, two that differ are void,
// and those of anybody else are set aside. The errors are those of
// [Rule.Check], [Collapse] and of options, and of standings that there are not;
// whatever voters do is none.
func (r Rule) Count(poll Poll) (Count, error) {
	if err := r.Check(); err != nil {
		return Count{}, err
	}
	t, err := newTable(r, poll)
	if err != nil {
		return Count{}, err
	}
	var steps []string
	say := func(format string, args ...any) { steps = append(steps, fmt.Sprintf(format, args...)) }
	t.introduce(say)
	sums := t.add()
	v := t.decide(sums, say)
	say("%s: %s", v.outcome, v.reason)
	c := Count{
		Outcome: v.outcome, Reason: v.reason, Winner: t.winner(v),
		Ballots: v.cast, Quorum: t.quorum,
		Steps: steps, Casts: make([]Cast, 0, len(t.seats)),
	}
	c.Tally, c.Share, c.Margin = t.figures(sums)
	for i := range t.seats {
		c.Casts = append(c.Casts, t.seats[i].cast)
	}
	c.Pivotal = t.pivotal(sums, v)
	return c, nil
}

// sift returns one cast for each eligible voter, in their order, without a
// standing where there was none, and the names of those that are not eligible,
// sorted.
func sift(voters []Voter, casts []Cast, abstains func(Ballot) bool) (of []Cast, strangers []string, err error) {
	at := make(map[string]int, len(voters))
	for i, v := range voters {
		for _, name := range v.names() {
			at[spelling(name)] = i
		}
		of = append(of, Cast{Voter: v.Name})
	}
	for i, c := range casts {
		c.Standing, err = standing(c, abstains)
		if err != nil {
			return nil, nil, &resilience.ConfigError{Path: fmt.Sprintf("casts[%d].standing", i), Problem: err.Error()}
		}
		j, ok := at[spelling(c.Voter)]
		if !ok {
			strangers = append(strangers, c.Voter)
			continue
		}
		c.Voter = voters[j].Name
		of[j] = settle(of[j], c)
	}
	slices.Sort(strangers)
	return of, slices.Compact(strangers), nil
}

// rank orders standings: of two casts of a voter the later one here stands.
var rank = map[Standing]int{Absent: 1, Illegible: 2, Late: 3, Abstained: 4, Counted: 4, Void: 5}

func standing(c Cast, abstains func(Ballot) bool) (Standing, error) {
	switch c.Standing {
	case "", Counted, Abstained:
		if c.Standing == Abstained || abstains(c.Ballot) {
			return Abstained, nil
		}
		return Counted, nil
	}
	if rank[c.Standing] == 0 {
		return "", fmt.Errorf("%s is none", clip(string(c.Standing)))
	}
	return c.Standing, nil
}

// settle returns what two casts of one voter come to.
func settle(a, b Cast) Cast {
	switch d := cmp.Compare(rank[a.Standing], rank[b.Standing]); {
	case d < 0:
		return b
	case d > 0:
		return a
	case rank[a.Standing] == rank[Counted] && !alike(a, b) && !mutants.On("tally-two-ballots-of-one-voter"):
		return Cast{Voter: a.Voter, Standing: Void, Reason: "two ballots that differ"}
	case order(b) < order(a):
		return b
	}
	return a
}

// alike reports whether two casts in time say the same, as far as it counts.
func alike(a, b Cast) bool {
	return a.Standing == b.Standing &&
		(a.Standing == Abstained || a.Ballot.Choice == b.Ballot.Choice && a.Ballot.Score == b.Ballot.Score && a.Ballot.Veto == b.Ballot.Veto)
}

// order is of casts that say the same, so that it does not matter which came
// first.
func order(c Cast) string { return fmt.Sprintf("%q %+v", c.Reason, c.Ballot) }

package bipadapter

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// A Method is a way of counting.
type Method string

// The methods.
const (
	// Plurality, Majority, Supermajority and Unanimous choose among options that
	// are all alike. The option with the most weight wins if it leads by more
	// than the weight of those who have not been heard, and has enough:
	// Plurality asks for the Threshold, if there is one; Majority for more than
	// the Threshold, 1/2; Supermajority for the Threshold, 2/3; Unanimous for
	// all. Otherwise nothing is decided.

	Plurality     Method = "plurality"
	Majority      Method = "majority"
	Supermajority Method = "supermajority"
	Unanimous     Method = "unanimous"

	// Approval and Scores decide on a proposal: it is approved from the
	// Threshold on, 3/5, sent back from Hold on, and rejected below. In Approval
	// ballots approve or reject; in Scores they rate from 0 to 10, and the mean
	// counts, as part of 10.

	Approval Method = "approval"
	Scores   Method = "scores"
)

// A Rule says how a poll is counted. Ties and doubt decide nothing: an outcome
// is one that those who have not been heard (absent, late, malformed or void)
// could not have changed by voting otherwise.
//
// Threshold, Hold, Quorum and the other parts stand for the simplest fraction
// within 1e-10 of them, so that 2.0/3 and 0.6666666667 are two thirds, and 2 of
// 3 voters reach it. All arithmetic is exact.
type Rule struct {
	Name     string `json:"name,omitempty"`
	Document string `json:"document,omitempty"` // that lays the rule down, and where in it

	Method    Method  `json:"method,omitempty" default:"majority" oneof:"plurality majority supermajority unanimous approval scores"`
	Threshold float64 `json:"threshold,omitempty" min:"1e-9" max:"1"` // by Method; part of the weight of eligible voters
	Hold      float64 `json:"hold,omitempty" min:"1e-9" max:"1"`      // off

	// Topics are thresholds of polls on certain topics, by [Poll].Topic.
	Topics map[string]float64 `json:"topics,omitempty" min:"1e-9" max:"1"`

	// AbstainOut takes voters who abstain out of the weight that Threshold is a
	// part of. Otherwise they count there like those who say no.
	AbstainOut bool `json:"abstainOut,omitempty"`

	// Quorum is the part of the eligible voters, and Ballots the number of them,
	// that must cast a ballot, an abstention too; off. Emergency is the quorum
	// in place of both in an emergency; none. It changes nothing else: what is
	// decided is decided by as much of all eligible weight as ever.
	Quorum    float64 `json:"quorum,omitempty" min:"1e-9" max:"1"`
	Ballots   int     `json:"ballots,omitempty" max:"250"`
	Emergency float64 `json:"emergency,omitempty" min:"1e-9" max:"1"`

	// Voters is how many eligible voters there must be; 1.
	Voters int `json:"voters,omitempty" max:"250"`

	// Voting are the roles that vote; General and Collaborator. The Master never
	// does.
	Voting []Role `json:"voting,omitempty" oneof:"general collaborator"`

	// Veto says when objections stop a proposal.
	Veto Veto `json:"veto,omitzero"`

	// GroupCap is the part of all weight that the voters of a group may have, or
	// a voter without one: their weights are scaled down until it holds; off.
	GroupCap float64 `json:"groupCap,omitempty" min:"1e-9" max:"1"`

	// Faults is how many liars to withstand; off. A group counts as one voter,
	// and speaks when all its voters say the same. There must be n ≥ 3f+1 voters,
	// and more than (n+f)/2 of them must agree, 2f+1 where n = 3f+1: more honest
	// voters say so than say anything else. With Scores, for sending a proposal
	// back and for vetoes, the outcome must be the one that all but any f of the
	// voters come to.
	Faults int `json:"faults,omitempty" max:"83"`
}

// A Veto says when objections of generals stop a proposal. A general objects
// with a ballot that says why, and rejects; in Scores with a rating of Score or
// less. From Reject on, part of the weight of all generals, the proposal is
// rejected, and from Revise on it is sent back, whatever the ballots come to.
// Zero means never.
type Veto struct {
	Score  float64 `json:"score,omitempty" default:"2" max:"10" off:"no"`
	Revise float64 `json:"revise,omitempty" min:"1e-9" max:"1"`
	Reject float64 `json:"reject,omitempty" min:"1e-9" max:"1"`
}

// ReadRule reads a rule in JSON, strictly. The error joins a
// [*resilience.ConfigError] for each thing wrong.
func ReadRule(data []byte) (Rule, error) {
	var r Rule
	if errs := problems(settings.Decode("rule", data, &r)); len(errs) > 0 {
		return Rule{}, errors.Join(errs...)
	}
	return r, r.Check()
}

// Check returns what is wrong with r, as joined [*resilience.ConfigError]s.
func (r Rule) Check() error {
	errs := problems(settings.Check("rule", r))
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	fail := func(field, format string, args ...any) {
		errs = append(errs, &resilience.ConfigError{Path: "rule." + field, Problem: fmt.Sprintf(format, args...)})
	}
	settings.Fill(&r)
	decides := r.decides()
	if r.Method == Unanimous && r.Threshold != 0 && r.Threshold != 1 {
		fail("threshold", "%v contradicts %q, which asks for all; leave it out", r.Threshold, r.Method)
	}
	if least := r.threshold(""); r.Method == Approval && least < 0.5 {
		fail("threshold", "%v would approve what more voters reject; say 0.5 or more", least)
	}
	for topic, part := range r.Topics {
		if r.Method == Approval && part < 0.5 || r.Method == Unanimous && part != 1 {
			fail("topics."+clip(topic), "%v is no threshold of %q", part, r.Method)
		} else if r.Hold >= part {
			fail("topics."+clip(topic), "%v is not more than hold, %v", part, r.Hold)
		}
	}
	if r.Hold > 0 && !decides {
		fail("hold", "only %q and %q send back", Approval, Scores)
	} else if r.Hold > 0 && r.Hold >= r.threshold("") {
		fail("hold", "%v is not less than threshold, %v", r.Hold, r.threshold(""))
	}
	if slices.Contains(r.Voting, Master) {
		fail("voting", "the %s never votes", Master)
	}
	if r.Veto.Revise > 0 && r.Veto.Reject > 0 && r.Veto.Revise > r.Veto.Reject {
		fail("veto.revise", "%v is more than veto.reject, %v", r.Veto.Revise, r.Veto.Reject)
	}
	if r.vetoes() && !decides {
		fail("veto", "only in %q and %q is there a proposal to object to", Approval, Scores)
	}
	return errors.Join(errs...)
}

// clone returns r with nothing shared.
func (r Rule) clone() Rule {
	r.Topics, r.Voting = maps.Clone(r.Topics), slices.Clone(r.Voting)
	return r
}

// decides reports whether r is about one proposal.
func (r Rule) decides() bool { return r.Method == Approval || r.Method == Scores }

func (r Rule) vetoes() bool { return r.Veto.Revise > 0 || r.Veto.Reject > 0 }

// threshold returns the threshold for a topic.
func (r Rule) threshold(topic string) float64 {
	if part, ok := r.Topics[topic]; ok {
		return part
	}
	switch {
	case r.Threshold > 0:
		return r.Threshold
	case r.Method == Plurality:
		return 0
	case r.Method == Supermajority:
		return 2.0 / 3
	case r.Method == Unanimous:
		return 1
	case r.decides():
		return 0.6
	}
	return 0.5
}

// votes reports whether a role votes.
func (r Rule) votes(role Role) bool {
	if role == Master || len(r.Voting) == 0 {
		return role != Master
	}
	return slices.Contains(r.Voting, role)
}

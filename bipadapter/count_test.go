package bipadapter_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// poll makes a poll of words: "y" and "n" approve and reject, "V" rejects with a
// veto, "a" abstains, "-" is absent, "m", "l" and "v" are malformed, late and
// void; a number rates, with "!" as a veto; any other word is a choice. Voters
// are called a, b, c, … and are generals.
func poll(words string) bipadapter.Poll {
	var p bipadapter.Poll
	for i, word := range strings.Fields(words) {
		name := fmt.Sprintf("%c", 'a'+i)
		p.Voters = append(p.Voters, bipadapter.Voter{Name: name})
		c := bipadapter.Cast{Voter: name}
		switch word {
		case "y":
			c.Ballot.Choice = bipadapter.Approve
		case "n":
			c.Ballot.Choice = bipadapter.Reject
		case "V":
			c.Ballot = bipadapter.Ballot{Choice: bipadapter.Reject, Veto: "unsafe"}
		case "a":
			c.Ballot.Choice = bipadapter.Abstain
		case "-":
			continue
		case "m":
			c.Standing = bipadapter.Illegible
		case "l":
			c.Standing, c.Ballot.Choice = bipadapter.Late, bipadapter.Approve
		case "v":
			c.Standing = bipadapter.Void
		default:
			if _, err := fmt.Sscanf(word, "%f", &c.Ballot.Score); err != nil {
				c.Ballot.Choice = word
				if !slices.Contains(p.Options, word) {
					p.Options = append(p.Options, word)
				}
			}
			if strings.HasSuffix(word, "!") {
				c.Ballot.Veto = "unsafe"
			}
		}
		p.Casts = append(p.Casts, c)
	}
	return p
}

func count(t *testing.T, r bipadapter.Rule, p bipadapter.Poll) bipadapter.Count {
	t.Helper()
	c, err := r.Count(p)
	require.NoError(t, err)
	return c
}

func TestCount(t *testing.T) {
	type rule = bipadapter.Rule
	const (
		plurality, majority, super = bipadapter.Plurality, bipadapter.Majority, bipadapter.Supermajority
		unanimous, approval, score = bipadapter.Unanimous, bipadapter.Approval, bipadapter.Scores
		approved, refused, revised = bipadapter.Approved, bipadapter.Refused, bipadapter.Revised
		chosen, none               = bipadapter.Chosen, bipadapter.NoDecision
	)
	for _, c := range []struct {
		name    string
		rule    rule
		words   string
		outcome bipadapter.Outcome
		winner  string
		reason  string // a part of it
	}{
		{"a majority", rule{}, "y y n", approved, "approve", `"approve" has 2 of 3, and it takes more than 0.5`},
		{"a majority against", rule{}, "y n n", refused, "reject", ""},
		{"half is no majority", rule{}, "y y n -", none, "", "has 2 of 4, and it takes more than 0.5"},
		{"a tie", rule{}, "y y n n", none, "", `a tie between "approve" and "reject"`},
		{"who abstains counts in the whole", rule{}, "y y n a", none, "", "2 of 4"},
		{"unless the rule says otherwise", rule{AbstainOut: true}, "y y n a", approved, "approve", "2 of 3"},
		{"who is absent always does", rule{AbstainOut: true}, "y y n -", none, "", "2 of 4"},
		{"and who is malformed, late or void", rule{AbstainOut: true}, "y y y m l v", none, "", "3 of 6"},
		{"nobody", rule{}, "- - -", none, "", "0 of 3 cast a ballot, and the quorum is 1"},
		{"all abstain", rule{AbstainOut: true}, "a a", none, "", "nobody whose ballot weighs anything"},
		{"all abstain, and count", rule{}, "a a", none, "", "no option has any weight"},
		{"no voters", rule{}, "", none, "", "0 eligible voters, and the rule wants 1"},
		{"too few voters", rule{Voters: 3}, "y y", none, "", "2 eligible voters, and the rule wants 3"},

		{"2 of 3 is two thirds", rule{Method: super}, "y y n", approved, "approve", "it takes at least 2/3"},
		{"so it is as a long decimal", rule{Method: super, Threshold: 0.6666666667}, "y y n", approved, "approve", ""},
		{"or computed", rule{Method: super, Threshold: 1 - 1.0/3}, "y y n", approved, "approve", ""},
		{"4 of 6 as well", rule{Method: super, Threshold: 2.0 / 3}, "y y y y n n", approved, "approve", ""},
		{"67 % is more", rule{Method: super, Threshold: 0.67}, "y y n", none, "", "2 of 3, and it takes at least 0.67"},
		{"7 of 10 is 70 %", rule{Method: super, Threshold: 0.7}, "y y y y y y y n n n", approved, "approve", ""},
		{"11 of 20 is 55 %", rule{Method: super, Threshold: 0.55}, strings.Repeat("y ", 11) + strings.Repeat("n ", 9), approved, "approve", ""},
		{"3 of 10 is 30 % and behind", rule{Method: super, Threshold: 0.3}, "y y y n n n n n n n", refused, "reject", ""},
		{"a lead that the unheard could turn", rule{Method: super, Threshold: 0.4}, "y y n - -", none, "", `leads by 1, which the unheard 2 could make up for`},

		{"a plurality", rule{Method: plurality}, "red red blue green", chosen, "red", "2 of 4"},
		{"a plurality, tied", rule{Method: plurality}, "red red blue blue", none, "", `a tie between "blue" and "red"`},
		{"a plurality in doubt", rule{Method: plurality}, "red red blue -", none, "", "could make up for"},
		{"a plurality without doubt", rule{Method: plurality}, "red red red blue -", chosen, "red", ""},
		{"a plurality that is too small", rule{Method: plurality, Threshold: 0.6}, "red red blue green", none, "", "at least 0.6"},
		{"a majority of options", rule{Method: majority}, "red red blue", chosen, "red", ""},
		{"one option alone", rule{Method: plurality}, "red", chosen, "red", ""},

		{"unanimous", rule{Method: unanimous}, "y y y", approved, "approve", ""},
		{"all but one", rule{Method: unanimous}, "y y n", none, "", "at least 1"},
		{"all but one who is absent", rule{Method: unanimous}, "y y -", none, "", ""},
		{"all who do not abstain", rule{Method: unanimous, AbstainOut: true}, "y y a", approved, "approve", ""},

		{"approval", rule{Method: approval}, "y y y n n", approved, "approve", "the share reaches the threshold of 0.6"},
		{"too little approval", rule{Method: approval, Threshold: 0.8}, "y y y n n", refused, "reject", "the share is below 0.8"},
		{"approval, sent back", rule{Method: approval, Threshold: 0.8, Hold: 0.5}, "y y y n n", revised, "", "from 0.5 on and below 0.8"},
		{"approval at half, tied", rule{Method: approval, Threshold: 0.5}, "y y n n", none, "", "a tie at 0.5"},
		{"approval in doubt", rule{Method: approval}, "y y n - n", none, "", "could still take 0.4 to 0.6"},
		{"approval whoever comes", rule{Method: approval}, "y y y - n", approved, "approve", ""},
		{"rejected whoever comes", rule{Method: approval}, "y n n n -", refused, "reject", ""},
		{"sent back whoever comes", rule{Method: approval, Threshold: 0.9, Hold: 0.2}, "y n y n -", revised, "", ""},

		{"scores", rule{Method: score}, "6 6 6", approved, "approve", ""},
		{"scores, held", rule{Method: score, Hold: 0.4}, "5 5.9 6", revised, "", ""},
		{"scores, low", rule{Method: score, Hold: 0.4}, "3 4 4", refused, "reject", ""},
		{"an exact mean", rule{Method: score, Threshold: 0.61}, "6.1 6.1 6.1", approved, "approve", ""},
		{"who abstains rates nothing", rule{Method: score, AbstainOut: true}, "6 6 a", approved, "approve", ""},
		{"or zero", rule{Method: score}, "6 6 a", refused, "reject", ""},
		{"who is absent could rate anything", rule{Method: score, AbstainOut: true}, "6 6 -", none, "", "could still take 0.4 to 11/15"},
		{"who is absent could reach the threshold", rule{Method: approval, Hold: 0.4}, "y y n n -", none, "", "could still take 0.4 to 0.6"},

		{"quorum", rule{Quorum: 0.6}, "y y - - -", none, "", "2 of 5 cast a ballot, and the quorum is 3"},
		{"an abstention is a ballot", rule{Method: approval, Quorum: 0.6, AbstainOut: true}, "y y a n a", approved, "approve", ""},
		{"a malformed one is none", rule{Quorum: 0.6}, "y y m - -", none, "", "2 of 5"},
		{"ballots at least", rule{Ballots: 3}, "y y -", none, "", "2 of 3 cast a ballot, and the quorum is 3"},
		{"a third of ten is four", rule{Quorum: 1.0 / 3}, "y y y - - - - - - -", none, "", "the quorum is 4"},

		{"no veto", rule{Method: approval, Veto: bipadapter.Veto{Revise: 0.5, Reject: 0.8}}, "y y y V n", approved, "approve", ""},
		{"vetoes send back", rule{Method: approval, Threshold: 0.5, Veto: bipadapter.Veto{Revise: 0.4, Reject: 0.8}}, "y y y V V", revised, "", "vetoes of 2 of the generals' 5"},
		{"vetoes reject", rule{Method: approval, Threshold: 0.5, Veto: bipadapter.Veto{Revise: 0.3, Reject: 0.4}}, "y y y V V", refused, "reject", "vetoes of 2"},
		{"a high rating vetoes nothing", rule{Method: score, Threshold: 0.5, Veto: bipadapter.Veto{Reject: 0.3}}, "9 9 3!", approved, "approve", ""},
		{"a low one does", rule{Method: score, Threshold: 0.5, Veto: bipadapter.Veto{Reject: 0.3}}, "9 9 2!", refused, "reject", "vetoes of 1"},
		{"a low one without a reason does not", rule{Method: score, Threshold: 0.5, Veto: bipadapter.Veto{Reject: 0.3}}, "9 9 2", approved, "approve", ""},

		{"one liar of four", rule{Faults: 1}, "y y y n", approved, "approve", ""},
		{"too few voters to withstand one", rule{Faults: 1}, "y y y", none, "", "3 independent voters withstand no 1 liars: that takes 4"},
		{"or two", rule{Faults: 2}, "y y y y", none, "", "4 independent voters withstand no 2 liars: that takes 7"},
		{"a majority that liars could have made", rule{Method: super, Threshold: 0.5, Faults: 1}, "y y y n n", none, "", "3 independent voters are for \"approve\"; to withstand 1 liars among 5 it takes 4"},
		{"an approval that liars could have made", rule{Method: approval, Threshold: 0.5, Faults: 1}, "y y y n n", none, "", "3 independent voters approve"},
		{"a rejection that they could", rule{Method: approval, Faults: 1}, "n n n y y", none, "", "3 independent voters reject"},
		{"scores that one cannot move", rule{Method: score, Faults: 1}, "9 9 9 0", approved, "approve", ""},
		{"scores that one could have", rule{Method: score, Faults: 1}, "7 7 7 3", none, "", "without 1 of the voters"},
		{"also where some abstain, and do not count", rule{Method: score, Faults: 1, AbstainOut: true}, "7 7 7 3 a", none, "", "without 1 of the voters"},
		{"where they do not count", rule{Method: score, Faults: 1, AbstainOut: true}, "9 9 9 0 a", approved, "approve", ""},
		{"and where they do", rule{Method: score, Faults: 1}, "7.5 7.5 7.5 7.5 a", none, "", "without 1 of the voters"},
		{"a veto that one liar could have made", rule{Method: score, Threshold: 0.5, Faults: 1, Veto: bipadapter.Veto{Revise: 0.25}}, "9 9 9 0!", approved, "approve", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := count(t, c.rule, poll(c.words))
			require.Equal(t, c.outcome, got.Outcome, strings.Join(got.Steps, "\n"))
			require.Equal(t, c.winner, got.Winner)
			require.Contains(t, got.Reason, c.reason)
			require.Equal(t, fmt.Sprintf("%s: %s", got.Outcome, got.Reason), got.Steps[len(got.Steps)-1])
		})
	}
}

func TestCountFigures(t *testing.T) {
	p := poll("y y n a -")
	p.Voters[0].Weight = 2.5
	c := count(t, bipadapter.Rule{}, p)
	require.Equal(t, map[string]float64{"approve": 3.5, "reject": 1}, c.Tally)
	require.InDelta(t, 3.5/6.5, c.Share, 1e-15)
	require.InDelta(t, 3.5/6.5-0.5, c.Margin, 1e-15)
	require.Equal(t, 4, c.Ballots)
	require.Equal(t, 1, c.Quorum)
	require.True(t, c.Pivotal)
	require.Equal(t, []bipadapter.Standing{"counted", "counted", "counted", "abstained", "absent"}, standings(c))
	require.Equal(t, []string{
		`rule "": majority, more than 0.5 of the weight of eligible voters`,
		`"a" weighs 2.5: "approve"`,
		`"b" weighs 1: "approve"`,
		`"c" weighs 1: "reject"`,
		`"d" weighs 1: abstains`,
		`"e" weighs 1: absent`,
		`quorum: 4 of 5 cast a ballot, and 1 must`,
		`"approve" leads with 3.5 of 6.5, by 2.5; unheard: 1`,
		`approved: "approve" has 3.5 of 6.5, and it takes more than 0.5`,
	}, c.Steps)

	c = count(t, bipadapter.Rule{Method: bipadapter.Plurality}, poll("red red red blue"))
	require.InDelta(t, 0.5, c.Margin, 0, "more than the second")

	c = count(t, bipadapter.Rule{Method: bipadapter.Scores, Threshold: 0.6, AbstainOut: true}, poll("9 8.5 a -"))
	require.Equal(t, map[string]float64{"score": 17.5}, c.Tally)
	require.InDelta(t, 17.5/30, c.Share, 1e-15)
	require.Equal(t, []string{
		`for: 17.5 of 30; with the unheard, who weigh 1, at most 27.5`,
		`share: 7/12 to 11/12; threshold 0.6, hold 0`,
		`no_decision: those who have not been heard could still take 7/12 to 11/12`,
	}, c.Steps[len(c.Steps)-3:])
}

func standings(c bipadapter.Count) (all []bipadapter.Standing) {
	for _, cast := range c.Casts {
		all = append(all, cast.Standing)
	}
	return all
}

func TestPivotal(t *testing.T) {
	for _, c := range []struct {
		rule    bipadapter.Rule
		words   string
		pivotal bool
	}{
		{bipadapter.Rule{}, "y y n", true},
		{bipadapter.Rule{}, "y y y y n", false},
		{bipadapter.Rule{}, "y y y n n", true},
		{bipadapter.Rule{}, "y y n n", true}, // a tie
		{bipadapter.Rule{Quorum: 1}, "y y y y y", true},
		{bipadapter.Rule{Quorum: 0.5}, "y y y y y", false},
		{bipadapter.Rule{Method: bipadapter.Scores}, "9 9 9 9", false},
		{bipadapter.Rule{Method: bipadapter.Scores}, "7 7 7 7", true},
		{bipadapter.Rule{Method: bipadapter.Scores, Threshold: 0.5, Veto: bipadapter.Veto{Reject: 0.25}}, "9 9 9 9", true}, // a veto
		{bipadapter.Rule{Method: bipadapter.Scores, Threshold: 0.9, Hold: 0.5}, "5 5 5 5 5 5 5 5 5 5", true},
	} {
		require.Equal(t, c.pivotal, count(t, c.rule, poll(c.words)).Pivotal, "%v %s", c.rule, c.words)
	}
}

// TestOneVoterOneBallot casts in every way that could count twice.
func TestOneVoterOneBallot(t *testing.T) {
	yes, no := bipadapter.Ballot{Choice: bipadapter.Approve}, bipadapter.Ballot{Choice: bipadapter.Reject}
	cast := func(s bipadapter.Standing, b bipadapter.Ballot) bipadapter.Cast {
		return bipadapter.Cast{Voter: "a", Standing: s, Ballot: b}
	}
	other := yes
	other.Reason, other.Confidence = "said again", 1
	for name, c := range map[string]struct {
		casts []bipadapter.Cast
		want  bipadapter.Standing
	}{
		"the same twice":               {[]bipadapter.Cast{cast("", yes), cast(bipadapter.Counted, yes)}, bipadapter.Counted},
		"the same in other words":      {[]bipadapter.Cast{cast("", yes), cast("", other), cast("", yes)}, bipadapter.Counted},
		"two that differ":              {[]bipadapter.Cast{cast("", yes), cast("", no)}, bipadapter.Void},
		"a third does not heal it":     {[]bipadapter.Cast{cast("", yes), cast("", no), cast("", yes)}, bipadapter.Void},
		"one that abstains":            {[]bipadapter.Cast{cast("", yes), cast("", bipadapter.Ballot{})}, bipadapter.Void},
		"a veto more":                  {[]bipadapter.Cast{cast("", no), cast("", bipadapter.Ballot{Choice: bipadapter.Reject, Veto: "x"})}, bipadapter.Void},
		"one in time, one late":        {[]bipadapter.Cast{cast("", yes), cast(bipadapter.Late, no)}, bipadapter.Counted},
		"one legible, one not":         {[]bipadapter.Cast{cast(bipadapter.Illegible, no), cast("", yes)}, bipadapter.Counted},
		"void stays void":              {[]bipadapter.Cast{cast(bipadapter.Void, yes), cast("", yes)}, bipadapter.Void},
		"under another name":           {[]bipadapter.Cast{cast("", yes), {Voter: "alias of A", Ballot: no}}, bipadapter.Void},
		"late and unread":              {[]bipadapter.Cast{cast(bipadapter.Illegible, no), cast(bipadapter.Late, yes)}, bipadapter.Late},
		"abstained, whatever it says":  {[]bipadapter.Cast{cast(bipadapter.Abstained, yes)}, bipadapter.Abstained},
		"counted, though it abstains":  {[]bipadapter.Cast{cast(bipadapter.Counted, bipadapter.Ballot{})}, bipadapter.Abstained},
		"for what is no option":        {[]bipadapter.Cast{cast("", bipadapter.Ballot{Choice: "maybe"})}, bipadapter.Illegible},
		"for an option, in capitals":   {[]bipadapter.Cast{cast("", bipadapter.Ballot{Choice: "Approve"})}, bipadapter.Illegible},
		"nothing, and somebody else's": {[]bipadapter.Cast{{Voter: "c", Ballot: yes}}, bipadapter.Absent},
	} {
		t.Run(name, func(t *testing.T) {
			p := bipadapter.Poll{Voters: []bipadapter.Voter{{Name: "a", Aliases: []string{"alias-of-a"}}, {Name: "b"}}}
			var first bipadapter.Count
			for i := range c.casts {
				p.Casts = append(slices.Clone(c.casts[i:]), c.casts[:i]...)
				got := count(t, bipadapter.Rule{}, p)
				require.Equal(t, c.want, standings(got)[0])
				require.LessOrEqual(t, got.Tally["approve"]+got.Tally["reject"], 1.0)
				if i == 0 {
					first = got
				}
				require.Equal(t, first, got, "the order does not matter")
			}
		})
	}
	for _, score := range []float64{-1, 10.5, math.NaN(), math.Inf(1)} {
		p := poll("9")
		p.Casts[0].Ballot.Score = score
		require.Equal(t, []bipadapter.Standing{bipadapter.Illegible}, standings(count(t, bipadapter.Rule{Method: bipadapter.Scores}, p)))
	}
}

func TestCountRoles(t *testing.T) {
	p := poll("y n n")
	p.Voters[1].Role, p.Voters[2].Role = bipadapter.Master, bipadapter.Collaborator
	c := count(t, bipadapter.Rule{}, p)
	require.Equal(t, map[string]float64{"approve": 1, "reject": 1}, c.Tally)
	require.Contains(t, c.Steps, `set aside: "b" is no eligible voter`)
	require.Len(t, c.Casts, 2)

	c = count(t, bipadapter.Rule{Voting: []bipadapter.Role{bipadapter.General}}, p)
	require.Equal(t, bipadapter.Approved, c.Outcome)

	// A collaborator objects in vain, and does not dilute the generals' vetoes.
	rule := bipadapter.Rule{Method: bipadapter.Approval, Threshold: 0.5, Veto: bipadapter.Veto{Reject: 0.5}}
	p = poll("y y V")
	p.Voters[2].Role = bipadapter.Collaborator
	require.Equal(t, bipadapter.Approved, count(t, rule, p).Outcome)
	p = poll("y y V")
	p.Voters[1].Role = bipadapter.Collaborator
	require.Equal(t, bipadapter.Refused, count(t, rule, p).Outcome)
}

func TestCountTopics(t *testing.T) {
	rule := bipadapter.Rule{Method: bipadapter.Scores, Threshold: 0.6, Topics: map[string]float64{"security": 0.75}}
	p := poll("7 7")
	require.Equal(t, bipadapter.Approved, count(t, rule, p).Outcome)
	p.Topic = "security"
	require.Equal(t, bipadapter.Refused, count(t, rule, p).Outcome)
}

// TestCountEmergency lowers the quorum, as far as the rule allows, and nothing else.
func TestCountEmergency(t *testing.T) {
	p := poll("y y y - -")
	p.Emergency = true
	rule := bipadapter.Rule{Method: bipadapter.Approval, Quorum: 0.8}
	c := count(t, rule, p)
	require.Equal(t, bipadapter.NoDecision, c.Outcome, "a rule that allows none")
	require.Contains(t, c.Steps, "emergency: the rule knows no quorum for one, so its own holds")
	rule.Emergency = 0.4
	c = count(t, rule, p)
	require.Equal(t, bipadapter.Approved, c.Outcome)
	require.Equal(t, 2, c.Quorum)
	p.Emergency = false
	require.Equal(t, bipadapter.NoDecision, count(t, rule, p).Outcome)

	p = poll("y y - - -")
	p.Emergency = true
	require.Equal(t, bipadapter.NoDecision, count(t, rule, p).Outcome, "two of five are never 60 %")
	p = poll("y y y V -")
	p.Emergency = true
	rule.Veto.Reject = 0.2
	require.Equal(t, bipadapter.Refused, count(t, rule, p).Outcome, "vetoes stand")
}

// A veto that is off is told so.
func TestVetoSteps(t *testing.T) {
	c := count(t, bipadapter.Rule{Method: bipadapter.Approval, Veto: bipadapter.Veto{Revise: 0.5}}, poll("y y V"))
	require.Contains(t, c.Steps, "vetoes: 1 of the generals' 3; 0.5 sends back, nothing rejects")
}

func TestGroups(t *testing.T) {
	// Three voters of one provider against two others.
	p := poll("y y y n n")
	for i := range 3 {
		p.Voters[i].Group = "acme"
	}
	require.Equal(t, bipadapter.Approved, count(t, bipadapter.Rule{}, p).Outcome)
	c := count(t, bipadapter.Rule{GroupCap: 0.4}, p)
	require.Equal(t, bipadapter.Refused, c.Outcome)
	require.Contains(t, c.Steps, `"a" weighs 4/9: "approve"`)
	require.InDelta(t, 0.6, c.Share, 1e-15)

	// One voter may outweigh the others, too.
	p = poll("y n n n")
	p.Voters[0].Weight = 9
	require.Equal(t, bipadapter.Approved, count(t, bipadapter.Rule{}, p).Outcome)
	require.Equal(t, bipadapter.Refused, count(t, bipadapter.Rule{GroupCap: 1.0 / 3}, p).Outcome)

	_, err := bipadapter.Rule{GroupCap: 0.2}.Count(p)
	require.EqualError(t, err, "rule.groupCap: 0.2 of all weight is too little for 4 groups with weight; raise it, or add voters of other groups")
	c = count(t, bipadapter.Rule{GroupCap: 0.25}, p)
	require.InDelta(t, 0.75, c.Share, 0, "four groups that are all alike")

	// With liars about, a group is one voter, and says what all of it say.
	p = poll("y y y y n")
	p.Voters[0].Group, p.Voters[1].Group = "acme", "acme"
	require.Equal(t, bipadapter.Approved, count(t, bipadapter.Rule{Faults: 1}, p).Outcome)
	p.Casts[0].Ballot.Choice = bipadapter.Reject
	require.Equal(t, bipadapter.NoDecision, count(t, bipadapter.Rule{Faults: 1}, p).Outcome)
}

func TestCountRefuses(t *testing.T) {
	for want, c := range map[string]struct {
		rule bipadapter.Rule
		poll bipadapter.Poll
	}{
		"rule.threshold: 2 is more than 1":                                  {bipadapter.Rule{Threshold: 2}, poll("y")},
		"voters[0].weight: NaN":                                             {bipadapter.Rule{}, bipadapter.Poll{Voters: []bipadapter.Voter{{Name: "a", Weight: math.NaN()}}}},
		`casts[0].standing: "asleep" is none`:                               {bipadapter.Rule{}, bipadapter.Poll{Voters: poll("y").Voters, Casts: []bipadapter.Cast{{Voter: "a", Standing: "asleep"}}}},
		"poll: options[1]: \"x\" is repeated":                               {bipadapter.Rule{}, bipadapter.Poll{Options: []string{"x", "x"}}},
		`poll.options: "scores" decides on one proposal: leave the options`: {bipadapter.Rule{Method: bipadapter.Scores}, bipadapter.Poll{Options: []string{"x", "y"}}},
	} {
		_, err := c.rule.Count(c.poll)
		require.ErrorContains(t, err, want)
	}
	c := count(t, bipadapter.Rule{Method: bipadapter.Approval}, bipadapter.Poll{
		Options: []string{bipadapter.Approve, bipadapter.Reject, bipadapter.Abstain}, Voters: poll("y").Voters, Casts: poll("y").Casts,
	})
	require.Equal(t, bipadapter.Approved, c.Outcome)
}

// TestHugePolls has to be quick: whoever verifies a record counts what others
// have written.
func TestHugePolls(t *testing.T) {
	var p bipadapter.Poll
	for i := range 250 {
		p.Voters = append(p.Voters, bipadapter.Voter{Name: fmt.Sprint("v", i), Weight: 1 + 1/float64(i+3)})
		p.Casts = append(p.Casts, bipadapter.Cast{Voter: fmt.Sprint("v", i), Ballot: bipadapter.Ballot{Score: 5 + math.Sin(float64(i))}})
	}
	c := count(t, bipadapter.Rule{Method: bipadapter.Scores, Threshold: 0.3, Faults: 80}, p)
	require.Equal(t, bipadapter.Approved, c.Outcome)
}

func TestSettled(t *testing.T) {
	for words, want := range map[string]bool{
		"y y y - -": true, "y y - - -": false, "y y n n -": false, "y y y n n": true, "- -": false, "y y n n": true,
	} {
		got, err := bipadapter.Rule{}.Settled(poll(words))
		require.NoError(t, err)
		require.Equal(t, want, got, words)
	}
	rule := bipadapter.Rule{Method: bipadapter.Approval, Veto: bipadapter.Veto{Reject: 0.4}}
	got, err := rule.Settled(poll("y y y - -"))
	require.NoError(t, err)
	require.False(t, got, "two may object")
	_, err = bipadapter.Rule{Threshold: 2}.Settled(poll("y"))
	require.Error(t, err)
	_, err = bipadapter.Rule{}.Settled(bipadapter.Poll{Voters: []bipadapter.Voter{{}}})
	require.Error(t, err)
}

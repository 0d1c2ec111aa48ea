package bipadapter_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// holds checks a property in 1,000 cases, 10,000 with -long, or 500 in a hurry.
func holds(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	checks := "1000"
	switch {
	case *bipadapter.Long:
		checks = "10000"
	case testing.Short():
		checks = "500"
	}
	require.NoError(t, flag.Set("rapid.checks", checks))
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	rapid.Check(t, property)
}

// A drawn rule comes with its parts as exact fractions.
type drawn struct {
	bipadapter.Rule
	threshold, hold, revise, reject *big.Rat
}

func fraction(t *rapid.T, name string, least *big.Rat) (float64, *big.Rat) {
	den := rapid.Int64Range(1, 20).Draw(t, name+" den")
	low := new(big.Rat).Mul(least, big.NewRat(den, 1))
	num := rapid.Int64Range(0, den).Filter(func(n int64) bool { return big.NewRat(n, 1).Cmp(low) >= 0 && n > 0 }).Draw(t, name)
	r := big.NewRat(num, den)
	f, _ := r.Float64()
	return f, r
}

func drawRule(t *rapid.T) drawn {
	zero := new(big.Rat)
	d := drawn{hold: zero, revise: zero, reject: zero}
	d.Method = rapid.SampledFrom([]bipadapter.Method{
		bipadapter.Plurality, bipadapter.Majority, bipadapter.Supermajority, bipadapter.Unanimous, bipadapter.Approval, bipadapter.Scores,
	}).Draw(t, "method")
	least := zero
	if d.Method == bipadapter.Approval {
		least = big.NewRat(1, 2)
	}
	if d.Method == bipadapter.Unanimous {
		d.threshold = big.NewRat(1, 1)
	} else {
		d.Threshold, d.threshold = fraction(t, "threshold", least)
	}
	d.AbstainOut = rapid.Bool().Draw(t, "abstainOut")
	d.Ballots = rapid.IntRange(0, 3).Draw(t, "ballots")
	d.Quorum = float64(rapid.IntRange(0, 4).Draw(t, "quorum")) / 4
	d.Faults = rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "faults")
	if d.Method == bipadapter.Approval || d.Method == bipadapter.Scores {
		if f, r := fraction(t, "hold", zero); r.Cmp(d.threshold) < 0 && rapid.Bool().Draw(t, "holds") {
			d.Hold, d.hold = f, r
		}
		if rapid.Bool().Draw(t, "vetoes") {
			d.Veto.Revise, d.revise = fraction(t, "revise", zero)
			if f, r := fraction(t, "reject", zero); r.Cmp(d.revise) >= 0 {
				d.Veto.Reject, d.reject = f, r
			}
		}
	}
	return d
}

func drawCast(t *rapid.T, voter string, options []string) bipadapter.Cast {
	c := bipadapter.Cast{Voter: voter}
	c.Standing = rapid.SampledFrom([]bipadapter.Standing{
		"", "", "", "", "", "", bipadapter.Absent, bipadapter.Late, bipadapter.Void, bipadapter.Illegible,
	}).Draw(t, "standing")
	c.Ballot = drawBallot(t, options)
	return c
}

func drawBallot(t *rapid.T, options []string) (b bipadapter.Ballot) {
	b.Choice = rapid.SampledFrom(append(slices.Clone(options), bipadapter.Abstain)).Draw(t, "choice")
	b.Score = float64(rapid.IntRange(0, 20).Draw(t, "score")) / 2
	b.Veto = rapid.SampledFrom([]string{"", "", "unsafe"}).Draw(t, "veto")
	return b
}

func drawPoll(t *rapid.T, d drawn) bipadapter.Poll {
	var p bipadapter.Poll
	options := []string{bipadapter.Approve, bipadapter.Reject}
	if d.Method != bipadapter.Approval && d.Method != bipadapter.Scores && rapid.Bool().Draw(t, "custom") {
		options = []string{"red", "green", "blue"}
		p.Options = options
	}
	for i := range rapid.IntRange(1, 8).Draw(t, "voters") {
		v := bipadapter.Voter{Name: fmt.Sprint("v", i)}
		v.Weight = rapid.SampledFrom([]float64{0, 1, 1, 2, 0.1, 0.3, 1.0 / 3, -1}).Draw(t, "weight")
		v.Group = rapid.SampledFrom([]string{"", "", "", "x", "y"}).Draw(t, "group")
		v.Role = rapid.SampledFrom([]bipadapter.Role{"", "", bipadapter.Collaborator, bipadapter.Master}).Draw(t, "role")
		p.Voters = append(p.Voters, v)
		p.Casts = append(p.Casts, drawCast(t, v.Name, options))
	}
	return p
}

func mustCount(t *rapid.T, r bipadapter.Rule, p bipadapter.Poll) bipadapter.Count {
	c, err := r.Count(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTallyIsOrderless(t *testing.T) {
	holds(t, func(t *rapid.T) {
		d := drawRule(t)
		p := drawPoll(t, d)
		p.Casts = append(p.Casts, drawCast(t, "v0", []string{bipadapter.Approve, "red"})) // some voter twice
		want := mustCount(t, d.Rule, p)
		p.Voters = rapid.Permutation(p.Voters).Draw(t, "voters'")
		p.Casts = rapid.Permutation(p.Casts).Draw(t, "casts'")
		p.Options = rapid.Permutation(p.Options).Draw(t, "options'")
		if got := mustCount(t, d.Rule, p); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("%+v\nbecame\n%+v", want, got)
		}
	})
}

// TestTallySupportNeverHurts gives the side that has won one more voter.
func TestTallySupportNeverHurts(t *testing.T) {
	holds(t, func(t *rapid.T) {
		d := drawRule(t)
		p := drawPoll(t, d)
		before := mustCount(t, d.Rule, p)
		i := rapid.IntRange(0, len(p.Casts)-1).Draw(t, "who")
		c := &p.Casts[i]
		c.Standing, c.Ballot.Veto = "", ""
		switch {
		case before.Winner == "":
			return
		case d.Method != bipadapter.Scores:
			c.Ballot.Choice = before.Winner
		case before.Outcome == bipadapter.Approved:
			c.Ballot = bipadapter.Ballot{Score: 10}
		default:
			c.Ballot = bipadapter.Ballot{Score: 0}
			if strings.HasPrefix(before.Reason, "vetoes") {
				return
			}
		}
		after := mustCount(t, d.Rule, p)
		if strings.HasPrefix(before.Reason, "vetoes") || after.Outcome == before.Outcome && after.Winner == before.Winner {
			return
		}
		t.Fatalf("%s\nbecame\n%s", strings.Join(before.Steps, "\n"), strings.Join(after.Steps, "\n"))
	})
}

// TestTallyAbsentNeverHelps takes a ballot away. What is decided without it
// would have been with it, vetoes aside.
func TestTallyAbsentNeverHelps(t *testing.T) {
	holds(t, func(t *rapid.T) {
		d := drawRule(t)
		p := drawPoll(t, d)
		i := rapid.IntRange(0, len(p.Casts)-1).Draw(t, "who")
		p.Casts[i].Ballot.Veto = ""
		with := mustCount(t, d.Rule, p)
		p.Casts[i].Standing = bipadapter.Absent
		without := mustCount(t, d.Rule, p)
		if without.Outcome != bipadapter.NoDecision && (with.Outcome != without.Outcome || with.Winner != without.Winner) {
			t.Fatalf("%s\nwithout one:\n%s", strings.Join(with.Steps, "\n"), strings.Join(without.Steps, "\n"))
		}
	})
}

// TestTallyAbstentionIsNotAbsence: who abstains has cast a ballot.
func TestTallyAbstentionIsNotAbsence(t *testing.T) {
	holds(t, func(t *rapid.T) {
		d := drawRule(t)
		p := drawPoll(t, d)
		p.Voters[0].Role = bipadapter.General
		p.Casts[0] = bipadapter.Cast{Voter: "v0", Ballot: bipadapter.Ballot{Choice: bipadapter.Abstain}}
		abstains := mustCount(t, d.Rule, p)
		p.Casts[0].Standing = bipadapter.Absent
		absent := mustCount(t, d.Rule, p)
		p.Casts[0].Standing = bipadapter.Illegible
		malformed := mustCount(t, d.Rule, p)
		if abstains.Ballots != absent.Ballots+1 || malformed.Ballots != absent.Ballots {
			t.Fatal(abstains.Ballots, absent.Ballots, malformed.Ballots)
		}
		for i, c := range []bipadapter.Count{abstains, absent, malformed} {
			if want := []bipadapter.Standing{bipadapter.Abstained, bipadapter.Absent, bipadapter.Illegible}[i]; c.Casts[0].Standing != want {
				t.Fatal(c.Casts[0])
			}
		}
	})
}

// TestTallyPivotal: where no voter is pivotal none can change a thing.
func TestTallyPivotal(t *testing.T) {
	holds(t, func(t *rapid.T) {
		d := drawRule(t)
		p := drawPoll(t, d)
		before := mustCount(t, d.Rule, p)
		i := rapid.IntRange(0, len(p.Casts)-1).Draw(t, "who")
		options := p.Options
		if len(options) == 0 {
			options = []string{bipadapter.Approve, bipadapter.Reject}
		}
		p.Casts[i] = drawCast(t, p.Casts[i].Voter, options)
		p.Casts[i].Ballot.Score = float64(int(p.Casts[i].Ballot.Score))
		after := mustCount(t, d.Rule, p)
		if changed := before.Outcome != after.Outcome || before.Winner != after.Winner; changed && !(before.Pivotal && after.Pivotal) &&
			!(before.Pivotal && d.Method == bipadapter.Scores) { // back to half a point
			t.Fatalf("%s\nbecame\n%s", strings.Join(before.Steps, "\n"), strings.Join(after.Steps, "\n"))
		}
	})
}

// TestTallySettled completes polls that are settled in some way.
func TestTallySettled(t *testing.T) {
	settled := 0
	holds(t, func(t *rapid.T) {
		d := drawRule(t)
		p := drawPoll(t, d)
		complete := p.Casts
		heard := rapid.IntRange(0, len(p.Casts)).Draw(t, "heard")
		if rapid.Bool().Draw(t, "agree") { // as few polls are settled that chance has filled in
			d.Quorum, d.Ballots, d.Faults = 0, 0, 0
			for i := range heard {
				p.Casts[i].Standing, p.Casts[i].Ballot = "", p.Casts[0].Ballot
			}
		}
		p.Casts = p.Casts[:heard]
		now := mustCount(t, d.Rule, p)
		ok, err := d.Settled(p)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		if len(p.Casts) < len(complete) && now.Outcome != bipadapter.NoDecision {
			settled++
		}
		p.Casts = complete
		if then := mustCount(t, d.Rule, p); now.Outcome != then.Outcome || now.Winner != then.Winner {
			t.Fatalf("%s\nbecame\n%s", strings.Join(now.Steps, "\n"), strings.Join(then.Steps, "\n"))
		}
	})
	require.True(t, settled > 0 || testing.Short(), "in a hurry chance may settle none")
}

func TestTallyJSON(t *testing.T) {
	holds(t, func(t *rapid.T) {
		d := drawRule(t)
		p := drawPoll(t, d)
		want := mustCount(t, d.Rule, p)
		text, err := json.Marshal(d.Rule)
		if err != nil {
			t.Fatal(err)
		}
		rule, err := bipadapter.ReadRule(text)
		if err != nil || fmt.Sprintf("%+v", rule) != fmt.Sprintf("%+v", d.Rule) {
			t.Fatalf("%s became %+v, %v", text, rule, err)
		}
		text, err = json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var poll bipadapter.Poll
		if err := json.Unmarshal(text, &poll); err != nil {
			t.Fatal(err)
		}
		got := mustCount(t, rule, poll)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("%+v\nbecame\n%+v", want, got)
		}
		text, err = json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var read bipadapter.Count
		if err := json.Unmarshal(text, &read); err != nil || fmt.Sprintf("%+v", read) != fmt.Sprintf("%+v", want) {
			t.Fatalf("%+v\nbecame\n%+v", want, read)
		}
	})
}

var line = regexp.MustCompile(`^"(v\d+)" weighs ([\d./]+): (?:rates ([\d.]+)|("[a-z]+")|(abstains)|[a-z]+)(, vetoes)?$`)

// TestTallyReplays counts again by hand: from what the steps say of each voter,
// without anything of the package's arithmetic.
func TestTallyReplays(t *testing.T) {
	holds(t, func(t *rapid.T) {
		d := drawRule(t)
		d.Faults = 0
		if rapid.Bool().Draw(t, "capped") {
			d.GroupCap = 0.5
		}
		p := drawPoll(t, d)
		c, err := d.Count(p)
		if err != nil {
			if !strings.Contains(err.Error(), "groupCap") {
				t.Fatal(err)
			}
			return
		}
		roles := map[string]bipadapter.Role{}
		for _, v := range p.Voters {
			roles[v.Name] = v.Role
		}
		if outcome, winner := replay(t, d, c, roles); outcome != c.Outcome || winner != c.Winner {
			t.Fatalf("by hand %s %q:\n%s", outcome, winner, strings.Join(c.Steps, "\n"))
		}
	})
}

func replay(t *rapid.T, d drawn, c bipadapter.Count, roles map[string]bipadapter.Role) (bipadapter.Outcome, string) {
	base, unheard, points, generals, vetoes := new(big.Rat), new(big.Rat), new(big.Rat), new(big.Rat), new(big.Rat)
	by := map[string]*big.Rat{}
	cast := 0
	for _, step := range c.Steps {
		m := line.FindStringSubmatch(step)
		if m == nil {
			continue
		}
		w, ok := new(big.Rat).SetString(m[2])
		if !ok {
			t.Fatal(step)
		}
		if roles[m[1]] != bipadapter.Collaborator {
			generals.Add(generals, w)
			if m[6] != "" {
				vetoes.Add(vetoes, w)
			}
		}
		if m[5] == "" || !d.AbstainOut {
			base.Add(base, w)
		}
		switch {
		case m[3] != "":
			score, _ := new(big.Rat).SetString(m[3])
			points.Add(points, score.Mul(score, w).Quo(score, big.NewRat(10, 1)))
			cast++
		case m[4] != "":
			option, _ := strconv.Unquote(m[4])
			if by[option] == nil {
				by[option] = new(big.Rat)
			}
			by[option].Add(by[option], w)
			if option == bipadapter.Approve {
				points.Add(points, w)
			}
			cast++
		case m[5] != "":
			cast++
		default:
			unheard.Add(unheard, w)
		}
	}
	if cast < c.Quorum || base.Sign() == 0 {
		return bipadapter.NoDecision, ""
	}
	share := func(x *big.Rat) *big.Rat { return new(big.Rat).Quo(x, base) }
	if d.Method != bipadapter.Approval && d.Method != bipadapter.Scores {
		for option, w := range by {
			wins := w.Sign() > 0
			for other, v := range by {
				if other != option && w.Cmp(new(big.Rat).Add(v, unheard)) <= 0 {
					wins = false
				}
			}
			cmp := share(w).Cmp(d.threshold)
			if !wins || w.Cmp(unheard) <= 0 || cmp < 0 || cmp == 0 && d.Method == bipadapter.Majority {
				continue
			}
			switch option {
			case bipadapter.Approve:
				return bipadapter.Approved, option
			case bipadapter.Reject:
				return bipadapter.Refused, option
			}
			return bipadapter.Chosen, option
		}
		return bipadapter.NoDecision, ""
	}
	if generals.Sign() > 0 {
		part := new(big.Rat).Quo(vetoes, generals)
		switch {
		case d.reject.Sign() > 0 && part.Cmp(d.reject) >= 0:
			return bipadapter.Refused, bipadapter.Reject
		case d.revise.Sign() > 0 && part.Cmp(d.revise) >= 0:
			return bipadapter.Revised, ""
		}
	}
	band := func(x *big.Rat) bipadapter.Outcome {
		switch {
		case x.Cmp(d.threshold) >= 0:
			return bipadapter.Approved
		case d.hold.Sign() > 0 && x.Cmp(d.hold) >= 0:
			return bipadapter.Revised
		}
		return bipadapter.Refused
	}
	low, high := band(share(points)), band(share(new(big.Rat).Add(points, unheard)))
	against := new(big.Rat).Set(unheard)
	if reject := by[bipadapter.Reject]; reject != nil {
		against.Add(against, reject)
	}
	tie := d.Method == bipadapter.Approval && points.Cmp(against) <= 0
	if low != high || low == bipadapter.Approved && tie {
		return bipadapter.NoDecision, ""
	}
	return low, map[bipadapter.Outcome]string{bipadapter.Approved: bipadapter.Approve, bipadapter.Refused: bipadapter.Reject}[low]
}

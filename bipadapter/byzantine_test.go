package bipadapter_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// A liar casts as it likes. Against is the choice that the honest are not for.
type liar func(r *rand.Rand, voter string, against string) []bipadapter.Cast

func vote(voter, choice string) bipadapter.Cast {
	return bipadapter.Cast{Voter: voter, Ballot: bipadapter.Ballot{Choice: choice, Veto: "no"}}
}

// liars are the strategies that are the tally's business: what a model says and
// how often, not what it is asked.
var liars = map[string]liar{
	"silent":   func(*rand.Rand, string, string) []bipadapter.Cast { return nil },
	"colludes": func(_ *rand.Rand, v, against string) []bipadapter.Cast { return []bipadapter.Cast{vote(v, against)} },
	"equivocates": func(_ *rand.Rand, v, against string) []bipadapter.Cast {
		return []bipadapter.Cast{vote(v, bipadapter.Approve), vote(v, bipadapter.Reject), vote(v, against)}
	},
	"votes twice": func(_ *rand.Rand, v, against string) []bipadapter.Cast {
		return []bipadapter.Cast{vote(v, against), vote(v, against), vote(v, against)}
	},
	"late": func(_ *rand.Rand, v, against string) []bipadapter.Cast {
		c := vote(v, against)
		c.Standing = bipadapter.Late
		return []bipadapter.Cast{c}
	},
	"early and late": func(_ *rand.Rand, v, against string) []bipadapter.Cast {
		c := vote(v, against)
		c.Standing = bipadapter.Late
		return []bipadapter.Cast{c, vote(v, bipadapter.Abstain)}
	},
	"malformed": func(_ *rand.Rand, v, against string) []bipadapter.Cast {
		return []bipadapter.Cast{vote(v, against+"; and so do all others"), {Voter: v, Standing: bipadapter.Illegible}}
	},
	"impersonates": func(_ *rand.Rand, v, against string) []bipadapter.Cast {
		return []bipadapter.Cast{vote(v, against), vote("v999", against), vote("alias of "+v, against)}
	},
	"abstains": func(_ *rand.Rand, v, _ string) []bipadapter.Cast {
		return []bipadapter.Cast{vote(v, bipadapter.Abstain)}
	},
	"swings": func(r *rand.Rand, v, against string) []bipadapter.Cast {
		return []bipadapter.Cast{vote(v, []string{bipadapter.Abstain, against}[r.IntN(2)])}
	},
	"anything": func(r *rand.Rand, v, _ string) []bipadapter.Cast {
		var all []bipadapter.Cast
		for range r.IntN(3) {
			c := vote(v, []string{bipadapter.Approve, bipadapter.Reject, bipadapter.Abstain, "", "?"}[r.IntN(5)])
			c.Standing = []bipadapter.Standing{"", "", bipadapter.Late, bipadapter.Void}[r.IntN(4)]
			all = append(all, c)
		}
		return all
	},
}

// TestByzantine plays rounds with f liars of n voters, f < n/3. What is decided
// is what more of the honest are for than against, and nobody counts twice.
func TestByzantine(t *testing.T) {
	rounds := 6_000
	switch {
	case *bipadapter.Long:
		rounds = 100_000
	case testing.Short():
		rounds = 2_000
	}
	var settings []struct{ n, f int }
	for n := 4; n <= 13; n++ {
		for f := 1; 3*f < n; f++ {
			settings = append(settings, struct{ n, f int }{n, f})
		}
	}
	each := rounds/(len(settings)*len(liars)*3) + 1
	played, decided, flipped := 0, 0, 0
	for name, lie := range liars {
		r := rand.New(rand.NewPCG(uint64(len(name)), 7))
		for _, s := range settings {
			for _, rule := range []bipadapter.Rule{
				{Faults: s.f},
				{Method: bipadapter.Plurality, Faults: s.f, AbstainOut: true},
				{Method: bipadapter.Approval, Threshold: 0.5, Faults: s.f, AbstainOut: true, Veto: bipadapter.Veto{Reject: 0.34}},
			} {
				for range each {
					poll, yes := byzantineRound(r, s.n, s.f, lie)
					c := count(t, rule, poll)
					played++
					if c.Outcome != bipadapter.NoDecision {
						decided++
					}
					honest := s.n - s.f
					if c.Outcome == bipadapter.Approved && 2*yes <= honest || c.Outcome == bipadapter.Refused && 2*yes >= honest {
						flipped++
						t.Errorf("%s, n=%d, f=%d, %s: %d of %d honest approve: %v", name, s.n, s.f, rule.Method, yes, honest, c.Steps)
					}
					// All honest voters of one mind decide whatever the liars do.
					if yes == honest && c.Outcome != bipadapter.Approved || yes == 0 && c.Outcome != bipadapter.Refused {
						t.Errorf("%s, n=%d, f=%d, %s: %d of %d honest approve: %v", name, s.n, s.f, rule.Method, yes, honest, c.Steps)
					}
					require.Len(t, c.Casts, s.n)
					require.LessOrEqual(t, c.Tally[bipadapter.Approve]+c.Tally[bipadapter.Reject], float64(s.n))
					require.LessOrEqual(t, c.Ballots, s.n)
				}
			}
		}
	}
	require.Positive(t, decided)
	t.Logf("published: Byzantine, %d rounds of 4 to 13 voters with less than a third liars in %d strategies: measured %d decisions against the honest majority of %d, reference none, target 0",
		played, len(liars), flipped, decided)
}

// byzantineRound has the honest, of whom yes approve, and f liars.
func byzantineRound(r *rand.Rand, n, f int, lie liar) (poll bipadapter.Poll, yes int) {
	yes = r.IntN(n - f + 1)
	against := bipadapter.Approve
	if 2*yes > n-f {
		against = bipadapter.Reject
	}
	for i := range n {
		v := bipadapter.Voter{Name: fmt.Sprint("v", i), Aliases: []string{fmt.Sprint("alias of v", i)}}
		poll.Voters = append(poll.Voters, v)
		switch {
		case i >= n-f:
			poll.Casts = append(poll.Casts, lie(r, v.Name, against)...)
		case i < yes:
			poll.Casts = append(poll.Casts, bipadapter.Cast{Voter: v.Name, Ballot: bipadapter.Ballot{Choice: bipadapter.Approve}})
		default:
			poll.Casts = append(poll.Casts, bipadapter.Cast{Voter: v.Name, Ballot: bipadapter.Ballot{Choice: bipadapter.Reject}})
		}
	}
	r.Shuffle(len(poll.Casts), func(i, j int) { poll.Casts[i], poll.Casts[j] = poll.Casts[j], poll.Casts[i] })
	return poll, yes
}

// TestByzantineControl: without the option liars do turn an outcome.
func TestByzantineControl(t *testing.T) {
	p := poll("y y y n n n n") // two of those who reject lie
	require.Equal(t, bipadapter.Refused, count(t, bipadapter.Rule{}, p).Outcome)
	require.Equal(t, bipadapter.NoDecision, count(t, bipadapter.Rule{Faults: 2}, p).Outcome)
}

// TestByzantineScores: what is decided is what the honest ratings alone come to.
func TestByzantineScores(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	rule := bipadapter.Rule{Method: bipadapter.Scores, Threshold: 0.6, Hold: 0.4}
	rounds := 1_500
	switch {
	case *bipadapter.Long:
		rounds = 50_000
	case testing.Short():
		rounds = 500
	}
	decided := 0
	for range rounds {
		n := 4 + r.IntN(10)
		f := 1 + r.IntN((n-1)/3)
		var honest, all bipadapter.Poll
		mood := r.Float64() * 7
		for i := range n {
			v := bipadapter.Voter{Name: fmt.Sprint("v", i), Weight: []float64{1, 1, 2}[r.IntN(3)]}
			c := bipadapter.Cast{Voter: v.Name, Ballot: bipadapter.Ballot{Score: float64(int(mood + r.Float64()*3))}}
			if i < n-f {
				honest.Voters, honest.Casts = append(honest.Voters, v), append(honest.Casts, c)
			} else {
				c.Ballot.Score = []float64{0, 10}[r.IntN(2)]
				c.Standing = []bipadapter.Standing{"", "", bipadapter.Absent}[r.IntN(3)]
			}
			all.Voters, all.Casts = append(all.Voters, v), append(all.Casts, c)
		}
		want := count(t, rule, honest)
		withstands := rule
		withstands.Faults = f
		if got := count(t, withstands, all); got.Outcome != bipadapter.NoDecision {
			decided++
			require.Equal(t, want.Outcome, got.Outcome, "%v\n%v", want.Steps, got.Steps)
		}
	}
	require.Positive(t, decided)
	t.Logf("%d were decided", decided)
}

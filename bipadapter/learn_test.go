package bipadapter

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestLearnConfigTags(t *testing.T) {
	require.NoError(t, settings.Lint(LearnConfig{}))
	require.NoError(t, settings.Lint(Stop{}))
}

// crowdOf answers questions as voters of some accuracies would.
func crowdOf(seed uint64, questions, options int, accuracies ...float64) (said []Said, truth map[string]string) {
	random := rand.New(rand.NewPCG(seed, 4))
	truth = make(map[string]string)
	for q := range questions {
		name, right := strconv.Itoa(q), random.IntN(options)
		truth[name] = strconv.Itoa(right)
		for v, p := range accuracies {
			answer := right
			if random.Float64() >= p {
				answer = (right + 1 + random.IntN(options-1)) % options
			}
			said = append(said, Said{name, fmt.Sprintf("v%02d", v), strconv.Itoa(answer)})
		}
	}
	return said, truth
}

func learn(said []Said, truth map[string]string) Learned {
	h := NewHistory(LearnConfig{})
	h.Add(said...)
	for q, answer := range truth {
		h.Truth(q, answer)
	}
	return h.Learn(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
}

func TestLearnFromNothing(t *testing.T) {
	l := learn(nil, nil)
	require.Empty(t, l.Voters)
	require.Empty(t, l.Answers)
	require.Equal(t, -1.0, l.Weight("anyone"))
	require.Equal(t, "learnt at 2026-03-01T12:00:00Z by truths from 0 answers to 0 questions, 0 of known truth", l.From())

	l = learn(nil, map[string]string{"q": "a"}) // a truth to which nobody answered
	require.Empty(t, l.Voters)
	require.Equal(t, []Belief{{Question: "q"}}, l.Answers)
}

func TestLearnFromOne(t *testing.T) {
	l := learn([]Said{{"q", "v", "a"}}, nil)
	require.Equal(t, OneCoin, l.Model)
	require.Equal(t, "a", l.Answers[0].Answer)
	require.Positive(t, l.Weight("v"))

	l = learn([]Said{{"q", "v", "a"}}, map[string]string{"q": "A."}) // right, in another form
	require.Equal(t, Truths, l.Model)
	require.Equal(t, Learnt{Voter: "v", Weight: LogOdds(7./9, 2), Accuracy: 7. / 9, Answers: 1, Known: 1}, roundedTo9(l.Voters[0]))
	require.Equal(t, Belief{Question: "q", Answer: "a", Confidence: 1}, l.Answers[0])
	require.InDelta(t, LogOdds(2./3, 2), l.Weight("stranger"), 1e-12)
}

func roundedTo9(v Learnt) Learnt {
	v.Accuracy = math.Round(v.Accuracy*9) / 9
	v.Weight = LogOdds(v.Accuracy, 2)
	return v
}

func TestLearnWhereAllAgree(t *testing.T) {
	var said []Said
	for q := range 100 {
		for v := range 4 {
			said = append(said, Said{strconv.Itoa(q), strconv.Itoa(v), "same"})
		}
	}
	l := learn(said, nil)
	for _, v := range l.Voters {
		require.Equal(t, l.Voters[0].Weight, v.Weight)
		require.Positive(t, v.Weight)
		require.False(t, math.IsInf(v.Weight, 0))
	}
	for _, a := range l.Answers {
		require.Equal(t, "same", a.Answer)
		require.Greater(t, a.Confidence, 0.9)
	}
}

// Who is never right has no weight, whether truth is known or not, and cannot
// win by the opposite.
func TestWhoIsNeverRightHasNoSay(t *testing.T) {
	said, truth := crowdOf(1, 200, 2, .9, .8, .8, 0)
	for name, l := range map[string]Learned{"truth": learn(said, truth), "none": learn(said, nil)} {
		require.Equal(t, -1.0, l.Weight("v03"), name)
		require.Less(t, l.Voters[3].Accuracy, 0.1, name)
		require.Greater(t, l.Weight("v00"), l.Weight("v01"), name)
	}
}

// A tie decides nothing, and says between what.
func TestLearnTie(t *testing.T) {
	l := learn([]Said{{"q", "1", "b"}, {"q", "2", "a"}}, nil)
	require.Empty(t, l.Answers[0].Answer)
	require.Equal(t, []string{"a", "b"}, l.Answers[0].Tied)
	require.LessOrEqual(t, l.Answers[0].Confidence, 0.5)
}

func TestFirstAnswerCounts(t *testing.T) {
	h := NewHistory(LearnConfig{})
	h.Add(Said{"q", "v", "1,000"}, Said{"q", "v", "1000"}, Said{"q", "v", "7"}, Said{"q", "w", "1e3"})
	h.Truth("q", "7")
	h.Truth("q", "1000.0") // corrected
	l := h.Learn(time.Time{})
	require.Equal(t, 2, l.Said)
	require.Equal(t, 2, l.Dropped)
	require.Equal(t, 1, l.Known)
	require.Equal(t, "1000", l.Answers[0].Answer)
	require.Equal(t, l.Weight("v"), l.Weight("w"))
}

func TestFormsArePluggable(t *testing.T) {
	h := NewHistory(LearnConfig{Form: func(s string) string { return s[:1] }})
	h.Add(Said{"q", "v", "yes"}, Said{"q", "w", "yeah"})
	require.Equal(t, "y", h.Learn(time.Time{}).Answers[0].Answer)
}

// Memory is bounded: the question asked first is forgotten first, and who has
// answered only that is not known any more.
func TestHistoryForgets(t *testing.T) {
	h := NewHistory(LearnConfig{Keep: 4})
	h.Add(Said{"1", "old", "a"}, Said{"1", "v", "a"}, Said{"2", "v", "a"}, Said{"2", "w", "a"}, Said{"3", "v", "a"})
	l := h.Learn(time.Time{})
	require.Equal(t, 1, l.Forgotten)
	require.Equal(t, 3, l.Said)
	require.Len(t, l.Voters, 2)
	h.Truth("2", "a")
	h.Truth("3", "a")
	require.Equal(t, 2, h.Learn(time.Time{}).Forgotten)
	for i := range 10_000 {
		h.Truth(strconv.Itoa(i+10), "a")
		h.Add(Said{"crowded", strconv.Itoa(i), "a"})
	}
	require.LessOrEqual(t, len(h.asked), 5)
	require.LessOrEqual(t, h.held, 4)
}

// Learning depends on nothing but what was said.
func TestLearnIsDeterministic(t *testing.T) {
	for seed := range uint64(5) {
		said, truth := crowdOf(seed, 60, 3, .9, .7, .6, .5, .4, .8)
		for q := range truth {
			if n, _ := strconv.Atoi(q); n%4 != 0 {
				delete(truth, q)
			}
		}
		want := learn(said, truth)
		random := rand.New(rand.NewPCG(seed, 5))
		random.Shuffle(len(said), func(i, j int) { said[i], said[j] = said[j], said[i] })
		require.Equal(t, want, learn(said, truth))
		twice := learn(append(said, said...), truth)
		require.Equal(t, len(said), twice.Dropped)
		twice.Dropped = 0
		require.Equal(t, want, twice)
	}
}

// Renaming voters and answers changes names alone.
func TestLearnDoesNotKnowNames(t *testing.T) {
	said, _ := crowdOf(3, 200, 3, .9, .8, .7, .6, .6, .5)
	renamed := make([]Said, len(said))
	for i, s := range said {
		renamed[i] = Said{"q" + s.Question, "a" + s.Voter, "x" + s.Answer}
	}
	one, other := learn(said, nil), learn(renamed, nil)
	require.Equal(t, one.Model, other.Model)
	for i := range one.Voters {
		require.InDelta(t, one.Voters[i].Weight, other.Voters[i].Weight, 1e-6)
	}
}

// Known truths are taken as they are, also where nobody said them, and help with
// the other questions.
func TestLearnFromSomeTruths(t *testing.T) {
	said, truth := crowdOf(7, 400, 2, .9, .35, .35, .35, .35)
	_, full := crowdOf(7, 400, 2, .9, .35, .35, .35, .35)
	for q := range truth {
		if n, _ := strconv.Atoi(q); n >= 200 {
			delete(truth, q)
		}
	}
	l := learn(said, truth)
	require.Equal(t, 200, l.Known)
	hits, _ := right(l.Answers, full)
	alone, _ := right(learn(said, nil).Answers, full)
	require.Greater(t, hits, alone+0.2)
	for _, a := range l.Answers {
		if want, known := truth[a.Question]; known {
			require.Equal(t, want, a.Answer)
		}
	}
}

// Voters with ways of their own to be wrong are seen through by Dawid and Skene's
// model, and questions of several kinds by the one with kinds.
func TestLearnChooses(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	var said []Said
	truth := make(map[string]string)
	for q := range 300 {
		name, positive := strconv.Itoa(q), random.IntN(2) == 0
		truth[name] = map[bool]string{true: "yes", false: "no"}[positive]
		for v := range 9 {
			says := positive
			if v < 6 { // they miss most of what is positive, and nothing else
				says = positive && random.Float64() < 0.3
			} else if random.Float64() < 0.1 {
				says = !says
			}
			said = append(said, Said{name, strconv.Itoa(v), map[bool]string{true: "yes", false: "no"}[says]})
		}
	}
	l := learn(said, nil)
	require.Equal(t, DawidSkene, l.Model)
	hits, _ := right(l.Answers, truth)
	require.Greater(t, hits, 0.97)
	hits, _ = right(newCrowdOf(said).beliefs(newCrowdOf(said).majority()), truth)
	require.Less(t, hits, 0.85)

	said, _ = crowdOf(4, 300, 6, .9, .8, .7, .6, .6, .5, .5, .5, .5, .5)
	require.Equal(t, OneCoin, learn(said[:400], nil).Model, "too few for more")
	for i := range said {
		said[i].Answer = said[i].Question + said[i].Answer
	}
	require.Equal(t, OneCoin, learn(said, nil).Model, "questions have options of their own")
}

func newCrowdOf(said []Said) *crowd {
	h := NewHistory(LearnConfig{})
	h.Add(said...)
	return newCrowd(h.asked)
}

// The number of options shows in how often voters who are wrong agree.
func TestOptions(t *testing.T) {
	for _, options := range []int{2, 4, 10} {
		said, truth := crowdOf(2, 500, options, .6, .6, .6, .6)
		require.InDelta(t, options, learn(said, truth).Options, float64(options)/8)
	}
	require.Equal(t, 2.0, learn([]Said{{"q", "v", "a"}}, nil).Options, "two unless shown otherwise")
}

func TestLogOdds(t *testing.T) {
	require.InDelta(t, math.Log(9), LogOdds(.9, 2), 1e-12)
	require.InDelta(t, math.Log(27), LogOdds(.9, 4), 1e-12)
	require.InDelta(t, 0, LogOdds(.5, 2), 1e-12)
	require.Negative(t, LogOdds(.4, 2))
	require.True(t, math.IsInf(LogOdds(1, 2), 1))
	for _, p := range []float64{0, .5, .2, math.NaN(), -1} {
		require.Equal(t, -1.0, say(p, 2))
	}
	require.Equal(t, -1.0, say(.9, 1))
}

// All that is handed out is finite and within its bounds, whatever comes in.
func TestLearnHostile(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	words := []string{"", " ", "NaN", "Inf", "1e999", "\xff", "\x00", strings.Repeat("x", 10_000), "1/0", "a"}
	for range 300 {
		h := NewHistory(LearnConfig{Keep: 1 + random.IntN(200)})
		for range random.IntN(300) {
			q, v, a := words[random.IntN(len(words))], words[random.IntN(len(words))], words[random.IntN(len(words))]
			if random.IntN(10) == 0 {
				h.Truth(q, a)
			} else {
				h.Add(Said{q, v, a})
			}
		}
		l := h.Learn(time.Time{})
		require.GreaterOrEqual(t, l.Options, 1.0)
		for _, v := range l.Voters {
			require.True(t, v.Weight == -1 || v.Weight >= 1e-9 && v.Weight < 100, "%+v", v)
			require.True(t, v.Accuracy > 0 && v.Accuracy < 1, "%+v", v)
		}
		for _, a := range l.Answers {
			require.True(t, a.Confidence >= 0 && a.Confidence <= 1, "%+v", a)
		}
	}
}

// Answers can be added while it learns.
func TestHistoryConcurrent(t *testing.T) {
	h := NewHistory(LearnConfig{Keep: 500})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 500 {
				h.Add(Said{strconv.Itoa(i), strconv.Itoa(g), strconv.Itoa(i % 3)})
				if i%100 == 0 {
					h.Truth(strconv.Itoa(i), "0")
					h.Learn(time.Time{})
				}
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, h.Learn(time.Time{}).Said, 500)
}

// Some questions are doubtful: voters answer those alike, and not by what is
// right. Kinds of questions keep that apart from what voters know.
func TestLearnByKinds(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	var said []Said
	truth := make(map[string]string)
	for q := range 1000 {
		name, kind := strconv.Itoa(q), random.IntN(10)
		truth[name] = "no"
		if kind < 2 {
			truth[name] = "yes"
		}
		for v := range 10 {
			yes := 0.08
			switch {
			case kind < 2 && v < 4:
				yes = 0.85
			case kind < 2:
				yes = 0.7
			case kind < 5 && v < 4:
				yes = 0.7 // the doubtful
			case kind < 5:
				yes = 0.28
			}
			said = append(said, Said{name, strconv.Itoa(v), map[bool]string{true: "yes", false: "no"}[random.Float64() < yes]})
		}
	}
	l := learn(said, nil)
	require.Equal(t, Kinds, l.Model)
	hits, _ := right(l.Answers, truth)
	c := newCrowdOf(said)
	simple, _ := right(c.beliefs(c.dawidSkene()), truth)
	require.Greater(t, hits, simple+0.1)
}

// Options are confused in pairs, and few voters answer each question: belief
// must not fade into what nobody said.
func TestFewAnswersAreBelieved(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	var said []Said
	truth := make(map[string]string)
	for q := range 600 {
		name, answer := strconv.Itoa(q), random.IntN(4)
		truth[name] = strconv.Itoa(answer)
		for _, v := range random.Perm(12)[:3] {
			says := answer
			if random.Float64() >= 0.5+0.03*float64(v) {
				says ^= 1
			}
			said = append(said, Said{name, strconv.Itoa(v), strconv.Itoa(says)})
		}
	}
	c := newCrowdOf(said)
	require.True(t, c.closed)
	answers := c.beliefs(c.oneCoin())
	hits, _ := right(answers, truth)
	majority, _ := right(c.beliefs(c.majority()), truth)
	require.Greater(t, hits, majority)
	for _, a := range answers {
		require.Greater(t, a.Confidence, 0.4)
	}
}

// Weights are found whatever the order of voters, and however their names are spelled.
func TestLearnedWeight(t *testing.T) {
	l := Learned{Voters: []Learnt{{Voter: "GPT-5", Weight: 3}, {Voter: "a", Weight: 1}, {Voter: "gpt 5", Weight: 2}}, Unknown: 0.5}
	for name, weight := range map[string]float64{"GPT-5": 3, "gpt 5": 2, "gpt.5": 3, "A": 1, "b": 0.5} {
		require.Equal(t, weight, l.Weight(name), name)
	}
}

package bipadapter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/stack"
)

// A hive is models that answer as a test says, by ID.
type hive map[string]func(ctx context.Context, paper bipadapter.Paper) (string, error)

type prompt struct {
	text  string
	paper bipadapter.Paper
}

type adapter = bipadapter.Adapter[prompt, string]

// says answers with a ballot for an option.
func says(option string) func(context.Context, bipadapter.Paper) (string, error) {
	return func(_ context.Context, p bipadapter.Paper) (string, error) {
		time.Sleep(time.Second)
		return paperFor(p, option), nil
	}
}

func paperFor(p bipadapter.Paper, option string) string {
	for _, o := range p.Options {
		if o.Text == option {
			return fmt.Sprintf(`{"choice":%q,"confidence":0.9,"reason":"a test"}`, o.Token)
		}
	}
	return fmt.Sprintf(`{"choice":%q}`, option)
}

func fails(err error) func(context.Context, bipadapter.Paper) (string, error) {
	return func(context.Context, bipadapter.Paper) (string, error) { return "", err }
}

func (h hive) pool(t require.TestingT, features ...resilience.Feature) *resilience.Client[prompt, string] {
	var infos []resilience.ModelInfo
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		infos = append(infos, resilience.ModelInfo{ID: id, Provider: "p-" + id})
	}
	pool, err := resilience.NewPool(append(features, stack.New(stack.Config{}), resilience.Models(infos...), resilience.Seed(rand.NewPCG(1, 1)))...)
	require.NoError(t, err)
	client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, p prompt) (string, error) {
		return h[m.ID()](ctx, p.paper)
	}))
	require.NoError(t, err)
	return client
}

var hooks = bipadapter.Hooks[prompt, string]{
	Ask:    func(p prompt, paper bipadapter.Paper) prompt { return prompt{p.text, paper} },
	Prompt: func(p prompt) []byte { return []byte(p.text) },
}

func (h hive) adapter(t require.TestingT, cfg bipadapter.Config) *adapter {
	a, err := bipadapter.New(h.pool(t), nil, cfg, hooks)
	require.NoError(t, err)
	return a
}

var by = resilience.Control{Actor: "operator", Reason: "a test"}

var voting = bipadapter.Operation{Type: bipadapter.Voting, BIP: "BIP-03", Proposal: []byte("a proposal")}

// A bubble is a test in virtual time.
type bubble struct{ *testing.T }

func virtual(t *testing.T, name string, fn func(t bubble)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { fn(bubble{t}) }) })
}

func TestConsensus(t *testing.T) {
	virtual(t, "all agree", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": says("reject")}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: "?"}, 0.7)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.InDelta(t, 0.8, d.Share, 1e-12)
		require.Equal(t, time.Second, d.Duration, "at once")
		require.Len(t, d.Votes, 5)
		require.Equal(t, 0.7, d.Record.Opening.Rule.Threshold)
		require.Len(t, d.Record.Evidence, 5)
		for _, e := range d.Record.Evidence {
			require.Len(t, e.Attempts, 1)
			require.NotEmpty(t, e.Attempts[0].Raw)
			require.NotNil(t, e.Paper)
		}
		require.Len(t, d.Record.Closing.Order, 5)
	})
	virtual(t, "a dead model is absent, and never replaced", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": fails(resilience.Overloaded), "e": says("reject")}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.NoDecision, d.Outcome, "3 of 5, and the fourth could have said no")
		require.Equal(t, bipadapter.Absent, d.Votes[3].Standing)
		require.ErrorIs(t, d.Votes[3].Err, resilience.Overloaded)
		require.Greater(t, len(d.Record.Evidence[3].Attempts), 1, "tried again, as nothing had come")
	})
	virtual(t, "what cannot be read is no vote, and is not asked again", func(t bubble) {
		asked := 0
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": func(context.Context, bipadapter.Paper) (string, error) {
			asked++
			return `I approve. {"choice":"approve"}`, nil
		}}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Illegible, d.Votes[4].Standing)
		require.Equal(t, 1, asked)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.Contains(t, string(d.Record.Evidence[4].Attempts[0].Raw), "I approve")
	})
	virtual(t, "a text is no token", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": func(context.Context, bipadapter.Paper) (string, error) {
			return `{"choice":"reject"}`, nil
		}}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Illegible, d.Votes[4].Standing)
	})
	virtual(t, "too few", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": fails(resilience.Unreachable), "d": fails(resilience.Unreachable), "e": fails(resilience.Unreachable)}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		var quorum *bipadapter.QuorumError
		require.ErrorAs(t, err, &quorum)
		require.Equal(t, [2]int{2, 3}, [2]int{quorum.Got, quorum.Need})
		require.ErrorIs(t, err, resilience.Unreachable)
		require.Equal(t, bipadapter.NoDecision, d.Outcome)
		require.Len(t, quorum.Record.Evidence, 5)
	})
	virtual(t, "one that hangs is absent at the deadline", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": func(ctx context.Context, _ bipadapter.Paper) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}}
		d, err := h.adapter(t, bipadapter.Config{Deadline: 20 * time.Second}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, 20*time.Second, d.Duration)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.Equal(t, bipadapter.Absent, d.Votes[4].Standing)
	})
	virtual(t, "one that is late is recorded, and not counted", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": func(_ context.Context, p bipadapter.Paper) (string, error) {
			time.Sleep(21 * time.Second) // deaf to contexts
			return paperFor(p, "reject"), nil
		}}
		d, err := h.adapter(t, bipadapter.Config{Deadline: 20 * time.Second}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Contains(t, []bipadapter.Standing{bipadapter.Late, bipadapter.Absent}, d.Votes[4].Standing)
		require.Equal(t, bipadapter.Approved, d.Outcome)
	})
	virtual(t, "who leaves aborts the round", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": says("approve")}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel)
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(ctx, voting, prompt{text: "?"}, 0)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, bipadapter.Aborted, d.Outcome)
		require.Contains(t, d.Reason, "left")
	})
	virtual(t, "what ends its goroutine is absent", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": func(context.Context, bipadapter.Paper) (string, error) {
			runtime.Goexit()
			return "", nil
		}}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.Equal(t, bipadapter.Absent, d.Votes[4].Standing)
	})
	virtual(t, "what panics is absent", func(t bubble) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": func(context.Context, bipadapter.Paper) (string, error) {
			panic("boom")
		}}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.ErrorContains(t, d.Votes[4].Err, "panicked")
	})
}

// Another model that answers in a voter's place makes its ballot void.
func TestServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": says("approve")}
		with := hooks
		with.Served = func(answer string) string { return strings.Repeat("e-mini", strings.Count(answer, "x")) }
		h["e"] = func(_ context.Context, p bipadapter.Paper) (string, error) {
			return strings.Replace(paperFor(p, "reject"), "a test", "x", 1), nil
		}
		a, err := bipadapter.New(h.pool(t), nil, bipadapter.Config{}, with)
		require.NoError(t, err)
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Void, d.Votes[4].Standing)
		require.Contains(t, d.Record.Evidence[4].Reason, "e-mini")
	})
}

// A judge of the user's own reads answers that are not ballots.
func TestJudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{}
		for _, id := range []string{"a", "b", "c", "d"} {
			h[id] = func(context.Context, bipadapter.Paper) (string, error) { return "yes", nil }
		}
		h["e"] = func(context.Context, bipadapter.Paper) (string, error) { return "?", nil }
		a, err := bipadapter.New(h.pool(t), func(answer string) (bipadapter.Ballot, error) {
			if answer != "yes" {
				panic(answer)
			}
			return bipadapter.Ballot{Choice: "approve"}, nil
		}, bipadapter.Config{Judge: "yes/1"})
		require.NoError(t, err)
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.Equal(t, "yes/1", d.Record.Opening.Judge)
		require.Equal(t, "the judge panicked", d.Record.Evidence[4].Reason)
	})
}

// Early asks no more voters than it takes.
func TestEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("approve"), "e": says("approve")}
		a := h.adapter(t, bipadapter.Config{Early: true, Rule: bipadapter.Rule{Method: bipadapter.Majority}})
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.Len(t, d.Record.Closing.Order, 3)
		h["b"], h["c"] = says("reject"), says("reject")
		most := 0
		for range 40 { // the order is drawn; an approval comes last in 3 of 5
			d, err = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
			require.NoError(t, err)
			require.Equal(t, bipadapter.Approved, d.Outcome)
			most = max(most, len(d.Record.Closing.Order))
		}
		require.Equal(t, 5, most)
	})
}

// Records are JSON that others can read, and tell no keys.
func TestRecordIsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": fails(errors.New("x")), "e": says("approve")}
		d, err := h.adapter(t, bipadapter.Config{}).Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		data, err := json.Marshal(d.Record)
		require.NoError(t, err)
		var back bipadapter.Record
		require.NoError(t, json.Unmarshal(data, &back))
		again, err := json.Marshal(back)
		require.NoError(t, err)
		require.JSONEq(t, string(data), string(again))
	})
}

// Weights that were learnt hold from the next round on, on record.
func TestReweigh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{"a": says("approve"), "b": says("reject"), "c": says("reject"), "d": says("reject"), "e": says("approve")}
		var changes []resilience.Change
		var refusal error
		client := h.pool(t, resilience.Audit(func(_ context.Context, c resilience.Change) error {
			changes = append(changes, c)
			return refusal
		}))
		a, err := bipadapter.New(client, nil, bipadapter.Config{Rule: bipadapter.Rule{Method: bipadapter.Majority}}, hooks)
		require.NoError(t, err)
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Refused, d.Outcome)
		require.InDelta(t, 0.6, d.Disagreement, 1e-12)
		history := bipadapter.NewHistory(bipadapter.LearnConfig{})
		for q := range 40 {
			question := fmt.Sprint("q", q)
			history.Truth(question, "yes")
			for _, voter := range []string{"a", "b", "c", "d", "e"} {
				answer := "yes"
				if (voter == "b" || voter == "c" || voter == "d") && q%2 == 0 {
					answer = "no"
				}
				history.Add(bipadapter.Said{Question: question, Voter: voter, Answer: answer})
			}
		}
		learned := history.Learn(time.Now())
		refusal = errors.New("not during a session")
		require.ErrorIs(t, a.Reweigh(t.Context(), learned, by), refusal)
		refusal = nil
		require.NoError(t, a.Reweigh(t.Context(), learned, by))
		require.Equal(t, "bip.weights", changes[1].What)
		d, err = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.Equal(t, learned.From(), d.Record.Opening.Voters[0].From)
		require.ErrorContains(t, a.Reweigh(t.Context(), learned, resilience.Control{}), "actor")
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{"a": says("approve"), "b": says("reject"), "c": says("reject"), "d": says("reject"), "e": says("approve")}
		client := h.pool(t)
		a, err := bipadapter.New(client, nil, bipadapter.Config{}, hooks)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Status{Ready: true, Voters: 5, Available: 5, Quorum: 3, SuccessRate: 1}, a.Status())
		for _, id := range []string{"a", "b", "c"} {
			require.NoError(t, client.Pool().Model(id).Drain(t.Context(), by))
		}
		s := a.Status()
		require.False(t, s.Ready)
		require.Equal(t, "2 of 5 voters can be asked, and it takes 3", s.Reason)
		_, err = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.ErrorContains(t, err, "2 ballots of 3 came in")
		require.Positive(t, a.Status().P95)
	})
}

func TestBadConfigs(t *testing.T) {
	h := hive{}
	client := h.pool(t)
	for want, cfg := range map[string]bipadapter.Config{
		"bipadapter.deadline":          {Deadline: -1},
		"bipadapter.types.\"vote\"":    {Types: map[bipadapter.OperationType]bipadapter.TypeConfig{"vote": {}}},
		"rule.threshold":               {Rule: bipadapter.Rule{Method: bipadapter.Approval, Threshold: 0.3}},
		"voters[0].model: is missing":  {Voters: []bipadapter.Voter{{Name: "x"}}},
		"is the judge of this package": {Judge: "ballot/1"},
	} {
		_, err := bipadapter.New(client, func(string) (bipadapter.Ballot, error) { return bipadapter.Ballot{}, nil }, cfg)
		require.ErrorContains(t, err, want)
	}
	_, err := bipadapter.New[prompt, string](nil, nil, bipadapter.Config{})
	require.ErrorContains(t, err, "there is no client")
	a, err := bipadapter.New(client, nil, bipadapter.Config{}, hooks)
	require.NoError(t, err)
	for want, op := range map[string]bipadapter.Operation{
		"operation.type":    {Type: "vote", BIP: "BIP-03"},
		"operation.bip":     {Type: bipadapter.Voting},
		"operation.timeout": {Type: bipadapter.Voting, BIP: "BIP-03", Timeout: -1},
	} {
		_, err := a.Execute(t.Context(), op, prompt{})
		require.ErrorContains(t, err, want)
		_, err = a.Consensus(t.Context(), op, prompt{}, 0)
		require.ErrorContains(t, err, want)
	}
	_, err = a.Consensus(t.Context(), voting, prompt{}, 1.5)
	require.ErrorContains(t, err, "threshold")
	op := voting
	op.Options = []string{"one", "one"}
	_, err = a.Consensus(t.Context(), op, prompt{}, 0)
	require.ErrorContains(t, err, "repeated")
	require.NoError(t, settings.Lint(bipadapter.Config{}))
}

// A round costs no more than it may; voters for whom nothing is left are absent.
func TestMaxCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var infos []resilience.ModelInfo
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			infos = append(infos, resilience.ModelInfo{ID: id, Price: resilience.Price{Input: 1, Output: 1}})
		}
		pool, err := resilience.NewPool(stack.New(stack.Config{}), resilience.Models(infos...))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, _ *resilience.Model, p prompt) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Input: 1e6})
			return paperFor(p.paper, "approve"), nil
		}), resilience.Hooks[prompt, string]{Tokens: func(prompt) int { return 1e6 }})
		require.NoError(t, err)
		a, err := bipadapter.New(client, nil, bipadapter.Config{MaxCost: 3.5, Early: true}, hooks)
		require.NoError(t, err)
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 1)
		require.NoError(t, err)
		require.InDelta(t, 3, d.Cost, 1e-9)
		require.Equal(t, 3, d.Ballots)
		require.Equal(t, bipadapter.NoDecision, d.Outcome)
		left := 0
		for _, v := range d.Votes {
			if errors.As(v.Err, new(*resilience.BudgetError)) {
				left++
			}
		}
		require.Equal(t, 2, left)
	})
}

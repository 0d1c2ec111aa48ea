package bipadapter_test

import (
	"context"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
)

func every(answer func(context.Context, bipadapter.Paper) (string, error)) hive {
	return hive{"a": answer, "b": answer, "c": answer, "d": answer, "e": answer}
}

// What one voter answers, or what a judge makes of it, spoils its own ballot and never
// the round, with a journal and a log too.
func TestOneVoterSpoilsNoRound(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing": "", "a flood": strings.Repeat("x", 49<<20), "bytes": "\xff\xfe\x00",
		"odd spaces":  "\u00a0" + `{"choice":"approve"}`,
		"many spaces": strings.Repeat(" ", 1<<20) + `{"choice":"approve"}`,
	} {
		virtual(t, "an answer: "+name, func(t bubble) {
			h := every(says("approve"))
			h["e"] = func(context.Context, bipadapter.Paper) (string, error) { return answer, nil }
			dir := t.TempDir()
			log := openLog(t, filepath.Join(dir, "log"))
			a := h.adapter(t, bipadapter.Config{Log: log, Journal: filepath.Join(dir, "journal")})
			d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
			require.NoError(t, err)
			require.Equal(t, bipadapter.Approved, d.Outcome)
			require.Equal(t, bipadapter.Illegible, d.Votes[4].Standing)
			finding, why := found(t, d.Record)
			require.Equal(t, bipadapter.SelfAttested, finding, why)
			require.NoError(t, a.Close())
			require.NoError(t, log.Close())
		})
	}
	long := strings.Repeat("é", 501)
	for name, garbage := range map[string]bipadapter.Ballot{
		"confidence NaN":  {Choice: "reject", Confidence: math.NaN()},
		"score Inf":       {Choice: "reject", Score: math.Inf(1)},
		"score negative":  {Choice: "reject", Score: -1},
		"reason no UTF-8": {Choice: "reject", Reason: "\xff"},
		"choice no UTF-8": {Choice: "\xff"},
		"nonce no UTF-8":  {Choice: "reject", Nonce: "\xff"},
		"veto no UTF-8":   {Choice: "reject", Veto: "\xff"},
		"long reason":     {Choice: "reject", Reason: long},
		"long veto":       {Choice: "reject", Veto: long},
		"long choice":     {Choice: strings.Repeat("x", 1<<20)},
		"long signature":  {Choice: "reject", Signature: make([]byte, 1<<20)},
	} {
		virtual(t, "a ballot: "+name, func(t bubble) {
			h := every(func(context.Context, bipadapter.Paper) (string, error) { return "yes", nil })
			h["e"] = func(context.Context, bipadapter.Paper) (string, error) { return "garbage", nil }
			dir := t.TempDir()
			log := openLog(t, filepath.Join(dir, "log"))
			a, err := bipadapter.New(h.pool(t), func(answer string) (bipadapter.Ballot, error) {
				if answer == "yes" {
					return bipadapter.Ballot{Choice: bipadapter.Approve}, nil
				}
				return garbage, nil
			}, bipadapter.Config{Log: log, Journal: filepath.Join(dir, "journal")})
			require.NoError(t, err)
			d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
			require.NoError(t, err)
			require.Equal(t, bipadapter.Approved, d.Outcome)
			require.Equal(t, bipadapter.Illegible, d.Votes[4].Standing)
			require.ErrorContains(t, d.Votes[4].Err, "the judge: ballot: ")
			require.Less(t, len(d.Votes[4].Err.Error()), 400)
			finding, why := found(t, d.Record)
			require.Equal(t, bipadapter.SelfAttested, finding, why)
			require.NoError(t, a.Close())
			require.NoError(t, log.Close())
		})
	}
}

// Hooks that panic, or end their goroutine, are one voter's trouble, or the caller's.
func TestHooksThatPanic(t *testing.T) {
	for name, with := range map[string]bipadapter.Hooks[prompt, string]{
		"raw":    {Ask: hooks.Ask, Prompt: hooks.Prompt, Raw: func(answer string) []byte { return []byte(bad(answer)) }},
		"served": {Ask: hooks.Ask, Prompt: hooks.Prompt, Served: func(answer string) string { bad(answer); return "" }},
	} {
		virtual(t, name, func(t bubble) {
			h := every(says("approve"))
			h["e"] = func(context.Context, bipadapter.Paper) (string, error) { return "boom", nil }
			log := openLog(t, t.TempDir())
			a, err := bipadapter.New(h.pool(t), nil, bipadapter.Config{Log: log}, with)
			require.NoError(t, err)
			d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
			require.NoError(t, err)
			require.Equal(t, bipadapter.Approved, d.Outcome)
			require.NotEqual(t, bipadapter.Counted, d.Votes[4].Standing)
			require.ErrorContains(t, d.Votes[4].Err, "panicked")
			finding, why := found(t, d.Record)
			require.Equal(t, bipadapter.SelfAttested, finding, why)
			require.NoError(t, log.Close())
		})
	}
	virtual(t, "ask", func(t bubble) {
		log := openLog(t, t.TempDir())
		a, err := bipadapter.New(every(says("approve")).pool(t), nil, bipadapter.Config{Log: log}, bipadapter.Hooks[prompt, string]{
			Ask: func(prompt, bipadapter.Paper) prompt { panic("boom") },
		})
		require.NoError(t, err)
		require.PanicsWithValue(t, "boom", func() { _, _ = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0) })
		records, err := log.Records(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, records, "no round began")
		require.NoError(t, log.Close())
	})
}

func bad(answer string) string {
	if answer == "boom" {
		runtime.Goexit()
	}
	return answer
}

// Thresholds that are none are refused before anybody is asked.
func TestThresholdsThatAreNone(t *testing.T) {
	asked := false
	h := every(func(context.Context, bipadapter.Paper) (string, error) { asked = true; return "", nil })
	a := h.adapter(t, bipadapter.Config{Rule: bipadapter.Rule{Method: bipadapter.Majority}})
	for _, threshold := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.5, -1e-12, 1.0000001, 1e-11, 70} {
		_, err := a.Consensus(t.Context(), voting, prompt{}, threshold)
		require.ErrorContains(t, err, "threshold", "%v", threshold)
	}
	for _, weight := range []float64{math.NaN(), math.Inf(1), 1e-12, 1e10} {
		_, err := bipadapter.New(h.pool(t), nil, bipadapter.Config{Voters: []bipadapter.Voter{{Model: "a", Weight: weight}}}, hooks)
		require.ErrorContains(t, err, "weight", "%v", weight)
		require.ErrorContains(t, a.Reweigh(t.Context(), bipadapter.Learned{Voters: []bipadapter.Learnt{{Voter: "a", Weight: weight}}, Unknown: 1}, by), "weight", "%v", weight)
	}
	require.False(t, asked)
}

// A context that is over opens no round, and the deadline of one is the round's.
func TestContexts(t *testing.T) {
	virtual(t, "over", func(t bubble) {
		log := openLog(t, t.TempDir())
		a := every(says("approve")).adapter(t, bipadapter.Config{Log: log})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := a.Consensus(ctx, voting, prompt{text: "?"}, 0)
		require.ErrorIs(t, err, context.Canceled)
		records, err := log.Records(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, records)
		require.NoError(t, log.Close())
	})
	virtual(t, "its deadline is the round's", func(t bubble) {
		h := every(says("approve"))
		h["e"] = func(ctx context.Context, _ bipadapter.Paper) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		log := openLog(t, t.TempDir())
		a := h.adapter(t, bipadapter.Config{Log: log})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		d, err := a.Consensus(ctx, voting, prompt{text: "?"}, 0)
		require.NoError(t, err, "four of five had answered")
		require.Equal(t, bipadapter.Approved, d.Outcome)
		require.Equal(t, 10*time.Second, d.Duration)
		require.Equal(t, bipadapter.Absent, d.Votes[4].Standing)
		require.Equal(t, 10*time.Second, d.Record.Opening.Deadline.Sub(d.Record.Opening.Time))
		finding, why := found(t, d.Record)
		require.Equal(t, bipadapter.SelfAttested, finding, why)
		require.NoError(t, log.Close())
	})
	virtual(t, "canceled", func(t bubble) {
		a := every(says("approve")).adapter(t, bipadapter.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel)
		d, err := a.Consensus(ctx, voting, prompt{text: "?"}, 0)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, bipadapter.Aborted, d.Outcome)
		require.Zero(t, d.Ballots)
	})
}

// Nobody is asked where no answers could make a quorum.
func TestNoQuorumIsPossible(t *testing.T) {
	for name, rule := range map[string]bipadapter.Rule{
		"voters":  {Voters: 10},
		"ballots": {Ballots: 6},
		"masters": {Voting: []bipadapter.Role{bipadapter.Collaborator}},
	} {
		virtual(t, name, func(t bubble) {
			asked := false
			a := every(func(context.Context, bipadapter.Paper) (string, error) { asked = true; return "", nil }).adapter(t, bipadapter.Config{Rule: rule})
			_, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
			var quorum *bipadapter.QuorumError
			require.ErrorAs(t, err, &quorum)
			require.ErrorContains(t, err, "nobody was asked")
			require.False(t, asked)
			require.False(t, a.Status().Ready)
		})
	}
}

// Deployments of one model are one voter, whatever their IDs.
func TestDeploymentsAreOneVoter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := resilience.NewPool(resilience.Models(
			resilience.ModelInfo{ID: "azure-1", Name: "gpt-5"}, resilience.ModelInfo{ID: "openai-1", Name: "gpt-5"},
			resilience.ModelInfo{ID: "claude"}, resilience.ModelInfo{ID: "gemini"},
		))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindAll(func(_ context.Context, _ *resilience.Model, p prompt) (string, error) {
			return paperFor(p.paper, "approve"), nil
		}))
		require.NoError(t, err)
		a, err := bipadapter.New(client, nil, bipadapter.Config{}, hooks)
		require.NoError(t, err)
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		require.Equal(t, 3, d.Ballots)
		require.Equal(t, "gpt-5", d.Votes[2].Voter.Name)
		require.Equal(t, 3, a.Status().Voters)
	})
}

// A voter whose model nobody has is a mistake, and told at once.
func TestUnknownVoter(t *testing.T) {
	_, err := bipadapter.New(every(says("approve")).pool(t), nil, bipadapter.Config{Voters: []bipadapter.Voter{{Model: "a"}, {Model: "A-1"}}}, hooks)
	require.ErrorContains(t, err, `bipadapter.voters[1].model: "A-1" is no model of the client`)
}

// What a caller does with a decision, or a configuration, changes no later round.
func TestDecisionsAreTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		types := map[bipadapter.OperationType]bipadapter.TypeConfig{}
		topics := map[string]float64{"security": 0.75}
		voters := []bipadapter.Voter{{Model: "a", Aliases: []string{"first"}}, {Model: "b"}, {Model: "c"}}
		a := every(says("approve")).adapter(t, bipadapter.Config{Types: types, Voters: voters, Rule: bipadapter.Rule{Method: bipadapter.Approval, Topics: topics}})
		for range 2 {
			d, err := a.Execute(t.Context(), voting, prompt{text: "?"})
			require.NoError(t, err)
			o := &d.Decision.Record.Opening
			require.Equal(t, 1.0, o.Voters[0].Weight)
			require.Equal(t, []string{"first"}, o.Voters[0].Aliases)
			require.Equal(t, 0.75, o.Rule.Topics["security"])
			o.Voters[0].Weight, o.Voters[0].Aliases[0], o.Rule.Topics["security"] = 100, "last", 0.1
			types[bipadapter.Voting] = bipadapter.TypeConfig{Rule: &bipadapter.Rule{Voters: 100}}
			voters[0].Aliases[0], topics["security"] = "mine", 0.2
		}
	})
}

// Status says when no round could begin: a pool that ends, a log or a journal that
// takes nothing.
func TestStatusOfWhatCannotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		log := openLog(t, filepath.Join(dir, "log"))
		client := every(says("approve")).pool(t)
		a, err := bipadapter.New(client, nil, bipadapter.Config{Log: log, Journal: filepath.Join(dir, "journal")}, hooks)
		require.NoError(t, err)
		require.True(t, a.Status().Ready)
		require.NoError(t, log.Close())
		require.False(t, a.Status().Ready)
		require.Contains(t, a.Status().Reason, "log: ")
		require.NoError(t, a.Close())
		b, err := bipadapter.New(client, nil, bipadapter.Config{Journal: filepath.Join(dir, "journal2")}, hooks)
		require.NoError(t, err)
		require.True(t, b.Status().Ready)
		require.NoError(t, b.Close())
		require.False(t, b.Status().Ready)
		require.Contains(t, b.Status().Reason, "journal")
		c, err := bipadapter.New(client, nil, bipadapter.Config{}, hooks)
		require.NoError(t, err)
		require.NoError(t, client.Pool().Drain(t.Context()))
		require.Equal(t, "the pool is draining", c.Status().Reason)
		require.False(t, c.Status().Ready)
		_, err = c.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.Error(t, err)
	})
}

// Models that come and go in the middle of a round, and weights that do, are the next
// one's.
func TestReloadDuringARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := every(says("approve")).pool(t)
		a, err := bipadapter.New(client, nil, bipadapter.Config{}, hooks)
		require.NoError(t, err)
		learned := bipadapter.Learned{Voters: []bipadapter.Learnt{{Voter: "a", Weight: 2}}, Unknown: 0.5}
		var reloading sync.WaitGroup
		reloading.Go(func() {
			time.Sleep(500 * time.Millisecond)
			require.NoError(t, client.Pool().Reload(t.Context(), []byte(`{"models":[{"id":"a"},{"id":"b"},{"id":"c"},{"id":"f"}]}`), by))
			require.NoError(t, a.Reweigh(t.Context(), learned, by))
		})
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		reloading.Wait()
		require.Equal(t, 5, d.Ballots)
		require.Equal(t, 1.0, d.Votes[0].Voter.Weight)
		weights := func() map[string]float64 {
			d, _ = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
			weights := map[string]float64{}
			for _, v := range d.Record.Opening.Voters {
				weights[v.Name] = v.Weight
			}
			return weights
		}
		require.Equal(t, map[string]float64{"a": 2, "b": 0.5, "c": 0.5, "f": 0.5}, weights())
		require.NoError(t, client.Pool().Reload(t.Context(), []byte(`{"models":[{"id":"a"},{"id":"b"},{"id":"c"},{"id":"g"}]}`), by))
		require.Equal(t, map[string]float64{"a": 2, "b": 0.5, "c": 0.5, "g": 0.5}, weights(), "models that came later vote too")
	})
}

// Rounds and weights at the same time, of the same proposal: each round is whole, and
// counted by the weights that it began with.
func TestRoundsAndWeightsAtOnce(t *testing.T) {
	h := every(func(_ context.Context, p bipadapter.Paper) (string, error) { return paperFor(p, "approve"), nil })
	log := openLog(t, t.TempDir())
	a := h.adapter(t, bipadapter.Config{Log: log, Journal: filepath.Join(t.TempDir(), "journal")})
	var at sync.WaitGroup
	for i := range 8 {
		at.Go(func() {
			if i%2 == 0 {
				l := bipadapter.Learned{Unknown: float64(i + 1)}
				require.NoError(t, a.Reweigh(t.Context(), l, by))
				return
			}
			d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
			require.NoError(t, err)
			require.Equal(t, 5, d.Ballots)
			for _, v := range d.Record.Opening.Voters {
				require.Equal(t, d.Record.Opening.Voters[0].Weight, v.Weight)
			}
			_ = a.Status()
		})
	}
	at.Wait()
	records, err := log.Records(t.Context(), voting.BIP)
	require.NoError(t, err)
	require.Len(t, records, 4)
	finding, why := found(t, records...)
	require.Equal(t, bipadapter.SelfAttested, finding, why)
	require.NoError(t, a.Close())
	require.NoError(t, log.Close())
}

// Texts of an operation that a record could not hold are refused before anything.
func TestOperationsThatNoRecordHolds(t *testing.T) {
	a := every(says("approve")).adapter(t, bipadapter.Config{Rule: bipadapter.Rule{Method: bipadapter.Plurality}})
	for want, op := range map[string]bipadapter.Operation{
		"operation.topic":     {Type: bipadapter.Voting, BIP: "BIP-03", Topic: "\xff"},
		"operation.by":        {Type: bipadapter.Voting, BIP: "BIP-03", By: strings.Repeat("x", 1<<20)},
		"operation.authority": {Type: bipadapter.Voting, BIP: "BIP-03", Authority: "a\nb"},
		"poll: options[1]":    {Type: bipadapter.Voting, BIP: "BIP-03", Options: []string{"one", "\xff"}},
		"operation.priority":  {Type: bipadapter.Voting, BIP: "BIP-03", Priority: 9},
	} {
		_, err := a.Consensus(t.Context(), op, prompt{}, 0)
		require.ErrorContains(t, err, want)
	}
	_, err := bipadapter.New(every(says("approve")).pool(t), nil, bipadapter.Config{Operator: "a\nb"}, hooks)
	require.ErrorContains(t, err, "bipadapter.operator")
	nine := resilience.Priority(9)
	_, err = bipadapter.New(every(says("approve")).pool(t), nil, bipadapter.Config{Types: map[bipadapter.OperationType]bipadapter.TypeConfig{bipadapter.Voting: {Priority: &nine}}}, hooks)
	require.ErrorContains(t, err, "priority")
}

// Who watches a pool sees its rounds: when one is opened, and what it came to.
func TestRoundEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hive{"a": says("approve"), "b": says("approve"), "c": says("approve"), "d": says("reject"), "e": says("reject")}
		client := h.pool(t)
		events := client.Pool().Subscribe(100, resilience.EventRound)
		a, err := bipadapter.New(client, nil, bipadapter.Config{Rule: bipadapter.Rule{Method: bipadapter.Majority, Quorum: 0.6}}, hooks)
		require.NoError(t, err)
		next := func() resilience.Event {
			e := <-events.C
			require.Equal(t, "bip.voting", e.Op)
			return e
		}
		d, err := a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.NoError(t, err)
		opened, over := next(), next()
		require.Equal(t, "opened", opened.To)
		require.Equal(t, "approved", over.To)
		require.Contains(t, over.Reason, "BIP-03, round "+d.Record.Opening.Round+": "+d.Reason)
		require.InDelta(t, d.Disagreement, over.Disagreement, 1e-12)
		require.InDelta(t, 0.6, over.Disagreement, 1e-12)
		require.Equal(t, time.Second, over.Duration)
		dead := fails(resilience.Unreachable)
		h["a"], h["b"], h["c"] = dead, dead, dead
		_, err = a.Consensus(t.Context(), voting, prompt{text: "?"}, 0)
		require.Error(t, err)
		require.Equal(t, "opened", next().To)
		require.Equal(t, "no_decision", next().To)
		h["a"] = func(ctx context.Context, _ bipadapter.Paper) (string, error) { <-ctx.Done(); return "", ctx.Err() }
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		_, err = a.Consensus(ctx, voting, prompt{text: "?"}, 0)
		require.Error(t, err)
		require.Equal(t, "opened", next().To)
		require.Equal(t, "aborted", next().To)
		events.Close()
	})
}

// Reviews that an emergency has opened end with a review of the BIP, however its name is
// spelled, and with a vote that decides; and are opened once for what is declared once.
func TestReviewsThatAreDue(t *testing.T) {
	review := bipadapter.Operation{Type: bipadapter.Review, BIP: "bip 03", Proposal: []byte("what was done")}
	virtual(t, "spelled otherwise", func(t bubble) {
		a := every(says("x")).adapter(t, bipadapter.Config{Authorize: allow})
		_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, declared())
		require.NoError(t, err)
		_, err = a.Execute(t.Context(), review, prompt{text: "?"})
		require.NoError(t, err)
		require.Empty(t, a.Status().Reviews)
	})
	virtual(t, "voted on", func(t bubble) {
		rule := bipadapter.Rule{Method: bipadapter.Majority}
		h := every(says("abstain"))
		a := h.adapter(t, bipadapter.Config{Authorize: allow, Types: map[bipadapter.OperationType]bipadapter.TypeConfig{bipadapter.Review: {Rule: &rule}}})
		_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, declared())
		require.NoError(t, err)
		res, err := a.Execute(t.Context(), review, prompt{text: "?"})
		require.NoError(t, err)
		require.Equal(t, bipadapter.NoDecision, res.Decision.Outcome)
		require.Len(t, a.Status().Reviews, 1, "nothing was decided")
		for id := range h {
			h[id] = says("approve")
		}
		_, err = a.Execute(t.Context(), review, prompt{text: "?"})
		require.NoError(t, err)
		require.Empty(t, a.Status().Reviews)
	})
	virtual(t, "an emergency reviews nothing", func(t bubble) {
		rule := bipadapter.Rule{Method: bipadapter.Majority, Emergency: 0.2}
		a := every(says("approve")).adapter(t, bipadapter.Config{Rule: rule, Authorize: allow, Types: map[bipadapter.OperationType]bipadapter.TypeConfig{bipadapter.Review: {Rule: &rule}}})
		_, err := a.Emergency(t.Context(), review, prompt{text: "?"}, declared())
		require.NoError(t, err)
		require.Len(t, a.Status().Reviews, 1)
	})
	virtual(t, "once", func(t bubble) {
		a := every(says("x")).adapter(t, bipadapter.Config{Authorize: allow})
		d := declared()
		for range 3 {
			_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, d)
			require.NoError(t, err)
		}
		d.Actors[0] = "cy" // by others
		require.Equal(t, []string{"ann", "bo"}, a.Status().Reviews[0].Actors)
		_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, d)
		require.NoError(t, err)
		require.Len(t, a.Status().Reviews, 2)
		require.Equal(t, "cy", a.Status().Reviews[1].Actors[0])
	})
}

// What runs when an emergency ends is ended, and the error says why; a vote is counted.
func TestEmergencyEndsMeanwhile(t *testing.T) {
	hangs := func(ctx context.Context, _ bipadapter.Paper) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	virtual(t, "a call", func(t bubble) {
		a := every(hangs).adapter(t, bipadapter.Config{Authorize: allow})
		d := declared()
		d.Until = time.Now().Add(10 * time.Second)
		op := voting
		op.Timeout, op.Model = time.Minute, "a"
		start := time.Now()
		_, err := a.Emergency(t.Context(), op, prompt{text: "?"}, d)
		require.ErrorContains(t, err, "the emergency has ended")
		require.Equal(t, 10*time.Second, time.Since(start))
		require.False(t, a.Status().Emergency)
		_, err = a.Emergency(t.Context(), op, prompt{text: "?"}, d)
		require.ErrorContains(t, err, "until: has passed")
	})
	virtual(t, "a vote", func(t bubble) {
		h := every(hangs)
		h["a"], h["b"], h["c"] = says("approve"), says("approve"), says("approve")
		a := h.adapter(t, bipadapter.Config{Authorize: allow, Rule: bipadapter.Rule{Method: bipadapter.Majority, Quorum: 1, Emergency: 0.4}})
		d := declared()
		d.Until = time.Now().Add(10 * time.Second)
		res, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, d)
		require.NoError(t, err)
		require.Equal(t, bipadapter.Approved, res.Decision.Outcome)
		require.Equal(t, 10*time.Second, res.Decision.Duration)
	})
	virtual(t, "what an emergency cannot hold", func(t bubble) {
		a := every(says("x")).adapter(t, bipadapter.Config{Authorize: allow})
		for _, reason := range []string{"\xff", strings.Repeat("x", 501)} {
			d := declared()
			d.Reason = reason
			_, err := a.Emergency(t.Context(), voting, prompt{text: "?"}, d)
			require.ErrorContains(t, err, "declaration.reason")
		}
		require.Empty(t, a.Status().Reviews)
	})
}

// Whoever authorizes may panic: then nothing has happened.
func TestAuthorizeThatPanics(t *testing.T) {
	a := every(says("x")).adapter(t, bipadapter.Config{Authorize: func(context.Context, bipadapter.Operation, bipadapter.Declaration) error { panic("boom") }})
	require.PanicsWithValue(t, "boom", func() { _, _ = a.Emergency(t.Context(), voting, prompt{}, declared()) })
	require.Empty(t, a.Status().Reviews)
	require.False(t, a.Status().Emergency)
}

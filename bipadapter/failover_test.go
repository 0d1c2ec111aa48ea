package bipadapter_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/bipadapter"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

// fates are what happens to a voter's provider in the middle of a round, and what must
// become of the voter.
var fates = []struct {
	name     string
	standing bipadapter.Standing
	answer   func(ctx context.Context, try int, ballot string) (string, error)
}{
	{"well", bipadapter.Counted, func(_ context.Context, _ int, ballot string) (string, error) { return ballot, nil }},
	{"dies", bipadapter.Absent, func(context.Context, int, string) (string, error) { return "", resilience.Unreachable }},
	{"is overloaded once", bipadapter.Counted, func(_ context.Context, try int, ballot string) (string, error) {
		if try == 1 {
			return "", resilience.Overloaded
		}
		return ballot, nil
	}},
	{"stalls", bipadapter.Absent, func(ctx context.Context, _ int, _ string) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}},
	{"breaks off", bipadapter.Absent, func(_ context.Context, _ int, ballot string) (string, error) {
		return ballot[:len(ballot)/2], resilience.Truncated
	}},
	{"is replaced", bipadapter.Void, func(_ context.Context, _ int, ballot string) (string, error) { return ballot + replaced, nil }},
	{"babbles", bipadapter.Illegible, func(_ context.Context, _ int, ballot string) (string, error) { return "Sure! " + ballot, nil }},
	{"is wiped out", bipadapter.Illegible, func(context.Context, int, string) (string, error) { return "", nil }},
}

const replaced = "<served by another>"

// TestFailoverDuringAVote has providers die, stall and be replaced in the middle of
// rounds, beneath everything that would help a call by other means. The decision is
// that of the voters who answered, the question was the same for all, and the record
// has all that was asked.
func TestFailoverDuringAVote(t *testing.T) {
	rounds, decided := 300, 0
	if testing.Short() {
		rounds = 60
	}
	for seed := range rounds {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			n := 4 + r.IntN(6)
			var infos []resilience.ModelInfo
			var voters []bipadapter.Voter // by ID, as all share a name
			var mu sync.Mutex
			fate, option, tries := map[string]int{}, map[string]string{}, map[string]int{}
			heard := map[string][]string{}
			want := map[string]int{}
			for i := range n {
				id := fmt.Sprint("m", i)
				infos = append(infos, resilience.ModelInfo{ID: id, Name: "all", Provider: fmt.Sprint("p", i%3)})
				voters = append(voters, bipadapter.Voter{Model: id})
				fate[id] = max(0, r.IntN(3*len(fates))-2*len(fates)) // mostly well
				option[id] = []string{bipadapter.Approve, bipadapter.Approve, bipadapter.Approve, bipadapter.Reject}[r.IntN(4)]
				if fates[fate[id]].standing == bipadapter.Counted {
					want[option[id]]++
				}
			}
			pool, err := resilience.NewPool(resilience.Models(infos...), resilience.Seed(rand.NewPCG(uint64(seed), 1)),
				stack.New(stack.Config{Fallback: fallback.Config{HedgeAfter: time.Second}, Timeouts: resilience.Timeouts{Attempt: 10 * time.Second}}),
				degrade.New(degrade.Config{Levels: map[string]degrade.Step{"minimal": {Reduce: 3}, "moderate": {Reduce: 3}}}), health.New(health.Config{}), recovery.New(recovery.Config{}))
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = pool.Run(ctx) })
			client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, p prompt) (string, error) {
				mu.Lock()
				tries[m.ID()]++
				try := tries[m.ID()]
				heard[m.ID()] = append(heard[m.ID()], p.text)
				mu.Unlock()
				time.Sleep(2 * time.Second)
				return fates[fate[m.ID()]].answer(ctx, try, paperFor(p.paper, option[m.ID()]))
			}), resilience.Hooks[prompt, string]{
				Reduce:  func(p prompt, _ int) prompt { p.text = "in short: " + p.text; return p },
				Revise:  func(p prompt, _ string, _ error) prompt { p.text = "again: " + p.text; return p },
				Default: func(p prompt, _ error) (string, error) { return paperFor(p.paper, bipadapter.Approve), nil },
				Validate: func(_ prompt, answer string) error {
					if answer == "" {
						return errors.New("empty")
					}
					return nil
				},
			})
			require.NoError(t, err)
			with := hooks
			with.Served = func(answer string) string {
				if strings.HasSuffix(answer, replaced) {
					return "another"
				}
				return ""
			}
			cfg := bipadapter.Config{Voters: voters, Rule: bipadapter.Rule{Method: bipadapter.Majority}, Deadline: time.Minute}
			a, err := bipadapter.New(client, nil, cfg, with)
			require.NoError(t, err)
			d, err := a.Consensus(t.Context(), voting, prompt{text: "the question"}, 0)
			if _, ok := errors.AsType[*bipadapter.QuorumError](err); !ok {
				require.NoError(t, err)
			}

			outcome := bipadapter.NoDecision
			unheard := n - want[bipadapter.Approve] - want[bipadapter.Reject]
			for option, as := range map[string]bipadapter.Outcome{bipadapter.Approve: bipadapter.Approved, bipadapter.Reject: bipadapter.Refused} {
				if other := want[bipadapter.Approve] + want[bipadapter.Reject] - want[option]; 2*want[option] > n && want[option] > other+unheard {
					outcome = as
					decided++
				}
			}
			require.Equal(t, outcome, d.Outcome, "seed %d: %v", seed, d.Steps)
			for _, e := range d.Record.Evidence {
				f := fates[fate[e.Voter]]
				standing := f.standing
				if f.name == "is wiped out" {
					standing = bipadapter.Absent // Hooks.Validate has refused it
				}
				require.Equal(t, standing, e.Standing, "seed %d: %s %s: %s", seed, e.Voter, f.name, e.Reason)
				require.Len(t, e.Attempts, tries[e.Voter], "seed %d: %s %s", seed, e.Voter, f.name)
				for _, q := range heard[e.Voter] {
					require.Equal(t, "the question", q, "seed %d", seed)
					require.Equal(t, bipadapter.Digest(sha256.Sum256([]byte(q))), d.Record.Opening.Prompts[e.Voter])
				}
				if f.name == "breaks off" || f.name == "babbles" || f.name == "is wiped out" {
					require.Len(t, e.Attempts, 1, "seed %d: a part of an answer had come from %s", seed, e.Voter)
				}
			}
			require.True(t, slices.IsSortedFunc(d.Record.Evidence, func(a, b bipadapter.Evidence) int { return strings.Compare(a.Voter, b.Voter) }))
			cancel()
			running.Wait()
		})
	}
	require.Greater(t, decided, rounds/5)
	t.Logf("published: rounds in which providers die, stall or are replaced: measured %d of %d decided, all of them right, reference none, target the decision and the record are right", decided, rounds)
}

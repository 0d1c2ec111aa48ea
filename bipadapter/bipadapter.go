// Package bipadapter runs the operations of a BIP process on a pool: operations of
// one model, votes among models, and emergencies.
//
// In a vote each voter answers for itself, once. A voter that fails is absent:
// another model never votes in its place, and nothing that changes the question or
// the answer is in the path. Every round leaves a [Record] that others can check
// with [Verify], as far as docs/trust.md says.
//
// [Rule.Count] counts by itself, without a pool, what anybody has cast.
package bipadapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

// Hooks tell an adapter more about its types. All are optional.
type Hooks[Req, Resp any] struct {
	// Ask puts a voter's paper into the request: the nonce, and the options with
	// the tokens that are good for this voter. Ballots must carry them then. Without
	// it voters name options by their texts, as the request must ask them to.
	Ask func(Req, Paper) Req

	// Prompt and Raw are a request and a response as a record has them; text and
	// bytes as they are, anything else in JSON.
	Prompt func(Req) []byte
	Raw    func(Resp) []byte

	// Served is the model that a response says it comes from. An answer of another
	// model than the voter's is void; "" says nothing.
	Served func(Resp) string
}

// An Adapter runs operations. It may be used by several goroutines.
type Adapter[Req, Resp any] struct {
	*setup
	client *resilience.Client[Req, Resp]
	judge  func(Resp) (Ballot, error)
	hooks  Hooks[Req, Resp]

	journal *journal // or nil

	mu          sync.Mutex
	interrupted []*round // by the end of a former process
	reviews     []Due
	under       map[string]bool // rounds, until whoever has them held is told
	learned     *Learned        // weights other than the configuration's
	emergency   time.Time       // the latest end of one that was declared
}

// New returns an adapter that reads ballots from answers with judge, or with
// [ReadBallot] if it is nil. A judge must return: what it returns is bound as what
// ReadBallot reads is, and if it panics the ballot is malformed. The error joins a [*resilience.ConfigError] for each
// thing wrong, or is that of the journal.
//
// Rounds that the journal or the log say were interrupted, and whose deadline has
// passed, are counted as they stand, or aborted if nothing is left of them; the others
// go on with the next vote on the same: the same operation, request, rule and voters.
// If the process ended between the decision and its return, that vote returns it.
func New[Req, Resp any](
	client *resilience.Client[Req, Resp], judge func(Resp) (Ballot, error), cfg Config, hooks ...Hooks[Req, Resp],
) (*Adapter[Req, Resp], error) {
	s, err := newSetup(cfg)
	switch {
	case client == nil:
		err = errors.Join(err, &resilience.ConfigError{Path: "bipadapter", Problem: "there is no client"})
	case len(hooks) > 1:
		err = errors.Join(err, &resilience.ConfigError{Path: "bipadapter.hooks", Problem: "are given twice"})
	}
	if err != nil {
		return nil, err
	}
	a := &Adapter[Req, Resp]{setup: s, client: client, judge: judge, under: map[string]bool{}}
	if len(hooks) > 0 {
		a.hooks = hooks[0]
	}
	for i, v := range s.cfg.Voters {
		if !slices.ContainsFunc(client.Models(), func(m *resilience.Model) bool { return m.ID() == v.Model }) {
			err = errors.Join(err, &resilience.ConfigError{Path: fmt.Sprintf("bipadapter.voters[%d].model", i), Problem: clip(v.Model) + " is no model of the client"})
		}
	}
	if err != nil {
		return nil, err
	}
	if judge == nil {
		a.cfg.Judge = ballotJudge
	} else if a.cfg.Judge == ballotJudge {
		return nil, &resilience.ConfigError{Path: "bipadapter.judge", Problem: clip(ballotJudge) + " is the judge of this package; call yours otherwise"}
	}
	if err := a.resume(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close lets go of the journal. Rounds under way can resume, and no other begins. The
// log is its owner's to close.
func (a *Adapter[Req, Resp]) Close() error {
	if a.journal == nil {
		return nil
	}
	_ = a.tidy() // a journal that failed, or is closed, has said so before
	return a.journal.Close()
}

// A Result is the outcome of an operation.
type Result[Resp any] struct {
	Value    Resp
	Report   resilience.Report // of an operation without a vote
	Decision *Decision[Resp]   // if there was a vote
}

// Execute runs op: on any model, or the one that it names, with all that the pool
// does for it, or as a vote if its type holds one.
func (a *Adapter[Req, Resp]) Execute(ctx context.Context, op Operation, req Req) (Result[Resp], error) {
	if err := op.check(); err != nil {
		return Result[Resp]{}, err
	}
	if _, votes := a.rule(op.Type); votes {
		d, err := a.vote(ctx, op, req, 0, nil)
		return Result[Resp]{Decision: &d}, err
	}
	v, rep, err := a.client.Do(ctx, req, a.options(op))
	if err == nil && op.Type == Review {
		err = a.reviewed(op.BIP)
	}
	return Result[Resp]{Value: v, Report: rep}, err
}

// Consensus asks every voter and counts, with threshold in place of the rule's unless
// it is 0. A context's deadline that is sooner than Config.Deadline is the round's. It
// fails with a [*QuorumError] if too few ballots came in, and with the context's error if
// the caller left before the deadline; a round that decides nothing is no error.
func (a *Adapter[Req, Resp]) Consensus(
	ctx context.Context, op Operation, req Req, threshold float64,
) (Decision[Resp], error) {
	if err := op.check(); err != nil {
		return Decision[Resp]{}, err
	}
	return a.vote(ctx, op, req, threshold, nil)
}

// A Decision is how a round came out.
type Decision[Resp any] struct {
	Count

	Votes        []Vote[Resp] // by name of voter
	Record       Record
	Disagreement float64 // of the ballots that count; see [Escalate]
	Cost         float64 // US dollars
	Duration     time.Duration
}

// A Vote is one voter's part in a decision.
type Vote[Resp any] struct {
	Voter    Voter
	Standing Standing
	Ballot   Ballot
	Response Resp              // zero if there was none, or before a former process ended
	Report   resilience.Report // of the call
	Err      error             // why it does not count
	Salt     []byte            // of the response's digest in the record, where that is sealed
}

// A QuorumError means that too few ballots came in, or that nobody was asked since too
// few could.
type QuorumError struct {
	Got, Need int
	Record    Record // zero if nobody was asked
	Err       error  // what the absent voters failed with
}

// Error says how many there were, and why not more.
func (e *QuorumError) Error() string {
	text := fmt.Sprintf("bipadapter: no quorum: %d ballots of %d came in", e.Got, e.Need)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns what the absent voters failed with.
func (e *QuorumError) Unwrap() error { return e.Err }

// bytesOf is v as a record has it: by hook, or as it is.
func bytesOf[T any](v T, hook func(T) []byte) []byte {
	if hook != nil {
		return hook(v)
	}
	switch v := any(v).(type) {
	case string:
		return []byte(v)
	case []byte:
		return slices.Clone(v)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Appendf(nil, "%T, which is not JSON", v)
	}
	return data
}

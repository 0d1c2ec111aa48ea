package bipadapter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

const (
	interrupted = "interrupted" // the kind of an attempt that a process did not survive

	maxRaw = 64 << 10 // bytes of an answer that are kept: those of all voters must fit into a record
)

// A beginning is that a voter is about to be asked.
type beginning struct {
	Voter  string `json:"voter"`
	Answer Answer `json:"answer"`
}

// heard is what came of asking one voter.
type heard[Resp any] struct {
	evidence Evidence
	vote     Vote[Resp]
}

// gather asks those who have not been heard until the round's deadline, all at once
// or, early, as many as it takes.
func (a *Adapter[Req, Resp]) gather(ctx context.Context, r *round, op Operation, req Req) map[string]Vote[Resp] {
	left := r.Opening.Deadline.Sub(a.wall())
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if r.Opening.MaxCost > 0 {
		ctx = resilience.WithBudget(ctx, resilience.Budget{Cost: r.Opening.MaxCost})
	}
	var waiting []Voter
	for _, v := range r.order() {
		if _, ok := r.evidence[v.Name]; !ok {
			waiting = append(waiting, v)
		}
	}
	votes := map[string]Vote[Resp]{}
	if left <= 0 {
		return votes
	}
	back := make(chan heard[Resp], len(waiting))
	var asking sync.WaitGroup
	defer asking.Wait()
	under := 0
	ask := func(n int) {
		for ; n > 0 && len(waiting) > 0; n-- {
			v := waiting[0]
			waiting = waiting[1:]
			under++
			asking.Go(func() {
				var h heard[Resp]
				defer func() { back <- h }() // also if what asks it ends its goroutine
				a.ask(ctx, r, v, op, req, &h)
			})
		}
	}
	more := func() {
		if !r.settled(a.wall()) {
			ask(max(1, r.atLeast()-len(r.evidence)))
		}
	}
	if r.Opening.Early {
		more()
	} else {
		ask(len(waiting))
	}
	for under > 0 {
		h := <-back
		under--
		votes[h.vote.Voter.Name] = h.vote
		if err := a.keep(r.Opening.Round, "evidence", h.evidence); err != nil {
			r.failed = errors.Join(r.failed, err)
			cancel()
		}
		r.evidence[h.evidence.Voter] = h.evidence
		if under == 0 && r.Opening.Early && ctx.Err() == nil {
			more()
		}
	}
	return votes
}

// atLeast is how many voters must be heard before anything can be decided.
func (r *round) atLeast() int {
	n := len(r.eligible())
	return max(1, n/2+n%2, r.Opening.Rule.Ballots)
}

// ask asks a voter once, as often as the pool tries. Whatever it panics with is its
// absence.
func (a *Adapter[Req, Resp]) ask(ctx context.Context, r *round, v Voter, op Operation, req Req, h *heard[Resp]) {
	h.vote.Voter = v
	h.evidence = Evidence{Voter: v.Name, Standing: Absent, Attempts: []Answer{}}
	returned := false
	defer func() {
		if v := recover(); v != nil || !returned {
			h.vote.Err = errors.New("what asks it panicked, or ended its goroutine")
			h.evidence.Reason = h.vote.Err.Error()
		}
	}()
	start := a.wall().UTC()
	begun := Answer{Start: start, End: start, Kind: interrupted}
	if err := a.keep(r.Opening.Round, "answer", beginning{v.Name, begun}); err != nil {
		h.vote.Err, h.evidence.Reason, returned = err, "not asked: the journal cannot be written", true
		return
	}
	opts := a.options(op)
	opts.Model, opts.Verbatim = "", true
	resp, rep, err := a.client.Pin(v.Model).Do(ctx, a.handed(r, v, req), opts)
	h.vote.Report = rep
	if was, ok := r.asked[v.Name]; ok {
		h.evidence.Attempts = append(h.evidence.Attempts, was)
	}
	for _, at := range rep.Attempts {
		late := max(0, start.Sub(rep.Attempts[0].Start)) // by a clock that was set meanwhile
		h.evidence.Attempts = append(h.evidence.Attempts, answerOf(at, late))
	}
	if err != nil {
		h.vote.Err, returned = err, true
		h.evidence.Reason = cut(err.Error())
		return
	}
	h.vote.Response = resp
	if len(rep.Attempts) == 0 { // the library is out of the path
		h.evidence.Attempts = append(h.evidence.Attempts, Answer{Start: start, End: a.wall().UTC()})
	}
	last := &h.evidence.Attempts[len(h.evidence.Attempts)-1]
	if a.hooks.Served != nil {
		last.Served = cut(a.hooks.Served(resp))
	}
	if err := last.seal(bytesOf(resp, a.hooks.Raw), a.cfg.Random); err != nil {
		h.vote.Err, returned = err, true
		h.evidence.Reason = err.Error()
		last.Kind = interrupted
		return
	}
	b, err := a.read(resp, r, v)
	if a.cfg.Sealed {
		h.vote.Salt, last.Raw, last.Salt = last.Salt, nil, nil
	}
	if err != nil {
		h.vote.Err, h.evidence.Reason = err, cut(err.Error())
	} else {
		h.evidence.Ballot = &b
	}
	returned = true
}

// read reads the ballot of a response.
func (a *Adapter[Req, Resp]) read(resp Resp, r *round, v Voter) (b Ballot, err error) {
	if a.judge == nil {
		var paper *Paper
		if p, ok := r.Papers[v.Name]; ok {
			paper = &p
		}
		raw := bytesOf(resp, a.hooks.Raw)
		if len(raw) > maxRaw {
			return b, fmt.Errorf("ballot: %d bytes are more than the limit of %d", len(raw), maxBallot)
		}
		return r.Opening.read(paper, raw)
	}
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the judge panicked")
		}
	}()
	b, err = a.judge(resp)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return b, fmt.Errorf("the judge: %w", err)
	}
	if p, ok := r.Papers[v.Name]; ok {
		return p.Resolve(b)
	}
	return b, nil
}

func answerOf(at resilience.Attempt, late time.Duration) Answer {
	start := at.Start.Add(late).UTC()
	a := Answer{Start: start, End: start.Add(at.Duration), Status: at.Status, RequestID: at.RequestID, Cost: max(at.Cost, 0)}
	if at.Err != nil {
		a.Kind = at.Kind.String()
	}
	return a
}

// seal puts an answer into a, and what commits to it: of one that is too long to keep
// the digest alone, without a salt, so that whoever has the answer can show it.
func (a *Answer) seal(raw []byte, random io.Reader) error {
	if len(raw) > maxRaw {
		a.Digest = commit(nil, raw)
		return nil
	}
	a.Salt = make([]byte, saltSize)
	if _, err := io.ReadFull(random, a.Salt); err != nil {
		return fmt.Errorf("bipadapter: no randomness: %w", err)
	}
	a.Digest, a.Raw = commit(a.Salt, raw), raw
	return nil
}

// cut bounds what others say.
func cut(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

package bipadapter

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A round is a vote under way.
type round struct {
	Opening  Opening          `json:"opening"`
	Papers   map[string]Paper `json:"papers,omitempty"` // by voter
	Seed     []byte           `json:"seed"`
	evidence map[string]Evidence
	asked    map[string]Answer // begun, and not known to have ended
	failed   error             // what could not be written down
	lost     bool              // only the log knows of it
	ended    *Record           // in the log, and nobody has heard of it
}

// plan lays out a round of op, by the rule for it, among voters.
func (s *setup) plan(op Operation, threshold float64, voters []Voter, d *Declaration, now, deadline time.Time) (*round, error) {
	rule, _ := s.rule(op.Type)
	if threshold != 0 {
		rule.Threshold, rule.Topics = threshold, nil
	}
	o := Opening{
		BIP: op.BIP, Type: op.Type, Topic: op.Topic, Options: slices.Clone(op.Options), Proposal: commit(nil, op.Proposal),
		Rule: rule, Voters: voters, Emergency: d, Judge: s.cfg.Judge, Software: software(),
		Early: s.cfg.Early, MaxCost: s.cfg.MaxCost, Deadline: deadline.UTC(),
		OpenedBy: op.By, Authority: op.Authority, Time: now.UTC(),
	}
	if o.OpenedBy == "" {
		o.OpenedBy = s.cfg.Operator
	}
	if o.Authority == "" {
		o.Authority = "configuration"
	}
	count, err := rule.Count(Poll{Topic: op.Topic, Options: op.Options, Voters: voters, Emergency: d != nil})
	if err != nil {
		return nil, err
	}
	r := &round{Opening: o, evidence: map[string]Evidence{}, asked: map[string]Answer{}}
	if n, need := len(count.Casts), max(count.Quorum, rule.Voters); n < need {
		return nil, &QuorumError{Need: need, Err: fmt.Errorf("nobody was asked, as there are %d eligible voters", n)}
	}
	return r, nil
}

// chance draws what is random of a round.
func (r *round) chance(random io.Reader, handed bool) error {
	var name, nonce [nonceSize]byte
	r.Seed = make([]byte, saltSize)
	for _, b := range [][]byte{name[:], nonce[:], r.Seed} {
		if _, err := io.ReadFull(random, b); err != nil {
			return fmt.Errorf("bipadapter: no randomness: %w", err)
		}
	}
	o := &r.Opening
	o.Round, o.Nonce, o.Seed = hex.EncodeToString(name[:]), hex.EncodeToString(nonce[:]), commit(nil, r.Seed)
	if !handed {
		return nil
	}
	options := o.Options
	if len(options) == 0 && o.Rule.Method != Scores {
		options = []string{Approve, Reject}
	}
	r.Papers, o.Papers = map[string]Paper{}, map[string]Digest{}
	for _, v := range r.eligible() {
		p, err := NewPaper(o.Round, nonce, options, random)
		if err != nil {
			return err
		}
		r.Papers[v.Name], o.Papers[v.Name] = p, p.digest()
	}
	return nil
}

// eligible returns those who vote, by name.
func (r *round) eligible() []Voter {
	voters := slices.DeleteFunc(slices.Clone(r.Opening.Voters), func(v Voter) bool { return !r.Opening.Rule.votes(v.Role) })
	slices.SortFunc(voters, func(a, b Voter) int { return strings.Compare(a.Name, b.Name) })
	return voters
}

// order returns the eligible voters in the order in which they are asked.
func (r *round) order() (voters []Voter) {
	var names []string
	for _, v := range r.eligible() {
		names = append(names, v.Name)
	}
	for _, name := range drawn(r.Seed, names) {
		v, _ := Find(r.Opening.Voters, name)
		voters = append(voters, v)
	}
	return voters
}

// record is what the round has come to.
func (r *round) record(left string, now time.Time) (Record, error) {
	rec := Record{Opening: r.Opening}
	for _, v := range r.eligible() {
		e, ok := r.evidence[v.Name]
		if !ok {
			e = Evidence{Voter: v.Name, Standing: Absent, Reason: "not asked", Attempts: []Answer{}}
			if r.lost {
				e.Reason = "nothing is known of it"
			}
			if begun, ok := r.asked[v.Name]; ok {
				e.Attempts, e.Reason = []Answer{begun}, begun.Kind
			}
		}
		if p, ok := r.Papers[v.Name]; ok {
			e.Paper = &p
		}
		rec.Evidence = append(rec.Evidence, e)
	}
	for _, e := range rec.Evidence {
		for _, at := range e.Attempts {
			if at.End.After(now) { // by a clock that was set meanwhile
				now = at.End
			}
		}
	}
	rec.Closing = Closing{Seed: hex.EncodeToString(r.Seed), Order: []string{}, Time: now.UTC()}
	for _, v := range r.order() {
		_, heard := r.evidence[v.Name]
		if _, begun := r.asked[v.Name]; heard || begun {
			rec.Closing.Order = append(rec.Closing.Order, v.Name)
		}
	}
	if left != "" {
		rec.Closing.Count = Count{Outcome: Aborted, Reason: left}
	}
	err := conclude(&rec)
	return rec, err
}

// settled reports whether nobody who has not been asked could change the outcome.
func (r *round) settled(now time.Time) bool {
	rec, err := r.record("", now)
	if err != nil {
		return false
	}
	o := &r.Opening
	poll := Poll{Topic: o.Topic, Options: o.Options, Voters: o.Voters, Emergency: o.Emergency != nil}
	for _, c := range rec.Closing.Casts {
		if _, asked := r.evidence[c.Voter]; asked {
			poll.Casts = append(poll.Casts, c)
		}
	}
	settled, err := o.Rule.Settled(poll)
	return settled && err == nil
}

// vote holds a vote on op.
func (a *Adapter[Req, Resp]) vote(ctx context.Context, op Operation, req Req, threshold float64, d *Declaration) (Decision[Resp], error) {
	began := a.client.Pool().Now()
	r, err := a.begin(ctx, op, req, threshold, d)
	if err != nil {
		return Decision[Resp]{}, err
	}
	var votes map[string]Vote[Resp]
	if r.ended == nil {
		votes = a.gather(ctx, r, op, req)
	}
	left := ""
	if err := ctx.Err(); err != nil && r.ended == nil && !r.lasted(ctx) {
		left = "whoever had the vote held left: " + err.Error()
	}
	rec, err := a.end(ctx, r, left)
	out := Decision[Resp]{
		Record: rec, Count: rec.Closing.Count, Cost: rec.Closing.Cost, Duration: a.client.Pool().Now() - began,
		Disagreement: rec.disagreement(),
	}
	if err != nil {
		return out, err
	}
	a.told(r)
	var absent []error
	for _, e := range rec.Evidence {
		v := votes[e.Voter]
		v.Voter, _ = Find(r.Opening.Voters, e.Voter)
		v.Standing = e.Standing
		if e.Ballot != nil {
			v.Ballot = *e.Ballot
		}
		if v.Err == nil && e.Standing != Counted && e.Standing != Abstained {
			v.Err = errors.New(e.Reason)
		}
		if e.Standing == Absent && v.Err != nil {
			absent = append(absent, fmt.Errorf("%s: %w", e.Voter, v.Err))
		}
		out.Votes = append(out.Votes, v)
	}
	switch {
	case left != "":
		return out, ctx.Err()
	case out.Ballots < out.Quorum:
		return out, &QuorumError{Got: out.Ballots, Need: out.Quorum, Record: rec, Err: errors.Join(absent...)}
	case op.Type == Review && d == nil && out.Outcome != NoDecision:
		return out, a.reviewed(op.BIP)
	}
	return out, nil
}

// lasted reports whether ctx, which is over, was there until the round's deadline.
func (r *round) lasted(ctx context.Context) bool {
	at, ok := ctx.Deadline()
	return ok && errors.Is(ctx.Err(), context.DeadlineExceeded) && !at.Before(r.Opening.Deadline)
}

// disagreement is that of the ballots that count.
func (r Record) disagreement() float64 {
	var voices []Voice
	for _, c := range r.Closing.Casts {
		v, _ := Find(r.Opening.Voters, c.Voter)
		switch {
		case c.Standing != Counted:
		case r.Opening.Rule.Method == Scores:
			voices = append(voices, Voice{fmt.Sprint(c.Ballot.Score), v.Weight})
		default:
			voices = append(voices, Voice{c.Ballot.Choice, v.Weight})
		}
	}
	return Disagreement(voices)
}

// begin opens a round, or takes up the one on the same that was interrupted. When it
// returns, the opening is in the log and in the journal.
func (a *Adapter[Req, Resp]) begin(ctx context.Context, op Operation, req Req, threshold float64, d *Declaration) (*round, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("bipadapter: no round begins: %w", err)
	}
	voters, err := a.voters()
	if err != nil {
		return nil, err
	}
	now := a.wall()
	deadline := now.Add(a.cfg.Deadline)
	if at, ok := ctx.Deadline(); ok && at.Before(deadline) {
		deadline = at
	}
	r, err := a.plan(op, threshold, voters, d, now, deadline)
	if err != nil {
		return nil, err
	}
	if err := a.endOverdue(ctx, now); err != nil {
		return nil, fmt.Errorf("bipadapter: no round begins: %w", err)
	}
	if old := a.takeUp(r, req); old != nil {
		a.tell(ctx, &old.Opening, resilience.Event{To: "resumed"})
		return old, nil
	}
	if err := r.chance(a.cfg.Random, a.hooks.Ask != nil); err != nil {
		return nil, err
	}
	r.Opening.Prompts = a.prompts(r, req)
	a.mu.Lock()
	a.under[r.Opening.Round] = true
	a.mu.Unlock()
	if a.cfg.Log != nil {
		_, err = a.cfg.Log.begin(&r.Opening)
	}
	if err == nil {
		err = a.keep(r.Opening.Round, "opening", r)
	}
	if err != nil {
		a.mu.Lock()
		delete(a.under, r.Opening.Round)
		a.mu.Unlock()
		a.tell(ctx, &r.Opening, resilience.Event{To: "failed", Err: err})
		return nil, fmt.Errorf("bipadapter: no round begins: %w", err)
	}
	a.tell(ctx, &r.Opening, resilience.Event{To: "opened"})
	return r, nil
}

// end counts, and writes the record down before anybody hears of it.
func (a *Adapter[Req, Resp]) end(ctx context.Context, r *round, left string) (Record, error) {
	if r.ended != nil {
		return *r.ended, nil
	}
	rec, err := a.close(r, left)
	event := resilience.Event{From: "opened", To: string(rec.Closing.Outcome), Reason: rec.Closing.Reason, Cost: rec.Closing.Cost, Err: err}
	switch {
	case err != nil:
		event.To = "failed"
	case rec.Closing.Outcome != Aborted:
		event.Disagreement = rec.disagreement()
	}
	a.tell(ctx, &r.Opening, event)
	return rec, err
}

func (a *Adapter[Req, Resp]) close(r *round, left string) (Record, error) {
	err := r.failed
	var rec Record
	if err == nil {
		rec, err = r.record(left, a.wall())
	}
	if err == nil && a.cfg.Log != nil {
		err = a.cfg.Log.end(&rec)
	}
	if err != nil {
		rec.Closing.Count = Count{}
		return rec, fmt.Errorf("bipadapter: round %s decides nothing: %w", r.Opening.Round, err)
	}
	if err := a.keep(r.Opening.Round, "closed", rec.Closing); err != nil {
		return rec, fmt.Errorf("bipadapter: round %s is over, and cannot be marked so: %w", r.Opening.Round, err)
	}
	return rec, nil
}

// tell emits what becomes of a round.
func (a *Adapter[Req, Resp]) tell(ctx context.Context, o *Opening, e resilience.Event) {
	e.Kind, e.Op = resilience.EventRound, "bip."+string(o.Type)
	e.Reason = strings.TrimSuffix(o.BIP+", round "+o.Round+": "+e.Reason, ": ")
	if e.From != "" {
		e.Duration = a.wall().Sub(o.Time)
	}
	a.client.Pool().Emit(ctx, e)
}

// told notes that whoever had a round held hears of it.
func (a *Adapter[Req, Resp]) told(r *round) {
	a.mu.Lock()
	delete(a.under, r.Opening.Round)
	a.mu.Unlock()
	if a.journal != nil && a.journal.grown() {
		_ = a.tidy() // the next round says so, and Status
	}
}

// tidy leaves in the journal what is not over.
func (a *Adapter[Req, Resp]) tidy() error {
	return a.journal.compact(func(name string) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return name == reviews || a.under[name] || slices.ContainsFunc(a.interrupted, func(r *round) bool { return r.Opening.Round == name })
	})
}

// keep writes what happens in a round to the journal, if there is one.
func (a *Adapter[Req, Resp]) keep(round, kind string, what any) error {
	if a.journal == nil {
		return nil
	}
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	return a.journal.append(journalEntry{Round: round, Kind: kind, Data: data})
}

// voters returns those of the configuration, or all models of the client, with the
// weights that they were given last. They are the caller's.
func (a *Adapter[Req, Resp]) voters() ([]Voter, error) {
	a.mu.Lock()
	learned := a.learned
	a.mu.Unlock()
	return a.weighed(learned)
}

// weighed returns the voters with learnt weights, if there are any.
func (a *Adapter[Req, Resp]) weighed(learned *Learned) ([]Voter, error) {
	voters := slices.Clone(a.cfg.Voters)
	if len(voters) == 0 {
		for _, m := range a.client.Models() {
			voters = append(voters, Voter{Name: m.Name(), Model: m.ID()}) // deployments of a model are one
		}
	}
	voters, err := Collapse(voters)
	if err != nil || learned == nil {
		return voters, err
	}
	for i := range voters {
		voters[i].Weight, voters[i].From = learned.Weight(voters[i].Name), learned.From()
	}
	return Collapse(voters)
}

func (a *Adapter[Req, Resp]) wall() time.Time { return a.client.Pool().At(a.client.Pool().Now()) }

// prompts are the digests of what each voter is asked.
func (a *Adapter[Req, Resp]) prompts(r *round, req Req) map[string]Digest {
	digests := map[string]Digest{}
	for _, v := range r.eligible() {
		digests[v.Name] = commit(nil, bytesOf(a.handed(r, v, req), a.hooks.Prompt))
	}
	return digests
}

// handed returns the request as v gets it.
func (a *Adapter[Req, Resp]) handed(r *round, v Voter, req Req) Req {
	if p, ok := r.Papers[v.Name]; ok {
		return a.hooks.Ask(req, p)
	}
	return req
}

// software is this module and its version.
func software() string {
	const path = "github.com/cmmv-hive/resilience"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Path == path {
			return path + " " + info.Main.Version
		}
		for _, m := range info.Deps {
			if m.Path == path {
				return path + " " + m.Version
			}
		}
	}
	return path
}

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
func (s *setup) plan(op Operation, threshold float64, voters []Voter, d *Declaration, now time.Time) (*round, error) {
	rule, _ := s.rule(op.Type)
	if threshold != 0 {
		rule.Threshold, rule.Topics = threshold, nil
	}
	o := Opening{
		BIP: op.BIP, Type: op.Type, Topic: op.Topic, Options: op.Options, Proposal: commit(nil, op.Proposal),
		Rule: rule, Voters: voters, Emergency: d, Judge: s.cfg.Judge, Software: software(),
		Early: s.cfg.Early, MaxCost: s.cfg.MaxCost, Deadline: now.Add(s.cfg.Deadline).UTC(),
		OpenedBy: op.By, Authority: op.Authority, Time: now.UTC(),
	}
	if o.OpenedBy == "" {
		o.OpenedBy = s.cfg.Operator
	}
	if o.Authority == "" {
		o.Authority = "configuration"
	}
	if _, err := rule.Count(Poll{Topic: op.Topic, Options: op.Options, Voters: voters, Emergency: d != nil}); err != nil {
		return nil, err
	}
	return &round{Opening: o, evidence: map[string]Evidence{}, asked: map[string]Answer{}}, nil
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
	r, err := a.begin(op, req, threshold, d)
	if err != nil {
		return Decision[Resp]{}, err
	}
	var votes map[string]Vote[Resp]
	if r.ended == nil {
		votes = a.gather(ctx, r, op, req)
	}
	if r.failed != nil {
		return Decision[Resp]{}, fmt.Errorf("bipadapter: round %s decides nothing: %w", r.Opening.Round, r.failed)
	}
	left := ""
	if err := ctx.Err(); err != nil && r.ended == nil {
		left = "whoever had the vote held left: " + err.Error()
	}
	rec, err := a.end(r, left)
	out := Decision[Resp]{
		Record: rec, Count: rec.Closing.Count, Cost: rec.Closing.Cost, Duration: a.client.Pool().Now() - began,
		Disagreement: rec.disagreement(),
	}
	if err != nil {
		return out, err
	}
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
	}
	return out, nil
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
func (a *Adapter[Req, Resp]) begin(op Operation, req Req, threshold float64, d *Declaration) (*round, error) {
	voters, err := a.voters()
	if err != nil {
		return nil, err
	}
	r, err := a.plan(op, threshold, voters, d, a.wall())
	if err != nil {
		return nil, err
	}
	if old := a.takeUp(r, req); old != nil {
		return old, nil
	}
	if err := r.chance(a.cfg.Random, a.hooks.Ask != nil); err != nil {
		return nil, err
	}
	r.Opening.Prompts = a.prompts(r, req)
	if a.cfg.Log != nil {
		if _, err := a.cfg.Log.begin(&r.Opening); err != nil {
			return nil, fmt.Errorf("bipadapter: no round begins: %w", err)
		}
	}
	if err := a.keep(r.Opening.Round, "opening", r); err != nil {
		return nil, fmt.Errorf("bipadapter: no round begins: %w", err)
	}
	return r, nil
}

// end counts, and writes the record down before anybody hears of it.
func (a *Adapter[Req, Resp]) end(r *round, left string) (Record, error) {
	var rec Record
	if r.ended != nil {
		rec = *r.ended
	} else {
		var err error
		if rec, err = r.record(left, a.wall()); err != nil {
			return rec, fmt.Errorf("bipadapter: round %s: %w", r.Opening.Round, err)
		}
		if a.cfg.Log != nil {
			err = a.cfg.Log.end(&rec)
		}
		if err != nil {
			rec.Closing.Count = Count{}
			return rec, fmt.Errorf("bipadapter: round %s decides nothing: %w", r.Opening.Round, err)
		}
	}
	if err := a.keep(r.Opening.Round, "closed", nil); err != nil {
		return rec, fmt.Errorf("bipadapter: round %s is in the log, and would resume: %w", r.Opening.Round, err)
	}
	return rec, nil
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
// weights that they were given last.
func (a *Adapter[Req, Resp]) voters() ([]Voter, error) {
	a.mu.Lock()
	weighed := a.weighed
	a.mu.Unlock()
	if len(weighed) > 0 {
		return weighed, nil
	}
	if len(a.cfg.Voters) > 0 {
		return a.cfg.Voters, nil
	}
	var list []Voter
	for _, m := range a.client.Models() {
		list = append(list, Voter{Model: m.ID()})
	}
	return Collapse(list)
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

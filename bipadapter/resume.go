package bipadapter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// resume reads what the journal and the log know of rounds that were interrupted.
func (a *Adapter[Req, Resp]) resume() error {
	rounds := map[string]*round{}
	var names []string
	if a.cfg.Journal != "" {
		j, entries, err := openJournal(a.cfg.Journal)
		if err != nil {
			return fmt.Errorf("bipadapter: %w", err)
		}
		a.journal = j
		for _, e := range entries {
			if err := a.replay(rounds, e); err != nil {
				return fmt.Errorf("bipadapter: journal: round %s: %s: %w", clip(e.Round), e.Kind, err)
			}
			if e.Kind == "opening" {
				names = append(names, e.Round)
			}
		}
	}
	if a.cfg.Log != nil {
		more, err := a.compare(rounds)
		if err != nil {
			return err
		}
		names = append(names, more...)
	}
	now := a.wall()
	for _, name := range names {
		r := rounds[name]
		switch {
		case r == nil: // it has ended
		case r.lost:
			if _, err := a.end(context.Background(), r, "the process ended, and no journal has what was heard"); err != nil {
				return err
			}
		default:
			a.interrupted = append(a.interrupted, r)
		}
	}
	if err := a.endOverdue(context.Background(), now); err != nil || a.journal == nil {
		return err
	}
	return a.tidy()
}

// endOverdue counts interrupted rounds whose deadline has passed.
func (a *Adapter[Req, Resp]) endOverdue(ctx context.Context, now time.Time) error {
	for {
		a.mu.Lock()
		i := slices.IndexFunc(a.interrupted, func(r *round) bool { return !r.Opening.Deadline.After(now) })
		if i < 0 {
			a.mu.Unlock()
			return nil
		}
		r := a.interrupted[i]
		a.interrupted = slices.Delete(a.interrupted, i, i+1)
		a.mu.Unlock()
		if _, err := a.end(ctx, r, ""); err != nil {
			return err
		}
	}
}

// compare takes in what the log knows of rounds, and returns the names of those that
// it alone knows of.
func (a *Adapter[Req, Resp]) compare(rounds map[string]*round) (more []string, err error) {
	open := map[string]bool{}
	for _, o := range a.cfg.Log.open() {
		open[o.Round] = true
		if rounds[o.Round] == nil {
			rounds[o.Round] = &round{Opening: o, lost: true}
			more = append(more, o.Round)
		}
	}
	now := a.wall()
	for name, r := range rounds {
		switch {
		case open[name]:
			r.ended = nil
			continue
		case r.ended != nil && !r.Opening.Deadline.After(now): // nobody asks any more
			delete(rounds, name)
			continue
		}
		records, err := a.cfg.Log.Records(context.Background(), r.Opening.BIP)
		if err != nil {
			return nil, fmt.Errorf("bipadapter: %w", err)
		}
		i := slices.IndexFunc(records, func(rec Record) bool { return rec.Opening.Round == name })
		if i < 0 {
			return nil, fmt.Errorf("bipadapter: round %s is in the journal, and not in the log: they do not belong together: open it with its own log, or move it away", clip(name))
		}
		if r.ended = &records[i]; r.ended.Closing.Outcome == Aborted {
			delete(rounds, name)
		}
	}
	return more, nil
}

// replay takes in what the journal says of a round.
func (a *Adapter[Req, Resp]) replay(rounds map[string]*round, e journalEntry) error {
	r := rounds[e.Round]
	switch e.Kind {
	case "opening":
		r = &round{evidence: map[string]Evidence{}, asked: map[string]Answer{}}
		rounds[e.Round] = r
		return json.Unmarshal(e.Data, r)
	case "review":
		return a.replayReview(e.Data)
	}
	if r == nil {
		return errors.New("it was not opened")
	}
	switch e.Kind {
	case "closed":
		var c Closing
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return err
		}
		rec, err := r.record("", c.Time)
		if err != nil {
			return err
		}
		rec.Closing = c
		if r.ended = &rec; c.Outcome == Aborted {
			delete(rounds, e.Round)
		}
	case "answer":
		var begun beginning
		if err := json.Unmarshal(e.Data, &begun); err != nil {
			return err
		}
		r.asked[begun.Voter] = begun.Answer
	case "evidence":
		var done Evidence
		if err := json.Unmarshal(e.Data, &done); err != nil {
			return err
		}
		r.evidence[done.Voter] = done
	default:
		return errors.New("an entry of another version; open it with the version that wrote it, or move it away")
	}
	return nil
}

// takeUp returns the last round that asks the same as planned and was interrupted, or
// nil. Others that have ended are not returned any more.
func (a *Adapter[Req, Resp]) takeUp(planned *round, req Req) (last *round) {
	a.mu.Lock()
	rounds := slices.Clone(a.interrupted)
	a.mu.Unlock()
	rounds = slices.DeleteFunc(rounds, func(r *round) bool {
		return !samePoll(&r.Opening, &planned.Opening) || !maps.Equal(r.Opening.Prompts, a.prompts(r, req))
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range slices.Backward(rounds) {
		i := slices.Index(a.interrupted, r)
		if i >= 0 && (last == nil || r.ended != nil) {
			a.interrupted = slices.Delete(a.interrupted, i, i+1)
			last = cmp.Or(last, r)
		}
	}
	if last != nil {
		a.under[last.Opening.Round] = true
	}
	return last
}

// samePoll reports whether two openings ask the same voters the same, by the same rule.
func samePoll(a, b *Opening) bool {
	one, other := *a, *b
	for _, o := range []*Opening{&one, &other} {
		*o = Opening{BIP: o.BIP, Type: o.Type, Topic: o.Topic, Proposal: o.Proposal, Options: o.Options, Rule: o.Rule, Voters: o.Voters, Judge: o.Judge, Emergency: o.Emergency}
	}
	return same(one, other)
}

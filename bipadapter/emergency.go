package bipadapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
)

const (
	longestEmergency = 24 * time.Hour
	reviewWithin     = 7 * 24 * time.Hour
	reviews          = "reviews" // what the journal has them under
)

// A Due is a review that an emergency has opened.
type Due struct {
	BIP    string    `json:"bip"`
	Actors []string  `json:"actors"` // who declared it
	Reason string    `json:"reason"`
	Opened time.Time `json:"opened"`
	Until  time.Time `json:"until"` // when it is due
}

// Emergency runs op when too few voters are left. D must be by two persons, or by one
// with the token of a quorum; say why; end within 24 hours; and satisfy
// Config.Authorize and the pool's audit, which hear of it before anything is done.
//
// A rule that has an emergency quorum is voted by first, with that quorum and all else
// as ever. Where there is none, or nothing is decided, op runs on any one model at
// Critical priority, with held models as a last resort, and Result.Value is for those
// who declared it to act on. A review is due within 7 days; see [Status]. It is over
// with an operation of type Review on the same BIP that succeeds.
func (a *Adapter[Req, Resp]) Emergency(ctx context.Context, op Operation, req Req, d Declaration) (Result[Resp], error) {
	err := op.check()
	if err == nil {
		err = a.declared(ctx, op, d)
	}
	if err != nil {
		return Result[Resp]{}, err
	}
	due := Due{op.BIP, d.Actors, d.Reason, a.wall().UTC(), a.wall().UTC().Add(reviewWithin)}
	if err := a.keep(reviews, "review", due); err != nil {
		return Result[Resp]{}, fmt.Errorf("bipadapter: no emergency without its review: %w", err)
	}
	a.mu.Lock()
	a.reviews = append(a.reviews, due)
	if d.Until.After(a.emergency) {
		a.emergency = d.Until
	}
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, d.Until.Sub(a.wall()))
	defer cancel()
	var res Result[Resp]
	if rule, votes := a.rule(op.Type); votes && rule.Emergency > 0 {
		decision, err := a.vote(ctx, op, req, 0, &d)
		res.Decision = &decision
		var quorum *QuorumError
		switch {
		case err == nil && decision.Outcome != NoDecision:
			return res, nil
		case err != nil && !errors.As(err, &quorum):
			return res, err
		}
	}
	opts := a.options(op)
	opts.Priority = resilience.Critical
	res.Value, res.Report, err = a.client.Do(ctx, req, opts)
	return res, err
}

// declared returns why d is no declaration of an emergency.
func (a *Adapter[Req, Resp]) declared(ctx context.Context, op Operation, d Declaration) error {
	fail := func(field, problem string) error {
		return &resilience.ConfigError{Path: "declaration." + field, Problem: problem}
	}
	var actors []string
	for _, name := range d.Actors {
		if !plain(name) {
			return fail("actors", clip(name)+" is no name: want printable text of 1 to 128 bytes")
		}
		actors = append(actors, spelling(strings.TrimSpace(name)))
	}
	slices.Sort(actors)
	actors = slices.Compact(actors)
	left := d.Until.Sub(a.wall())
	switch {
	case len(actors) == 0, len(actors) < 2 && d.Token.Reveal() == "":
		return fail("actors", "want two persons, or one with the token of a quorum")
	case strings.TrimSpace(d.Reason) == "":
		return fail("reason", "is missing")
	case left <= 0:
		return fail("until", "has passed")
	case left > longestEmergency:
		return fail("until", "is more than 24 hours away; declare it again when it is needed longer")
	case a.cfg.Authorize == nil:
		return &resilience.ConfigError{Path: "bipadapter.authorize", Problem: "is missing: nobody says who may declare an emergency"}
	}
	if err := a.cfg.Authorize(ctx, op, d); err != nil {
		return fmt.Errorf("bipadapter: the emergency is not authorized: %w", err)
	}
	return a.client.Pool().Audit(ctx, resilience.Change{
		Control: resilience.Control{Actor: strings.Join(d.Actors, " and "), Reason: d.Reason, Until: d.Until},
		What:    "bip.emergency", To: string(op.Type) + " of " + op.BIP,
	})
}

// reviewed ends the reviews that are due of a BIP.
func (a *Adapter[Req, Resp]) reviewed(bip string) error {
	a.mu.Lock()
	left := slices.DeleteFunc(slices.Clone(a.reviews), func(d Due) bool { return d.BIP == bip })
	changed := len(left) < len(a.reviews)
	a.mu.Unlock()
	if !changed {
		return nil
	}
	if err := a.keep(reviews, "review", Due{BIP: bip}); err != nil {
		return fmt.Errorf("bipadapter: the review is done, and still due: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reviews = slices.DeleteFunc(a.reviews, func(d Due) bool { return d.BIP == bip })
	return nil
}

func (a *Adapter[Req, Resp]) replayReview(data []byte) error {
	var due Due
	if err := json.Unmarshal(data, &due); err != nil {
		return err
	}
	if len(due.Actors) == 0 {
		a.reviews = slices.DeleteFunc(a.reviews, func(d Due) bool { return d.BIP == due.BIP })
		return nil
	}
	a.reviews = append(a.reviews, due)
	return nil
}

package bipadapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cmmv-hive/resilience"
)

const (
	longestEmergency = 24 * time.Hour
	reviewWithin     = 7 * 24 * time.Hour
	reviews          = "reviews" // what the journal has them under
)

var errOver = errors.New("bipadapter: the emergency has ended, as it was declared to")

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
// with an operation of type Review on the same BIP that succeeds, or is decided if it is
// voted on. The same people may have further operations run for the same reason until the
// emergency ends; that is one review.
func (a *Adapter[Req, Resp]) Emergency(ctx context.Context, op Operation, req Req, d Declaration) (Result[Resp], error) {
	err := op.check()
	if err == nil {
		err = a.declared(ctx, op, d)
	}
	if err != nil {
		return Result[Resp]{}, err
	}
	if err := a.open(op, d); err != nil {
		return Result[Resp]{}, fmt.Errorf("bipadapter: no emergency without its review: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.Until.Sub(a.wall()), errOver)
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
	if err != nil && errors.Is(context.Cause(ctx), errOver) {
		err = fmt.Errorf("%w: %w", errOver, err)
	}
	return res, err
}

// open has an emergency last, and its review be due, once for each that is declared.
func (a *Adapter[Req, Resp]) open(op Operation, d Declaration) error {
	now := a.wall().UTC()
	due := Due{op.BIP, slices.Clone(d.Actors), d.Reason, now, now.Add(reviewWithin)}
	a.mu.Lock()
	if d.Until.After(a.emergency) {
		a.emergency = d.Until
	}
	known := slices.ContainsFunc(a.reviews, func(other Due) bool {
		return spelling(other.BIP) == spelling(due.BIP) && other.Reason == due.Reason && slices.Equal(other.Actors, due.Actors)
	})
	a.mu.Unlock()
	if known {
		return nil
	}
	if err := a.keep(reviews, "review", due); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reviews = append(a.reviews, due)
	return nil
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
	case !utf8.ValidString(d.Reason) || utf8.RuneCountInString(d.Reason) > maxReason:
		return fail("reason", fmt.Sprintf("want at most %d characters of UTF-8", maxReason))
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
	left := slices.DeleteFunc(slices.Clone(a.reviews), func(d Due) bool { return spelling(d.BIP) == spelling(bip) })
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
	a.reviews = slices.DeleteFunc(a.reviews, func(d Due) bool { return spelling(d.BIP) == spelling(bip) })
	return nil
}

func (a *Adapter[Req, Resp]) replayReview(data []byte) error {
	var due Due
	if err := json.Unmarshal(data, &due); err != nil {
		return err
	}
	if len(due.Actors) == 0 {
		a.reviews = slices.DeleteFunc(a.reviews, func(d Due) bool { return spelling(d.BIP) == spelling(due.BIP) })
		return nil
	}
	a.reviews = append(a.reviews, due)
	return nil
}

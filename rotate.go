package resilience

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// measure is the innermost layer: an attempt and, where that fails by its key,
// one by each other key of the model that nothing holds.
func measure(ctx context.Context, c *Call) error {
	m := c.model
	if m.keys.Load() == nil && c.own() == "" {
		return c.ask(ctx, &m.plain)
	}
	by, err := c.access(ctx)
	if err != nil {
		return err
	}
	err = c.ask(ctx, by)
	if err == nil || by.key == nil || by.key.own {
		return err
	}
	for asked := []*access{by}; c.rotates(ctx, err); {
		r := c.model.keys.Load() // a reload may have taken keys away
		if r == nil {
			return err
		}
		if by = r.next(c.clock, asked); by == nil {
			return err
		}
		asked = append(asked, by)
		t := c.record()
		t.how = "other key"
		err = c.ask(ctx, by)
		if t.how = ""; err == nil {
			return nil
		}
	}
	return err
}

// access returns by what the next attempt goes to the call's model.
func (c *Call) access(ctx context.Context) (*access, error) {
	name := c.own()
	if name == "" {
		by := c.model.access(c.clock)
		return by, c.limited(ctx, by)
	}
	if err := c.barred(ctx); err != nil {
		return nil, err
	}
	return owned(c.model, name), nil
}

// limited refuses an attempt where all keys of the model are held and that which is
// free first was limited: other models may have put the others out of use. The
// model is held until then.
func (c *Call) limited(ctx context.Context, by *access) error {
	if by.key == nil || c.lastResort {
		return nil
	}
	h, who := by.limit.hold(c.clock)
	if who != HoldLimit {
		return nil
	}
	const reason = "each key is limited or out of use"
	c.model.Hold(ctx, c.pool.holdOf(HoldLimit, hold{until: h.until, reason: reason}, ""))
	return Reject(reason, time.Duration(h.until-c.clock))
}

// rotates reports whether an attempt that failed so may be made again by another
// key.
func (c *Call) rotates(ctx context.Context, err error) bool {
	e, ok := err.(*Error) //nolint:errorlint // that of a call within is about other keys
	if !ok || !e.keyed || !e.refused || ctx.Err() != nil || c.Left() <= 0 {
		return false
	}
	k, ok := c.typed.request().(*asked)
	return !ok || k.replays()
}

// ofKey returns who holds a key after a failure of that kind, or zero.
func (k Kind) ofKey() HoldBy {
	switch k {
	case RateLimited, Unauthorized, QuotaSpent:
		return k.Hold()
	default:
		return 0
	}
}

// blame takes in what the attempt's failure says of its key.
func (a *attempt) blame(e *Error) {
	by := e.Kind.ofKey()
	if a.key == nil || by == 0 || e.cut { // by Hooks.Validate
		return
	}
	p := a.pool
	now := p.now()
	f := failure{start: a.start, end: now, by: by, reason: e.Kind.String(), asked: e.RetryAfter, own: a.key.own}
	if what := e.what(); what != "" {
		f.reason += " " + what
	}
	e.keyed = true
	at := 0 // the provider
	if e.Kind == RateLimited || e.Kind == Unauthorized && e.Status == 403 {
		at = 1 // the model
	}
	if a.key.own {
		s := p.guests.of(a.key.name, a.places()[at])
		a.tell(s, f)
		if e.Kind == RateLimited {
			e.RetryAfter = max(e.RetryAfter, time.Duration(s.until.Load()-now))
		}
		return
	}
	a.tell(a.spells()[at], f)
	r := a.model.keys.Load()
	if r == nil {
		r = &ring{all: []*access{a.access}} // a reload has taken them away
	}
	for _, other := range r.all {
		if until, _ := other.until(); until <= now {
			if !e.refused {
				e.RetryAfter = 0 // there is another key
			}
			return
		}
	}
	soonest, limit := r.soonest(now)
	left := time.Duration(soonest - now)
	switch e.holds = by; {
	case limit:
		e.holds, e.RetryAfter = HoldLimit, left
	case e.RetryAfter > 0:
		e.RetryAfter = min(e.RetryAfter, left)
	}
}

// tell adds a failure to a spell, and tells of the hold that this begins.
func (a *attempt) tell(s *spell, f failure) {
	began, first := s.add(f)
	if !began {
		return
	}
	if first && !f.own && f.by != HoldLimit {
		a.pool.log.LogAttrs(a, slog.LevelWarn, "a key is out of use",
			slog.String("key", a.key.name), slog.String("model", a.model.id),
			slog.String("provider", a.model.info.Load().Provider), slog.String("why", f.reason))
	}
	if a.pool.Wants(EventHold) {
		a.pool.Emit(a, Event{
			Kind: EventHold, Model: a.model, Key: a.key.name, Attempt: int(a.call.attempts), To: f.by.String(), Reason: f.reason,
		})
	}
}

// answered takes in that the model answered, which refutes what was held against
// the attempt's key when it began.
func (a *attempt) answered() {
	if a.key == nil {
		return
	}
	p := a.pool
	if a.key.own {
		if p.guests.n.Load() == 0 {
			return
		}
		for _, at := range a.places() {
			if s := p.guests.find(a.key.name, at); s != nil {
				p.released(a, a.access, s.clear(a.start), "answered")
			}
		}
		p.guests.leave(a.access)
		return
	}
	if a.key.refused.at.Load() == 0 && a.limit.at.Load() == 0 {
		return
	}
	refused := false
	for _, s := range a.spells() {
		who := s.clear(a.start)
		p.released(a, a.access, who, "answered")
		refused = refused || who == HoldCredential
	}
	if refused { // it was the provider's trouble, not the keys'
		p.pardon(a, a.model.siblings(), "another key was answered again", HoldCredential)
	}
	for _, m := range a.model.siblings() {
		m.unlock(a, "a key was answered")
	}
}

// Hold returns who holds the model after err, as [Kind.Hold] does, and zero where
// it is not the model that is to be held but a key: a caller's own
// ([CallOptions].Key), or one of several of which another is free; nor is it for
// what [Hooks].Validate says of an answer. When nothing
// is left but keys that are held, and a limit holds one of them, it is
// [HoldLimit], until the [RetryAfter] of err.
func (c *Call) Hold(err error) HoldBy {
	kind := KindOf(err)
	by := kind.Hold()
	if by == 0 || c.own() != "" {
		return 0
	}
	switch e := culprit(err, kind); {
	case e == nil:
		return by
	case e.cut: // by Hooks.Validate
		return 0
	case e.keyed:
		return e.holds
	default:
		return by
	}
}

// culprit returns the failed attempt that gave err its kind, or nil.
func culprit(err error, kind Kind) *Error {
	if all, ok := errors.AsType[*ExhaustedError](err); ok {
		for _, a := range all.Attempts {
			if a.Kind == kind {
				return culprit(a.Err, kind)
			}
		}
		return nil
	}
	e, _ := errors.AsType[*Error](err)
	return e
}

// spares reports whether a failure is a key's that keeps nobody from the model.
func (c *Call) spares(err error) bool { return KindOf(err).Hold() != 0 && c.Hold(err) == 0 }

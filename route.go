package resilience

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"
)

// A Route is a [Call] at LayerRoute, which alone chooses models. For feature
// authors.
type Route Call

// Call returns the call.
func (r *Route) Call() *Call { return (*Call)(r) }

// holdPatience is the longest limit of a provider that a call waits for when
// there is no other model.
const holdPatience = 5 * time.Second

// Next picks a model that the call has not tried, makes it the call's model
// and returns it, or nil when there is none. With lastResort it may be held,
// though never by hand; the one that is free soonest comes first. A call that
// has tried nothing, and finds every model held but one held by nothing else
// than a provider's limit that ends within five seconds, waits for that one if
// its deadline allows, unless it is in a [Race].
func (r *Route) Next(ctx context.Context, lastResort bool) *Model {
	return r.NextBy(ctx, r.pool.picker, lastResort)
}

// NextBy is Next with another picker than the pool's, or none if p is nil.
func (r *Route) NextBy(ctx context.Context, p Picker, lastResort bool) *Model {
	c := r.Call()
	from := c.model
	e, ok := r.pick(p)
	if !ok && lastResort {
		e, ok = r.soonest()
		c.lastResort = ok
	}
	if !ok && c.attempts == 0 && c.ntried == 0 && !c.record().racing && r.outwait(ctx) {
		e, ok = r.pick(p)
	}
	if !ok {
		return nil
	}
	c.try(e)
	if from != nil && c.pool.Wants(EventFallback) {
		c.pool.Emit(ctx, Event{Kind: EventFallback, From: from.id, To: e.model.id, Model: e.model})
	}
	return e.model
}

// None returns the error of a call for which Next returned nil at once.
func (r *Route) None() error {
	if err := r.parent.Err(); err != nil { // while Next waited
		return leftBefore(err)
	}
	return r.none()
}

// none says why there was nothing to try.
func (r *Route) none() error {
	e := &rejection{reason: "no model is available", none: true}
	c := r.Call()
	if len(c.table.entries) == 0 {
		e.reason = "none of the pool's models is bound"
	} else if c.opts != nil && len(c.opts.Require) > 0 {
		fits := func(e entry) bool { return e.model.has(c.opts.Require) }
		if !slices.ContainsFunc(c.table.entries, fits) {
			e.reason = "no model can do " + printable(strings.Join(c.opts.Require, "+"))
		}
	}
	return e
}

// isNone reports whether err is what None returned.
func isNone(err error) bool {
	e, ok := err.(*rejection) //nolint:errorlint // a wrapped one is an inner pool's
	return ok && e.none
}

// Extra is [Call.Extra] for an attempt at another model. Such a move loads what
// is well, not what failed, so the pool's retry budget charges it less.
func (r *Route) Extra(err error) bool { return r.Call().extra(err, true) }

// Tried counts the models that the call has been at, or has passed by since a
// reload took them away.
func (r *Route) Tried() int {
	n := int(r.ntried)
	if r.trail != nil {
		n += len(r.trail.tried)
	}
	return n
}

// Broke returns what broke the stream that the call is to go on with, or nil
// if it is on its first way through the models.
func (r *Route) Broke() error {
	if r.trail == nil || r.trail.broke == nil {
		return nil
	}
	return r.trail.broke
}

// Last says that the call goes to no other model after its present one, so that
// layers below do not count on one.
func (r *Route) Last() { r.Call().record().last = true }

// Others reports whether Next could still return a model.
func (r *Route) Others() bool {
	for _, e := range r.table.entries {
		if r.Call().usable(e, false) {
			return true
		}
	}
	return false
}

// Load is how many attempts are under way, and how many there is room for, at
// the models that the call may go to or has tried, nothing holds, and whose
// capacity is known. One that is more than full counts as full. Room is 0 if it
// is not known of any.
func (r *Route) Load() (busy, room int64) {
	for _, e := range r.table.entries {
		n := e.model.Capacity()
		if n <= 0 || !e.model.free(r.clock) || r.opts != nil && !e.model.has(r.opts.Require) {
			continue
		}
		busy += min(e.model.InFlight(), n)
		room += n
	}
	return busy, room
}

// Larger restricts the call to models whose context window is larger than that
// of the model it has just tried, as far as both are known.
func (r *Route) Larger() {
	t := r.Call().record()
	t.window = max(t.window, r.model.info.Load().ContextWindow, 1)
}

// pick looks among the cheapest models if the call prefers them, and else among all.
func (r *Route) pick(p Picker) (e entry, ok bool) {
	if t := r.trail; t != nil && t.thrifty {
		if t.dearest = r.cheapest(); t.dearest < math.Inf(1) {
			t.sparing = true
			e, ok = r.among(p)
			t.sparing = false
		}
		if ok && !r.lastResort {
			return e, true
		}
	}
	return r.among(p)
}

// cheapest is the lowest price of the models that may be tried now.
func (r *Route) cheapest() float64 {
	least := math.Inf(1)
	for _, e := range r.table.entries {
		if r.Call().usable(e, false) {
			least = min(least, e.model.bulkPrice())
		}
	}
	return least
}

// among asks the picker tier by tier, or takes the first model that may be used,
// one that is full only if none is not.
func (r *Route) among(p Picker) (entry, bool) {
	c := r.Call()
	c.lastResort = false
	from := 0
	for _, to := range c.table.tiers {
		if p != nil {
			tier := Candidates{c, c.table.entries[from:to], to}
			if m := p.Pick(c, tier); m != nil {
				if e, ok := tier.entry(m); ok {
					return e, true
				}
			}
		}
		var full *entry
		for i, e := range c.table.entries[from:to] {
			if !c.usable(e, false) {
				continue
			}
			if !e.model.Full() {
				return e, true
			}
			if full == nil {
				full = &c.table.entries[from+i]
			}
		}
		if full != nil {
			return *full, true
		}
		from = to
	}
	return entry{}, false
}

// soonest picks the held model that is free first.
func (r *Route) soonest() (best entry, ok bool) {
	c := r.Call()
	first := int64(math.MaxInt64)
	for _, e := range c.table.entries {
		if !c.usable(e, true) {
			continue
		}
		if at, manual, _ := e.model.until(c.clock); !manual && (!ok || at < first) {
			best, first, ok = e, at, true
		}
	}
	return best, ok
}

// outwait waits for the first model that only a limit holds.
func (r *Route) outwait(ctx context.Context) bool {
	c := r.Call()
	now := c.pool.now()
	first := int64(math.MaxInt64)
	for _, e := range c.table.entries {
		if !c.usable(e, true) {
			continue
		}
		if at, _, limit := e.model.until(now); limit {
			first = min(first, at)
		}
	}
	if first == math.MaxInt64 {
		return false
	}
	wait := time.Duration(first - now)
	most := wait / 4 // those who wait must not all arrive at the same instant
	if wait > holdPatience || wait+most >= c.Left() {
		return false
	}
	return c.Sleep(ctx, wait+time.Duration(c.pool.Rand()*float64(most))) == nil
}

// usable reports whether e may be tried now, or, with held, but for its holds.
func (c *Call) usable(e entry, held bool) bool {
	if c.has(e.pos) {
		return false
	}
	if !held && e.model.gate.Load() != 0 && !c.free(e.model, c.clock) {
		return false
	}
	if c.opts != nil && len(c.opts.Require) > 0 && !e.model.has(c.opts.Require) {
		return false
	}
	t := c.trail
	return t == nil || (t.window == 0 || e.model.info.Load().ContextWindow > t.window) &&
		(!t.sparing || e.model.bulkPrice() <= t.dearest) &&
		(t.avoid == nil || !slices.Contains(t.avoid, e.model.info.Load().Provider))
}

// free reports whether nothing holds m that concerns the call.
func (c *Call) free(m *Model, now int64) bool {
	return m.free(now) || c.own() != "" && m.spares(now)
}

func (c *Call) has(pos uint16) bool {
	if slices.Contains(c.tried[:c.ntried], pos) {
		return true
	}
	return c.trail != nil && slices.Contains(c.trail.tried, pos)
}

// try makes e the call's model.
func (c *Call) try(e entry) {
	c.pass(e)
	c.model, c.pos = e.model, e.pos
}

// pass counts e as tried.
func (c *Call) pass(e entry) {
	if int(c.ntried) < len(c.tried) {
		c.tried[c.ntried] = e.pos
		c.ntried++
	} else {
		t := c.record()
		t.tried = append(t.tried, e.pos)
	}
}

// route is the handler at LayerRoute.
func (p *Pool) route(ctx context.Context, c *Call) (err error) {
	r := (*Route)(c)
	switch {
	case p.router != nil:
		err = p.router(ctx, r, dispatch)
	case r.Next(ctx, false) != nil:
		err = dispatch(ctx, c)
	default:
		err = r.None()
	}
	if c.streams && err == nil {
		c.record().route(ctx, c.typed.alive())
	}
	return err
}

// dispatch sends a call to its model, and notes a refusal that came before any
// attempt.
func dispatch(ctx context.Context, c *Call) error {
	before := c.attempts
	var err error
	if c.own() != "" {
		err = c.barred(ctx)
	}
	if err == nil {
		err = c.model.chain(ctx, c)
	}
	if err != nil && c.attempts == before && KindOf(err) == Rejected {
		t := c.record()
		t.then("elsewhere")
		if len(t.refused) < maxSkipped {
			v := Verdict{Model: c.model, Reason: err.Error(), Holds: c.model.Holds(), after: RetryAfter(err)}
			if r, ok := err.(*rejection); ok && r.held != nil { //nolint:errorlint // that of a call within is about another model
				v.Holds, v.own = []Hold{*r.held}, true
			}
			t.refused = append(t.refused, v)
		}
	}
	return err
}

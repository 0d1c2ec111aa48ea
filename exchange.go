package resilience

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"time"
)

// exchange is the typed end of a call. It is a call's one allocation.
type exchange[Req, Resp any] struct {
	Call
	req  Req
	resp Resp
}

func (x *exchange[Req, Resp]) view() *view[Req, Resp] { return x.table.owner.(*view[Req, Resp]) }

var errNil = errors.New("nil response without an error")

// exec makes the attempt a, and checks the answer. Ctx is a or derived from it.
func (x *exchange[Req, Resp]) exec(ctx context.Context, a *attempt) error {
	v := x.view()
	resp, err := v.calls[x.pos](ctx, a.model, x.req)
	if err != nil {
		return err
	}
	b := v.binding
	if isNil(resp, b.nilness) {
		return &flawed{Malformed, errNil, errNil.Error()}
	}
	if b.hooks.Usage != nil && a.spent.Load() == nil { // what the callee told wins
		a.spent.Store(&spent{Usage: b.hooks.Usage(x.req, resp)})
	}
	if b.hooks.Validate != nil {
		if err := b.hooks.Validate(x.req, resp); err != nil {
			return withKind(Malformed, err, "failed validation")
		}
	}
	x.resp = resp
	return nil
}

// nilness is how to tell that a response is nothing.
type nilness uint8

const (
	never        nilness = iota // its type has no nil
	byValue                     // compared with the zero value
	byReflection                // maps, functions, what an interface holds
)

func nilnessOf(kind reflect.Kind) nilness {
	switch kind {
	case reflect.Pointer, reflect.Chan:
		return byValue
	case reflect.Map, reflect.Func, reflect.Interface:
		return byReflection
	default:
		return never
	}
}

func isNil[Resp any](resp Resp, n nilness) bool {
	switch n {
	case byValue:
		var none Resp
		return any(resp) == any(none)
	case byReflection:
		switch v := reflect.ValueOf(any(resp)); v.Kind() {
		case reflect.Invalid:
			return true
		case reflect.Pointer, reflect.Map, reflect.Func, reflect.Chan:
			return v.IsNil()
		}
	}
	return false
}

func (x *exchange[Req, Resp]) cost(m *Model, u Usage) float64 {
	if hook := x.view().binding.hooks.Cost; hook != nil {
		return hook(m, x.req, u)
	}
	dollars, _ := m.info.Load().Price.Cost(u)
	return dollars
}

// send makes a call. Rep, if there is one, is filled in at the end.
func (c *Client[Req, Resp]) send(ctx context.Context, req Req, opts *CallOptions, rep *Report) (resp Resp, err error) {
	p, v := c.pool, c.current()
	if opts == nil && c.pinned == "" && c.hooks.Default == nil {
		if err := p.refuse(v.table); err != nil {
			return resp, err
		}
	}
	p.open.Add(1)
	defer p.close()
	if p.bypass.Load() && !p.draining.Load() {
		return c.bypass(ctx, v, req, opts, rep)
	}
	x := &exchange[Req, Resp]{req: req}
	x.typed, x.pool, x.parent, x.table = x, p, ctx, v.table
	x.report = rep != nil || p.Wants(EventCall)
	x.start = p.now()
	x.clock = x.start
	x.inherit(ctx, opts)
	defer x.over()
	if x.opts != nil || c.pinned != "" {
		if err := x.restrict(c.pinned); err != nil {
			return resp, x.conclude(err, rep)
		}
	}
	x.bound()
	if ended := ctx.Err(); ended != nil {
		err = leftBefore(ended)
	} else if p.draining.Load() {
		err = &rejection{reason: "the pool is draining"}
	} else {
		err = p.layers(&x.Call, &x.Call)
	}
	if err == nil && rep == nil && x.trail == nil && !p.Wants(EventCall) {
		return x.resp, nil
	}
	if err != nil {
		err = x.conclude(err, rep)
		if fall := v.binding.hooks.Default; fall != nil && ctx.Err() == nil {
			if resp, err = fall(req, err); err == nil && rep != nil {
				rep.Defaulted = true
			}
			return resp, err
		}
		return resp, err
	}
	_ = x.conclude(nil, rep)
	return x.resp, nil
}

// over ends the call's context, if anybody took it for one: a call is not used
// after its end, and the callee has the attempt's.
func (c *Call) over() {
	if c.armed.Load() != nil {
		c.cancel()
	}
}

// bypass calls the model that was asked for, or else the first one bound, with
// nothing in between.
func (c *Client[Req, Resp]) bypass(
	ctx context.Context, v *view[Req, Resp], req Req, opts *CallOptions, rep *Report,
) (resp Resp, err error) {
	asked, t := c.pinned, v.table
	if asked != "" {
		t = v.one(asked)
	} else if opts != nil && opts.Model != "" {
		asked = opts.Model
		t = v.only[asked]
	}
	if t == nil {
		return resp, c.pool.unknown(asked, v.table)
	}
	if len(t.entries) == 0 {
		return resp, &ExhaustedError{Kind: Rejected}
	}
	first := slices.MinFunc(t.entries, func(a, b entry) int { return cmp.Compare(a.pos, b.pos) })
	start := time.Now()
	resp, err = v.calls[first.pos](ctx, first.model, req)
	if rep != nil {
		*rep = Report{Bypassed: true, Model: first.model, Duration: time.Since(start), Generation: v.roster.config}
	}
	return resp, err
}

// inherit takes over what the context carries: options given for the next
// call, or an outer call's budget and what it is for.
func (c *Call) inherit(ctx context.Context, opts *CallOptions) {
	c.opts = opts
	var outer *Call
	switch from := ctx.Value(callKey{}).(type) {
	case *Call:
		outer = from
	case *ambient:
		outer = from.call
		if c.opts == nil {
			c.opts = from.opts
		} else if from.opts != nil {
			c.opts = new(overlay(*from.opts, *opts))
		}
	}
	if outer == nil {
		c.root = c
		return
	}
	c.root = outer.root
	if o := outer.opts; o != nil && (o.Op != "" || o.Tenant != "" || o.Once) {
		mine := c.Options()
		c.opts = new(overlay(CallOptions{Op: o.Op, Tenant: o.Tenant, Once: o.Once}, mine))
	}
}

// overlay returns the fields of over that are set, and those of base elsewhere.
func overlay(base, over CallOptions) CallOptions {
	if over.Model == "" {
		over.Model, over.Fallbacks = base.Model, base.Fallbacks
	}
	if over.Op == "" {
		over.Op = base.Op
	}
	if over.Tenant == "" {
		over.Tenant = base.Tenant
	}
	if over.Timeout == 0 {
		over.Timeout = base.Timeout
	}
	if over.Attempts == 0 {
		over.Attempts = base.Attempts
	}
	over.Once = over.Once || base.Once
	if over.Require == nil {
		over.Require = base.Require
	}
	return over
}

// restrict narrows the call's table to what was asked for.
func (c *Call) restrict(pinned string) error {
	sub, unknown := c.table, pinned
	if pinned != "" {
		sub = sub.one(pinned)
	} else if c.opts.Model != "" {
		sub, unknown = sub.restrict(c.opts)
	}
	if sub == nil {
		return c.pool.unknown(unknown, c.table)
	}
	c.table = sub
	return nil
}

// bound sets the call's deadline.
func (c *Call) bound() {
	if c.opts != nil && c.opts.Timeout != 0 {
		if c.opts.Timeout > 0 {
			c.deadline = c.start + int64(c.opts.Timeout)
			c.cause = &timeoutError{"CallOptions.Timeout", c.opts.Timeout}
		}
		return
	}
	if t := c.pool.timeouts.Load(); t != nil {
		if d, cause := t.call(c); d > 0 {
			c.deadline, c.cause = c.start+int64(d), cause
		}
		c.report = c.report || t.observe // so that conclude sees it
	}
}

// conclude makes the call's error and its report, and tells those who listen.
func (c *Call) conclude(err error, rep *Report) error {
	p := c.pool
	now := p.now()
	took := time.Duration(now - c.start)
	t := c.record()
	var skipped []Verdict
	if err != nil {
		above := len(t.attempts) == 0 && c.model == nil && err != errNone //nolint:errorlint // a wrapped one is an inner pool's
		if k := KindOf(err); k.Elsewhere() && !above {
			skipped = c.skipped(now)
		}
		err = c.final(err, t, skipped, took)
	}
	if rep != nil {
		*rep = Report{
			Call: c.ID(), Op: c.Op(), Attempts: t.attempts, Skipped: skipped, Usage: t.usage, Cost: t.cost,
			Duration: took, Generation: c.table.roster.config, LastResort: err == nil && c.lastResort,
		}
		if err == nil {
			rep.Model = c.model
			if asked := c.Options().Model; asked != "" && c.model != nil {
				rep.Substituted = asked != c.model.id && asked != c.model.Name()
			}
		}
	}
	if w := p.timeouts.Load(); w != nil && w.observe {
		w.wouldCall(c, took)
	}
	if p.Wants(EventCall) {
		p.Emit(c, Event{
			Kind: EventCall, Model: c.model, Attempt: int(c.attempts), Duration: took,
			Usage: t.usage, Cost: t.cost, Err: err,
		})
	}
	return err
}

// final returns the one failed attempt's error if there is nothing to add, and
// an [*ExhaustedError] otherwise. Refusals above LayerRoute stay what they are.
func (c *Call) final(err error, t *trail, skipped []Verdict, took time.Duration) error {
	if len(skipped) == 0 && (len(t.attempts) == 0 || len(t.attempts) == 1 && t.attempts[0].Kind == KindOf(err)) {
		return err
	}
	e := &ExhaustedError{
		Kind: KindOf(err), Call: c.ID(), Op: c.Op(), Attempts: t.attempts, Skipped: skipped, Duration: took,
		gaveUp: c.GaveUp(err),
	}
	if _, ok := err.(*Error); !ok && err != errNone { //nolint:errorlint // what wraps an attempt's says more: that a wait was ended
		e.last = err
	}
	if e.Kind != Canceled {
		for _, a := range t.attempts {
			if a.Kind != 0 && a.Kind != Rejected && a.Kind != Unknown {
				e.Kind = a.Kind
				break
			}
		}
	}
	e.RetryAfter = soonest(err, t.attempts, skipped, c.pool.wall(c.pool.now()))
	return e
}

// soonest returns the shortest wait that any of a call's models asked for.
func soonest(err error, attempts []Attempt, skipped []Verdict, now time.Time) time.Duration {
	first := RetryAfter(err)
	note := func(d time.Duration) {
		if d > 0 && (first == 0 || d < first) {
			first = d
		}
	}
	for _, a := range attempts {
		note(RetryAfter(a.Err))
	}
	for _, v := range skipped {
		if !v.Until.IsZero() {
			note(v.Until.Sub(now))
		}
	}
	return first
}

// maxSkipped bounds what an error says of models that were not tried.
const maxSkipped = 8

// skipped lists the models that refused the call here, and those that it did
// not try because something held them.
func (c *Call) skipped(now int64) (list []Verdict) {
	list = c.record().refused
	for _, e := range c.table.entries {
		if len(list) == maxSkipped {
			break
		}
		if c.usable(e, true) && !e.model.free(now) {
			list = append(list, verdict(e.model))
		}
	}
	return list
}

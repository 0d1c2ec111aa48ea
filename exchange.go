package resilience

import (
	"cmp"
	"context"
	"errors"
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

var (
	errNil    = errors.New("nil response without an error")
	errOver   = errors.New("a stream that is over already")
	errHidden = errors.New("a stream behind an interface: bind it as *Stream")
)

// exec makes the attempt a, and checks the answer. Ctx is a or derived from it.
func (x *exchange[Req, Resp]) exec(ctx context.Context, a *attempt) error {
	v := x.view()
	var none Resp
	x.resp = none
	resp, err := v.calls[x.pos](ctx, a.model, x.req)
	if err != nil {
		return err
	}
	b := v.binding
	if isNil(resp, b.nilness) {
		return &flawed{Malformed, errNil, errNil.Error()}
	}
	if x.streams {
		if r, ok := any(resp).(running); !ok || r.alive() == nil || r.alive().ended() {
			return &flawed{Malformed, errOver, errOver.Error()}
		}
	} else if b.nilness == byReflection {
		if r, ok := any(resp).(running); ok {
			if l := r.alive(); l != nil {
				l.abandon()
			}
			return &flawed{Malformed, errHidden, errHidden.Error()}
		}
	}
	x.resp = resp
	if b.hooks.Usage != nil && !b.streams && !a.used() { // what the callee told wins
		if used := b.hooks.Usage(x.req, resp); !unused(&used) {
			dollars, priced := x.price(a.model, used, true)
			a.jot(func(n *note) { n.Usage, n.cost, n.priced, n.reckoned = used, dollars, priced, true })
		}
	}
	if b.hooks.Validate != nil {
		if err := b.hooks.Validate(x.req, resp); err != nil {
			if l := x.alive(); l != nil {
				l.abandon()
			}
			if b.hooks.Revise != nil && !x.verbatim() {
				x.record().flaw = err
			}
			a.jot(func(n *note) { n.invalid = true })
			return withKind(Malformed, err, "failed validation")
		}
	}
	return nil
}

// revise makes the next attempt's request of what was wrong with the latest answer.
func (x *exchange[Req, Resp]) revise() {
	x.req = x.view().binding.hooks.Revise(x.req, x.resp, x.trail.flaw)
	x.trail.flaw = nil
}

// reduce makes the request ask for less, and reports whether it can.
func (x *exchange[Req, Resp]) reduce(step int) bool {
	hook := x.view().binding.hooks.Reduce
	if hook == nil {
		return false
	}
	x.req = hook(x.req, step)
	return true
}

// price is what u costs at m, and whether that is known. Answered says that it is
// for the response there is.
func (x *exchange[Req, Resp]) price(m *Model, u Usage, answered bool) (dollars float64, ok bool) {
	hook := x.view().binding.hooks.Cost
	if hook == nil {
		return costOf(&m.info.Load().Price, &u)
	}
	var resp Resp
	if answered {
		resp = x.resp
	}
	return hook(m, x.req, resp, u), true
}

// size is what the request is likely to take, and how much of that the answer is.
func (x *exchange[Req, Resp]) size() (tokens, answer int, fees bool) {
	hooks := &x.view().binding.hooks
	if hooks.Tokens != nil {
		tokens = hooks.Tokens(x.req)
	}
	if hooks.Output != nil {
		answer = hooks.Output(x.req)
	}
	return tokens, answer, hooks.Cost != nil
}

func (x *exchange[Req, Resp]) alive() *life {
	if !x.streams {
		return nil
	}
	r, ok := any(x.resp).(running)
	if !ok {
		return nil
	}
	return r.alive()
}

func (x *exchange[Req, Resp]) readAhead(d, left time.Duration) error {
	return any(x.resp).(running).readAhead(d, left)
}

func (x *exchange[Req, Resp]) request() any { return x.req }

// resend makes another attempt of a call that a stream holds, with req, and
// returns the stream that it brings, if it does.
func (x *exchange[Req, Resp]) resend(ctx context.Context, req any, broke *Error) (next running, ok bool) {
	asked := x.req
	defer func() {
		var none Resp
		if l := x.alive(); l != nil && !ok {
			l.abandon() // a layer kept it, or panicked
		}
		x.req, x.resp, x.trail.flaw = asked, none, nil
	}()
	x.req, _ = req.(Req) // a nil one has no type
	if x.Call.resend(ctx, broke) != nil || x.alive() == nil {
		return nil, false
	}
	return any(x.resp).(running), true
}

// send makes a call. Rep, if there is one, is filled in at the end.
func (c *Client[Req, Resp]) send(ctx context.Context, req Req, opts *CallOptions, rep *Report) (resp Resp, err error) {
	p, v := c.pool, c.current()
	if opts == nil && c.pinned == "" && c.hooks.Default == nil {
		if err := p.refuse(v.table); err != nil && ctx.Err() == nil && ctx.Value(callKey{}) == nil {
			p.open.Add(1 << openBits)
			return resp, err
		}
	}
	p.open.Add(1)
	if p.bypass.Load() && !p.draining.Load() {
		return c.bypass(ctx, v, req, opts, rep)
	}
	x := &exchange[Req, Resp]{req: req}
	x.typed, x.pool, x.parent, x.table = x, p, ctx, v.table
	x.streams = v.binding.streams
	x.report = rep != nil || x.streams || p.Wants(EventCall)
	x.start = p.now()
	x.clock = x.start
	defer x.over()
	x.inherit(ctx, opts)
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
	} else if err = x.afford(); err == nil {
		err = x.layers()
	}
	if err == nil && x.streams {
		if l := x.alive(); l != nil {
			x.hold(l, rep)
			resp, x.resp = x.resp, resp // so that a stream which nobody holds is seen to be lost
			return resp, nil
		}
	}
	if err == nil && rep == nil && x.trail == nil && !p.Wants(EventCall) {
		return x.resp, nil
	}
	if err != nil {
		return x.fail(ctx, req, err, rep)
	}
	_ = x.conclude(nil, rep)
	resp, x.resp = x.resp, resp // so that lanes which go on do not keep it
	return resp, nil
}

// fail ends a call that failed, by Hooks.Default if there is one.
func (x *exchange[Req, Resp]) fail(ctx context.Context, req Req, err error, rep *Report) (resp Resp, _ error) {
	fall := x.view().binding.hooks.Default
	if fall == nil || ctx.Err() != nil || x.verbatim() {
		return resp, x.conclude(err, rep)
	}
	if rep == nil && len(x.pool.readers) > 0 {
		rep = new(Report)
	}
	x.record().falls = true
	err = x.conclude(err, rep)
	if rep != nil {
		defer func() { // also if Default panics, with what it was called for
			rep.Defaulted = err == nil
			x.read(rep, err)
		}()
	}
	resp, err = fall(req, err)
	return resp, err
}

// What became of a call.
const (
	callOpen uint8 = iota
	callHeld       // by a stream that goes on
	callOver
	callForked // a lane of another call, which ends it
)

// over ends the call, unless a stream goes on, and its context if anybody took
// it for one: a call is not used after its end, and the callee has the attempt's.
func (c *Call) over() {
	if c.state != callOpen {
		return
	}
	c.state = callOver
	if c.streams {
		if l := c.typed.alive(); l != nil {
			l.abandon() // a layer kept it from the caller
		}
	}
	if c.armed.Load() != nil {
		c.cancel()
	}
	c.pool.end()
}

// bypass calls the model that was asked for, or else the first one bound, with
// nothing in between.
func (c *Client[Req, Resp]) bypass(
	ctx context.Context, v *view[Req, Resp], req Req, opts *CallOptions, rep *Report,
) (resp Resp, err error) {
	defer c.pool.close()
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
	resp, err = v.calls[first.pos](unprotected(ctx, first.model, opts), first.model, req)
	if rep != nil {
		*rep = Report{Bypassed: true, Model: first.model, Duration: time.Since(start), Generation: v.roster.config}
	}
	return resp, err
}

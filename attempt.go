package resilience

import (
	"context"
	"sync/atomic"
	"time"
)

// attempt is one try of one model, and the context that the callee sees. It is
// not pooled: a context may outlive its call.
type attempt struct {
	scope
	*access

	call  *Call
	start int64
	noted atomic.Pointer[note]
}

// note is what is learnt of an attempt beside its outcome: what it used, what
// that cost, what a tap heard. A note does not change; there are newer ones.
type note struct {
	Usage
	cost       float64
	priced     bool // Usage has a cost
	reckoned   bool // so cost and priced are of Usage
	told       bool // by ReportUsage
	invalid    bool // the answer, says Hooks.Validate
	draw       *draw
	firstChunk time.Duration
	gaveUp     bool // a transport within the attempt, on a response that it handed on
	faulted    bool // on purpose; see Call.Fault
	unasked    bool
	spoil      func(ctx context.Context, chunks int) error
	heard
}

// jot replaces the attempt's note by one that edit has changed.
func (a *attempt) jot(edit func(*note)) {
	for {
		old, next := a.noted.Load(), note{}
		if old != nil {
			next = *old
		}
		edit(&next)
		if a.noted.CompareAndSwap(old, &next) {
			return
		}
	}
}

// notes returns the attempt's note, empty if there is none.
func (a *attempt) notes() note {
	if n := a.noted.Load(); n != nil {
		return *n
	}
	return note{}
}

// used reports whether a usage is noted.
func (a *attempt) used() bool {
	n := a.noted.Load()
	return n != nil && !unused(&n.Usage)
}

type attemptKey struct{}

// Value implements [context.Context].
func (a *attempt) Value(key any) any {
	switch key.(type) {
	case callKey:
		return a.call
	case attemptKey:
		return a
	case keyKey:
		return a.access
	}
	return a.scope.Value(key)
}

// ReportUsage adds to the usage of the attempt that ctx belongs to, for
// callers whose response type does not carry it. It does nothing outside of an
// attempt, and nothing that counts after the attempt's end.
func ReportUsage(ctx context.Context, u Usage) {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		a.jot(func(n *note) { n.Usage, n.reckoned, n.told = n.add(u), false, true })
	}
}

// ask makes an attempt: a context, a clock and an outcome around the caller.
func (c *Call) ask(ctx context.Context, by *access) error {
	if c.Revises() {
		c.typed.revise()
	}
	var d *draw
	if c.opts != nil && c.opts.purse != nil {
		var refused error
		if d, refused = c.draw(ctx); refused != nil {
			return refused
		}
	}
	a := c.begin(ctx, by)
	if d != nil {
		a.jot(func(n *note) { n.draw = d })
	}
	a.model.inflight.Add(1)
	returned := false
	defer func() {
		if !returned { // a panic or Goexit: it passes through after accounting
			e := a.failed(Unknown, nil, "panicked")
			a.end(e, Unknown, true)
			c.note(a, e)
		}
	}()
	err := a.run()
	if err == nil && c.streams {
		if err = a.started(); err == nil {
			returned = true
			a.answered()
			return nil
		}
	}
	if err == nil {
		returned = true
		a.end(nil, 0, false)
		a.answered()
		if c.report || c.trail != nil || c.pool.Wants(EventAttempt) {
			c.note(a, nil)
		}
		return nil
	}
	kind, e := a.explain(err)
	if own, ok := e.(*Error); ok && !nested(err) {
		a.blame(own)
	}
	against := c.Against(e)
	returned = true // what panics before then has not accounted for anything
	a.end(e, kind, against)
	c.note(a, e)
	return e
}

// run asks the caller, or what stands in for it.
func (a *attempt) run() error {
	if a.model.fault == nil {
		return a.call.typed.exec(a, a)
	}
	return a.model.fault(a, a.call)
}

// answer is the handler below LayerFault.
func answer(ctx context.Context, c *Call) error {
	a, ok := ctx.(*attempt)
	if !ok {
		a = ctx.Value(attemptKey{}).(*attempt)
	}
	return c.typed.exec(ctx, a)
}

// begin starts an attempt. The first one is part of the call, and shares its
// clock reading unless the call has waited.
func (c *Call) begin(ctx context.Context, by *access) *attempt {
	a := &c.attempt
	if a.call != nil || c.attempts > 0 { // of a lane
		a = new(attempt)
		c.clock = c.pool.now()
		t := c.record()
		t.latest = a
		if len(t.attempts) > 0 {
			c.went(t)
		}
	} else if c.waited {
		c.clock = c.pool.now()
	}
	if f := c.forked(); f != nil {
		f.begins(c.clock, by)
	}
	c.attempts++
	c.waited = false
	a.call, a.access, a.start = c, by, c.clock
	a.pool, a.parent = c.pool, ctx
	t := c.pool.timeouts.Load()
	if c.streams {
		a.cause = streaming
	} else if t != nil {
		d, cause := t.attempt(c)
		if d, cause = a.share(t, d, cause); d > 0 {
			a.deadline, a.cause = a.start+int64(d), cause
		}
	}
	if ctx == context.Context(c) && c.armed.Load() == nil && c.state != callForked { // nothing in between: skip a link
		a.parent = c.parent
		if c.deadline != 0 && (a.deadline == 0 || c.deadline < a.deadline) {
			a.deadline, a.cause = c.deadline, c.cause
		}
	}
	if c.streams {
		a.wait(t)
	}
	return a
}

// went notes how the call came from its latest attempt to this one.
func (c *Call) went(t *trail) {
	how := t.how
	t.how = ""
	switch {
	case how != "":
		t.then(how)
	case t.attempts[len(t.attempts)-1].Model != c.model:
		t.then("elsewhere")
	default:
		t.then("again after " + seconds(t.wait))
	}
}

// end accounts for the attempt, once. Err has kind.
func (a *attempt) end(err error, kind Kind, against bool) {
	p, m := a.pool, a.model
	now := p.now()
	a.call.clock = now
	m.inflight.Add(-1)
	if a.call.streams {
		a.call.record().hush()
	}
	a.cancel()
	took := now - a.start
	n := a.noted.Load()
	if n != nil && n.firstChunk > 0 {
		took = int64(n.firstChunk) // how long an answer is, is the request's doing
	}
	awake := p.asleep(a.start, now) == 0
	if !awake {
		took = -1
	}
	if kind == Canceled && a.call.lost() != nil {
		m.atLeast(now, took)
	}
	if m.totals != nil && n != nil && n.firstChunk > 0 {
		m.totals.ended(kind, now-a.start, int64(n.firstChunk), n.Output, awake)
	}
	m.record(now, took, kind, against, kind.repels() && !a.call.spares(err), n != nil && n.firstChunk > 0)
	if n != nil && n.unasked {
		a.jot(func(n *note) { n.Usage, n.cost, n.priced = Usage{}, 0, false })
		n = a.noted.Load()
	}
	if n != nil {
		if n.draw != nil {
			defer n.draw.settle(a, err) // also if Hooks.Cost panics
		}
		if !unused(&n.Usage) {
			dollars := n.cost
			if !n.reckoned {
				d, priced := a.call.typed.price(m, n.Usage, true)
				a.jot(func(n *note) { n.cost, n.priced = d, priced })
				dollars = d
			}
			m.stats.spend(now, n.Usage, dollars)
			if m.totals != nil {
				m.totals.input.add(n.Input)
				m.totals.output.add(n.Output)
			}
			for _, fn := range p.bills {
				fn(a.call, m, n.Usage, dollars)
			}
			if kind == 0 && n.Output > 0 && awake {
				m.stats.pace(now, now-a.start-int64(n.firstChunk), n.Output)
			}
		}
		a.warn(n.repeats)
	}
	if kind == Malformed || n != nil && n.invalid {
		m.stats.counts.Add(now, countMalformed, 1)
	}
	if t := p.timeouts.Load(); t != nil && t.observe {
		t.would(a, time.Duration(now-a.start))
	}
}

// note adds the attempt to the call's trail and tells those who listen.
func (c *Call) note(a *attempt, err error) {
	p := c.pool
	n := a.notes()
	took := time.Duration(c.clock - a.start)
	done := Attempt{Model: a.model, Key: a.name(), Start: p.wallish(a.start), Duration: took, FirstChunk: n.firstChunk, Usage: n.Usage, Cost: n.cost, Faulted: n.faulted, Err: err}
	f := c.forked()
	if f != nil {
		done.Hedge = f.hedge
	}
	if err == nil {
		done.Status, done.RequestID = n.status, n.requestID()
	} else {
		done.Kind = KindOf(err)
		if e, ok := err.(*Error); ok {
			done.Status, done.RequestID, done.Reason = e.Status, e.RequestID, e.what()
		} else if e, ok := err.(*ExhaustedError); ok {
			done.Reason = e.brief()
		}
		if done.Status == 0 {
			done.Status = n.status
		}
	}
	t := c.record()
	done.Wait, t.wait = t.wait, 0
	if f != nil {
		f.ends(done)
	}
	t.usage = t.usage.add(n.Usage)
	t.cost += n.cost
	if len(t.attempts) < maxTrail {
		t.attempts = append(t.attempts, done)
	}
	if p.Wants(EventAttempt) {
		p.Emit(a, Event{
			Kind: EventAttempt, Model: a.model, Key: done.Key, Attempt: int(c.attempts), Duration: took,
			Usage: n.Usage, Cost: n.cost, Err: err, Reason: done.Reason, Faulted: n.faulted,
		})
	}
}

// maxTrail bounds what a call with a generous budget remembers.
const maxTrail = 64

// share keeps half of the time that the call has left for another model, if
// there is one to go to: a model that hangs must not take all of it.
func (a *attempt) share(t *timeouts, d time.Duration, cause *timeoutError) (time.Duration, *timeoutError) {
	c := a.call
	if d <= 0 || c.pool.router == nil || t.observe || int(c.ntried) >= len(c.table.entries) {
		return d, cause
	}
	left := d * 2
	if until, ok := c.parent.Deadline(); ok {
		left = min(left, time.Duration(c.pool.instant(until)-a.start))
	}
	if c.deadline != 0 {
		left = min(left, time.Duration(c.deadline-a.start))
	} else if c.streams && c.trail.limit != 0 {
		left = min(left, time.Duration(c.trail.limit-a.start))
	}
	if left/2 >= d || c.Remaining() == 0 {
		return d, cause
	}
	return left / 2, &timeoutError{setting: "half of the time left, for another model", after: left / 2}
}

// started makes the attempt last as long as the stream that it has brought, or
// returns an error if the first chunk was too late after all, or the stream
// breaks while it is held back.
func (a *attempt) started() error {
	l := a.call.typed.alive()
	if l == nil { // a layer's own success, without a response
		return &flawed{Malformed, errNil, errNil.Error()}
	}
	if t := a.call.record().timer; t != nil && !t.Stop() {
		l.abandon()
		return context.DeadlineExceeded
	}
	now := a.pool.now()
	a.call.clock = now
	a.jot(func(n *note) { n.firstChunk = time.Duration(max(now-a.start, 1)) }) // 0 is none yet, and clocks may be coarse
	if t := a.model.totals; t != nil {
		t.opened.Add(1)
	}
	l.guard(a)
	if d, left := a.holdBack(); d > 0 {
		end := a.endHoldBack(left)
		err := a.call.typed.readAhead(d, left)
		if end != nil && !end.Stop() && err == nil {
			err = a.call.record().limitCause
		}
		if err != nil {
			return l.fail(err)
		}
	}
	a.follow(l)
	return nil
}

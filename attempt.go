package resilience

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// attempt is one try of one model, and the context that the callee sees. It is
// not pooled: a context may outlive its call.
type attempt struct {
	scope
	call  *Call
	model *Model
	start int64
	spent atomic.Pointer[spent]
}

// spent is what an attempt used, and what that cost.
type spent struct {
	Usage
	cost float64
}

type attemptKey struct{}

// Value implements [context.Context].
func (a *attempt) Value(key any) any {
	switch key.(type) {
	case callKey:
		return a.call
	case attemptKey:
		return a
	}
	return a.scope.Value(key)
}

// ReportUsage adds to the usage of the attempt that ctx belongs to, for
// callers whose response type does not carry it. It does nothing outside of an
// attempt, and nothing that counts after the attempt's end.
func ReportUsage(ctx context.Context, u Usage) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return
	}
	for {
		old, sum := a.spent.Load(), spent{Usage: u}
		if old != nil {
			sum.Usage = old.add(u)
		}
		if a.spent.CompareAndSwap(old, &sum) {
			return
		}
	}
}

// measure is the innermost layer: a context, a clock and an outcome around the
// caller.
func measure(ctx context.Context, c *Call) error {
	a := c.begin(ctx)
	a.model.inflight.Add(1)
	returned := false
	defer func() {
		if !returned { // a panic or Goexit: it passes through after accounting
			a.end(Unknown, true)
			c.note(a, a.failed(Unknown, nil, "panicked"))
		}
	}()
	err := a.run()
	returned = true
	if err == nil {
		a.end(0, false)
		if c.report || c.trail != nil || c.pool.Wants(EventAttempt) {
			c.note(a, nil)
		}
		return nil
	}
	kind, e := a.explain(err)
	a.end(kind, c.Against(e))
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
	return c.typed.exec(ctx, ctx.Value(attemptKey{}).(*attempt))
}

// begin starts an attempt. The first one is part of the call, and shares its
// clock reading unless the call has waited.
func (c *Call) begin(ctx context.Context) *attempt {
	a := &c.attempt
	if c.attempts > 0 {
		a = new(attempt)
		c.clock = c.pool.now()
		if t := c.trail; t != nil && len(t.attempts) > 0 {
			c.went(t)
		}
	} else if c.waited {
		c.clock = c.pool.now()
	}
	c.attempts++
	c.waited = false
	a.call, a.model, a.start = c, c.model, c.clock
	a.pool, a.parent = c.pool, ctx
	if t := c.pool.timeouts.Load(); t != nil {
		if d, cause := t.attempt(c); d > 0 {
			a.deadline, a.cause = a.start+int64(d), cause
		}
	}
	if ctx == context.Context(c) && c.armed.Load() == nil { // nothing in between: skip a link
		a.parent = c.parent
		if c.deadline != 0 && (a.deadline == 0 || c.deadline < a.deadline) {
			a.deadline, a.cause = c.deadline, c.cause
		}
	}
	return a
}

// went notes how the call came from its latest attempt to this one.
func (c *Call) went(t *trail) {
	if t.attempts[len(t.attempts)-1].Model != c.model {
		t.then("elsewhere")
	} else {
		t.then("again after " + seconds(t.wait))
	}
}

// end accounts for the attempt, once.
func (a *attempt) end(kind Kind, against bool) {
	p, m := a.pool, a.model
	now := p.now()
	a.call.clock = now
	m.inflight.Add(-1)
	a.cancel()
	m.stats.record(now, now-a.start, kind, against)
	if used := a.spent.Load(); used != nil && used.Usage != (Usage{}) {
		priced := &spent{used.Usage, a.call.typed.cost(m, used.Usage)}
		a.spent.Store(priced)
		m.stats.spend(now, priced.Usage, priced.cost)
	}
	if t := p.timeouts.Load(); t != nil && t.observe {
		t.would(a, time.Duration(now-a.start))
	}
}

// note adds the attempt to the call's trail and tells those who listen.
func (c *Call) note(a *attempt, err error) {
	p := c.pool
	var used spent
	if s := a.spent.Load(); s != nil {
		used = *s
	}
	took := time.Duration(c.clock - a.start)
	done := Attempt{Model: a.model, Start: p.wall(a.start), Duration: took, Usage: used.Usage, Cost: used.cost, Err: err}
	if err != nil {
		done.Kind = KindOf(err)
		if e, ok := err.(*Error); ok {
			done.Status, done.RequestID, done.Reason = e.Status, e.RequestID, e.what()
		}
	}
	t := c.record()
	done.Wait, t.wait = t.wait, 0
	t.usage = t.usage.add(used.Usage)
	t.cost += used.cost
	if len(t.attempts) < maxTrail {
		t.attempts = append(t.attempts, done)
	}
	if p.Wants(EventAttempt) {
		p.Emit(a, Event{
			Kind: EventAttempt, Model: a.model, Attempt: int(c.attempts), Duration: took,
			Usage: used.Usage, Cost: used.cost, Err: err, Reason: done.Reason,
		})
	}
}

// maxTrail bounds what a call with a generous budget remembers.
const maxTrail = 64

// explain makes an *Error of what the callee returned. Whose fault it is is
// read off the contexts before the error: the caller's cancellation says
// nothing about the model, and our timer does whatever the error looks like.
func (a *attempt) explain(err error) (Kind, error) {
	c := a.call
	if ended := c.parent.Err(); ended != nil {
		e := a.failed(Canceled, err, endedBy(ended))
		e.ended = ended
		return Canceled, e
	}
	if late := a.timedOut(); late != nil {
		switch k := KindOf(err); k {
		case Canceled, TimedOut, Unreachable, Unknown, Rejected:
			e := a.failed(TimedOut, err, late.Error())
			e.ended, e.cut = context.DeadlineExceeded, late == c.cause && a.short(late)
			return TimedOut, e
		}
	}
	if f, ok := err.(*flawed); ok {
		kind := c.pool.kindOf(f, f.kind)
		e := a.failed(kind, f.err, f.reason)
		e.refused = f.kind == Invalid // it was not sent
		return kind, e
	}
	if k := KindOf(err); k != Canceled && nested(err) {
		return k, err
	}
	facts := classify.Of(err, c.pool.wall(c.pool.now()))
	kind := c.pool.kindOf(err, Kind(facts.Kind))
	if kind == Canceled { // not by our caller, so not by anyone we know
		kind = Unknown
		if errors.Is(err, context.DeadlineExceeded) {
			kind = TimedOut
		}
	}
	e := a.failed(kind, err, facts.Reason)
	e.Status, e.Code, e.RequestID = facts.Status, facts.Code, printable(facts.RequestID)
	if facts.HasRetryAfter {
		e.RetryAfter = facts.RetryAfter
	}
	e.refused, e.final = !facts.Accepted, facts.NoRetry
	return kind, e
}

// endedBy is the reason of what the caller's context ended.
func endedBy(ended error) string {
	if errors.Is(ended, context.DeadlineExceeded) {
		return "the caller's deadline passed"
	}
	return "by the caller"
}

// leftBefore is the error of a call whose caller left before any attempt.
func leftBefore(ended error) error {
	return &Error{Kind: Canceled, Err: ended, reason: endedBy(ended), refused: true}
}

// short reports whether the call's deadline, late, left the attempt less than
// half of the time that it normally gets.
func (a *attempt) short(late *timeoutError) bool {
	normal := late.after
	if t := a.pool.timeouts.Load(); t != nil {
		if d, _ := t.attempt(a.call); d > 0 {
			normal = min(normal, d)
		}
	}
	return a.call.deadline-a.start < int64(normal)/2
}

func (a *attempt) failed(kind Kind, err error, reason string) *Error {
	return &Error{Kind: kind, Model: a.model.id, Attempt: int(a.call.attempts), Err: err, reason: reason}
}

// timedOut returns the cause if a deadline of ours has passed.
func (a *attempt) timedOut() *timeoutError {
	if a.Err() == nil {
		return nil
	}
	cause, _ := errors.AsType[*timeoutError](context.Cause(a))
	return cause
}

// nested reports whether err was made by this package already, for a call
// within this one.
func nested(err error) bool {
	if _, ok := errors.AsType[*Error](err); ok {
		return true
	}
	_, ok := errors.AsType[*ExhaustedError](err)
	return ok
}

// flawed is a request or an answer that we found to be no good.
type flawed struct {
	kind   Kind
	err    error
	reason string
}

func (f *flawed) Error() string        { return f.reason }
func (f *flawed) Unwrap() error        { return f.err }
func (f *flawed) Is(target error) bool { return target == f.kind }

// withKind gives err a kind unless it has one.
func withKind(k Kind, err error, reason string) error {
	if own, ok := errors.AsType[Kind](err); ok {
		k = own
	}
	return &flawed{k, err, reason}
}

// printable bounds a foreign token and keeps it from breaking a line of a log.
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return -1
	}, s)
}

package resilience

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// explain makes an *Error of what the callee returned, spares the model what came of
// a process that slept, and ends a call that is to have one answer at the first part
// of one.
func (a *attempt) explain(err error) (Kind, error) {
	kind, what := a.because(err)
	if e, ok := what.(*Error); ok && a.call.verbatim() && a.answering(kind) {
		e.final = true
	}
	if kind != TimedOut && kind != Unreachable && kind != Truncated || nested(err) {
		return kind, what
	}
	if d := a.slept(); d > 0 {
		e, _ := what.(*Error)
		e.cut = true
		e.reason = strings.TrimPrefix(e.reason+"; this process was not running for "+d.Round(time.Millisecond).String()+" of it", "; ")
	}
	return kind, what
}

// answering reports whether a part of an answer has come to an attempt that failed.
func (a *attempt) answering(k Kind) bool {
	n := a.notes()
	return k == Truncated || k == Malformed || k == Filtered || n.status/100 == 2 || n.firstChunk > 0
}

// slept returns how long the process did not run, if that is what came of the attempt.
func (a *attempt) slept() time.Duration {
	now := a.pool.now()
	if d := a.pool.asleep(a.start, now); d > 0 {
		return d
	}
	if late := a.timedOut(); late != nil && !late.overall { // a gap in a long stream
		return a.pool.asleep(max(a.start, now-2*int64(late.after)), now)
	}
	return 0
}

// because makes an *Error of what the callee returned. Whose fault it is is
// read off the contexts before the error: the caller's cancellation says
// nothing about the model, and our timer does whatever the error looks like.
func (a *attempt) because(err error) (Kind, error) {
	c := a.call
	if ended := c.lead().parent.Err(); ended != nil {
		e := a.failed(Canceled, err, endedBy(ended))
		e.ended, e.refused = ended, a.turnedAway(err)
		return Canceled, e
	}
	if why := c.lost(); why != nil {
		e := a.failed(Canceled, err, why.Error())
		e.refused = a.turnedAway(err)
		return Canceled, e
	}
	if a.abandoned() && (errors.Is(err, errAbandoned) || KindOf(err) == Canceled) {
		return Canceled, a.failed(Canceled, errAbandoned, errAbandoned.Error())
	}
	if late := a.timedOut(); late != nil {
		switch k := KindOf(err); k {
		case Canceled, TimedOut, Unreachable, Truncated, Unknown, Rejected:
			e := a.failed(TimedOut, err, late.Error())
			e.ended, e.cut, e.overall = context.DeadlineExceeded, a.ours(late) && a.short(late), late.overall
			return TimedOut, e
		}
	}
	if f, ok := err.(*flawed); ok {
		kind := c.pool.kindOf(f, f.kind)
		e := a.failed(kind, f.err, f.reason)
		e.cut = a.notes().invalid
		e.refused = f.kind == Invalid && !e.cut // it was not sent
		return kind, e
	}
	if k := KindOf(err); k != Canceled && nested(err) {
		return k, err
	}
	n := a.notes()
	facts := classify.OfHTTP(err, n.status, n.header, c.pool.wall(c.pool.now()))
	kind := c.pool.kindOf(err, Kind(facts.Kind))
	if kind == Canceled { // not by our caller, so not by anyone we know
		kind = Unknown
		if errors.Is(err, context.DeadlineExceeded) {
			kind = TimedOut
		}
	}
	e := a.failed(kind, err, facts.Reason)
	if facts.Kind == classify.Unknown && kind != Unknown {
		e.reason = "" // somebody knows better
	}
	e.Status, e.Code, e.RequestID = facts.Status, facts.Code, printable(facts.RequestID)
	if facts.HasRetryAfter {
		e.RetryAfter = facts.RetryAfter
	}
	e.refused, e.final, e.gaveUp = !facts.Accepted || kind == Rejected, facts.NoRetry, n.gaveUp
	return kind, e
}

// turnedAway reports whether the provider surely charges nothing for an attempt that
// nobody waits for any more: it did not accept it, or answered with an error.
func (a *attempt) turnedAway(err error) bool {
	if nested(err) {
		return !accepted(err)
	}
	n := a.notes()
	facts := classify.OfHTTP(err, n.status, n.header, time.Time{})
	return !facts.Accepted || facts.Status >= 400
}

// endedBy is the reason of what the caller's context ended.
func endedBy(ended error) string {
	if errors.Is(ended, context.DeadlineExceeded) {
		return "the caller's deadline passed"
	}
	return "by the caller"
}

// leftBefore is the error of a call whose caller left before any attempt.
func leftBefore(ended error) *Error {
	return &Error{Kind: Canceled, Err: ended, reason: endedBy(ended), refused: true}
}

// ranOut is the error of a call that waited for something when ctx, its context,
// ended. Nothing was sent.
func (c *Call) ranOut(ctx context.Context) *Error {
	e := &Error{Kind: Canceled, Attempt: int(c.attempts), Err: context.Cause(ctx), ended: ctx.Err(), refused: true}
	if c.model != nil {
		e.Model = c.model.id
	}
	cause, late := e.Err.(*timeoutError)
	switch ended, lost := c.lead().parent.Err(), c.lost(); {
	case ended != nil:
		e.ended, e.reason = ended, endedBy(ended)
	case lost != nil:
		e.reason = lost.Error()
	case late:
		e.Kind, e.reason = TimedOut, cause.Error()
	}
	return e
}

// ours reports whether late is the call's own bound.
func (a *attempt) ours(late *timeoutError) bool {
	c := a.call
	return late == c.lead().cause || c.trail != nil && late == c.trail.limitCause
}

// short reports whether the call's deadline, late, left the attempt less than
// half of the time that it normally gets.
func (a *attempt) short(late *timeoutError) bool {
	c, normal := a.call, late.after
	deadline := c.lead().deadline
	if t := a.pool.timeouts.Load(); t != nil {
		d, _ := t.attempt(c)
		if c.streams {
			d, _ = t.firstChunk(c)
		}
		if d > 0 {
			normal = min(normal, d)
		}
	}
	if c.streams {
		deadline = c.trail.limit
	}
	return deadline-a.start < int64(normal)/2
}

func (a *attempt) failed(kind Kind, err error, reason string) *Error {
	e := &Error{Kind: kind, Model: a.model.id, Key: a.name(), Attempt: int(a.call.attempts), Err: err, reason: reason}
	if n := a.noted.Load(); n != nil {
		e.RequestID = n.requestID()
	}
	return e
}

// timedOut returns the cause if a deadline of ours has passed.
func (a *attempt) timedOut() *timeoutError {
	if a.Err() == nil {
		return nil
	}
	cause, _ := errors.AsType[*timeoutError](context.Cause(a))
	return cause
}

// abandoned reports whether whoever reads the stream has given it up.
func (a *attempt) abandoned() bool {
	return a.call.streams && a.Err() != nil && errors.Is(context.Cause(a), errAbandoned)
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

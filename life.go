package resilience

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// running is a response that has started and is not over yet: a *Stream.
type running interface {
	alive() *life
	self() any // the *Stream, where it is embedded
	readAhead(d, left time.Duration) error
}

// life is what a stream and those who wait for its end share. It does not know
// the stream, so that one which nobody holds any more can be told.
type life struct {
	ctx     context.Context // of the source
	cancel  func(cause error)
	stop    func() // of the source
	usage   func(Usage)
	base    time.Time
	lost    runtime.Cleanup // of what the reader has, which an ended life must not keep: a call may refer to both
	waiting atomic.Int64    // for a chunk, since then; 0 for not

	followers []*follower // innermost first; complete before anybody reads
	holds     []held      // likewise, one for each follower
	paces     []*pace

	mu     sync.Mutex
	over   bool
	err    error
	ends   []func(error)
	done   int // of ends
	timers []*time.Timer
	report Report
}

// follower is an attempt that lasts as long as the stream, and what its end
// means to it.
type follower struct {
	attempt *attempt
	err     error
}

// held is a call that is open as long as the stream. What is to be told before
// it are ends[:at].
type held struct {
	call *Call
	at   int
}

var (
	errAbandoned = errors.New("abandoned by its reader")
	errNoEnd     = errors.New("ended without its end marker")
	errPanicked  = errors.New("panicked")
)

// ended reports whether the stream is over.
func (l *life) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// onEnd calls fn once with the stream's outcome, at once if it is over.
func (l *life) onEnd(fn func(error)) {
	l.mu.Lock()
	if !l.over {
		l.ends = append(l.ends, fn)
		l.mu.Unlock()
		return
	}
	err := l.err
	l.mu.Unlock()
	fn(err)
}

// holdFor makes c a call that is open until the stream's end, when fn is called.
func (l *life) holdFor(c *Call, at int, fn func(error)) {
	l.mu.Lock()
	l.holds = append(l.holds, held{c, at})
	l.mu.Unlock()
	l.onEnd(fn)
}

// told returns the stream's report.
func (l *life) told() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

// tell replaces the stream's report.
func (l *life) tell(rep Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report = rep
}

// end settles the stream, once. Those who wait are told in the order in which
// they came, the innermost first.
func (l *life) end(err error) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	l.err = err
	ends := l.close()
	l.mu.Unlock()
	each(ends, err)
}

// close makes the life one that is over, and returns who is still to be told.
func (l *life) close() []func(error) {
	l.over = true
	l.lost.Stop()
	for _, t := range l.timers {
		t.Stop()
	}
	ends := l.ends[l.done:]
	l.ends = nil
	return ends
}

// settle tells err to those within a call that goes on.
func (l *life) settle(to int, err error) {
	l.mu.Lock()
	ends := l.ends[l.done:to]
	l.done = to
	l.mu.Unlock()
	each(ends, err)
}

// adopt makes the calls of old from the i-th on, and the attempts outside of
// it, last as long as this life.
func (l *life) adopt(old *life, i int) {
	old.mu.Lock()
	told, ends := old.done, old.close()
	old.mu.Unlock()
	for _, f := range old.followers[i+1:] {
		l.followers = append(l.followers, f)
		l.guard(f.attempt)
	}
	l.mu.Lock()
	for _, h := range old.holds[i:] {
		l.holds = append(l.holds, held{h.call, h.at - told + len(l.ends)})
		h.call.trail.life, h.call.trail.rescued = l, true
	}
	l.ends = append(l.ends, ends...)
	l.mu.Unlock()
	outermost := l.holds[len(l.holds)-1].call
	l.tell(outermost.sum(true, nil, time.Duration(outermost.pool.now()-outermost.start)))
}

// each calls all of fns, also if one panics.
func each(fns []func(error), err error) {
	for i, fn := range fns {
		func() {
			returned := false
			defer func() {
				if !returned {
					each(fns[i+1:], err)
				}
			}()
			fn(err)
			returned = true
		}()
	}
}

// abandon settles a stream that nobody was given.
func (l *life) abandon() { l.drop(errAbandoned) }

// drop is abandon for a cause of its own.
func (l *life) drop(cause error) {
	l.cancel(cause)
	_ = l.fail(cause)
}

// fail settles a stream that broke before anybody was given it, and returns
// what it means to the outermost of its attempts.
func (l *life) fail(err error) error {
	if len(l.followers) > 0 {
		err = l.explain(err, 0)
	}
	defer l.end(err)
	l.stop()
	return err
}

// leak settles a stream that nobody holds any more. It runs on the goroutine of
// the runtime's cleanups, which the source must neither block nor end: what it
// does when it is stopped happens on one that nobody is left to wait for.
func (l *life) leak() {
	if l.ended() {
		return
	}
	l.cancel(errAbandoned)
	l.end(l.explain(errAbandoned, 0))
	for _, f := range l.followers {
		f.attempt.pool.log.Warn("a stream was neither read to its end nor closed", "model", f.attempt.model.id)
	}
	go func() {
		defer func() { _ = recover() }()
		l.stop()
	}()
}

// explain makes the error that a reader gets of what ended the source after a
// number of chunks were delivered: what the outermost attempt makes of it.
func (l *life) explain(err error, delivered int) error {
	if err == nil {
		return nil
	}
	if n := len(l.followers); n > 0 {
		return l.explainTo(n-1, err, delivered)
	}
	switch {
	case errors.Is(err, errAbandoned), errors.Is(context.Cause(l.ctx), errAbandoned):
		return &flawed{Canceled, errAbandoned, errAbandoned.Error()}
	case l.ctx.Err() != nil:
		return &flawed{Canceled, l.ctx.Err(), endedBy(l.ctx.Err())}
	default:
		return withKind(Truncated, err, "the stream broke")
	}
}

// explainTo returns what the i-th attempt makes of it.
func (l *life) explainTo(i int, err error, delivered int) error {
	for _, f := range l.followers[:i+1] {
		if f.err == nil {
			f.err = f.attempt.broke(err, delivered)
		}
		err = f.err
	}
	return err
}

// follow makes a an attempt that lasts as long as the stream.
func (a *attempt) follow(l *life) {
	c := a.call
	f := &follower{attempt: a}
	l.followers = append(l.followers, f)
	l.onEnd(func(err error) {
		if err != nil && f.err != nil {
			err = f.err
		}
		kind := KindOf(err)
		a.end(err, kind, c.Against(err))
		c.note(a, err)
	})
}

// broke explains what ended a stream after n chunks were delivered. Whose doing
// it was is read off the contexts first; else, that the answer is not whole is
// what counts, with the cause behind it.
func (a *attempt) broke(err error, n int) error {
	switch {
	case a.call.lead().parent.Err() != nil:
		_, e := a.explain(err)
		return e
	case errors.As(err, new(unfit)):
		return a.failed(Canceled, err, err.Error())
	case errors.Is(err, errAbandoned), a.abandoned():
		return a.failed(Canceled, errAbandoned, errAbandoned.Error())
	case errors.Is(err, errPanicked):
		return a.brokeOff(Unknown, err, errPanicked.Error(), n)
	case a.timedOut() == nil && nested(err):
		return err
	case a.timedOut() == nil && errors.Is(err, errNoEnd):
		return a.brokeOff(Truncated, err, errNoEnd.Error(), n)
	}
	kind, cause := a.explain(err)
	if kind == Canceled || n == 0 {
		return cause
	}
	e := a.brokeOff(Truncated, cause, kind.String(), n)
	e.cut = !a.call.Against(cause) // what a filter or a limit broke off says nothing about the model
	if c, ok := errors.AsType[*Error](cause); ok {
		e.Status, e.Code, e.RequestID, e.RetryAfter = c.Status, c.Code, c.RequestID, c.RetryAfter
		if c.reason != "" && kind == TimedOut {
			e.reason = after(c.reason, n)
		}
		e.overall = c.overall
	}
	return e
}

// brokeOff is failed for an answer of which n chunks were delivered.
func (a *attempt) brokeOff(kind Kind, err error, reason string, n int) *Error {
	e := a.failed(kind, err, after(reason, n))
	e.Delivered = n
	return e
}

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
type running interface{ alive() *life }

// life is what a stream and those who wait for its end share. It does not know
// the stream, so that one which nobody holds any more can be told.
type life struct {
	ctx     context.Context // of the source
	cancel  func(cause error)
	stop    func() // of the source
	usage   func(Usage)
	base    time.Time
	waiting atomic.Int64 // for a chunk, since then; 0 for not

	followers []*follower // innermost first; complete before anybody reads

	mu     sync.Mutex
	over   bool
	err    error
	ends   []func(error)
	timers []*time.Timer
	report Report
}

// follower is an attempt that lasts as long as the stream, and what its end
// means to it.
type follower struct {
	attempt *attempt
	err     error
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
	l.over, l.err = true, err
	ends := l.ends
	l.ends = nil
	for _, t := range l.timers {
		t.Stop()
	}
	l.mu.Unlock()
	each(ends, err)
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
func (l *life) abandon() {
	l.cancel(errAbandoned)
	defer l.end(l.explain(errAbandoned, 0))
	l.stop()
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

// explain makes the error that a reader gets of what ended the source after n
// chunks were delivered: what the outermost attempt makes of it.
func (l *life) explain(err error, n int) error {
	if err == nil {
		return nil
	}
	for _, f := range l.followers {
		f.err = f.attempt.broke(err, n)
		err = f.err
	}
	if len(l.followers) > 0 {
		return err
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

// follow makes a an attempt that lasts as long as the stream.
func (a *attempt) follow(l *life) {
	c, now := a.call, a.pool.now()
	c.clock = now
	a.jot(func(n *note) { n.firstChunk = time.Duration(now - a.start) })
	f := &follower{attempt: a}
	l.followers = append(l.followers, f)
	l.guard(a)
	l.onEnd(func(err error) {
		if err != nil && f.err != nil {
			err = f.err
		}
		kind := KindOf(err)
		a.end(kind, c.Against(err))
		c.note(a, err)
	})
}

// guard starts the timers of an attempt that run while a stream is read.
func (l *life) guard(a *attempt) {
	t := a.pool.timeouts.Load()
	if t == nil || t.observe {
		return
	}
	b := t.of(a.call)
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.forGap > 0 {
		var timer *time.Timer
		timer = time.AfterFunc(b.forGap, func() {
			left := b.forGap
			if since := l.waiting.Load(); since != 0 {
				left -= time.Since(l.base) - time.Duration(since)
			}
			if left <= 0 {
				a.expire(b.gapCause)
				return
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if !l.over {
				timer.Reset(left)
			}
		})
		l.timers = append(l.timers, timer)
	}
	if b.forTotal > 0 {
		left := b.forTotal - time.Duration(a.pool.now()-a.start)
		l.timers = append(l.timers, time.AfterFunc(left, func() { a.expire(b.totalCause) }))
	}
}

// expire cancels the context of an attempt that streams.
func (a *attempt) expire(cause error) {
	if armed := a.arm(); armed.cause != nil {
		armed.cause(cause)
	}
}

// broke explains what ended a stream after n chunks were delivered. Whose doing
// it was is read off the contexts first; else, that the answer is not whole is
// what counts, with the cause behind it.
func (a *attempt) broke(err error, n int) error {
	switch {
	case a.call.parent.Err() != nil:
		_, e := a.explain(err)
		return e
	case errors.Is(err, errAbandoned), a.Err() != nil && errors.Is(context.Cause(a), errAbandoned):
		return a.failed(Canceled, errAbandoned, errAbandoned.Error())
	case errors.Is(err, errPanicked):
		return a.failed(Unknown, err, after(errPanicked.Error(), n))
	case a.timedOut() == nil && nested(err):
		return err
	case a.timedOut() == nil && errors.Is(err, errNoEnd):
		return a.failed(Truncated, err, after(errNoEnd.Error(), n))
	}
	kind, cause := a.explain(err)
	if kind == Canceled || n == 0 {
		return cause
	}
	e := a.failed(Truncated, cause, after(kind.String(), n))
	e.cut = !kind.Against() // what a filter or a limit broke off says nothing about the model
	if c, ok := errors.AsType[*Error](cause); ok {
		e.Status, e.Code, e.RequestID, e.RetryAfter = c.Status, c.Code, c.RequestID, c.RetryAfter
		if c.reason != "" && kind == TimedOut {
			e.reason = after(c.reason, n)
		}
	}
	return e
}

// watch sees to it that a stream which is lost is settled.
func watch[T any](s *T, l *life) { runtime.AddCleanup(s, (*life).leak, l) }

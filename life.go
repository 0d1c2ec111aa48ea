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
// the stream, so that a stream which nobody holds any more can be told.
type life struct {
	attempt *attempt // the innermost that it is of, or nil
	waiting atomic.Int64
	timers  []*time.Timer
	stop    func() // of the source

	mu     sync.Mutex
	over   bool
	err    error
	ends   []func(error)
	report Report
	usage  func(Usage)
}

var (
	errAbandoned = errors.New("abandoned by its reader")
	errNoEnd     = errors.New("ended without its end marker")
)

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
	l.mu.Unlock()
	for _, t := range l.timers {
		t.Stop()
	}
	for _, fn := range ends {
		fn(err)
	}
}

// abandon settles a stream that nobody reads.
func (l *life) abandon() {
	l.cancel(errAbandoned)
	l.stop()
	l.end(l.explain(errAbandoned, 0))
}

// leak settles a stream that nobody holds any more.
func (l *life) leak() {
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	if over {
		return
	}
	if a := l.attempt; a != nil {
		a.pool.log.WarnContext(context.WithoutCancel(a.call.parent), "a stream was neither read to its end nor closed", "model", a.model.id)
	}
	l.abandon()
}

// cancel makes the source end, if it honors its context.
func (l *life) cancel(cause error) {
	if l.attempt != nil {
		l.attempt.expire(cause)
	}
}

// explain makes the error that a reader gets of what ended the source after n
// chunks were delivered.
func (l *life) explain(err error, n int) error {
	if err == nil {
		return nil
	}
	if l.attempt == nil {
		if errors.Is(err, errAbandoned) {
			return &flawed{Canceled, err, err.Error()}
		}
		return withKind(Truncated, err, "the stream broke")
	}
	return l.attempt.broke(err, n)
}

// follow makes a the attempt that a stream is of, from its first chunk on.
func (a *attempt) follow(l *life) {
	c, now := a.call, a.pool.now()
	c.clock = now
	a.jot(func(n *note) { n.firstChunk = time.Duration(now - a.start) })
	if l.attempt == nil {
		l.attempt = a
		l.guard(a.pool.timeouts.Load())
	}
	l.onEnd(func(err error) {
		kind := KindOf(err)
		a.end(kind, c.Against(err))
		c.note(a, err)
	})
}

// guard starts the timers that run while a stream is read.
func (l *life) guard(t *timeouts) {
	if t == nil || t.observe {
		return
	}
	a := l.attempt
	b := t.of(a.call)
	if b.forGap > 0 {
		gap := make(chan *time.Timer, 1)
		timer := time.AfterFunc(b.forGap, func() {
			timer := <-gap
			left := b.forGap
			if since := l.waiting.Load(); since != 0 {
				left -= time.Duration(a.pool.now() - since)
			}
			if left <= 0 {
				a.expire(b.gapCause)
				return
			}
			gap <- timer
			timer.Reset(left)
		})
		gap <- timer
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

// broke explains what ended a stream after n chunks were delivered. That the
// answer is not whole is what counts; the cause stands behind it.
func (a *attempt) broke(err error, n int) error {
	if errors.Is(err, errAbandoned) && a.call.parent.Err() == nil {
		return a.failed(Canceled, err, err.Error())
	}
	if errors.Is(err, errNoEnd) {
		return a.failed(Truncated, err, chunks(errNoEnd.Error(), n))
	}
	kind, cause := a.explain(err)
	if kind == Canceled || n == 0 {
		return cause
	}
	e := a.failed(Truncated, cause, chunks(kind.String(), n))
	if c, ok := errors.AsType[*Error](cause); ok {
		e.Status, e.Code, e.RequestID, e.RetryAfter = c.Status, c.Code, c.RequestID, c.RetryAfter
		if c.reason != "" && kind == TimedOut {
			e.reason = chunks(c.reason, n)
		}
	}
	return e
}

// watch sees to it that a stream which is lost is settled.
func watch[T any](s *T, l *life) { runtime.AddCleanup(s, (*life).leak, l) }

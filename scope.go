package resilience

import (
	"context"
	"sync/atomic"
	"time"
)

// scope is a context with a deadline of its own that costs nothing until
// somebody asks for Done: only then is a standard context made behind it.
type scope struct {
	parent   context.Context
	armed    atomic.Pointer[arm]
	pool     *Pool
	deadline int64         // on the pool's clock; 0 for none
	cause    *timeoutError // of the deadline
}

type arm struct {
	context.Context
	cancel context.CancelFunc
	cause  context.CancelCauseFunc // of an attempt that streams
}

// ended stands behind every scope that was over before anyone asked.
var ended = func() *arm {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return &arm{ctx, cancel, nil}
}()

func (s *scope) arm() *arm {
	if a := s.armed.Load(); a != nil {
		return a
	}
	a := &arm{}
	switch {
	case s.deadline == 0 && s.cause == streaming:
		a.Context, a.cause = context.WithCancelCause(s.parent)
		a.cancel = func() { a.cause(context.Canceled) }
	case s.deadline == 0:
		a.Context, a.cancel = context.WithCancel(s.parent)
	default:
		a.Context, a.cancel = context.WithDeadlineCause(s.parent, s.pool.wall(s.deadline), s.cause)
	}
	if s.armed.CompareAndSwap(nil, a) {
		return a
	}
	a.cancel()
	return s.armed.Load()
}

func (s *scope) cancel() {
	if !s.armed.CompareAndSwap(nil, ended) {
		s.armed.Load().cancel()
	}
}

// Done implements [context.Context].
func (s *scope) Done() <-chan struct{} { return s.arm().Done() }

// Err implements [context.Context].
func (s *scope) Err() error {
	a := s.armed.Load()
	if a == nil {
		if s.parent.Err() == nil && (s.deadline == 0 || s.pool.now() < s.deadline) {
			return nil
		}
		a = s.arm()
	}
	return a.Err()
}

// Deadline implements [context.Context].
func (s *scope) Deadline() (time.Time, bool) {
	d, ok := s.parent.Deadline()
	if s.deadline != 0 {
		if own := s.pool.wall(s.deadline); !ok || own.Before(d) {
			return own, true
		}
	}
	return d, ok
}

// Value implements [context.Context]. An armed scope answers from the context
// behind it, so that children attach to that one without a goroutine.
func (s *scope) Value(key any) any {
	if a := s.armed.Load(); a != nil && a != ended {
		return a.Value(key)
	}
	return s.parent.Value(key)
}

// streaming marks the scope of an attempt that streams: timers of its own cancel
// it, and are gone when they have done their duty.
var streaming = &timeoutError{}

// timeoutError is the cause of a deadline of ours. It names the setting that
// changes it. net/http and others return causes as they are, so it is what
// callers often see: it has Timeout and unwraps to context.DeadlineExceeded.
type timeoutError struct {
	setting string
	after   time.Duration
	overall bool // it bounds all of a stream
	slow    bool // it bounds not the time but the rate
}

func (e *timeoutError) Error() string {
	if e.slow {
		return "too slow over " + e.after.String() + " (" + e.setting + ")"
	}
	return "timed out after " + e.after.String() + " (" + e.setting + ")"
}

func (*timeoutError) Unwrap() error { return context.DeadlineExceeded }
func (*timeoutError) Timeout() bool { return true }

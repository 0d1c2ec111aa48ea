package resilience

import (
	"context"
	"io"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A Stream is a response that has started: its first meaningful chunk is here.
// Whoever receives a Stream ranges over [Stream.All] or closes it. Until then
// its attempt is under way: it counts as in flight, and [Pool.Drain] waits.
//
// One goroutine reads. Close, Model and Report may be called from others.
type Stream[Chunk any] struct {
	life  *life
	hooks marks[Chunk]
	next  func() (Chunk, error, bool)
	head  []Chunk // read before the stream was handed out

	complete  bool // its end marker was seen
	delivered int
	closed    atomic.Bool

	mu      sync.Mutex
	reading bool
	ended   bool
}

// StreamHooks tell what the chunks of a source of streams mean. They are given
// with the source, since end markers do not survive conversion. All are
// optional.
type StreamHooks[Req, Chunk any] struct {
	// Meaningful reports whether a chunk carries part of the answer, unlike
	// keep-alives and roles. The default is that all do.
	Meaningful func(Chunk) bool
	// Terminal reports whether a chunk ends a whole answer. A stream that ends
	// without one is [Truncated]. Without Terminal any end will do.
	Terminal func(Chunk) bool
	// Usage reports the tokens that a chunk tells of, if it does. Of several
	// reports the last number counts that is not 0, field by field.
	Usage func(Chunk) (Usage, bool)
}

// marks are StreamHooks without the request's type, all of them set.
type marks[Chunk any] struct {
	meaningful func(Chunk) bool
	terminal   func(Chunk) bool
	usage      func(Chunk) (Usage, bool)
	marked     bool // there is an end marker
}

func marksOf[Req, Chunk any](hooks []StreamHooks[Req, Chunk]) marks[Chunk] {
	m := marks[Chunk]{
		meaningful: func(Chunk) bool { return true },
		terminal:   func(Chunk) bool { return false },
		usage:      func(Chunk) (Usage, bool) { return Usage{}, false },
	}
	for _, h := range hooks {
		if h.Meaningful != nil {
			m.meaningful = h.Meaningful
		}
		if h.Terminal != nil {
			m.terminal, m.marked = h.Terminal, true
		}
		if h.Usage != nil {
			m.usage = h.Usage
		}
	}
	return m
}

// maxHead is how many chunks may come before one that means something.
const maxHead = 1 << 14

// StreamOf makes a caller of a function that streams, as [FuncOf] makes one of
// a function that does not. The call succeeds at the first meaningful chunk,
// which must be among the first 16,384: until then it is retried or moved to
// another model like any other call, and after it never.
func StreamOf[Req, Chunk any](
	open func(context.Context, Req) iter.Seq2[Chunk, error], hooks ...StreamHooks[Req, Chunk],
) Func[Req, *Stream[Chunk]] {
	if open == nil {
		return nil
	}
	m := marksOf(hooks)
	return func(ctx context.Context, req Req) (*Stream[Chunk], error) {
		return start(ctx, m, func(ctx context.Context) iter.Seq2[Chunk, error] { return open(ctx, req) })
	}
}

// start reads a source up to its first meaningful chunk.
func start[Chunk any](ctx context.Context, m marks[Chunk], open func(context.Context) iter.Seq2[Chunk, error]) (*Stream[Chunk], error) {
	l := &life{base: time.Now()}
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if ok {
		l.usage = func(u Usage) { a.jot(func(n *note) { n.Usage = n.latest(u) }) }
	}
	if ok && a.call.streams {
		l.ctx, l.cancel = ctx, a.expire
	} else { // nobody else ends this context
		l.ctx, l.cancel = context.WithCancelCause(ctx)
		l.onEnd(func(error) { l.cancel(context.Canceled) })
	}
	next, stop := iter.Pull2(open(l.ctx))
	l.stop = stop
	s := &Stream[Chunk]{life: l, hooks: m, next: next}
	started := false
	defer func() {
		if !started { // also on a panic of the source
			stop()
			if ctx != l.ctx {
				l.cancel(context.Canceled)
			}
		}
	}()
	for {
		chunk, err, ok := next()
		switch {
		case err != nil:
			return nil, err
		case !ok && l.ctx.Err() != nil:
			return nil, context.Cause(l.ctx)
		case !ok && m.marked && !s.complete:
			return nil, &flawed{Truncated, errNoEnd, errNoEnd.Error()}
		case !ok:
			return nil, &flawed{Malformed, io.ErrUnexpectedEOF, "a stream without an answer"}
		case len(s.head) == maxHead:
			return nil, &flawed{Malformed, io.ErrNoProgress, strconv.Itoa(maxHead) + " chunks without an answer"}
		}
		s.head = append(s.head, chunk)
		s.see(chunk)
		if m.meaningful(chunk) {
			break
		}
	}
	started = true
	watch(s, l)
	return s, nil
}

// see notes what a chunk tells beside the answer.
func (s *Stream[Chunk]) see(chunk Chunk) {
	s.complete = s.complete || s.hooks.terminal(chunk)
	if u, ok := s.hooks.usage(chunk); ok && s.life.usage != nil {
		s.life.usage(u)
	}
}

func (s *Stream[Chunk]) alive() *life {
	if s == nil {
		return nil
	}
	return s.life
}

// All returns the chunks, those before the first meaningful one included. An
// error ends them: an [*Error] whose kind is [Truncated] if the answer is not
// whole, with what broke it behind it; [Canceled] if the caller's context
// ended or the stream was closed. Nothing is replayed. Leaving the loop closes
// the stream; a second loop gets nothing.
func (s *Stream[Chunk]) All() iter.Seq2[Chunk, error] {
	return s.chunks(func(err error) error { return s.life.explain(err, s.delivered) })
}

// chunks are those of All, with what explain makes of an error.
func (s *Stream[Chunk]) chunks(explain func(error) error) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		if !s.enter() {
			return
		}
		err := errPanicked // whoever runs while it stands is to blame for leaving
		defer func() { s.leave(err) }()
		for {
			chunk, e, ok := s.read()
			if e != nil || !ok || s.closed.Load() {
				if err = s.outcome(e); err != nil {
					err = explain(err)
					s.leave(err)
					var none Chunk
					yield(none, err)
				}
				return
			}
			s.delivered++
			err = errAbandoned
			if !yield(chunk, nil) {
				return
			}
			err = errPanicked
		}
	}
}

// outcome is what the end of the source means, where e is its error, if any.
func (s *Stream[Chunk]) outcome(e error) error {
	switch {
	case s.complete: // what comes after the whole answer does not matter
		return nil
	case s.closed.Load():
		return errAbandoned
	case e != nil:
		return e
	case s.life.ctx.Err() != nil:
		return context.Cause(s.life.ctx)
	case s.hooks.marked:
		return errNoEnd
	default:
		return nil
	}
}

// read returns the next chunk, with a note of since when it waits.
func (s *Stream[Chunk]) read() (chunk Chunk, err error, ok bool) { //nolint:revive // as iter.Pull2 has it
	if len(s.head) > 0 {
		chunk, s.head = s.head[0], s.head[1:]
		return chunk, nil, true
	}
	s.life.waiting.Store(int64(time.Since(s.life.base)) + 1)
	chunk, err, ok = s.next()
	s.life.waiting.Store(0)
	if ok && err == nil {
		s.see(chunk)
	}
	return chunk, err, ok
}

// enter makes the caller the stream's reader.
func (s *Stream[Chunk]) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading || s.ended {
		return false
	}
	s.reading = true
	return true
}

// leave ends the stream, once. One that is whole has succeeded, whatever its
// reader did then.
func (s *Stream[Chunk]) leave(err error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.reading, s.ended = false, true
	s.mu.Unlock()
	if err == errAbandoned || err == errPanicked { //nolint:errorlint // as they are, not explained yet
		if s.complete && err == errAbandoned { //nolint:errorlint // likewise
			err = nil
		} else {
			err = s.life.explain(err, s.delivered)
		}
		s.life.cancel(errAbandoned)
	}
	defer s.life.end(err)
	s.life.stop()
}

// Close abandons what is left of the stream; its slot is free then. While
// another goroutine reads, or the loop's own body calls it, Close cancels, and
// the reader gets no more than the end. Closing a stream that is over, or nil,
// does nothing.
func (s *Stream[Chunk]) Close() error {
	if s == nil || s.life == nil {
		return nil
	}
	s.closed.Store(true)
	if s.enter() {
		s.leave(errAbandoned)
		return nil
	}
	s.life.cancel(errAbandoned)
	return nil
}

// Model returns the model that is answering, nil outside of a pool.
func (s *Stream[Chunk]) Model() *Model {
	if len(s.life.followers) == 0 {
		return nil
	}
	return s.life.followers[0].attempt.model
}

// Report says how the call went. It is complete once the stream has ended.
func (s *Stream[Chunk]) Report() Report {
	s.life.mu.Lock()
	defer s.life.mu.Unlock()
	return s.life.report
}

// after adds to a reason how much was delivered.
func after(reason string, n int) string { return reason + " after " + strconv.Itoa(n) + " chunks" }

// BindStream is [BindFunc] for a function that streams. See [StreamOf].
func BindStream[Req, Chunk any](
	id string, open func(context.Context, Req) iter.Seq2[Chunk, error], hooks ...StreamHooks[Req, Chunk],
) Binding[Req, *Stream[Chunk]] {
	if open == nil {
		return Binding[Req, *Stream[Chunk]]{id: id}
	}
	return BindFunc(id, StreamOf(open, hooks...))
}

// BindProviderStream is [BindProvider] for a function that streams.
func BindProviderStream[Req, Chunk any](
	provider string, open func(context.Context, *Model, Req) iter.Seq2[Chunk, error], hooks ...StreamHooks[Req, Chunk],
) Binding[Req, *Stream[Chunk]] {
	if open == nil {
		return Binding[Req, *Stream[Chunk]]{provider: provider}
	}
	m := marksOf(hooks)
	return BindProvider(provider, func(ctx context.Context, model *Model, req Req) (*Stream[Chunk], error) {
		return start(ctx, m, func(ctx context.Context) iter.Seq2[Chunk, error] { return open(ctx, model, req) })
	})
}

package resilience

import (
	"context"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A Stream is a response that has started: its first meaningful chunk is here.
// Whoever receives a Stream ranges over [Stream.All] or closes it. Until then
// its attempt is under way: it counts as in flight, and [Pool.Drain] waits.
//
// One goroutine reads. Close, Model and Report may be called from others.
type Stream[Chunk any] struct {
	feed      atomic.Pointer[feed[Chunk]] // another one after a rescue
	delivered int
	kept      kept[Chunk]
	closed    atomic.Bool

	mu      sync.Mutex
	reading bool
	ended   bool
	halt    func() // a rescue that is under way
}

// StreamOf makes a caller of a function that streams, as [FuncOf] makes one of
// a function that does not. The call succeeds at the first meaningful chunk,
// which must be among the first 16,384: until then it is retried or moved to
// another model like any other call. For what comes after it see [Stream.All].
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

func (s *Stream[Chunk]) self() any { return s }

func (s *Stream[Chunk]) alive() *life {
	if s == nil {
		return nil
	}
	if f := s.feed.Load(); f != nil {
		return f.life
	}
	return nil
}

// All returns the chunks, those before the first meaningful one included. An
// error ends them: an [*Error] whose kind is [Truncated] if the answer is not
// whole, with what broke it behind it; [Canceled] if the caller's context
// ended or the stream was closed. Leaving the loop closes the stream; a second
// loop gets nothing.
//
// Nothing is replayed. An answer that breaks goes on without the reader's
// notice where the source's hooks allow it: by [StreamHooks].Resume; else, or
// if models refuse that, by asking for it once more, if it then begins with the
// text that was delivered ([StreamHooks].Text). Another model is asked, as far
// as the pool goes to others, or else the same one, where the failure allows it
// and after growing pauses. Each time costs one of the call's extra attempts,
// and must begin within the time that the call had for its first chunk. An
// answer that a filter broke off does not go on, nor one that has delivered
// more than 16,384 chunks (Resume) or 1 MiB (Text). What is not rescued ends
// with the error that broke it.
func (s *Stream[Chunk]) All() iter.Seq2[Chunk, error] {
	return s.chunks(func(err error) error { return s.alive().explain(err, s.delivered) })
}

// chunks are those of All, with what explain makes of an error.
func (s *Stream[Chunk]) chunks(explain func(error) error) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		if !s.enter() {
			return
		}
		err := errPanicked // whoever runs while it stands is to blame for leaving
		defer func() { s.leave(err) }()
		f := s.feed.Load()
		if len(f.life.holds) == 0 { // nobody to go on
			s.kept.noList, s.kept.noText = true, true
		}
		for {
			chunk, e, ok := f.read()
			if e != nil || !ok || s.closed.Load() {
				broke := s.outcome(e)
				if broke != nil && s.rescue(broke) {
					f = s.feed.Load()
					continue
				}
				if err = broke; err != nil {
					err = explain(err)
					s.leave(err)
					var none Chunk
					yield(none, err)
				}
				return
			}
			s.delivered++
			if !s.kept.noList || !s.kept.noText {
				s.kept.add(&f.marks, chunk)
			}
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
	f := s.feed.Load()
	switch {
	case f.complete: // what comes after the whole answer does not matter
		return nil
	case s.closed.Load():
		return errAbandoned
	case e != nil && !mutants.On("stream-error-is-a-success"):
		return e
	default:
		return f.short()
	}
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
	f := s.feed.Load()
	if err == errAbandoned || err == errPanicked { //nolint:errorlint // as they are, not explained yet
		if f.complete && err == errAbandoned { //nolint:errorlint // likewise
			err = nil
		} else {
			err = f.life.explain(err, s.delivered)
		}
		f.life.cancel(errAbandoned)
	}
	defer f.life.end(err)
	f.life.stop()
}

// Close abandons what is left of the stream; its slot is free then. While
// another goroutine reads, or the loop's own body calls it, Close cancels, and
// the reader gets no more than the end. Closing a stream that is over, or nil,
// does nothing.
func (s *Stream[Chunk]) Close() error {
	if s.alive() == nil {
		return nil
	}
	s.closed.Store(true)
	if s.enter() {
		s.leave(errAbandoned)
		return nil
	}
	s.alive().cancel(errAbandoned) // read after closed was set: a rescue looks the other way round
	s.mu.Lock()
	halt := s.halt
	s.mu.Unlock()
	if halt != nil {
		halt()
	}
	return nil
}

// Model returns the model that is answering, nil outside of a pool.
func (s *Stream[Chunk]) Model() *Model {
	l := s.alive()
	if len(l.followers) == 0 {
		return nil
	}
	return l.followers[0].attempt.model
}

// Report says how the call went. It is complete once the stream has ended.
func (s *Stream[Chunk]) Report() Report { return s.alive().told() }

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
	return BindProvider(provider, streamsOf(open, hooks))
}

// BindAllStreams is [BindAll] for a function that streams.
func BindAllStreams[Req, Chunk any](
	open func(context.Context, *Model, Req) iter.Seq2[Chunk, error], hooks ...StreamHooks[Req, Chunk],
) Binding[Req, *Stream[Chunk]] {
	if open == nil {
		return BindAll[Req, *Stream[Chunk]](nil)
	}
	return BindAll(streamsOf(open, hooks))
}

// streamsOf is [StreamOf] for a function that is told the model.
func streamsOf[Req, Chunk any](
	open func(context.Context, *Model, Req) iter.Seq2[Chunk, error], hooks []StreamHooks[Req, Chunk],
) func(context.Context, *Model, Req) (*Stream[Chunk], error) {
	m := marksOf(hooks)
	return func(ctx context.Context, model *Model, req Req) (*Stream[Chunk], error) {
		return start(ctx, m, func(ctx context.Context) iter.Seq2[Chunk, error] { return open(ctx, model, req) })
	}
}

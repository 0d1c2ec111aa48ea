package resilience

import (
	"context"
	"errors"
	"io"
	"iter"
)

// A Cursor is the shape of the streams of the OpenAI and Anthropic SDKs.
type Cursor[Chunk any] interface {
	Next() bool
	Current() Chunk
	Err() error
	Close() error
}

// FromCursor returns the chunks of a cursor, and closes it.
func FromCursor[Chunk any](c Cursor[Chunk]) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		defer func() { _ = c.Close() }() // what it says comes after the answer
		for c.Next() {
			if !yield(c.Current(), nil) {
				return
			}
		}
		if err := c.Err(); err != nil {
			var none Chunk
			yield(none, err)
		}
	}
}

// FromRecv returns the chunks of a stream with Recv and Close that ends with
// [io.EOF], and closes it.
func FromRecv[Chunk any](s interface {
	Recv() (Chunk, error)
	Close() error
}) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		defer func() { _ = s.Close() }()
		for {
			chunk, err := s.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(chunk, err) || err != nil {
				return
			}
		}
	}
}

// SDKStream makes a function that streams of an SDK's method, with the options
// to call it with, for [BindStream] and [StreamOf]. The SDK must not retry by
// itself.
//
//	resilience.SDKStream(client.Chat.Completions.NewStreaming, option.WithMaxRetries(0))
func SDKStream[S Cursor[Chunk], Req, Chunk, Opt any](
	method func(context.Context, Req, ...Opt) S, opts ...Opt,
) func(context.Context, Req) iter.Seq2[Chunk, error] {
	return func(ctx context.Context, req Req) iter.Seq2[Chunk, error] {
		return func(yield func(Chunk, error) bool) {
			FromCursor(method(ctx, req, opts...))(yield)
		}
	}
}

// AdaptStream is [Adapt] for streams. The provider's hooks, its end marker among
// them, stay with call. Out leaves out a chunk by reporting false; its error is
// [Malformed] unless it has a [Kind].
func AdaptStream[Req, Chunk, PReq, PChunk any](
	call Func[PReq, *Stream[PChunk]],
	in func(ctx context.Context, m *Model, req Req) (PReq, error),
	out func(PChunk) (c Chunk, ok bool, err error),
	hooks ...StreamHooks[Req, Chunk],
) Func[Req, *Stream[Chunk]] {
	source := Adapt(call, in, func(s *Stream[PChunk]) (*Stream[PChunk], error) { return s, nil })
	m := marksOf(hooks)
	return func(ctx context.Context, req Req) (*Stream[Chunk], error) {
		s, err := source(ctx, req)
		if err != nil {
			return nil, err
		}
		return start(ctx, m, func(own context.Context) iter.Seq2[Chunk, error] {
			if own == ctx { // s ends with the attempt that they share
				return adapted(s, out)
			}
			return func(yield func(Chunk, error) bool) {
				defer context.AfterFunc(own, func() {
					if ctx.Err() == nil {
						_ = s.Close()
					}
				})()
				adapted(s, out)(yield)
			}
		})
	}
}

// adapted are the chunks of s. What ended it is left for the attempt to explain
// that reads them, unless s has attempts of its own.
func adapted[Chunk, PChunk any](s *Stream[PChunk], out func(PChunk) (Chunk, bool, error)) iter.Seq2[Chunk, error] {
	explain := func(err error) error {
		if l := s.alive(); len(l.followers) > 0 {
			return l.explain(err, s.delivered)
		}
		return err
	}
	return func(yield func(Chunk, error) bool) {
		for chunk, err := range s.chunks(explain) {
			var c Chunk
			ok := true
			if err == nil {
				c, ok, err = out(chunk)
				if err != nil {
					err = withKind(Malformed, err, "a chunk cannot be converted")
				}
			}
			if (ok || err != nil) && !yield(c, err) || err != nil {
				return
			}
		}
	}
}

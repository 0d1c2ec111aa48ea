package chaos

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

// Script returns a model that plays steps, one a call, and then the last again
// and again. Without steps it answers with the zero Resp.
//
//	chaos.Script[string, string](chaos.Fail(resilience.Overloaded), chaos.Reply("42"))
func Script[Req, Resp any](steps ...Step) *Scripted[Req, Resp] {
	return &Scripted[Req, Resp]{steps: slices.Clone(steps)}
}

// A Step is what a scripted model does with one request.
type Step struct {
	after  time.Duration
	answer func(ctx context.Context) (any, error)
}

// Reply answers v, after delay if there is one. A v that is no response of the
// model's is an error of kind [resilience.Invalid].
func Reply(v any, delay ...time.Duration) Step {
	return Step{sum(delay), func(context.Context) (any, error) { return v, nil }}
}

// Fail fails with err, after delay if there is one: with a [resilience.Kind], an
// [*resilience.Error] where a wait belongs to it, or an error of an SDK.
func Fail(err error, delay ...time.Duration) Step {
	return Step{sum(delay), func(context.Context) (any, error) { return nil, err }}
}

// Hang waits until the context ends.
func Hang() Step {
	return Step{answer: func(ctx context.Context) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}}
}

// Chunks answers with a stream of chunks, each after delay. With cut it breaks
// off after the last one. The model's response is a *resilience.Stream[Chunk].
func Chunks[Chunk any](cut bool, delay time.Duration, chunks ...Chunk) Step {
	play := resilience.StreamOf(func(ctx context.Context, _ struct{}) iter.Seq2[Chunk, error] {
		return func(yield func(Chunk, error) bool) {
			var none Chunk
			for _, chunk := range chunks {
				if err := pause(ctx, delay); err != nil {
					yield(none, err)
					return
				}
				if !yield(chunk, nil) {
					return
				}
			}
			if cut {
				yield(none, io.ErrUnexpectedEOF)
			}
		}
	})
	return Step{answer: func(ctx context.Context) (any, error) { return play(ctx, struct{}{}) }}
}

func sum(all []time.Duration) (d time.Duration) {
	for _, x := range all {
		d += x
	}
	return d
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Scripted is a model that plays a script, a [resilience.ModelCaller].
type Scripted[Req, Resp any] struct {
	steps []Step

	mu       sync.Mutex
	requests []Req
}

// Call plays the next step.
func (s *Scripted[Req, Resp]) Call(ctx context.Context, req Req) (resp Resp, err error) {
	s.mu.Lock()
	n := min(len(s.requests), len(s.steps)-1)
	s.requests = append(s.requests, req)
	s.mu.Unlock()
	if n < 0 {
		return resp, nil
	}
	if err := pause(ctx, s.steps[n].after); err != nil {
		return resp, err
	}
	v, err := s.steps[n].answer(ctx)
	if err != nil {
		return resp, err
	}
	own, ok := v.(Resp)
	if !ok {
		return resp, fmt.Errorf("%w: step %d of the script answers with a %T, and the model with a %T", resilience.Invalid, n+1, v, resp)
	}
	return own, nil
}

// Requests returns what the model was sent, in order.
func (s *Scripted[Req, Resp]) Requests() []Req {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

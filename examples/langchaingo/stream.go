package langchaingo

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"github.com/tmc/langchaingo/llms"
)

// request is a call of the framework.
type request struct {
	messages []llms.MessageContent
	options  []llms.CallOption
}

// option is r's options as one, for a model that sends what it streams. The
// model keeps its own name.
func (r request) option(send func(piece) error) llms.CallOption {
	return func(o *llms.CallOptions) {
		name := o.Model
		for _, option := range r.options {
			option(o)
		}
		o.Model = name
		if o.StreamingFunc != nil {
			o.StreamingFunc = func(_ context.Context, text []byte) error {
				return send(piece{text: bytes.Clone(text)})
			}
		}
		if o.StreamingReasoningFunc != nil {
			o.StreamingReasoningFunc = func(_ context.Context, reasoning, text []byte) error {
				return send(piece{thought: true, reasoning: bytes.Clone(reasoning), text: bytes.Clone(text)})
			}
		}
	}
}

// A piece is one call of a streaming function, or the answer that a model
// returned at the end.
type piece struct {
	thought         bool // it is for the StreamingReasoningFunc
	reasoning, text []byte
	answer          *llms.ContentResponse
}

// deliver calls the caller's streaming function.
func (p piece) deliver(ctx context.Context, o llms.CallOptions) error {
	switch {
	case p.answer != nil:
		return nil
	case p.thought:
		return o.StreamingReasoningFunc(ctx, p.reasoning, p.text)
	default:
		return o.StreamingFunc(ctx, p.text)
	}
}

// whole reports whether p is an answer that was not cut off.
func (m Model) whole(p piece) bool {
	return p.answer != nil && len(p.answer.Choices) > 0 && (m.AnyEnd ||
		slices.ContainsFunc(p.answer.Choices, func(c *llms.ContentChoice) bool { return c != nil && c.StopReason != "" }))
}

// pieces are what the model streams. It has a goroutine, which is gone when the
// sequence has ended: a model may call a streaming function from any, and even
// after it has returned.
func (m Model) pieces(ctx context.Context, r request) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pieces, done := make(chan piece), make(chan struct{})
		var last piece
		var err error
		var panicked any
		go func() {
			defer close(done)
			defer func() { panicked = recover() }()
			last.answer, err = m.GenerateContent(ctx, r.messages, r.option(func(p piece) error {
				select {
				case pieces <- p:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}))
			if err == nil { // some models take the end of their context for that of the answer
				err = context.Cause(ctx)
			}
		}()
		defer func() {
			cancel()
			<-done
			if panicked != nil {
				panic(panicked) // where its caller can recover
			}
		}()
		for {
			select {
			case p := <-pieces:
				if !yield(p, nil) {
					return
				}
			case <-done:
				if panicked == nil {
					yield(last, err)
				}
				return
			}
		}
	}
}

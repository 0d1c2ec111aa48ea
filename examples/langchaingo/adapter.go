// Package langchaingo protects models of langchaingo: several of them stand
// behind one pool and are one model to the framework.
package langchaingo

import (
	"context"

	"github.com/tmc/langchaingo/llms"

	"github.com/cmmv-hive/resilience"
)

// A Model is a model of the framework under the ID that the pool knows it by.
// It must not retry by itself.
type Model struct {
	ID string
	llms.Model

	// AnyEnd is for models whose answers have no StopReason, such as those of
	// the framework's ollama. Without one, the answer to a call that streams is
	// taken for cut off, unless AnyEnd is set.
	AnyEnd bool
}

// An LLM is the models of a pool as one [llms.Model]. It is safe for concurrent
// use. What the framework cannot say of a call, such as what it is for, goes
// with its context: see [resilience.WithOptions].
//
// An option [llms.WithModel] restricts the call to the pool's model of that
// name or ID. It is not passed on, since no other model would know the name.
// All other options go to each model that is asked.
type LLM struct {
	// Report, if set, is told how each call went, with the call's context. It
	// is set before the first call.
	Report func(context.Context, resilience.Report)

	calls   *resilience.Client[request, *llms.ContentResponse]
	streams *resilience.Client[request, *resilience.Stream[piece]]
}

var _ llms.Model = (*LLM)(nil)

// New returns the model that models, most preferred first, are in pool.
func New(pool *resilience.Pool, models ...Model) (*LLM, error) {
	calls := []resilience.ClientOption[request, *llms.ContentResponse]{resilience.Hooks[request, *llms.ContentResponse]{
		Usage: func(_ request, answer *llms.ContentResponse) resilience.Usage { return usage(answer) },
	}}
	var streams []resilience.ClientOption[request, *resilience.Stream[piece]]
	for _, m := range models {
		if m.Model == nil {
			return nil, &resilience.ConfigError{Path: "langchaingo.models." + m.ID, Problem: "the model is nil"}
		}
		calls = append(calls, resilience.BindFunc(m.ID, func(ctx context.Context, r request) (*llms.ContentResponse, error) {
			return m.GenerateContent(ctx, r.messages, r.option(nil))
		}))
		streams = append(streams, resilience.BindStream(m.ID, m.pieces, resilience.StreamHooks[request, piece]{
			Meaningful: func(p piece) bool { return len(p.text)+len(p.reasoning) > 0 || m.whole(p) },
			Terminal:   m.whole,
			Usage:      func(p piece) (resilience.Usage, bool) { return usage(p.answer), p.answer != nil },
		}))
	}
	llm := &LLM{}
	var err error
	if llm.calls, err = resilience.NewClient(pool, calls...); err != nil {
		return nil, err
	}
	llm.streams, err = resilience.NewClient(pool, streams...)
	return llm, err
}

// GenerateContent implements [llms.Model].
//
// A streaming function is called on the caller's goroutine, with ctx, while the
// model goes on at most one piece ahead. Once it has been called with text no
// other attempt is made: what is called with is the beginning of one answer. If
// that breaks, or ends without a StopReason, the call fails as
// [resilience.Truncated]. An error of the function ends the call, which returns
// it as it is; that says nothing against the model.
func (l *LLM) GenerateContent(ctx context.Context, messages []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	var o llms.CallOptions
	for _, option := range options {
		option(&o)
	}
	r, opts := request{messages, options}, resilience.CallOptions{Model: o.Model}
	if o.StreamingFunc == nil && o.StreamingReasoningFunc == nil {
		answer, report, err := l.calls.Do(ctx, r, opts)
		l.report(ctx, report)
		return answer, err
	}
	stream, report, err := l.streams.Do(ctx, r, opts)
	if err != nil {
		l.report(ctx, report)
		return nil, err
	}
	defer func() { l.report(ctx, stream.Report()) }()
	var answer *llms.ContentResponse
	for p, err := range stream.All() {
		if err == nil {
			err = p.deliver(ctx, o)
		}
		if err != nil {
			return nil, err
		}
		answer = p.answer
	}
	return answer, nil
}

// Call implements [llms.Model].
func (l *LLM) Call(ctx context.Context, prompt string, options ...llms.CallOption) (string, error) {
	return llms.GenerateFromSinglePrompt(ctx, l, prompt, options...)
}

func (l *LLM) report(ctx context.Context, report resilience.Report) {
	if l.Report != nil {
		l.Report(ctx, report)
	}
}

package langchaingo

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tmc/langchaingo/llms"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// statusError has the shape of an SDK's error.
type statusError struct{ StatusCode int }

func (e *statusError) Error() string { return "the provider's own words" }

// overloaded is a failure that moves a call on to another model.
var overloaded = &statusError{529}

// scripted is a model of the framework that does as it is told.
type scripted struct {
	words  []string   // streamed, if that is wanted
	broken error      // instead of an answer
	hang   bool       // instead of an answer, until its context ends
	panics bool       // instead of an answer
	stop   string     // the answer's StopReason
	silent bool       // knows nothing of streams
	deaf   bool       // takes an error of the streaming function for the end, as the framework's googleai does
	apart  bool       // streams on a goroutine of its own, as the framework's anthropic does
	late   chan error // when it has been sent to, the streaming function is called after all, as that may do

	calls int
	asked llms.CallOptions // of the latest call
}

func (s *scripted) GenerateContent(ctx context.Context, _ []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	o := llms.CallOptions{Model: "its own"}
	for _, option := range options {
		option(&o)
	}
	s.calls++
	s.asked = o
	said, err := "", error(nil)
	if s.apart {
		done := make(chan struct{})
		go func() {
			defer close(done)
			said, err = s.stream(ctx, o)
		}()
		<-done
	} else {
		said, err = s.stream(ctx, o)
	}
	if s.late != nil {
		go func() {
			<-s.late
			s.late <- o.StreamingFunc(ctx, []byte("late"))
		}()
	}
	switch {
	case s.panics:
		panic("a bug")
	case err != nil:
		return nil, err
	case s.hang:
		<-ctx.Done()
		if !s.deaf {
			return nil, ctx.Err()
		}
	case s.broken != nil:
		return nil, s.broken
	}
	return answer(said, s.stop), nil
}

func (s *scripted) stream(ctx context.Context, o llms.CallOptions) (said string, err error) {
	for _, word := range s.words {
		buffer := []byte(word) // used again, as a scanner's may be
		if o.StreamingFunc != nil && !s.silent {
			err = o.StreamingFunc(ctx, buffer)
		}
		if o.StreamingReasoningFunc != nil && err == nil && !s.silent {
			err = o.StreamingReasoningFunc(ctx, []byte("hm"), buffer)
		}
		clear(buffer)
		if err != nil {
			if s.deaf {
				err = nil
			}
			return said, err
		}
		said += word
	}
	return said, nil
}

func (s *scripted) Call(ctx context.Context, prompt string, options ...llms.CallOption) (string, error) {
	return llms.GenerateFromSinglePrompt(ctx, s, prompt, options...)
}

func answer(text, stop string) *llms.ContentResponse {
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{Content: text, StopReason: stop, GenerationInfo: map[string]any{
		"PromptTokens": 7, "PromptCachedTokens": 2, "CompletionTokens": 5, "ReasoningTokens": 1,
	}}}}
}

var used = resilience.Usage{Input: 7, CachedInput: 2, Output: 5, Reasoning: 1}

func newPool(t *testing.T, more ...resilience.Feature) *resilience.Pool {
	t.Helper()
	p, err := resilience.NewPool(append(more, fallback.New(fallback.Config{}), retry.New(retry.Config{}), breaker.New(breaker.Config{}))...)
	require.NoError(t, err)
	return p
}

// protect returns the model of the models a, b …, and its latest report.
func protect(t *testing.T, p *resilience.Pool, models ...llms.Model) (*LLM, *resilience.Report) {
	t.Helper()
	var list []Model
	for i, m := range models {
		list = append(list, Model{ID: string(rune('a' + i)), Model: m})
	}
	l, err := New(p, list...)
	require.NoError(t, err)
	latest := &resilience.Report{}
	l.Report = func(_ context.Context, r resilience.Report) { *latest = r }
	return l, latest
}

var question = []llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, "why?")}

// into returns an option that collects what is streamed.
func into(said *string) llms.CallOption {
	return llms.WithStreamingFunc(func(_ context.Context, text []byte) error {
		*said += string(text)
		return nil
	})
}

package eino

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// statusError has the shape of an SDK's error.
type statusError struct{ StatusCode int }

func (e *statusError) Error() string { return "the provider's own words" }

// scripted is a chat model of the framework that does as it is told.
type scripted struct {
	refuse error             // at once
	chunks []*schema.Message // then
	broken error             // instead of an end
	hang   bool              // instead of an end, until its context ends

	tools     []*schema.ToolInfo
	toolError error
	callbacks bool

	asked *[]model.Options // what each call was asked with, shared by all that WithTools made
}

func (s *scripted) Generate(ctx context.Context, _ []*schema.Message, opts ...model.Option) (*schema.Message, error) {
	if err := s.begin(opts); err != nil {
		return nil, err
	}
	if s.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	m, err := schema.ConcatMessages(s.chunks)
	if err == nil {
		m.ResponseMeta = s.chunks[len(s.chunks)-1].ResponseMeta
	}
	return m, err
}

func (s *scripted) Stream(ctx context.Context, _ []*schema.Message, opts ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	if err := s.begin(opts); err != nil {
		return nil, err
	}
	r, w := schema.Pipe[*schema.Message](0)
	go func() {
		defer w.Close()
		for _, chunk := range s.chunks {
			if w.Send(chunk, nil) {
				return
			}
		}
		if s.hang {
			<-ctx.Done()
			w.Send(nil, ctx.Err())
		} else if s.broken != nil {
			w.Send(nil, s.broken)
		}
	}()
	return r, nil
}

func (s *scripted) begin(opts []model.Option) error {
	if s.asked != nil {
		*s.asked = append(*s.asked, *model.GetCommonOptions(&model.Options{Tools: s.tools}, opts...))
	}
	return s.refuse
}

func (s *scripted) WithTools(tools []*schema.ToolInfo) (model.ToolCallingChatModel, error) {
	next := *s
	next.tools = tools
	return &next, s.toolError
}

func (s *scripted) IsCallbacksEnabled() bool { return s.callbacks }

func text(s string) *schema.Message { return schema.AssistantMessage(s, nil) }

func end(reason string) *schema.Message {
	return &schema.Message{Role: schema.Assistant, ResponseMeta: &schema.ResponseMeta{FinishReason: reason, Usage: &schema.TokenUsage{
		PromptTokens: 7, PromptTokenDetails: schema.PromptTokenDetails{CachedTokens: 2},
		CompletionTokens: 5, CompletionTokensDetails: schema.CompletionTokensDetails{ReasoningTokens: 1},
	}}}
}

var used = resilience.Usage{Input: 7, CachedInput: 2, Output: 5, Reasoning: 1}

// overloaded is a failure that moves a call on to another model.
var overloaded = &statusError{529}

func newPool(t *testing.T, more ...resilience.Feature) *resilience.Pool {
	t.Helper()
	p, err := resilience.NewPool(append(more, fallback.New(fallback.Config{}), retry.New(retry.Config{Attempts: -1}), breaker.New(breaker.Config{}))...)
	require.NoError(t, err)
	return p
}

// protect returns the chat model of the models a, b …, and its latest report.
func protect(t *testing.T, p *resilience.Pool, models ...model.ToolCallingChatModel) (*ChatModel, *resilience.Report) {
	t.Helper()
	var list []Model
	for i, m := range models {
		list = append(list, Model{string(rune('a' + i)), m})
	}
	c, err := New(p, list...)
	require.NoError(t, err)
	latest := &resilience.Report{}
	c.Report = func(_ context.Context, r resilience.Report) { *latest = r }
	return c, latest
}

var question = []*schema.Message{schema.UserMessage("why?")}

// all reads to the end, closes, and returns what came before it.
func all(r *schema.StreamReader[*schema.Message]) (said string, err error) {
	defer r.Close()
	for {
		chunk, err := r.Recv()
		if errors.Is(err, io.EOF) {
			return said, nil
		}
		if err != nil {
			return said, err
		}
		said += chunk.Content
	}
}

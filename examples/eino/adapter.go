// Package eino protects chat models of the eino framework: several of them
// stand behind one pool and are one chat model to the framework.
package eino

import (
	"context"
	"iter"
	"slices"

	"github.com/cloudwego/eino/components"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"

	"github.com/cmmv-hive/resilience"
)

// A Model is a chat model of the framework under the ID that the pool knows it
// by. It must not retry by itself.
type Model struct {
	ID string
	model.ToolCallingChatModel
}

// A ChatModel is the models of a pool as one [model.ToolCallingChatModel]. It
// is safe for concurrent use. What the framework cannot say of a call, such as
// what it is for, goes with its context: see [resilience.WithOptions].
//
// An option [model.WithModel] restricts the call to the pool's model of that
// name or ID. It is not passed on, since no other model would know the name.
// All other options go to each model that is asked.
type ChatModel struct {
	// Report, if set, is told how each call went, with the call's context; of
	// a stream when it has ended. It is set before the first call.
	Report func(context.Context, resilience.Report)

	calls   *resilience.Client[request, *schema.Message]
	streams *resilience.Client[request, *resilience.Stream[*schema.Message]]
	models  []Model
}

var (
	_ model.ToolCallingChatModel = (*ChatModel)(nil)
	_ components.Checker         = (*ChatModel)(nil)
)

// request is a call of the framework, with the models that have its tools.
type request struct {
	models []Model
	input  []*schema.Message
	opts   []model.Option
}

// New returns the chat model that models, most preferred first, are in pool.
func New(pool *resilience.Pool, models ...Model) (*ChatModel, error) {
	calls := []resilience.ClientOption[request, *schema.Message]{resilience.Hooks[request, *schema.Message]{
		Usage: func(_ request, m *schema.Message) resilience.Usage { u, _ := usage(m); return u },
	}}
	var streams []resilience.ClientOption[request, *resilience.Stream[*schema.Message]]
	hooks := resilience.StreamHooks[request, *schema.Message]{Meaningful: meaningful, Terminal: finished, Usage: usage}
	for i, m := range models {
		if m.ToolCallingChatModel == nil {
			return nil, &resilience.ConfigError{Path: "eino.models." + m.ID, Problem: "the model is nil"}
		}
		calls = append(calls, resilience.BindFunc(m.ID, func(ctx context.Context, r request) (*schema.Message, error) {
			return r.models[i].Generate(ctx, r.input, r.opts...)
		}))
		streams = append(streams, resilience.BindStream(m.ID, func(ctx context.Context, r request) iter.Seq2[*schema.Message, error] {
			return r.models[i].chunks(ctx, r)
		}, hooks))
	}
	chat := &ChatModel{models: slices.Clone(models)}
	var err error
	if chat.calls, err = resilience.NewClient(pool, calls...); err != nil {
		return nil, err
	}
	chat.streams, err = resilience.NewClient(pool, streams...)
	return chat, err
}

// Generate implements [model.BaseChatModel].
func (c *ChatModel) Generate(ctx context.Context, input []*schema.Message, opts ...model.Option) (*schema.Message, error) {
	answer, report, err := c.calls.Do(ctx, c.request(input, opts), asked(opts))
	c.report(ctx, report)
	return answer, err
}

// Stream implements [model.BaseChatModel]. It returns at the first chunk that
// carries part of the answer; until then other models are asked, after that
// none. [io.EOF] means that the answer is whole: that a chunk had a finish
// reason. A stream that breaks or ends without one ends with a
// [resilience.Truncated] error.
//
// The reader must be closed, as the framework has it, which frees the model's
// slot at once. One that is lost is closed by the garbage collector.
func (c *ChatModel) Stream(ctx context.Context, input []*schema.Message, opts ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	stream, report, err := c.streams.Do(ctx, c.request(input, opts), asked(opts))
	if err != nil {
		c.report(ctx, report)
		return nil, err
	}
	return reader(stream, func() { c.report(ctx, stream.Report()) }), nil
}

// WithTools implements [model.ToolCallingChatModel]: c stays as it is. The
// models of both share the pool, and what is known about them.
func (c *ChatModel) WithTools(tools []*schema.ToolInfo) (model.ToolCallingChatModel, error) {
	next := *c
	next.models = slices.Clone(c.models)
	for i, m := range next.models {
		with, err := m.WithTools(tools)
		if err != nil {
			return nil, err
		}
		next.models[i].ToolCallingChatModel = with
	}
	return &next, nil
}

// IsCallbacksEnabled implements [components.Checker]. Models that call the
// framework's callbacks do so once per attempt. Unless all do, the framework
// calls them around c.
func (c *ChatModel) IsCallbacksEnabled() bool {
	return !slices.ContainsFunc(c.models, func(m Model) bool { return !components.IsCallbacksEnabled(m.ToolCallingChatModel) })
}

func (c *ChatModel) report(ctx context.Context, report resilience.Report) {
	if c.Report != nil {
		c.Report(ctx, report)
	}
}

func (c *ChatModel) request(input []*schema.Message, opts []model.Option) request {
	return request{c.models, input, slices.DeleteFunc(slices.Clone(opts), func(o model.Option) bool {
		return model.GetCommonOptions(nil, o).Model != nil
	})}
}

// asked is what opts say about the model.
func asked(opts []model.Option) (o resilience.CallOptions) {
	if name := model.GetCommonOptions(nil, opts...).Model; name != nil {
		o.Model = *name
	}
	return o
}

package eino_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/examples/eino"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// offline stands for a chat model of the framework's extensions.
type offline struct {
	err    error
	chunks []*schema.Message
}

func (o offline) Generate(context.Context, []*schema.Message, ...model.Option) (*schema.Message, error) {
	if o.err != nil {
		return nil, o.err
	}
	return schema.ConcatMessages(o.chunks)
}

func (o offline) Stream(context.Context, []*schema.Message, ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	return schema.StreamReaderFromArray(o.chunks), o.err
}

func (o offline) WithTools([]*schema.ToolInfo) (model.ToolCallingChatModel, error) { return o, nil }

var (
	gpt    = offline{err: errors.New("error, status code: 529, overloaded")}
	claude = offline{chunks: []*schema.Message{
		schema.AssistantMessage("Air scatters ", nil),
		schema.AssistantMessage("blue light most.", nil),
		{Role: schema.Assistant, ResponseMeta: &schema.ResponseMeta{FinishReason: "stop"}},
	}}
)

// protected is what a graph or an agent is given in place of one chat model.
func protected() *eino.ChatModel {
	pool, err := resilience.NewPool(
		resilience.Timeouts{}, fallback.New(fallback.Config{}),
		retry.New(retry.Config{Attempts: -1}), breaker.New(breaker.Config{}))
	if err != nil {
		panic(err)
	}
	chat, err := eino.New(pool, eino.Model{ID: "gpt-5", ToolCallingChatModel: gpt}, eino.Model{ID: "claude-sonnet-5", ToolCallingChatModel: claude})
	if err != nil {
		panic(err)
	}
	chat.Report = func(_ context.Context, r resilience.Report) {
		for _, a := range r.Attempts {
			fmt.Println(a.Model, a.Kind)
		}
	}
	return chat
}

func Example() {
	answer, err := protected().Generate(context.Background(), []*schema.Message{schema.UserMessage("Why is the sky blue?")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.Content)
	// Output:
	// gpt-5 overloaded
	// claude-sonnet-5 ok
	// Air scatters blue light most.
}

// A stream reaches io.EOF only if the answer is whole.
func ExampleChatModel_Stream() {
	chunks, err := protected().Stream(context.Background(), []*schema.Message{schema.UserMessage("Why is the sky blue?")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer chunks.Close()
	for {
		chunk, err := chunks.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Println("not whole:", err)
			return
		}
		fmt.Printf("%q\n", chunk.Content)
	}
	// Output:
	// "Air scatters "
	// "blue light most."
	// ""
	// gpt-5 overloaded
	// claude-sonnet-5 ok
}

package langchaingo_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tmc/langchaingo/llms"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/examples/langchaingo"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// offline stands for a model of the framework's packages.
type offline struct {
	err   error
	words []string
}

func (o offline) GenerateContent(ctx context.Context, _ []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	var opts llms.CallOptions
	for _, option := range options {
		option(&opts)
	}
	said := ""
	for _, word := range o.words {
		if opts.StreamingFunc != nil {
			if err := opts.StreamingFunc(ctx, []byte(word)); err != nil {
				return nil, err
			}
		}
		said += word
	}
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{Content: said, StopReason: "stop"}}}, o.err
}

func (o offline) Call(ctx context.Context, prompt string, options ...llms.CallOption) (string, error) {
	return llms.GenerateFromSinglePrompt(ctx, o, prompt, options...)
}

var (
	errOverloaded = errors.New("API returned unexpected status code: 529: overloaded")
	gpt           = offline{err: errOverloaded}
	claude        = offline{words: []string{"Air scatters ", "blue light most."}}
)

// protect returns what a chain or an agent is given in place of one model.
func protect(models ...langchaingo.Model) *langchaingo.LLM {
	pool, err := resilience.NewPool(
		resilience.Timeouts{}, fallback.New(fallback.Config{}),
		retry.New(retry.Config{Attempts: -1}), breaker.New(breaker.Config{}))
	if err != nil {
		panic(err)
	}
	llm, err := langchaingo.New(pool, models...)
	if err != nil {
		panic(err)
	}
	llm.Report = func(_ context.Context, r resilience.Report) {
		for _, a := range r.Attempts {
			fmt.Println(a.Model, a.Kind)
		}
	}
	return llm
}

func Example() {
	llm := protect(langchaingo.Model{ID: "gpt-5", Model: gpt}, langchaingo.Model{ID: "claude-sonnet-5", Model: claude})
	answer, err := llm.Call(context.Background(), "Why is the sky blue?")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer)
	// Output:
	// gpt-5 overloaded
	// claude-sonnet-5 ok
	// Air scatters blue light most.
}

// Once text went out, a failure is final: nobody begins the answer again.
func ExampleLLM_GenerateContent_streaming() {
	breaks := offline{words: []string{"Air scat"}, err: errOverloaded}
	llm := protect(langchaingo.Model{ID: "gpt-5", Model: breaks}, langchaingo.Model{ID: "claude-sonnet-5", Model: claude})
	question := []llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, "Why is the sky blue?")}
	_, err := llm.GenerateContent(context.Background(), question, llms.WithStreamingFunc(func(_ context.Context, text []byte) error {
		fmt.Printf("%q\n", text)
		return nil
	}))
	fmt.Println(errors.Is(err, resilience.Truncated), errors.Is(err, errOverloaded))
	// Output:
	// "Air scat"
	// gpt-5 truncated
	// true true
}

package fallback_test

import (
	"context"
	"fmt"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

type provider struct {
	name string
	err  error
}

func (p provider) Name() string { return p.name }

func (p provider) Call(_ context.Context, prompt string) (string, error) {
	if p.err != nil {
		return "", p.err
	}
	return p.name + " says: " + prompt, nil
}

func ExampleWrap() {
	chat := fallback.Wrap(fallback.Config{},
		provider{name: "gpt-5", err: resilience.Overloaded},
		provider{name: "claude-sonnet-5"})
	answer, err := chat.Call(context.Background(), "hello")
	fmt.Println(answer, err)
	// Output: claude-sonnet-5 says: hello <nil>
}

func ExampleNew() {
	pool, err := resilience.NewPool(fallback.New(fallback.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool,
		resilience.Bind("gpt-5", provider{name: "gpt-5", err: resilience.RateLimited}),
		resilience.Bind("claude-sonnet-5", provider{name: "claude-sonnet-5"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, report, err := chat.Do(context.Background(), "hello", resilience.CallOptions{Op: "greet"})
	fmt.Println(report.Model, len(report.Attempts), err)
	// Output: claude-sonnet-5 2 <nil>
}

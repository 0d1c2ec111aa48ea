package fallback_test

import (
	"context"
	"fmt"
	"time"

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

// slow answers after a while, unless nobody waits any more.
func slow(text string, d time.Duration) resilience.Func[string, string] {
	return func(ctx context.Context, _ string) (string, error) {
		select {
		case <-time.After(d):
			return text, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func Example_hedged() {
	chat := fallback.Wrap(fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 20 * time.Millisecond},
		slow("from the one that stalls", time.Minute), slow("from the other", time.Millisecond))
	answer, report, err := chat.Do(context.Background(), "hello", resilience.CallOptions{})
	fmt.Println(answer, err)
	for _, a := range report.Attempts {
		fmt.Println(a.Hedge, a.Kind == resilience.Canceled)
	}
	// Output:
	// from the other <nil>
	// false true
	// true false
}

func Example_parallel() {
	cfg := fallback.Config{Ops: map[string]fallback.Config{
		"autocomplete": {Strategy: fallback.Parallel, Width: 3},
	}}
	chat := fallback.Wrap(cfg, slow("the first", time.Minute), slow("the second", time.Minute), slow("the third", time.Millisecond))
	answer, report, err := chat.Do(context.Background(), "hel", resilience.CallOptions{Op: "autocomplete"})
	fmt.Println(answer, len(report.Attempts), err)
	// Output: the third 3 <nil>
}

func Example_standIns() {
	pool, err := resilience.NewPool(fallback.New(fallback.Config{StandIns: map[string][]string{
		"gpt-5":           {"claude-sonnet-5"},
		"claude-sonnet-5": {"gpt-5"},
	}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool,
		resilience.Bind("gpt-5", provider{name: "gpt-5", err: resilience.Overloaded}),
		resilience.Bind("gpt-5-mini", provider{name: "gpt-5-mini"}),
		resilience.Bind("claude-sonnet-5", provider{name: "claude-sonnet-5"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, report, err := chat.Do(context.Background(), "hello", resilience.CallOptions{Model: "gpt-5"})
	fmt.Println(report.Model, report.Substituted, err)
	// Output: claude-sonnet-5 true <nil>
}

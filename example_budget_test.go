package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/retry"
)

// An agent's loop stops when its budget is spent, and the error says on what.
func ExampleWithBudget() {
	pool, err := resilience.NewPool(resilience.Models(
		resilience.ModelInfo{ID: "gpt-5", Price: resilience.Price{Input: 2, Output: 10}},
	))
	if err != nil {
		panic(err)
	}
	ask := func(ctx context.Context, prompt string) (string, error) {
		resilience.ReportUsage(ctx, resilience.Usage{Input: 10_000, Output: 2_000}) // what the provider says
		return "…", nil
	}
	chat, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", ask), resilience.Hooks[string, string]{
		Tokens: func(prompt string) int { return 13_000 },
		Output: func(prompt string) int { return 3_000 }, // its max_tokens
	})
	if err != nil {
		panic(err)
	}

	ctx := resilience.WithBudget(context.Background(), resilience.Budget{Cost: 0.15})
	for i := 0; ; i++ {
		step := []string{"plan", "search", "search", "write"}[i%4]
		if _, _, err = chat.Do(ctx, "go on", resilience.CallOptions{Op: step}); err != nil {
			break
		}
	}
	spent, steps := resilience.Spent(ctx)
	fmt.Printf("%d steps, $%.2f\n", len(steps), spent.Cost)
	fmt.Println(err)
	var refused *resilience.BudgetError
	fmt.Println(errors.As(err, &refused), refused.Op)
	// Output:
	// 3 steps, $0.12
	// resilience: rejected, no model to ask: skipped gpt-5 refused: run budget: $0.05 more at gpt-5 for "write" of $0.15, $0.12 spent (plan $0.04, search $0.08)
	// true write
}

// A model that is told what was wrong with its answer does better.
func ExampleHooks_revise() {
	ask := func(_ context.Context, prompt string) (string, error) {
		fmt.Println("asked:", prompt)
		if prompt == "How many planets?" {
			return "eight", nil
		}
		return "8", nil
	}
	pool, err := resilience.NewPool(retry.New(retry.Config{}))
	if err != nil {
		panic(err)
	}
	chat, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", ask), resilience.Hooks[string, string]{
		Validate: func(_, answer string) error {
			_, err := strconv.Atoi(answer)
			return err
		},
		Revise: func(prompt, answer string, err error) string {
			return prompt + " You said " + answer + ", but digits are wanted."
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(chat.Call(context.Background(), "How many planets?"))
	// Output:
	// asked: How many planets?
	// asked: How many planets? You said eight, but digits are wanted.
	// 8 <nil>
}

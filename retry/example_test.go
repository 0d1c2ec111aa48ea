package retry_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/retry"
)

// A model that is overloaded twice is asked a third time.
func ExampleWrap() {
	attempts := 0
	ask := func(_ context.Context, question string) (string, error) {
		if attempts++; attempts < 3 {
			return "", fmt.Errorf("%w: try again later", resilience.Overloaded)
		}
		return "42", nil
	}
	chat := retry.Wrap(resilience.FuncOf(ask), retry.Config{Base: time.Millisecond})
	answer, err := chat.Call(context.Background(), "What is six times seven?")
	fmt.Println(answer, err, "after", attempts, "attempts")
	// Output: 42 <nil> after 3 attempts
}

// Do needs no pool. What it calls says by a kind what may be tried again.
func ExampleDo() {
	policy := retry.New(retry.Config{Base: time.Millisecond})
	attempts := 0
	n, err := retry.Do(context.Background(), policy, func(context.Context) (int, error) {
		if attempts++; attempts == 1 {
			return 0, fmt.Errorf("%w: connection reset", resilience.Unreachable)
		}
		return 0, fmt.Errorf("%w: no such tool", resilience.Invalid)
	})
	fmt.Println(n, err, "after", attempts, "attempts")
	// Output: 0 invalid: no such tool after 2 attempts
}

// In a pool a policy has its place among the other features, and settings can
// differ by operation and by model.
func ExampleNew() {
	pool, err := resilience.NewPool(retry.New(retry.Config{
		Attempts: 4,
		Ops:      map[string]retry.Config{"batch": {Base: 5 * time.Second, Max: time.Minute}},
		Models:   map[string]retry.Config{"gpt-5": {Patience: 30 * time.Second}},
	}))
	fmt.Println(err)
	for _, layer := range pool.Stack() {
		fmt.Println(layer)
	}
	// Output:
	// <nil>
	// retry    retry    attempts=4 base=500ms max=20s multiplier=2 jitter=1 patience=5s budget=0.1 pace=false lastModelOnly=false observeOnly=false ops=1 models=1
}

package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/recovery"
)

// A model is brought back by hand, after somebody has mended what it was held for.
// The audit hears of it before it takes effect.
func ExampleRecoverer_Recover() {
	recoverer := recovery.New(recovery.Config{})
	pool, err := resilience.NewPool(recoverer,
		resilience.Models(resilience.ModelInfo{ID: "large"}),
		resilience.Probe(func(ctx context.Context, m *resilience.Model) error { return nil }),
		resilience.Audit(func(ctx context.Context, c resilience.Change) error {
			fmt.Printf("%s: %s %s: %s\n", c.Actor, c.What, c.Model, c.Reason)
			return nil
		}))
	if err != nil {
		panic(err)
	}
	large := pool.Model("large")
	large.Hold(context.Background(), resilience.Hold{By: resilience.HoldHealth, Reason: "not_found"})

	outcome, err := recoverer.Recover(context.Background(), large, resilience.Control{Actor: "mia", Reason: "INC-4411 is mended"})
	fmt.Println(outcome.Recovered, outcome.Cause, outcome.Actions, large.Status(), err)
	// Output:
	// mia: recover large: INC-4411 is mended
	// mia: reset large: INC-4411 is mended
	// true not_found [probe reset] available <nil>
}

// Actions are taken before the probe, by what the model failed for.
func ExampleConfig_actions() {
	client := &http.Client{Timeout: time.Minute}
	fetchKey := func(ctx context.Context, m *resilience.Model) error { return errors.New("the vault is sealed") }

	pool, err := resilience.NewPool(
		breaker.New(breaker.Config{}),
		resilience.Probe(func(ctx context.Context, m *resilience.Model) error { return nil }),
		recovery.New(recovery.Config{
			Strategy: recovery.Conservative,
			Actions: map[resilience.Kind][]recovery.Action{
				resilience.Unreachable:  {recovery.CloseIdle(client)},
				resilience.Unauthorized: {recovery.RotateKey(fetchKey)},
			},
		}))
	if err != nil {
		panic(err)
	}
	for _, line := range pool.Stack() {
		fmt.Println(line)
	}
	// Output:
	// breaker  breaker  failureRate=0.5 slowRate=off slowAfter=30s minCalls=10 window=30s consecutive=5 drift=off openFor=15s maxOpenFor=5m probes=2 observeOnly=false
	// timeout  recovery strategy=conservative step=strategy after=5s timeout=5s attempts=10 atOnce=2 observeOnly=false actions=2
}

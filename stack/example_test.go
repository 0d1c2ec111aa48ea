package stack_test

import (
	"context"
	"fmt"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/stack"
)

func ExampleNew() {
	pool, err := resilience.NewPool(stack.New(stack.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("gpt-5", func(context.Context, string) (string, error) { return "", resilience.QuotaSpent }),
		resilience.BindFunc("claude-sonnet-5", func(context.Context, string) (string, error) { return "Rayleigh scattering.", nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := chat.Call(context.Background(), "Why is the sky blue?")
	fmt.Println(answer, err)
	// Output:
	// Rayleigh scattering. <nil>
}

// A feature that the pool is given besides takes the place of the stack's own.
func ExampleNew_override() {
	pool, err := resilience.NewPool(stack.New(stack.Config{}), breaker.New(breaker.Config{Consecutive: 3}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, line := range pool.Stack() {
		fmt.Println(line)
	}
	// Output:
	// route    fallback strategy=sequential limit=all width=2 hedgeAfter=learnt hedgeShare=0.05 hedges=2 lastResort=false filtered=false observeOnly=false
	// route    balance  algorithm=two_choices slowStart=30s lastResort=off
	// retry    retry    attempts=3 base=500ms max=20s multiplier=2 jitter=1 patience=5s budget=0.1 pace=false lastModelOnly=false observeOnly=false
	// limit    limiter  inFlight=adaptive wait=10s queue=100 window=1m tenant=off observeOnly=false
	// breaker  breaker  failureRate=0.5 slowRate=off slowAfter=30s minCalls=10 window=30s consecutive=3 drift=off openFor=15s maxOpenFor=5m probes=2 observeOnly=false
	// timeout  timeouts call=2m attempt=1m connect=off firstChunk=30s gap=30s minRate=off total=off holdBack=off observeOnly=false
}

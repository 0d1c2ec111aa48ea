package balance_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

// A model takes two calls at a time, and a batch job must not take both. What
// there is no room for is refused at once here; by default it waits.
func ExampleNewLimiter() {
	limiter := balance.NewLimiter(balance.LimiterConfig{InFlight: 2, Tenant: 1, Wait: -1})
	pool, err := resilience.NewPool(limiter)
	if err != nil {
		panic(err)
	}
	started, done := make(chan struct{}), make(chan struct{})
	chat, err := resilience.NewClient(pool, resilience.BindFunc("large", func(context.Context, string) (string, error) {
		started <- struct{}{}
		<-done
		return "Rayleigh scattering.", nil
	}))
	if err != nil {
		panic(err)
	}
	ask := func(tenant string) error {
		_, _, err := chat.Do(context.Background(), "Why is the sky blue?", resilience.CallOptions{Tenant: tenant})
		return err
	}

	var calls sync.WaitGroup
	calls.Go(func() { fmt.Println(ask("batch")) })
	<-started
	fmt.Println(errors.Is(ask("batch"), resilience.Rejected))
	calls.Go(func() { fmt.Println(ask("chat")) })
	<-started
	fmt.Println(errors.Is(ask("chat"), resilience.Rejected), pool.Explain("")[0])
	close(done)
	calls.Wait()
	// Output:
	// true
	// true large full: 2 of 2 under way, 0 waiting
	// <nil>
	// <nil>
}

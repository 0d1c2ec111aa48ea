package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

// A caller that keeps failing is not called any more.
func ExampleWrap() {
	asked := 0
	model := resilience.FuncOf(func(ctx context.Context, question string) (string, error) {
		asked++
		return "", resilience.Overloaded
	})
	chat := breaker.Wrap(model, breaker.Config{Consecutive: 3})

	refused := 0
	for range 10 {
		_, err := chat.Call(context.Background(), "Why is the sky blue?")
		if errors.Is(err, resilience.Rejected) {
			refused++
		}
	}
	fmt.Println("asked", asked, "times, refused", refused)
	// Output: asked 3 times, refused 7
}

// One value protects every model of a pool, each with a breaker of its own.
// While one is open, calls go to the next model.
func ExampleNew() {
	breakers := breaker.New(breaker.Config{
		Consecutive: 3,
		Models:      map[string]breaker.Config{"small": {Consecutive: 10}},
	})
	pool, err := resilience.NewPool(breakers)
	if err != nil {
		panic(err)
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("large", func(context.Context, string) (string, error) {
			return "", resilience.Overloaded
		}),
		resilience.BindFunc("small", func(context.Context, string) (string, error) {
			return "Rayleigh scattering.", nil
		}),
	)
	if err != nil {
		panic(err)
	}
	for range 4 {
		answer, err := chat.Call(context.Background(), "Why is the sky blue?")
		fmt.Println(breakers.State(pool.Model("large")), answer, resilience.KindOf(err))
	}
	// Output:
	// closed  overloaded
	// closed  overloaded
	// open  overloaded
	// open Rayleigh scattering. ok
}

// An operator takes a model out for the time of a maintenance. The pool's audit
// hears of it first.
func ExampleBreakers_Open() {
	breakers := breaker.New(breaker.Config{})
	pool, err := resilience.NewPool(breakers,
		resilience.Audit(func(ctx context.Context, c resilience.Change) error {
			fmt.Printf("%s: %s %s, %s to %s: %s\n", c.Actor, c.What, c.Model, c.From, c.To, c.Reason)
			return nil
		}),
		resilience.Models(resilience.ModelInfo{ID: "large"}))
	if err != nil {
		panic(err)
	}
	large := pool.Model("large")

	err = breakers.Open(context.Background(), large, resilience.Control{
		Actor: "mia", Reason: "provider maintenance", Until: time.Now().Add(time.Hour),
	})
	fmt.Println(breakers.State(large), large.Available(), err)

	err = breakers.Close(context.Background(), large, resilience.Control{Actor: "mia", Reason: "done early"})
	fmt.Println(breakers.State(large), large.Available(), err)
	// Output:
	// mia: breaker.open large, closed to open: provider maintenance
	// open false <nil>
	// mia: breaker.close large, open to closed: done early
	// closed true <nil>
}

package degrade_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

// While the service is degraded, requests ask for less, and answers say so.
func ExampleStep_reduce() {
	controller := degrade.New(degrade.Config{})
	pool, err := resilience.NewPool(controller)
	if err != nil {
		panic(err)
	}
	type request struct {
		question  string
		maxTokens int
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("gpt-5", func(_ context.Context, req request) (string, error) {
			return fmt.Sprintf("an answer of %d tokens", req.maxTokens), nil
		}),
		resilience.Hooks[request, string]{Reduce: func(req request, step int) request {
			req.maxTokens /= 1 << step
			return req
		}})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	_, err = controller.Override(ctx, degrade.Severe, resilience.Control{
		Actor: "operator-2", Reason: "INC-4411", Until: time.Now().Add(time.Hour),
	})
	if err != nil {
		panic(err)
	}
	answer, report, err := chat.Do(ctx, request{"Why is the sky blue?", 4000}, resilience.CallOptions{})
	fmt.Println(answer, err)
	fmt.Println(report.Level, report.GivenUp)
	// Output:
	// an answer of 1000 tokens <nil>
	// severe [reduced]
}

// Code that a call runs through asks whether what it would add is on.
func ExampleEnabled() {
	controller := degrade.New(degrade.Config{Levels: map[string]degrade.Step{
		"moderate": {Available: 0.6, Disabled: []string{"search"}},
	}})
	pool, err := resilience.NewPool(controller)
	if err != nil {
		panic(err)
	}
	chat, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", func(ctx context.Context, question string) (string, error) {
		if degrade.Enabled(ctx, "search") {
			return question + " with what a search found", nil
		}
		return question + " alone", nil
	}))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	answer, report, _ := chat.Do(ctx, "the question", resilience.CallOptions{})
	fmt.Println(answer, report.GivenUp)
	_, err = controller.Override(ctx, degrade.Moderate, resilience.Control{
		Actor: "operator-2", Reason: "INC-4411", Until: time.Now().Add(time.Hour),
	})
	if err != nil {
		panic(err)
	}
	answer, report, _ = chat.Do(ctx, "the question", resilience.CallOptions{})
	fmt.Println(answer, report.GivenUp)
	fmt.Println("outside of a call:", controller.Enabled("search"))
	// Output:
	// the question with what a search found []
	// the question alone [search]
	// outside of a call: false
}

// A level set by hand ends by itself, if nobody ends it before.
func ExampleController_Override() {
	controller := degrade.New(degrade.Config{})
	pool, err := resilience.NewPool(controller)
	if err != nil {
		panic(err)
	}
	chat, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", func(context.Context, string) (string, error) {
		return "fine", nil
	}))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	_, err = controller.Override(ctx, degrade.Severe, resilience.Control{Actor: "operator-2", Reason: "INC-4411"})
	fmt.Println(err)
	release, err := controller.Override(ctx, degrade.Severe, resilience.Control{
		Actor: "operator-2", Reason: "INC-4411", Until: time.Now().Add(time.Hour),
	})
	if err != nil {
		panic(err)
	}
	_, report, err := chat.Do(ctx, "later would do", resilience.CallOptions{Priority: resilience.Low})
	fmt.Println(report.Level, resilience.KindOf(err))
	release()
	fmt.Println(controller.Level())
	// Output:
	// control.until: is missing: say when the override ends
	// severe rejected
	// none
}

package monitor_test

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor"
	"github.com/cmmv-hive/resilience/stack"
)

func Example() {
	registry := prometheus.NewRegistry()
	pool, err := resilience.NewPool(stack.New(stack.Config{}), monitor.New(monitor.Config{Registerer: registry}))
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("gpt-5", func(context.Context, string) (string, error) { return "", resilience.Unauthorized }),
		resilience.BindFunc("claude-sonnet-5", func(context.Context, string) (string, error) { return "Rayleigh scattering.", nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for range 10 {
		if _, err := chat.Call(ctx, "Why is the sky blue?"); err != nil {
			fmt.Println(err)
		}
	}
	families, err := registry.Gather() // as promhttp.HandlerFor(registry, …) does
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "resilience_calls_total":
				fmt.Println(f.GetName(), m.GetLabel()[0].GetValue(), m.GetCounter().GetValue())
			case "resilience_held":
				fmt.Println(f.GetName(), m.GetLabel()[1].GetValue(), m.GetLabel()[0].GetValue(), m.GetGauge().GetValue())
			}
		}
	}
	// Output:
	// resilience_calls_total ok 10
	// resilience_held gpt-5 credential 1
}

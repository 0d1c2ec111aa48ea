package alert_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/alert"
)

// BenchmarkEvaluate evaluates the default rules over models that were called lately.
func BenchmarkEvaluate(b *testing.B) {
	for _, n := range []int{50, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var infos []resilience.ModelInfo
			for i := range n {
				infos = append(infos, resilience.ModelInfo{ID: fmt.Sprint("m", i), Provider: fmt.Sprint("p", i%20)})
			}
			alerts := alert.New(alert.Config{})
			pool, err := resilience.NewPool(alerts, resilience.Models(infos...))
			if err != nil {
				b.Fatal(err)
			}
			client, err := resilience.NewClient(pool, resilience.BindAll(func(context.Context, *resilience.Model, int) (int, error) { return 0, nil }))
			if err != nil {
				b.Fatal(err)
			}
			for _, info := range infos {
				for range 30 {
					_, _, _ = client.Do(b.Context(), 1, resilience.CallOptions{Model: info.ID})
				}
			}
			evaluate := alert.Evaluator(alerts)
			evaluate()
			b.ReportAllocs()
			for b.Loop() {
				evaluate()
			}
		})
	}
}

// BenchmarkCall is a call with and without alerts.
func BenchmarkCall(b *testing.B) {
	for _, name := range []string{"bare", "alert"} {
		b.Run(name, func(b *testing.B) {
			var features []resilience.Feature
			if name == "alert" {
				features = append(features, alert.New(alert.Config{}))
			}
			pool, err := resilience.NewPool(features...)
			if err != nil {
				b.Fatal(err)
			}
			client, err := resilience.NewClient(pool, resilience.BindFunc("m", func(context.Context, int) (int, error) { return 0, nil }))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = client.Call(b.Context(), 1)
			}
		})
	}
}

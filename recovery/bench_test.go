package recovery_test

import (
	"context"
	"testing"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/recovery"
)

// BenchmarkWatch compares calls of a pool that is well with and without recovery.
func BenchmarkWatch(b *testing.B) {
	for name, features := range map[string][]resilience.Feature{
		"none":     {breaker.New(breaker.Config{})},
		"recovery": {breaker.New(breaker.Config{}), recovery.New(recovery.Config{})},
	} {
		pool, err := resilience.NewPool(features...)
		if err != nil {
			b.Fatal(err)
		}
		client, err := resilience.NewClient(pool, resilience.BindFunc("m", func(context.Context, string) (string, error) { return "", nil }))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = client.Call(context.Background(), "?")
			}
		})
	}
}

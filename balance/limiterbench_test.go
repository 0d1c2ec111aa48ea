package balance_test

import (
	"context"
	"testing"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

// BenchmarkLimiter compares a call with room to spare with one of a pool that
// has no limiter.
func BenchmarkLimiter(b *testing.B) {
	for name, features := range map[string][]resilience.Feature{
		"none":    nil,
		"limiter": {balance.NewLimiter(balance.LimiterConfig{})},
		"tenants": {balance.NewLimiter(balance.LimiterConfig{Tenant: 10})},
		"paced": {balance.NewLimiter(balance.LimiterConfig{}), resilience.Models(resilience.ModelInfo{
			ID: "m", Limits: resilience.Limits{RequestsPerMinute: 1e12},
		})},
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
		b.Run(name+"_parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = client.Call(context.Background(), "?")
				}
			})
		})
	}
}

package budget_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
)

// far are limits of dollars that nothing comes near.
var far = budget.Config{Limits: []budget.Limit{
	{Cost: 1e6, Window: budget.Day(nil)},
	{Scope: budget.Tenant, Cost: 1e6, Window: budget.Month(nil)},
}}

// benchClient is a client whose one model has a price and says what it used.
func benchClient(b *testing.B, features ...resilience.Feature) *resilience.Client[string, string] {
	b.Helper()
	info := resilience.ModelInfo{ID: "m", Price: resilience.Price{Input: 3, Output: 15}}
	pool, err := resilience.NewPool(append(features, resilience.Models(info))...)
	if err != nil {
		b.Fatal(err)
	}
	client, err := resilience.NewClient(pool,
		resilience.BindFunc("m", func(context.Context, string) (string, error) { return "", nil }),
		resilience.Hooks[string, string]{Usage: func(string, string) resilience.Usage {
			return resilience.Usage{Input: 100, Output: 50}
		}})
	if err != nil {
		b.Fatal(err)
	}
	return client
}

// BenchmarkBudget compares a call of a pool with budgets with one of a pool without,
// in turns.
func BenchmarkBudget(b *testing.B) {
	plain, limited := benchClient(b), benchClient(b, budget.New(far))
	opts := resilience.CallOptions{Tenant: "acme", Op: "ask", Tokens: 2000}
	ctx := resilience.WithOptions(context.Background(), opts)
	const batch = 100 // short, so that few are interrupted
	time1 := func(client *resilience.Client[string, string]) float64 {
		start := time.Now()
		for range batch {
			if _, err := client.Call(ctx, "?"); err != nil {
				b.Fatal(err)
			}
		}
		return float64(time.Since(start)) / batch
	}
	var more, ratios []float64
	for b.Loop() {
		without, with := time1(plain), time1(limited)
		more = append(more, with-without)
		ratios = append(ratios, with/without)
	}
	slices.Sort(more)
	slices.Sort(ratios)
	b.ReportMetric(more[len(more)/2], "ns/call-more")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(testing.AllocsPerRun(1000, func() { _, _ = limited.Call(ctx, "?") })-
		testing.AllocsPerRun(1000, func() { _, _ = plain.Call(ctx, "?") }), "allocs-more")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkTenants makes calls for ten thousand tenants.
func BenchmarkTenants(b *testing.B) {
	client := benchClient(b, budget.New(far))
	var calls []context.Context
	for i := range 10_000 {
		calls = append(calls, resilience.WithOptions(context.Background(), resilience.CallOptions{Tenant: strconv.Itoa(i)}))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_, _ = client.Call(calls[i%len(calls)], "?")
		i++
	}
}

func BenchmarkParallel(b *testing.B) {
	for name, features := range map[string]func() []resilience.Feature{
		"without": func() []resilience.Feature { return nil },
		"budget":  func() []resilience.Feature { return []resilience.Feature{budget.New(far)} },
	} {
		b.Run(name, func(b *testing.B) {
			client := benchClient(b, features()...)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = client.Call(context.Background(), "?")
				}
			})
		})
	}
}

package degrade_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

func benchClient(b *testing.B, features ...resilience.Feature) *resilience.Client[string, string] {
	b.Helper()
	pool, err := resilience.NewPool(features...)
	if err != nil {
		b.Fatal(err)
	}
	client, err := resilience.NewClient(pool,
		resilience.BindFunc("m", func(context.Context, string) (string, error) { return "", nil }))
	if err != nil {
		b.Fatal(err)
	}
	return client
}

// BenchmarkDegrade compares a call of a pool that is well and has a controller with
// one of a pool without, in turns.
func BenchmarkDegrade(b *testing.B) {
	plain, watched := benchClient(b), benchClient(b, degrade.New(degrade.Config{}))
	ctx := context.Background()
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
		without, with := time1(plain), time1(watched)
		more = append(more, with-without)
		ratios = append(ratios, with/without)
	}
	slices.Sort(more)
	slices.Sort(ratios)
	b.ReportMetric(more[len(more)/2], "ns/call-more")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(testing.AllocsPerRun(1000, func() { _, _ = watched.Call(ctx, "?") })-
		testing.AllocsPerRun(1000, func() { _, _ = plain.Call(ctx, "?") }), "allocs-more")
	b.ReportMetric(0, "ns/op")
}

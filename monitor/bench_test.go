package monitor_test

import (
	"context"
	"fmt"
	"sort"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor"
	"github.com/cmmv-hive/resilience/stack"
)

func many(t require.TestingT, n int) (*prometheus.Registry, *resilience.Pool) {
	registry := prometheus.NewRegistry()
	infos := make([]resilience.ModelInfo, n)
	for i := range infos {
		infos[i] = resilience.ModelInfo{ID: fmt.Sprintf("model-%04d", i), Provider: fmt.Sprintf("provider-%d", i%10)}
	}
	pool, err := resilience.NewPool(resilience.Models(infos...), stack.New(stack.Config{}),
		monitor.New(monitor.Config{Registerer: registry, GenAI: true}))
	require.NoError(t, err)
	c, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, _ *resilience.Model, req string) (string, error) {
		resilience.ReportUsage(ctx, resilience.Usage{Input: 100, Output: 10})
		return req, nil
	}))
	require.NoError(t, err)
	for i := range infos {
		_, err := c.Call(resilience.WithOptions(context.Background(), resilience.CallOptions{Model: infos[i].ID}), "")
		require.NoError(t, err)
	}
	return registry, pool
}

// BenchmarkScrape gathers every family.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{50, 500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			registry, _ := many(b, n)
			series := 0
			for b.Loop() {
				all, err := registry.Gather()
				require.NoError(b, err)
				series = 0
				for _, f := range all {
					series += len(f.GetMetric())
				}
			}
			b.ReportMetric(float64(series), "series")
		})
	}
}

// BenchmarkMonitored compares a call in a pool with a monitor to one in a pool without, in
// turn.
func BenchmarkMonitored(b *testing.B) {
	client := func(features ...resilience.Feature) *resilience.Client[int, int] {
		pool, err := resilience.NewPool(append(features, stack.New(stack.Config{}))...)
		require.NoError(b, err)
		c, err := resilience.NewClient(pool, resilience.BindFunc("m", func(_ context.Context, req int) (int, error) { return req, nil }))
		require.NoError(b, err)
		return c
	}
	without, with := client(), client(monitor.New(monitor.Config{Registerer: prometheus.NewRegistry()}))
	const batch = 2000
	round := func(c *resilience.Client[int, int]) float64 {
		start := time.Now()
		for i := range batch {
			_, _ = c.Call(context.Background(), i)
		}
		return float64(time.Since(start).Nanoseconds()) / batch
	}
	var more, ratio []float64
	for i := 0; b.Loop(); i++ {
		var one, other float64
		if i%2 == 0 {
			one, other = round(without), round(with)
		} else {
			other, one = round(with), round(without)
		}
		more, ratio = append(more, other-one), append(ratio, other/one)
	}
	sort.Float64s(more)
	sort.Float64s(ratio)
	b.ReportMetric(more[len(more)/2], "more-ns/call")
	b.ReportMetric(ratio[len(ratio)/2], "ratio")
}

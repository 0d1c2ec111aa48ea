package history

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/window"
)

// BenchmarkSample is a sample that makes records, and what a model of it costs.
func BenchmarkSample(b *testing.B) {
	for _, n := range []int{1, 100, 5000} {
		b.Run(fmt.Sprintf("models=%d", n), func(b *testing.B) {
			var infos []resilience.ModelInfo
			for i := range n {
				infos = append(infos, resilience.ModelInfo{ID: fmt.Sprintf("m%d", i)})
			}
			h := New(Config{})
			_, err := resilience.NewPool(h, resilience.Models(infos...))
			require.NoError(b, err)
			h.begin(b.Context())
			b.ReportAllocs()
			for b.Loop() {
				h.mu.Lock()
				h.slot -= 3600 // the clock goes on by an hour
				for _, s := range h.all() {
					for kind := range s.tiers {
						s.tiers[kind] = tier{}
					}
				}
				h.mu.Unlock()
				h.sample(b.Context(), false)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(n), "ns/model")
		})
	}
}

// BenchmarkReport is one of a month of a busy model.
func BenchmarkReport(b *testing.B) {
	h := New(Config{})
	_, err := resilience.NewPool(h)
	require.NoError(b, err)
	now := time.Now()
	s := &series{id: "a", name: "a"}
	var r record
	r.n[atKind], r.n[atInput], r.n[atOutput], r.n[atNanos] = 60, 6000, 600, 60_000_000
	r.took.put(window.BucketOf(int64(time.Second)), 60)
	for i := range int64(720) {
		r.start = (now.Unix()/3600 - 719 + i) * 3600
		s.tiers[hours].add(&r, hours)
	}
	h.models["a"], h.order = s, []string{"a"}
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Report(Month, now).String()
	}
}

// BenchmarkCall is the median of what a call with a history takes of one without, in
// interleaved pairs.
func BenchmarkCall(b *testing.B) {
	client := func(features ...resilience.Feature) *resilience.Client[string, string] {
		pool, err := resilience.NewPool(features...)
		require.NoError(b, err)
		c, err := resilience.NewClient(pool, resilience.BindFunc("a", func(context.Context, string) (string, error) { return "", nil }))
		require.NoError(b, err)
		return c
	}
	h := New(Config{})
	without, with := client(), client(h)
	h.begin(b.Context())
	measure := func(c *resilience.Client[string, string]) float64 {
		start := time.Now()
		for range 200 {
			_, _ = c.Call(b.Context(), "")
		}
		return float64(time.Since(start))
	}
	var ratios []float64
	for b.Loop() {
		ratios = append(ratios, 1/measure(without)*measure(with), measure(with)/measure(without))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

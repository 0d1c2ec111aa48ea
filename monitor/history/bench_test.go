package history

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
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
			pool, err := resilience.NewPool(h, resilience.Models(infos...))
			require.NoError(b, err)
			h.begin(b.Context())
			e := resilience.Event{Kind: resilience.EventAttempt, Model: pool.Model("m0"), Duration: time.Second}
			b.ReportAllocs()
			for b.Loop() {
				h.observe(b.Context(), e)
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

// BenchmarkObserve is what an attempt costs on the goroutine of its call.
func BenchmarkObserve(b *testing.B) {
	h := New(Config{})
	pool, err := resilience.NewPool(h, resilience.Models(resilience.ModelInfo{ID: "a"}))
	require.NoError(b, err)
	h.begin(b.Context())
	e := resilience.Event{Kind: resilience.EventAttempt, Model: pool.Model("a"), Duration: time.Second, Usage: resilience.Usage{Input: 100, Output: 10}, Cost: .001}
	b.ReportAllocs()
	for b.Loop() {
		h.observe(b.Context(), e)
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
	for range 60 {
		r.end(0, time.Second, &resilience.Usage{Input: 100, Output: 10}, .001)
	}
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

// BenchmarkCall is a call with a history and without one, in turn.
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
	var took [2]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, c := range []*resilience.Client[string, string]{without, with} {
			start := time.Now()
			for range 100 {
				_, _ = c.Call(b.Context(), "")
			}
			took[i] += time.Since(start)
		}
	}
	for i, name := range []string{"without-ns", "with-ns"} {
		b.ReportMetric(float64(took[i])/float64(b.N)/100, name)
	}
	b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
}

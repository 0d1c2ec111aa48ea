package fallback_test

import (
	"context"
	"testing"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

// BenchmarkHedge is what a call costs that nothing goes wrong with.
func BenchmarkHedge(b *testing.B) {
	quiet := func(context.Context, string) (string, error) { return "", nil }
	for _, row := range []struct {
		name string
		cfg  fallback.Config
	}{
		{"sequential", fallback.Config{}},
		{"cold", fallback.Config{Strategy: fallback.Hedged, HedgeShare: 1e-9}},
		{"armed", fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 1e9}},
		{"weighted", fallback.Config{Strategy: fallback.Weighted}},
		{"random", fallback.Config{Strategy: fallback.Random}},
		{"parallel", fallback.Config{Strategy: fallback.Parallel}},
	} {
		b.Run(row.name, func(b *testing.B) {
			pool, err := resilience.NewPool(fallback.New(row.cfg))
			if err != nil {
				b.Fatal(err)
			}
			c, err := resilience.NewClient(pool,
				resilience.BindFunc("a", quiet), resilience.BindFunc("b", quiet), resilience.BindFunc("c", quiet))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Call(b.Context(), "Why?"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package chaos

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cmmv-hive/resilience"
)

// BenchmarkIdle is what an injector costs an attempt while it does nothing: the
// difference to the handler alone.
func BenchmarkIdle(b *testing.B) {
	alone := func(context.Context, *resilience.Call) error { return nil }
	with := new(Injector).wrap(nil, alone)
	ctx := b.Context()
	round := func(h resilience.Handler) float64 {
		const calls = 10_000
		start := time.Now()
		for range calls {
			if h(ctx, nil) != nil {
				b.Fatal("it failed")
			}
		}
		return float64(time.Since(start)) / calls
	}
	var more []float64
	b.ReportAllocs()
	for b.Loop() { // interleaved pairs
		more = append(more, round(with)-round(alone))
	}
	slices.Sort(more)
	b.ReportMetric(more[len(more)/2], "ns/attempt")
}

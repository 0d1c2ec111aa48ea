package window

import (
	"sync/atomic"
	"testing"
	"time"
)

const second = int64(time.Second)

// BenchmarkAdd reports, beside ns/op, the ratio to one uncontended atomic add
// timed right after it.
func BenchmarkAdd(b *testing.B) {
	var word atomic.Int64
	counts := NewCounts(10*second, 30, 6)
	var histogram Histogram
	var ewma EWMA
	for _, bm := range []struct {
		name string
		op   func(now int64)
	}{
		{"atomic", func(now int64) { word.Add(now) }},
		{"counts", func(now int64) { counts.Add(now, 0, 1) }},
		{"histogram", func(now int64) { histogram.Add(now, now%second) }},
		{"outcome", func(now int64) { counts.Add(now, 0, 1); histogram.Add(now, now%second) }},
		{"all_six_and_histogram", func(now int64) {
			for counter := range 6 {
				counts.Add(now, counter, 100)
			}
			histogram.Add(now, now%second)
		}},
		{"ewma", func(now int64) { ewma.Observe(now, now%second) }},
		{"ewma_rare", func(now int64) { ewma.Observe(now<<7, now%second) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			now := int64(0)
			for b.Loop() {
				bm.op(now)
				now += 1_000_003
			}
			took := b.Elapsed()
			start := time.Now()
			for i := range b.N {
				word.Add(int64(i))
			}
			b.ReportMetric(float64(took)/float64(time.Since(start)), "x-atomic")
		})
	}
}

func BenchmarkAddParallel(b *testing.B) {
	var word atomic.Int64
	counts := NewCounts(10*second, 30, 6)
	var histogram Histogram
	b.Run("atomic", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				word.Add(1)
			}
		})
	})
	b.Run("outcome", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for now := int64(0); pb.Next(); now += 1_000_003 {
				counts.Add(now, 0, 1)
				histogram.Add(now, now%second)
			}
		})
	})
}

func BenchmarkRead(b *testing.B) {
	counts := NewCounts(10*second, 30, 6)
	var histogram Histogram
	var ewma EWMA
	for i := range int64(300) {
		counts.Add(i*second, 0, 1)
		histogram.Add(i*second, i*second/100)
		ewma.Observe(i*second, i*second)
	}
	b.Run("counts", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			counts.Sum(299*second, 300*second, 0, 1, 2)
		}
	})
	b.Run("quantiles", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			histogram.Quantiles(299*second, 300*second, .5, .95, .99)
		}
	})
	b.Run("ewma", func(b *testing.B) {
		b.ReportAllocs()
		now := 299 * second
		for b.Loop() {
			ewma.Value(now)
			now += 1_000_003
		}
	})
}

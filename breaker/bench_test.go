package breaker

import (
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BenchmarkEngine compares with gobreaker in the same run. The clock is read
// as often as a pool reads it for the breaker.
func BenchmarkEngine(b *testing.B) {
	start := time.Now()
	now := func() int64 { return int64(time.Since(start)) }
	closed := func(r rules) *engine {
		e := new(engine)
		e.init(r, func() float64 { return 0 }, func(change) {})
		return e
	}
	opened := func() *engine {
		e := closed(with(func(r *rules) { r.openFor, r.maxOpenFor = int64(time.Hour), int64(time.Hour) }))
		for range 5 {
			p, _ := e.enter()
			e.report(b.Context(), now(), p, bad)
		}
		return e
	}
	b.Run("closed", func(b *testing.B) {
		e := closed(plain())
		b.ReportAllocs()
		for b.Loop() {
			p, _ := e.enter()
			e.report(b.Context(), now(), p, good)
		}
	})
	b.Run("closed_drift", func(b *testing.B) {
		e := closed(with(func(r *rules) { r.drift = 6 }))
		b.ReportAllocs()
		for b.Loop() {
			p, _ := e.enter()
			e.report(b.Context(), now(), p, good)
		}
	})
	b.Run("closed_parallel", func(b *testing.B) {
		e := closed(plain())
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				p, _ := e.enter()
				e.report(b.Context(), now(), p, good)
			}
		})
	})
	b.Run("failure", func(b *testing.B) {
		e := closed(with(func(r *rules) { r.failureRate, r.consecutive = 0, 0 }))
		b.ReportAllocs()
		for b.Loop() {
			p, _ := e.enter()
			e.report(b.Context(), now(), p, bad)
		}
	})
	b.Run("reject", func(b *testing.B) {
		e := opened()
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := e.enter(); !ok {
				if _, err := e.knock(b.Context(), now(), 0); err == nil {
					b.Fatal("admitted")
				}
			}
		}
	})
	b.Run("gobreaker", func(b *testing.B) {
		cb := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{})
		b.ReportAllocs()
		for b.Loop() {
			_, _ = cb.Execute(func() (struct{}, error) { return struct{}{}, nil })
		}
	})
	b.Run("gobreaker_parallel", func(b *testing.B) {
		cb := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{})
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = cb.Execute(func() (struct{}, error) { return struct{}{}, nil })
			}
		})
	})
	b.Run("gobreaker_reject", func(b *testing.B) {
		cb := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
			ReadyToTrip: func(gobreaker.Counts) bool { return true },
		})
		_, _ = cb.Execute(func() (struct{}, error) { return struct{}{}, errFailed })
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cb.Execute(func() (struct{}, error) { return struct{}{}, nil }); err == nil {
				b.Fatal("admitted")
			}
		}
	})
}

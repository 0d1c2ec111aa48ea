package resilience

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// lessLoaded is power of two choices over attempts in flight.
type lessLoaded struct{}

func (lessLoaded) Install(s *Setup) error { s.Pick(lessLoaded{}); return nil }

func (lessLoaded) Pick(_ *Call, from Candidates) *Model {
	a, b := from.Two()
	if b != nil && b.InFlight() < a.InFlight() {
		return b
	}
	return a
}

// BenchmarkPick is one pick among n models, by default 20 % of them held.
func BenchmarkPick(b *testing.B) {
	for _, bc := range []struct {
		name string
		n    int
		held int // of 10
	}{
		{"n=5", 5, 2}, {"n=50", 50, 2}, {"n=5000", 5000, 2}, {"n=5000/held=90", 5000, 9},
	} {
		b.Run(bc.name, func(b *testing.B) {
			pool, err := NewPool(lessLoaded{})
			if err != nil {
				b.Fatal(err)
			}
			var opts []ClientOption[string, string]
			for i := range bc.n {
				opts = append(opts, BindFunc(fmt.Sprint("m", i), func(context.Context, string) (string, error) { return "", nil }))
			}
			client, err := NewClient(pool, opts...)
			if err != nil {
				b.Fatal(err)
			}
			until := pool.wall(pool.now()).Add(time.Hour)
			for i, m := range pool.Models() {
				if i*10/bc.n < bc.held {
					m.Hold(b.Context(), Hold{By: HoldLimit, Until: until})
				}
			}
			c := &Call{table: client.current().table, clock: pool.now()}
			c.pool, c.parent = pool, b.Context()
			b.ReportAllocs()
			for b.Loop() {
				c.ntried = 0
				if (*Route)(c).Next(c, false) == nil {
					b.Fatal("no model")
				}
			}
		})
	}
}

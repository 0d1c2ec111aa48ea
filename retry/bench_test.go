package retry

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// BenchmarkLayer measures what retry adds to a call that succeeds, and what a
// failure costs that is not retried.
func BenchmarkLayer(b *testing.B) {
	invalid := &resilience.Error{Kind: resilience.Invalid}
	for _, bm := range []struct {
		name string
		cfg  Config
		err  error
	}{
		{"without", Config{}, nil},
		{"success", Config{}, nil},
		{"success_overrides", Config{Ops: map[string]Config{"chat": {Attempts: 2}}}, nil},
		{"success_paced", Config{Pace: true}, nil},
		{"not_retried", Config{}, invalid},
	} {
		b.Run(bm.name, func(b *testing.B) {
			next := func(context.Context, *resilience.Call) error { return bm.err }
			p := New(bm.cfg)
			var layer resilience.Handler
			var call *resilience.Call
			probe := probe(func(s *resilience.Setup) error {
				s.Wrap(resilience.LayerLimit, func(_ *resilience.Model, _ resilience.Handler) resilience.Handler {
					return func(ctx context.Context, c *resilience.Call) error { call = c; return nil }
				})
				return nil
			})
			c := resilience.Wrap(resilience.FuncOf(newScript().call2), p, probe)
			_, err := c.Call(b.Context(), "")
			require.NoError(b, err)
			layer = next
			if bm.name != "without" {
				layer = p.layer(c.Models()[0], next)
			}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				_ = layer(ctx, call)
			}
		})
	}
}

// probe is a feature made of a function.
type probe func(*resilience.Setup) error

func (f probe) Install(s *resilience.Setup) error { return f(s) }

func BenchmarkDo(b *testing.B) {
	p := New(Config{})
	fn := func(context.Context) (int, error) { return 1, nil }
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Do(b.Context(), p, fn)
	}
}

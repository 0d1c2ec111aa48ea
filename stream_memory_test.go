package resilience_test

import (
	"context"
	"iter"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// What has to do with a call can be collected after it, whatever became of its
// stream: also of one that broke before anybody was given it.
func TestStreamsAreFreed(t *testing.T) {
	breaks := func(_ context.Context, _ string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			_ = yield("a", nil) && yield("b", nil) && yield("", resilience.Truncated)
		}
	}
	whole := func(_ context.Context, _ string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) { _ = yield("a", nil) && yield("b", nil) }
	}
	read := func(s *resilience.Stream[string]) { _, _ = readAll(s) }
	for name, c := range map[string]struct {
		source func(context.Context, string) iter.Seq2[string, error]
		bounds resilience.Timeouts
		read   func(s *resilience.Stream[string])
	}{
		"held back and broken": {breaks, resilience.Timeouts{HoldBack: time.Minute}, nil},
		"broken":               {breaks, resilience.Timeouts{}, read},
		"whole":                {whole, resilience.Timeouts{}, read},
		"closed":               {whole, resilience.Timeouts{}, func(s *resilience.Stream[string]) { _ = s.Close() }},
		"lost":                 {whole, resilience.Timeouts{}, func(*resilience.Stream[string]) {}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, c.bounds, again(2))
			cl, err := resilience.NewClient(p, resilience.BindStream("a", c.source))
			require.NoError(t, err)
			const calls = 10
			var freed atomic.Int64
			for range calls {
				type of struct{ string } // the call's context
				mark := new([1 << 10]byte)
				runtime.AddCleanup(mark, func(int) { freed.Add(1) }, 0)
				s, err := cl.Call(context.WithValue(t.Context(), of{"call"}, mark), "")
				require.Equal(t, c.read == nil, err != nil, "%v", err)
				if err == nil {
					c.read(s)
				}
			}
			require.Eventually(t, func() bool { runtime.GC(); return freed.Load() == calls }, 10*time.Second, 10*time.Millisecond, "%d freed", &freed)
		})
	}
}

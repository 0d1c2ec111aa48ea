package window

import (
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShare(t *testing.T) {
	const second = 1_000_000_000
	var s Share
	require.Zero(t, s.Value(5*second))
	for range 5 {
		s.Observe(second, false)
	}
	require.Zero(t, s.state.Load(), "all is well: nothing is written")
	s.Observe(second, true)
	require.InDelta(t, 0.1, s.Value(second), 1e-6)
	for range 60 {
		s.Observe(second, true)
	}
	require.InDelta(t, 1, s.Value(second), 2e-3)
	require.InDelta(t, 1/math.E, s.Value(11*second), 5e-3, "it falls with time")
	require.InDelta(t, 1, s.Value(0), 2e-3, "a late reading takes it as it is")
	for range 10 {
		s.Observe(second, false)
	}
	require.InDelta(t, math.Pow(0.9, 10), s.Value(second), 5e-3)
	for range 60 {
		s.Observe(second, false)
	}
	require.Zero(t, s.state.Load(), "and well again")
}

// A process may run for years.
func TestShareAfterYears(t *testing.T) {
	const year = 365 * 24 * 3600 * 1_000_000_000
	for _, now := range []int64{3 * year, 292 * year} {
		var s Share
		s.Observe(now-year, true)
		s.Observe(now, true)
		s.Observe(now, true)
		require.InDelta(t, 0.19, s.Value(now), 1e-5)
	}
}

func TestShareConcurrently(t *testing.T) {
	var s Share
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				s.Observe(int64(i)<<tickBits, i%2 == 0)
			}
		})
	}
	wg.Wait()
	v := s.Value(1000 << tickBits)
	require.True(t, v > 0 && v < 1, "%v", v)
}

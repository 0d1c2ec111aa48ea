package benchmarks

import (
	"slices"
	"testing"
	"time"
)

// ratios returns the median of how long a takes in terms of b, over interleaved
// pairs.
func ratios(t *testing.T, a, b call) float64 {
	t.Helper()
	const pairs, calls = 41, 5000
	took := func(do call) time.Duration {
		start := time.Now()
		for range calls {
			if _, err := do(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(start)
	}
	took(a)
	took(b)
	var all []float64
	for range pairs {
		all = append(all, float64(took(a))/float64(took(b)))
	}
	slices.Sort(all)
	return all[pairs/2]
}

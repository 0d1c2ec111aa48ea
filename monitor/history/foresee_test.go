package history

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestForesight sees a model whose answers take longer and longer until it fails.
func TestForesight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "slow", "calm")
		m, calm := w.pool.Model("slow"), w.pool.Model("calm")
		require.Zero(t, w.FailureProbability(m))
		require.Zero(t, w.FailureProbability(nil))
		var ahead time.Duration
		w.during(t, func() {
			var calls sync.WaitGroup
			defer calls.Wait()
			second := func() {
				for range 2 {
					calls.Go(func() { _ = w.ask(t, "slow") })
				}
				if w.took == time.Second {
					calls.Go(func() { _ = w.ask(t, "calm") })
				}
				time.Sleep(time.Second)
			}
			for range 20 * 60 {
				second()
			}
			require.Less(t, w.FailureProbability(m), .1)
			require.Less(t, w.FailureProbability(calm), .1)
			for range 4 * 60 {
				w.took += 40 * time.Millisecond
				second()
				if w.FailureProbability(m) >= .5 {
					ahead += time.Second
				}
			}
			w.fail["slow"] = resilience.Overloaded
			for range 30 {
				second()
			}
			require.Equal(t, 1., w.FailureProbability(m))
			require.Less(t, w.FailureProbability(calm), .1)
		})
		require.GreaterOrEqual(t, ahead, 30*time.Second)
	})
}

package history

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestForesight sees a model whose answers take longer and longer until it fails.
func TestForesight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{})
		pool, err := resilience.NewPool(h)
		require.NoError(t, err)
		var more atomic.Int64 // time that the slow one takes
		var broken atomic.Bool
		c, err := resilience.NewClient(pool,
			resilience.BindFunc("slow", func(context.Context, string) (string, error) {
				time.Sleep(time.Second + time.Duration(more.Load()))
				if broken.Load() {
					return "", resilience.Overloaded
				}
				return "", nil
			}),
			resilience.BindFunc("calm", func(context.Context, string) (string, error) {
				time.Sleep(time.Second)
				return "", nil
			}))
		require.NoError(t, err)
		slow, calm := pool.Model("slow"), pool.Model("calm")
		require.Zero(t, h.FailureProbability(slow))
		require.Zero(t, h.FailureProbability(nil))

		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { require.NoError(t, pool.Run(ctx)) })
		second := func() {
			for _, id := range []string{"slow", "slow", "calm"} {
				all.Go(func() { _, _ = c.Call(resilience.WithOptions(ctx, resilience.CallOptions{Model: id}), "") })
			}
			time.Sleep(time.Second)
		}
		for range 20 * 60 {
			second()
		}
		require.Less(t, h.FailureProbability(slow), .1)
		var ahead time.Duration
		for range 4 * 60 {
			more.Add(int64(40 * time.Millisecond))
			second()
			if h.FailureProbability(slow) >= .5 {
				ahead += time.Second
			}
		}
		broken.Store(true)
		for range 30 {
			second()
		}
		require.Equal(t, 1., h.FailureProbability(slow))
		require.Less(t, h.FailureProbability(calm), .1)
		require.GreaterOrEqual(t, ahead, 30*time.Second)
		stop()
		all.Wait()
	})
}

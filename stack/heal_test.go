package stack_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

// healed plays an outage of a provider for a minute among calls that come each gap,
// with health and recovery beside the stack. It returns how often a model was probed
// meanwhile at most.
func healed(t *testing.T, warm, gap time.Duration) (most int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		probes := map[string]int{}
		var out atomic.Bool
		fails := func(m *resilience.Model) error {
			time.Sleep(50 * time.Millisecond)
			if out.Load() && m.Info().Provider == "acme" {
				return resilience.Unreachable
			}
			return nil
		}
		infos := []resilience.ModelInfo{
			{ID: "a1", Provider: "acme"}, {ID: "a2", Provider: "acme"}, {ID: "a3", Provider: "acme"},
			{ID: "b1", Provider: "bolt"}, {ID: "b2", Provider: "bolt"}, {ID: "b3", Provider: "bolt"},
		}
		pool, err := resilience.NewPool(stack.New(stack.Config{}), health.New(health.Config{}), recovery.New(recovery.Config{}),
			resilience.Models(infos...), resilience.Seed(rand.NewPCG(1, 2)),
			resilience.Probe(func(_ context.Context, m *resilience.Model) error {
				if out.Load() {
					mu.Lock()
					probes[m.ID()]++
					mu.Unlock()
				}
				return fails(m)
			}))
		require.NoError(t, err)
		call := func(_ context.Context, m *resilience.Model, _ string) (string, error) { return "", fails(m) }
		client, err := resilience.NewClient(pool, resilience.BindProvider("acme", call), resilience.BindProvider("bolt", call))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = pool.Run(ctx) })
		traffic := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(gap) {
				wg.Go(func() { _, _ = client.Call(ctx, "?") })
			}
		}
		traffic(warm)
		out.Store(true)
		traffic(time.Minute)
		cancel()
		wg.Wait()
		for _, n := range probes {
			most = max(most, n)
		}
	})
	return most
}

// TestHealing has health leave to recovery what that brings back, whatever the calls
// and whenever health's own probes are due. Where calls are rare, health finds the
// outage by three probes of its own; one more may follow before the minute is over,
// or the model would be back too late after an outage that has just ended.
func TestHealing(t *testing.T) {
	for gap, most := range map[time.Duration]int{100 * time.Millisecond: 3, time.Second: 4, 5 * time.Second: 4} {
		for warm := time.Minute; warm < 2*time.Minute; warm += 7 * time.Second {
			require.LessOrEqual(t, healed(t, warm, gap), most, "calls every %v, after %v", gap, warm)
		}
	}
}

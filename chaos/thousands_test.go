package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

// TestThousands has 500 models of 50 providers, with all that heals, for ten minutes,
// or 5,000 for an hour with -long. Ten calls a second are made, and a tenth of the
// providers are out for the middle third of the time.
func TestThousands(t *testing.T) {
	if testing.Short() {
		t.Skip("its time is measured, without the race detector's")
	}
	n, lasts := 500, 12*time.Minute
	if *long {
		n, lasts = 5000, time.Hour
	}
	began := time.Now()
	var calls, failed, probes, events, goroutines int
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		count := func(of *int) {
			mu.Lock()
			*of++
			mu.Unlock()
		}
		dead := simtest.Fault{Err: resilience.Unreachable, After: 50 * time.Millisecond, Share: 1}
		var infos []resilience.ModelInfo
		servers := map[string]*simtest.Server{}
		for i := range n {
			info := resilience.ModelInfo{ID: fmt.Sprint("m", i), Provider: fmt.Sprint("p", i%50)}
			infos = append(infos, info)
			s := simtest.NewServer(uint64(i), 1<<20, simtest.LogNormal(service, 0.5))
			servers[info.ID] = s
			if i%50 < 5 {
				time.AfterFunc(lasts/3, func() { s.Set(dead) })
				time.AfterFunc(2*lasts/3, func() { s.Set(simtest.Fault{}) })
			}
		}
		pool, err := resilience.NewPool(stack.New(stack.Config{}), health.New(health.Config{Probes: float64(n) / 30}),
			recovery.New(recovery.Config{}), degrade.New(degrade.Config{}), counter(func() { count(&events) }),
			resilience.Probe(func(ctx context.Context, m *resilience.Model) error {
				count(&probes)
				return servers[m.ID()].Do(ctx)
			}),
			resilience.Models(infos...), resilience.Seed(rand.NewPCG(1, 1)))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, _ int) (int, error) {
			return 1, servers[m.ID()].Do(ctx)
		}))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- pool.Run(ctx) }()
		simtest.Arrive(t.Context(), 1, 10, lasts, func(time.Duration) {
			count(&calls)
			if _, err := client.Call(t.Context(), 0); err != nil {
				count(&failed)
			}
		})
		synctest.Wait()
		goroutines = runtime.NumGoroutine()
		held := 0
		for _, m := range pool.Models() {
			if !m.Available() {
				held++
			}
		}
		require.Zero(t, held, "long after the outages")
		cancel()
		require.NoError(t, <-done)
	})
	took := time.Since(began)
	t.Logf("published: %d models for %v: measured %.1f s, %d calls, %d failed, %d probes, %d events, %d goroutines, reference none, target 5,000 models for an hour within 30 s",
		n, lasts, took.Seconds(), calls, failed, probes, events, goroutines)
	require.Zero(t, failed)
	require.Less(t, goroutines, 30+n/10, "calls and probes under way, no more")
	require.Less(t, took, 30*time.Second)
}

// A counter counts what happens to models.
type counter func()

func (c counter) Install(s *resilience.Setup) error {
	s.Observe(func(context.Context, resilience.Event) { c() },
		resilience.EventHold, resilience.EventRelease, resilience.EventHealth, resilience.EventRecovery, resilience.EventDegrade)
	return nil
}

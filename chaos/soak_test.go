package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

// TestSoak lets 50 models of ten providers, with keys, budgets and all that heals, run
// for a day, or 30 with -long, at a call a second in the mean, every other one a
// stream that is held back, with outages. After the first part nothing grows any more.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("memory under the race detector is the detector's")
	}
	warm, lasts := 6*time.Hour, 24*time.Hour
	if *long {
		warm, lasts = 24*time.Hour, 30*24*time.Hour
	}
	synctest.Test(t, func(t *testing.T) {
		const ample = 1 << 20
		well := simtest.Fault{Err: &statusError{500}, Share: noise, After: 200 * time.Millisecond}
		budgets := budget.New(budget.Config{Limits: []budget.Limit{
			{Cost: 1e6, Window: budget.Day(nil)}, {Scope: budget.Tenant, Tokens: 1e9, Window: budget.Sliding(time.Hour)},
		}})
		var infos []resilience.ModelInfo
		servers := map[string]*simtest.Server{}
		for i := range 50 {
			info := resilience.ModelInfo{
				ID: fmt.Sprint("m", i), Provider: fmt.Sprint("p", i/5), Keys: []string{"a", "b"}, Price: resilience.Price{Input: 1, Output: 2},
			}
			infos = append(infos, info)
			s := simtest.NewServer(uint64(i), ample, simtest.LogNormal(service, 0.5))
			s.Set(well)
			servers[info.ID] = s
			for _, spell := range spells(uint64(i/5), lasts) {
				time.AfterFunc(spell.from, func() { s.Set(spell.fault) })
				time.AfterFunc(spell.until, func() { s.Set(well) })
			}
		}
		pool, err := resilience.NewPool(stack.New(stack.Config{Timeouts: resilience.Timeouts{HoldBack: 100 * time.Millisecond}}), budgets,
			health.New(health.Config{}), recovery.New(recovery.Config{}), degrade.New(degrade.Config{}),
			resilience.Probe(func(ctx context.Context, m *resilience.Model) error { return servers[m.ID()].Do(ctx) }),
			resilience.Models(infos...), resilience.Seed(rand.NewPCG(1, 1)))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, _ int) (int, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Input: 100, Output: 100})
			return 1, servers[m.ID()].Do(ctx)
		}))
		require.NoError(t, err)
		streams, err := resilience.NewClient(pool, resilience.BindAllStreams(func(ctx context.Context, m *resilience.Model, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				if err := servers[m.ID()].Do(ctx); err != nil {
					yield(0, err)
					return
				}
				if yield(1, nil) && n%50 > 0 { // or it breaks while it is held back
					yield(2, nil)
				}
			}
		}, resilience.StreamHooks[int, int]{Terminal: func(chunk int) bool { return chunk == 2 }}))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- pool.Run(ctx) }()

		heap := func() (bytes uint64, goroutines int) {
			goroutines = runtime.NumGoroutine()
			for range 10 { // probes come and go
				time.Sleep(time.Second)
				synctest.Wait()
				goroutines = min(goroutines, runtime.NumGoroutine())
			}
			for range 3 { // cleanups run in between
				runtime.GC()
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc, goroutines
		}
		var calls, failed atomic.Int64
		drive := func(seed uint64, d time.Duration) (uint64, int) {
			simtest.Arrive(t.Context(), seed, 1, d, func(at time.Duration) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				opts := resilience.CallOptions{
					Tenant: fmt.Sprint("t", int(at/time.Second)%5000), Op: fmt.Sprint("op", int(at)%7), Tokens: 500,
				}
				n := int(calls.Add(1))
				var err error
				if n%2 == 0 {
					_, _, err = client.Do(ctx, n, opts)
				} else if s, _, e := streams.Do(ctx, n/2, opts); e != nil {
					err = e
				} else {
					for _, e := range s.All() {
						err = e
					}
				}
				if err != nil && !errors.Is(err, resilience.Truncated) {
					failed.Add(1)
				}
			})
			time.Sleep(time.Minute)
			return heap()
		}
		bytes, goroutines := drive(1, warm)
		then, now := drive(2, lasts-warm)
		t.Logf("published: soak of 50 models: measured %.0f days, %d calls, %.3f %% failed, heap %d KiB after %.0f h and %d KiB at the end, %d goroutines then and %d now, reference none, target 30 days (here a part), heap and goroutines flat",
			lasts.Hours()/24, calls.Load(), 100*float64(failed.Load())/float64(calls.Load()), bytes>>10, warm.Hours(), then>>10, goroutines, now)
		require.InDelta(t, goroutines, now, 2, "those of the runtime come and go")
		require.LessOrEqual(t, int64(then), int64(bytes)+max(int64(bytes)/100, 256<<10))
		require.NoError(t, pool.Drain(t.Context()))
		cancel()
		require.NoError(t, <-done)
		time.Sleep(10 * spellLasts)
	})
}

package fallback_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

// picks chooses evenly, so that each server sees Poisson arrivals.
type picks struct{}

func (picks) Pick(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
	m, _ := from.Two()
	return m
}

func (picks) Install(s *resilience.Setup) error { s.Pick(picks{}); return nil }

// served is what became of a load.
type served struct {
	asked, slow, hedged int
	busy                float64
}

// serve sends Poisson arrivals to 50 servers that each work on one request at a
// time, for an exponential time with a mean of 100 ms.
func serve(t *testing.T, load float64, span time.Duration) (s served) {
	t.Helper()
	const (
		servers = 50
		mean    = 100 * ms
		delay   = 300 * ms
	)
	synctest.Test(t, func(t *testing.T) {
		var (
			mu      sync.Mutex
			chance  = rand.New(rand.NewPCG(uint64(load*1e6), 9))
			infos   []resilience.ModelInfo
			opts    []resilience.ClientOption[string, string]
			working time.Duration
			began   = time.Now().Add(30 * time.Second)
		)
		for i := range servers {
			turn := make(chan struct{}, 1)
			id := fmt.Sprint("s", i)
			infos = append(infos, resilience.ModelInfo{ID: id, Limits: resilience.Limits{Concurrency: 1}})
			opts = append(opts, resilience.BindFunc(id, func(ctx context.Context, _ string) (string, error) {
				select {
				case turn <- struct{}{}:
				case <-ctx.Done():
					return "", context.Cause(ctx)
				}
				defer func() { <-turn }()
				mu.Lock()
				d := time.Duration(chance.ExpFloat64() * float64(mean))
				mu.Unlock()
				start := time.Now()
				got, err := takes(d, "")(ctx, "")
				mu.Lock()
				if start.After(began) {
					working += time.Since(start)
				}
				mu.Unlock()
				return got, err
			}))
		}
		pool, err := resilience.NewPool(resilience.Models(infos...), picks{}, resilience.Seed(rand.NewPCG(1, 9)),
			fallback.New(fallback.Config{Strategy: fallback.Hedged, HedgeAfter: delay, Hedges: 1}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool, opts...)
		require.NoError(t, err)
		arrivals := rand.New(rand.NewPCG(uint64(load*1e6), 10))
		var calls sync.WaitGroup
		for time.Since(began) < span {
			time.Sleep(time.Duration(arrivals.ExpFloat64() * float64(mean) / servers / load))
			counts := time.Now().After(began)
			calls.Go(func() {
				_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if !counts {
					return
				}
				s.asked++
				if rep.Duration >= delay {
					s.slow++
				}
				if len(rep.Attempts) > 1 {
					s.hedged++
				}
			})
		}
		calls.Wait()
		synctest.Wait() // for those that lost
		mu.Lock()
		defer mu.Unlock()
		s.busy = float64(working) / float64(span) / servers
	})
	return s
}

// Asking two servers instead of one shortens the mean time below a load of a
// third and lengthens it above.
func TestPublishedHedgeGate(t *testing.T) {
	const third = 1. / 3
	crossing, load, share := 0.0, 0.0, 1.0
	for _, offered := range []float64{.1, .2, .25, .28, .3, .31, .32, .33, .34, .35, .36, .4, .45} {
		s := serve(t, offered, time.Duration(size(t, 1200, 60))*time.Second)
		now := float64(s.hedged) / float64(max(s.slow, 1))
		t.Logf("load offered %.2f, measured %.3f: %.1f %% of %d slow calls hedged, %.2f %% of all", offered, s.busy, 100*now, s.slow, 100*float64(s.hedged)/float64(s.asked))
		if share >= .5 && now < .5 {
			crossing = load + (s.busy-load)*(share-.5)/(share-now)
		}
		load, share = s.busy, now
		if s.busy < third-.03 {
			require.Greater(t, now, .95)
		}
		if s.busy > third+.03 {
			require.Less(t, now, .05)
		}
	}
	t.Logf("published: HedgeGate: measured off above a load of %.3f, reference 0.333, target ±0.02", crossing)
	require.InDelta(t, third, crossing, .02)
}

package sim_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

// A broken is a layer that does something wrong.
type broken struct {
	at     resilience.Layer
	around func(ctx context.Context, c *resilience.Call, next resilience.Handler) error
}

// Install implements [resilience.Feature].
func (b broken) Install(s *resilience.Setup) error {
	s.Wrap(b.at, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error { return b.around(ctx, c, next) }
	})
	return nil
}

// Stacks with a broken layer are found out.
func TestBrokenStacks(t *testing.T) {
	if testing.Short() {
		t.Skip("heavy")
	}
	for name, tt := range map[string]struct {
		number int
		layer  broken
	}{
		"failures are retried at once and without end": {3, broken{resilience.LayerBreaker, func(ctx context.Context, c *resilience.Call, next resilience.Handler) (err error) {
			for range 10 {
				if err = next(ctx, c); err == nil {
					return nil
				}
			}
			return err
		}}},
		"contexts are lost": {25, broken{resilience.LayerTimeout, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			if c.Op() == "" {
				return next(ctx, c)
			}
			return next(context.WithValue(ctx, callKey{}, &callRecord{id: 1}), c)
		}}},
		"calls hang": {2, broken{resilience.LayerAdmit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			err := next(ctx, c)
			time.Sleep(3 * time.Minute)
			return err
		}}},
		"models are told too much": {38, broken{resilience.LayerObserve, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			for _, m := range c.Pool().Models()[:1] {
				m.Hold(ctx, resilience.Hold{By: resilience.HoldHealth, Reason: "for good", Until: time.Now().Add(time.Hour)})
			}
			return next(ctx, c)
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			found := violations(simulate(t, controlled(), tt.layer))
			require.True(t, slices.ContainsFunc(found, func(v violation) bool { return v.number == tt.number }), "%v", found)
		})
	}
}

// uneven returns by how many standard deviations a model's share of the picks
// differs from that of its weight, at most.
func uneven(t *testing.T, algorithm balance.Algorithm, weights, by []float64) (worst float64) {
	t.Helper()
	const picks = 10_000
	synctest.Test(t, func(t *testing.T) {
		var infos []resilience.ModelInfo
		var total float64
		for i, w := range weights {
			infos = append(infos, resilience.ModelInfo{ID: fmt.Sprint(i), Weight: w})
			total += by[i]
		}
		pool, err := resilience.NewPool(balance.New(balance.Config{Algorithm: algorithm}), resilience.Models(infos...), resilience.Seed(rand.NewPCG(1, 1)))
		require.NoError(t, err)
		got := map[string]int{}
		client, err := resilience.NewClient(pool, resilience.BindAll(func(_ context.Context, m *resilience.Model, _ int) (int, error) {
			got[m.ID()]++
			return 0, nil
		}))
		require.NoError(t, err)
		for range picks {
			_, err := client.Call(t.Context(), 0)
			require.NoError(t, err)
		}
		for i := range weights {
			p := by[i] / total
			off := math.Abs(float64(got[fmt.Sprint(i)])-picks*p) / math.Sqrt(picks*p*(1-p))
			worst = max(worst, off)
		}
	})
	return worst
}

// Invariant 22: over 10,000 picks each share is within three deviations.
func TestWeights(t *testing.T) {
	weights := []float64{1, 2, 3, 5, 9}
	for _, algorithm := range []balance.Algorithm{balance.Weighted, balance.WeightedRandom} {
		require.Less(t, uneven(t, algorithm, weights, weights), 3., algorithm)
		require.Greater(t, uneven(t, algorithm, weights, []float64{1, 2, 3, 6, 9}), 3., algorithm)
	}
}

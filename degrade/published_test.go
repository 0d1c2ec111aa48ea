package degrade_test

import (
	"context"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

// A backend serves so many calls a second, the first that come, and refuses the
// others. Calls come evenly. What is counted begins with the second window: the
// throttle has to find out first.
func TestPublishedThrottle(t *testing.T) {
	const warm = 120
	capacity, seconds := 50, 200
	if testing.Short() {
		capacity, seconds = 20, 120
	}
	if *long {
		capacity, seconds = 100, 1000
	}
	for _, load := range []float64{1, 2, 3, 5, 10, 20} {
		var sent, served int
		degraded(t, degrade.Config{}, ids("m"), func(r *rig) {
			second, taken := int64(-1), 0
			r.do = func(context.Context, *resilience.Model, string) (string, error) {
				sent++
				if now := int64(r.pool.Now() / time.Second); now != second {
					second, taken = now, 0
				}
				if taken >= capacity {
					return "", resilience.Overloaded
				}
				taken++
				served++
				return "", nil
			}
			rate := load * float64(capacity)
			for i := range int(rate) * (warm + seconds) {
				if i == int(rate)*warm {
					sent, served = 0, 0
				}
				_, _ = r.client.Call(r.Context(), "?")
				time.Sleep(time.Duration(float64(time.Second) / rate))
			}
		}, resilience.Seed(rand.NewPCG(7, uint64(load))))
		of := float64(capacity * seconds)
		want := min(load, 2)
		t.Logf("published: throttle at %g× the capacity, sent over K·A: measured %.4f, reference %.4f, target ≤ 1.02", load, float64(sent)/of/2, want/2)
		t.Logf("published: throttle at %g× the capacity, served over A: measured %.4f, reference 1, target ≥ 0.99", load, float64(served)/of)
		require.LessOrEqual(t, float64(sent)/of/2, 1.02)
		require.GreaterOrEqual(t, float64(served)/of, 0.99)
	}
}

// A backend that is gone gets one call a second, however many come.
func TestPublishedThrottleDead(t *testing.T) {
	for _, rate := range []int{10, 100, 1000} {
		degraded(t, degrade.Config{}, ids("m"), func(r *rig) {
			sent, warm := 0, 20
			r.do = func(context.Context, *resilience.Model, string) (string, error) {
				sent++
				return "", resilience.Overloaded
			}
			for i := range rate * 150 {
				if i == rate*warm {
					sent = 0
				}
				_, _ = r.client.Call(r.Context(), "?")
				time.Sleep(time.Second / time.Duration(rate))
			}
			got := float64(sent) / float64(150-warm)
			t.Logf("published: throttle, calls a second that a dead backend gets of %d: measured %.3f, reference 0.01, target the same for all", rate, got)
			require.InDelta(t, 1, got, 0.15)
		})
	}
}

// A signal around 0.8 and correlated over ten seconds, once a second for ten hours;
// and one that is 0.4 higher after five minutes. It comes by Config.Burn, and a
// level's limit is 0.9.
func TestPublishedHysteresis(t *testing.T) {
	seeds := uint64(5)
	if *long {
		seeds = 100
	}
	for seed := range seeds {
		const phi, deviation, limit = 0.9, 0.05, 0.9
		var noise float64
		var high atomic.Bool
		naive, above := 0, false
		rng := rand.New(rand.NewPCG(seed, 11))
		signal := func() float64 {
			noise = phi*noise + deviation*math.Sqrt(1-phi*phi)*rng.NormFloat64()
			x := 0.8 + noise
			if high.Load() {
				x += 0.4
			}
			if above != (x > 0.8) {
				naive, above = naive+1, !above
			}
			return x
		}
		cfg := degrade.Config{Burn: signal, Levels: map[string]degrade.Step{
			"minimal": {Burn: limit}, "moderate": {Burn: 1.3}, "severe": {Burn: 1.6}, "emergency": {Burn: 2},
		}}
		degraded(t, cfg, ids("m"), func(r *rig) {
			stop := r.run()
			time.Sleep(5 * time.Minute)
			require.Equal(t, degrade.None, r.controller.Level())
			high.Store(true)
			start := time.Now()
			for r.controller.Level() == degrade.None {
				time.Sleep(time.Second)
			}
			took := time.Since(start)
			t.Logf("published: hysteresis, reaction to a step of 0.4: measured %v, reference 6s, target ≤ 15s", took)
			require.LessOrEqual(t, took, 15*time.Second)
			require.Contains(t, r.changes()[0], "none → minimal: burn 1.")
			stop()
		})
		noise, naive = 0, 0
		high.Store(false)
		degraded(t, cfg, ids("m"), func(r *rig) {
			stop := r.run()
			time.Sleep(10 * time.Hour)
			stop()
			changes := r.changes()
			t.Logf("published: hysteresis, level changes in 10 h: measured %d, reference %d with a single threshold, target ≤ 3", len(changes), naive)
			require.LessOrEqual(t, len(changes), 3)
			require.Greater(t, naive, 4500)
		})
	}
}

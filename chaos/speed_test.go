package chaos_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

// Where time passes faster, the same happens in the time of the world.
func TestSpeed(t *testing.T) {
	results, took := map[float64]chaos.Result{}, map[float64]time.Duration{}
	for _, speed := range []float64{1, 50} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, chaos.InjectorConfig{Enabled: true, Speed: speed}, three()...)
			e := chaos.Experiment{Name: "speed", Seed: 9, Method: []chaos.Injection{
				{Name: "limit", Fault: chaos.Fault{Status: 429, Wait: 3 * time.Second, After: time.Second}, Where: at("a"), When: chaos.Schedule{On: 5 * time.Second, Off: 5 * time.Second}},
				{Name: "slow", Fault: chaos.Fault{Name: chaos.Slow, After: 2 * time.Second}, Spread: time.Second, Where: at("b")},
			}}
			start := time.Now()
			var err error
			results[speed], err = l.injector.Run(t.Context(), e, whole(l))
			require.NoError(t, err)
			took[speed] = time.Since(start)
		})
	}
	require.InDelta(t, float64(took[1])/50, float64(took[50]), float64(time.Second))
	for _, o := range []chaos.CheckOutcome{chaos.CheckPassed, chaos.CheckFailed} {
		require.Equal(t, outcomes(results[1], o), outcomes(results[50], o))
	}
	require.Equal(t, results[1].During.Calls, results[50].During.Calls)
	require.Equal(t, results[1].Struck, results[50].Struck)
	require.InDelta(t, float64(results[1].During.P95), float64(results[50].During.P95), float64(time.Millisecond))
}

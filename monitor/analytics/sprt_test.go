package analytics_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

func TestSPRT(t *testing.T) {
	const normal, raised, falsely, missed = .01, .1, .01, .05
	r := rand.New(rand.NewPCG(6, 6))
	run := func(rate float64) (wrong, calls float64) {
		const verdicts = 5000
		s, err := analytics.NewSPRT(normal, raised, falsely, missed)
		require.NoError(t, err)
		for range verdicts {
			v := analytics.Undecided
			for v == analytics.Undecided {
				v = s.Observe(r.Float64() < rate)
				calls++
				require.LessOrEqual(t, s.Evidence(), 1.)
				require.GreaterOrEqual(t, s.Evidence(), -1.)
			}
			if (v == analytics.Raised) != (rate == raised) {
				wrong++
			}
		}
		return wrong / verdicts, calls / verdicts
	}
	wrong, calls := run(normal)
	t.Logf("normal: %.2f %% called raised, %.0f calls", 100*wrong, calls)
	require.Less(t, wrong, falsely*1.2)
	wrong, calls = run(raised)
	t.Logf("raised: %.2f %% called normal, %.0f calls", 100*wrong, calls)
	require.Less(t, wrong, missed*1.2)
	require.Less(t, calls, 50.)
}

func TestSPRTRefuses(t *testing.T) {
	for _, bad := range [][4]float64{{0, .1, .05, .05}, {.1, .1, .05, .05}, {.2, .1, .05, .05}, {.1, 1, .05, .05}, {.1, .2, 0, .05}, {.1, .2, .5, .05}, {.1, .2, .05, .7}} {
		_, err := analytics.NewSPRT(bad[0], bad[1], bad[2], bad[3])
		require.Error(t, err, bad)
	}
	require.Equal(t, []string{"undecided", "normal", "raised", "raised", "undecided"}, []string{
		analytics.Undecided.String(), analytics.Normal.String(), analytics.Raised.String(), analytics.Verdict(7).String(), analytics.Verdict(-1).String(),
	})
}

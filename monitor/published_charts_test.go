package monitor_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/anomaly"
)

// runLength is how many values pass on average until a chart raises an alarm,
// where the mean is shift.
func runLength(chart func() func(x float64) int, shift float64, runs int) float64 {
	rng := rand.New(rand.NewPCG(7, uint64(runs)))
	var total int
	for range runs {
		observe := chart()
		alarm := 0
		for alarm == 0 {
			alarm = observe(shift + rng.NormFloat64())
			total++
		}
	}
	return float64(total) / float64(runs)
}

// TestPublishedControlCharts has the run lengths of Montgomery's tables.
func TestPublishedControlCharts(t *testing.T) {
	cusum := func(limit float64) func() func(float64) int {
		return func() func(float64) int { return (&anomaly.CUSUM{Limit: limit}).Observe }
	}
	three := func() func(float64) int {
		return func(x float64) int {
			if math.Abs(x) > 3 {
				return 1
			}
			return 0
		}
	}
	pageHinkley := func() func(float64) int {
		test := &anomaly.PageHinkley{Lambda: 5}
		for i := range 200 { // the mean of values in control, to begin with
			test.Observe(0.1 - 0.2*float64(i%2))
		}
		return test.Observe
	}
	for _, c := range []struct {
		name                 string
		chart                func() func(float64) int
		shift, want, off     float64
		runs                 int
		atMost               float64
		reference, targetIfs string
	}{
		{"CUSUM, h 5, in control", cusum(0), 0, 465, 20, 6000, 0, "465", "465"},
		{"CUSUM, h 5, shift of 0.5", cusum(0), 0.5, 38, 1, 10000, 0, "38", "38"},
		{"CUSUM, h 5, shift of 1", cusum(0), 1, 10.4, 0.2, 20000, 10.6, "10.4", "≤ 10.6"},
		{"CUSUM, h 5, shift of 2", cusum(0), 2, 4.01, 0.1, 20000, 0, "4.01", "4.01"},
		{"CUSUM, h 4, in control", cusum(4), 0, 168, 8, 6000, 0, "168", "168"},
		{"CUSUM, h 4, shift of 1", cusum(4), 1, 8.38, 0.2, 20000, 0, "8.38", "8.38"},
		{"3σ alarm, in control", three, 0, 370, 20, 6000, 0, "370", "370"},
		{"3σ alarm, shift of 1", three, 1, 43.9, 1.5, 10000, 0, "43.9", "43.9"},
		{"Page-Hinkley, λ 5, shift of 1", pageHinkley, 1, 10.7, 0.5, 10000, 0, "10.4", "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runLength(c.chart, c.shift, c.runs)
			t.Logf("published: samples until an alarm, %s: measured %.2f, reference %s, target %s", c.name, got, c.reference, c.targetIfs)
			require.InDelta(t, c.want, got, c.off)
			if c.atMost > 0 {
				require.LessOrEqual(t, got, c.atMost)
			}
		})
	}
}

package anomaly_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/anomaly"
)

func TestCUSUM(t *testing.T) {
	c := anomaly.CUSUM{Mean: 100, Deviation: 10}
	for range 3 {
		require.Zero(t, c.Observe(120)) // 1.5 a row beyond the slack
	}
	up, down := c.Sums()
	require.InDelta(t, 4.5, up, 1e-12)
	require.Zero(t, down)
	require.Equal(t, 1, c.Observe(120))
	up, _ = c.Sums()
	require.Zero(t, up, "an alarm begins anew")
	for range 3 {
		require.Zero(t, c.Observe(80))
	}
	require.Equal(t, -1, c.Observe(80))
	require.Zero(t, c.Observe(math.NaN()))
	require.Equal(t, 1, c.Observe(math.Inf(1)))
	require.Equal(t, -1, c.Observe(math.Inf(-1)))
	c.Observe(110)
	c.Reset()
	up, _ = c.Sums()
	require.Zero(t, up)
	for range 10000 {
		require.Zero(t, c.Observe(104), "within the slack")
	}
}

func TestPageHinkley(t *testing.T) {
	var p anomaly.PageHinkley
	steady := func() {
		for i := range 100 {
			require.Zero(t, p.Observe(float64(i%2)))
		}
	}
	until := func(x float64) (rows, alarm int) {
		for alarm == 0 {
			alarm = p.Observe(x)
			rows++
		}
		return rows, alarm
	}
	steady()
	rows, alarm := until(4)
	require.Equal(t, 1, alarm)
	require.Equal(t, 4, rows)
	steady()
	rows, alarm = until(-3)
	require.Equal(t, -1, alarm)
	require.Equal(t, 4, rows)
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		require.Zero(t, p.Observe(x))
	}
	for range 100 {
		require.Zero(t, p.Observe(7), "a constant")
	}
	p.Reset()
	for _, x := range []float64{math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64, 0} {
		p.Observe(x)
	}
	p.Reset()
	steady()
}

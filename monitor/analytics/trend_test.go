package analytics_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

var epoch = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func points(values ...float64) []analytics.Point {
	list := make([]analytics.Point, len(values))
	for i, v := range values {
		list[i] = analytics.Point{Time: epoch.Add(time.Duration(i) * time.Hour), Value: v}
	}
	return list
}

// series is n hours of a rise an hour, noise, and what is left of the noise before.
func series(r *rand.Rand, n int, rise, like float64) []analytics.Point {
	values := make([]float64, n)
	noise := 0.
	for i := range values {
		noise = like*noise + r.NormFloat64()
		values[i] = 10 + rise*float64(i) + noise
	}
	return points(values...)
}

func TestTrend(t *testing.T) {
	up := analytics.FindTrend(points(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
	require.True(t, up.Rising())
	require.InDelta(t, 1, up.Tau, 1e-9)
	require.InDelta(t, 1, up.PerHour, 1e-9)
	require.InDelta(t, 1, up.Low, 1e-9)
	down := analytics.FindTrend(points(5, 4, 3, 3, 2, 1, 0, -1, -1, -3))
	require.True(t, down.Falling())
	require.False(t, down.Rising())
	flat := analytics.FindTrend(points(3, 3, 3, 3, 3, 3, 3, 3, 3))
	require.Equal(t, analytics.Trend{Points: 9, P: 1}, flat, "what does not change has no trend")

	for _, few := range [][]analytics.Point{nil, points(1), points(1, 2, 3), points(1, math.NaN(), 2, math.Inf(1), 3)} {
		trend := analytics.FindTrend(few)
		require.False(t, trend.Rising() || trend.Falling())
		require.Equal(t, 1., trend.P)
	}
	at := points(1, 2, 3, 4, 5, 6)
	for i := range at {
		at[i].Time = epoch
	}
	require.Zero(t, analytics.FindTrend(at).PerHour, "all at one time")

	mixed := points(1, 2, 3, 4, 5, 6, 7, 8)
	mixed[0], mixed[7] = mixed[7], mixed[0]
	require.True(t, analytics.FindTrend(mixed).Rising(), "in any order")
}

// TestTrendOfValuesAtOneTime: none of them is later, in whatever order they come.
func TestTrendOfValuesAtOneTime(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	var at []analytics.Point
	for i := range 60 {
		at = append(at, analytics.Point{Time: epoch.Add(time.Duration(i/6) * time.Hour), Value: r.NormFloat64()})
	}
	trend := analytics.FindTrend(at)
	require.Equal(t, 10, trend.Points)
	for range 20 {
		r.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
		require.Equal(t, trend, analytics.FindTrend(at))
	}
	var two []analytics.Point
	for i := range 40 {
		two = append(two, analytics.Point{Time: epoch.Add(time.Duration(i/20) * time.Hour), Value: float64(i % 20)})
	}
	require.Equal(t, analytics.Trend{Points: 2, P: 1}, analytics.FindTrend(two), "rising within each time says nothing")
}

func TestTrendOfHugeValues(t *testing.T) {
	const most = math.MaxFloat64
	trend := analytics.FindTrend(points(-most, most, -most, most, 1, 2, most, -most))
	for _, v := range []float64{trend.Tau, trend.P, trend.PerHour, trend.Low, trend.High} {
		require.False(t, math.IsNaN(v) || math.IsInf(v, 0))
	}
}

// TestTrendIsHonest draws series: without a trend one is told in about 5 of 100, also
// where each value is like the one before; and intervals hold the slope in about 95.
func TestTrendIsHonest(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	const draws, n = 1500, 60
	for _, like := range []float64{0, .5} {
		told, within, found := 0, 0, 0
		for range draws {
			trend := analytics.FindTrend(series(r, n, 0, like))
			if trend.Rising() || trend.Falling() {
				told++
			}
			trend = analytics.FindTrend(series(r, n, .05, like))
			if trend.Low <= .05 && .05 <= trend.High {
				within++
			}
			if trend.Rising() {
				found++
			}
		}
		t.Logf("autocorrelation %.1f: a trend where there is none in %.1f %%, the slope within its interval in %.1f %%, a trend found in %.1f %%",
			like, 100*float64(told)/draws, 100*float64(within)/draws, 100*float64(found)/draws)
		require.Less(t, float64(told)/draws, .075)
		require.Greater(t, float64(within)/draws, .92)
	}
}

func TestTrendOfMany(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	start := time.Now()
	trend := analytics.FindTrend(series(r, 50_000, .01, 0))
	require.Less(t, time.Since(start), 5*time.Second)
	require.LessOrEqual(t, trend.Points, 400)
	require.InEpsilon(t, .01, trend.PerHour, .01)
}

func BenchmarkTrend(b *testing.B) {
	p := series(rand.New(rand.NewPCG(5, 5)), 120, .01, 0)
	for b.Loop() {
		analytics.FindTrend(p)
	}
}

package analytics_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

// kinds of series, each by its noise.
var kinds = map[string]func(r *rand.Rand, n int) []float64{
	"noise": func(r *rand.Rand, n int) []float64 {
		return each(n, func(int) float64 { return 100 + 10*r.NormFloat64() })
	},
	"trend": func(r *rand.Rand, n int) []float64 {
		return each(n, func(i int) float64 { return 100 + .5*float64(i) + 10*r.NormFloat64() })
	},
	"season": func(r *rand.Rand, n int) []float64 {
		return each(n, func(i int) float64 { return 100 + 50*math.Sin(2*math.Pi*float64(i)/24) + 10*r.NormFloat64() })
	},
	"random walk": func(r *rand.Rand, n int) []float64 {
		at := 100.
		return each(n, func(int) float64 { at += r.NormFloat64(); return at })
	},
	"level shift": func(r *rand.Rand, n int) []float64 {
		return each(n, func(i int) float64 {
			if i > n/3 {
				return 150 + 10*r.NormFloat64()
			}
			return 100 + 10*r.NormFloat64()
		})
	},
	"long tails": func(r *rand.Rand, n int) []float64 {
		return each(n, func(int) float64 { return 100 * math.Exp(.5*r.NormFloat64()) })
	},
}

func each(n int, fn func(i int) float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = fn(i)
	}
	return values
}

func TestForecastsAreHonest(t *testing.T) {
	const draws, n, steps = 40, 240, 12
	for _, name := range []string{"noise", "trend", "season", "random walk", "level shift", "long tails"} {
		r := rand.New(rand.NewPCG(9, 9))
		within, mase := 0, 0.
		for range draws {
			all := kinds[name](r, n+steps)
			f, err := analytics.Predict(all[:n], steps, 24, .9)
			require.NoError(t, err)
			mase += f.MASE / draws
			require.Equal(t, name == "season", f.Seasonal)
			for i, next := range f.Next {
				require.LessOrEqual(t, next.Low, next.High)
				if v := all[n+i]; next.Low <= v && v <= next.High {
					within++
				}
			}
		}
		share := float64(within) / draws / steps
		t.Logf("published: forecast of %s: measured %.1f %% within intervals of 90 %%, with a MASE of %.2f, reference none, target 90 ± 8", name, 100*share, mase)
		require.InDelta(t, .9, share, .08, name)
		require.Less(t, mase, 1.05, name)
	}
}

// TestForecastsOfFewSeasons: what was learnt from few seasons is not taken for sure.
func TestForecastsOfFewSeasons(t *testing.T) {
	const draws, season, steps = 60, 24, 12
	for _, seasons := range []int{2, 3, 10} {
		r := rand.New(rand.NewPCG(77, uint64(seasons)))
		within, used := 0, 0
		for range draws {
			n := season * seasons
			all := each(n+steps, func(i int) float64 {
				return 100 + 50*math.Sin(2*math.Pi*float64(i)/season) + 5*r.NormFloat64()
			})
			f, err := analytics.Predict(all[:n], steps, season, .9)
			require.NoError(t, err)
			if f.Seasonal {
				used++
			}
			for i, next := range f.Next {
				if v := all[n+i]; next.Low <= v && v <= next.High {
					within++
				}
			}
		}
		share := float64(within) / draws / steps
		t.Logf("%d seasons: used in %d of %d, %.1f %% within", seasons, used, draws, 100*share)
		require.Greater(t, used, draws*8/10)
		require.Greater(t, share, .87)
	}
}

func TestForecastEdges(t *testing.T) {
	flat := each(50, func(int) float64 { return 7 })
	f, err := analytics.Predict(flat, 5, 0, .9)
	require.NoError(t, err)
	require.Zero(t, f.MASE)
	for _, next := range f.Next {
		require.Equal(t, analytics.Interval{Mean: 7, Low: 7, High: 7}, next)
	}
	holes := slices.Clone(flat)
	holes[0], holes[10], holes[49] = math.NaN(), math.Inf(1), math.NaN()
	again, err := analytics.Predict(holes, 5, 0, .9)
	require.NoError(t, err)
	require.Equal(t, f, again)

	for name, bad := range map[string]func() error{
		"few": func() error { _, err := analytics.Predict(flat[:19], 1, 0, .9); return err },
		"no numbers": func() error {
			_, err := analytics.Predict(each(30, func(int) float64 { return math.NaN() }), 1, 0, .9)
			return err
		},
		"no steps": func() error { _, err := analytics.Predict(flat, 0, 0, .9); return err },
		"many":     func() error { _, err := analytics.Predict(flat, 2001, 0, .9); return err },
		"huge": func() error {
			_, err := analytics.Predict(each(30, func(i int) float64 { return math.MaxFloat64 * float64(1-i%2*2) }), 1, 0, .9)
			return err
		},
		"share":    func() error { _, err := analytics.Predict(flat, 1, 0, 1); return err },
		"no share": func() error { _, err := analytics.Predict(flat, 1, 0, math.NaN()); return err },
	} {
		require.Error(t, bad(), name)
	}
	r := rand.New(rand.NewPCG(1, 1))
	long, err := analytics.Predict(kinds["noise"](r, 10_000), 720, 168, .9)
	require.NoError(t, err)
	require.Len(t, long.Next, 720)
	for _, next := range long.Next {
		require.False(t, math.IsNaN(next.Mean) || math.IsNaN(next.High-next.Low))
		require.Less(t, next.High-next.Low, 5000.)
	}
}

func BenchmarkForecast(b *testing.B) {
	past := kinds["season"](rand.New(rand.NewPCG(1, 1)), 720)
	for b.Loop() {
		_, _ = analytics.Predict(past, 24, 168, .9)
	}
}

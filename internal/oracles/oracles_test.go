package oracles

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

func latencies(seed uint64, n int) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Exp(r.NormFloat64()*1.2 - .5)
		if r.Float64() < .02 {
			values[i] *= 10
		}
	}
	return values
}

func TestSketchAndDDSketch(t *testing.T) {
	values := latencies(1, 100_000)
	theirs, err := ddsketch.NewDefaultDDSketch(.01)
	require.NoError(t, err)
	var ours analytics.Sketch
	for _, v := range values {
		require.NoError(t, theirs.Add(v))
		ours.Add(v)
	}
	slices.Sort(values)
	for _, q := range []float64{.01, .25, .5, .9, .95, .99, .999, .9999} {
		exact := stat.Quantile(q, stat.Empirical, values, nil)
		other, err := theirs.GetValueAtQuantile(q)
		require.NoError(t, err)
		require.InEpsilon(t, exact, other, .0101)
		require.InEpsilon(t, exact, ours.Quantile(q), .0157)
		t.Logf("%.4f: exact %.4f, DDSketch %+.2f %%, ours %+.2f %%", q, exact, 100*(other/exact-1), 100*(ours.Quantile(q)/exact-1))
	}
	require.InEpsilon(t, stat.Mean(values, nil), ours.Mean(), 1e-9)
}

func TestTrend(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 50 {
		const n = 40
		var points []analytics.Point
		hours, values := make([]float64, n), make([]float64, n)
		rise := r.NormFloat64() / 10
		for i := range n {
			hours[i], values[i] = float64(i), rise*float64(i)+r.NormFloat64()
			points = append(points, analytics.Point{Time: time.Unix(int64(i)*3600, 0), Value: values[i]})
		}
		trend := analytics.FindTrend(points)
		require.InDelta(t, stat.Kendall(hours, values, nil), trend.Tau, 1e-9)
		_, slope := stat.LinearRegression(hours, values, nil, false)
		require.InDelta(t, slope, trend.PerHour, .05, "on normal noise both find the same line")
		// Without autocorrelation the variance of Kendall's S is known.
		z := trend.Tau * n * (n - 1) / 2 / math.Sqrt(n*(n-1)*(2*n+5)/18.)
		require.GreaterOrEqual(t, trend.P, 2*distuv.UnitNormal.Survival(math.Abs(z))-1e-9, "never surer than without the corrections")
	}
}

func TestRoom(t *testing.T) {
	load := analytics.Load{PerSecond: 4, Took: 2 * time.Second}
	for c := 9; c < 40; c++ {
		a := load.Erlangs()
		p := distuv.Poisson{Lambda: a} // B = P(N = c) / P(N ≤ c), C from it
		b := p.Prob(float64(c)) / p.CDF(float64(c))
		want := b / (1 - a/float64(c)*(1-b))
		require.InEpsilon(t, want, analytics.RoomFor(load, c).Waits, 1e-6)
	}
}

func BenchmarkDDSketch(b *testing.B) {
	values := latencies(1, 1024)
	s, err := ddsketch.NewDefaultDDSketch(.01)
	require.NoError(b, err)
	i := 0
	for b.Loop() {
		_ = s.Add(values[i&1023])
		i++
	}
}

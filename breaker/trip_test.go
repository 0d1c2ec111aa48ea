package breaker

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// untilTrip returns after how many calls that fail with probability p an
// engine trips, on average over so many runs.
func untilTrip(r rules, p float64, runs int, rng *rand.Rand) float64 {
	var e engine
	ctx := context.Background()
	e.init(r, func() float64 { return 0 }, func(change) {})
	total := 0
	for range runs {
		for e.gate.Load() == 0 {
			permit, _ := e.enter()
			o := good
			if rng.Float64() < p {
				o = bad
			}
			e.report(ctx, 0, permit, o)
			total++
		}
		e.close(ctx, 0, "")
	}
	return float64(total) / float64(runs)
}

// The mean number of calls to N failures in a row is (1−p^N)/((1−p)·p^N).
func TestPublishedBreakerStatistics(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 5))
	for _, tt := range []struct {
		n    int64
		p    float64
		want float64
		runs int
	}{
		{5, .5, 62, 8000}, {5, .3, 586.5, 500}, {5, 1, 5, 10},
		{3, .5, 14, 8000}, {3, .3, 51.5, 4000}, {3, .2, 155, 1000},
	} {
		formula := float64(tt.n)
		if tt.p < 1 {
			pn := math.Pow(tt.p, float64(tt.n))
			formula = (1 - pn) / ((1 - tt.p) * pn)
		}
		require.InEpsilon(t, tt.want, formula, .001)
		r := with(func(r *rules) { r.failureRate, r.consecutive = 0, tt.n })
		got := untilTrip(r, tt.p, tt.runs, rng)
		// The time to trip is nearly exponential: 4 standard errors of the mean.
		require.InEpsilon(t, tt.want, got, 4/math.Sqrt(float64(tt.runs)), "N=%d p=%v", tt.n, tt.p)
		if tt.n == 5 && tt.p == .5 {
			t.Logf("published: BreakerStatistics: measured %.1f calls to 5 failures in a row at p=.5, reference 62, target 62 ± 3%%", got)
			require.InEpsilon(t, 62, got, .03)
		}
	}
}

// Page's chart with p0 = 1 %, p1 = 10 %, h = 6.
func TestPublishedBreakerDrift(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 6))
	r := with(func(r *rules) { r.failureRate, r.consecutive, r.drift = 0, 0, 6 })
	for _, tt := range []struct {
		p, want float64
		runs    int
	}{
		{.01, 11805, 100}, {.1, 41, 8000}, {.5, 6.0, 8000}, {1, 3, 10},
	} {
		got := untilTrip(r, tt.p, tt.runs, rng)
		require.InEpsilon(t, tt.want, got, .02+3/math.Sqrt(float64(tt.runs)), "p=%v", tt.p)
		if tt.p == .1 {
			t.Logf("published: BreakerDrift: measured %.1f calls to notice 10%% errors, reference 41, target 41 ± 5%%", got)
		}
	}
}

// A window of exactly 20 calls trips falsely as often as the binomial law says,
// given that the last of them fails, since only then the rules are asked.
func TestFalseTrips(t *testing.T) {
	const n, p, runs = 20, .3, 20000
	r := with(func(r *rules) { r.consecutive, r.minCalls = 0, n })
	rng := rand.New(rand.NewPCG(17, 7))
	var e engine
	ctx := context.Background()
	e.init(r, func() float64 { return 0 }, func(change) {})
	trips := 0.0
	for range runs {
		for range n {
			permit, _ := e.enter()
			o := good
			if rng.Float64() < p {
				o = bad
			}
			e.report(ctx, 0, permit, o)
		}
		if e.gate.Load() != 0 {
			trips++
		}
		e.close(ctx, 0, "")
	}
	var want float64 // p · P(Bin(19, p) ≥ 9)
	for k := 9; k <= 19; k++ {
		want += p * choose(19, k) * math.Pow(p, float64(k)) * math.Pow(1-p, float64(19-k))
	}
	require.InDelta(t, want, trips/runs, 4*math.Sqrt(want/runs))
}

func choose(n, k int) float64 {
	c := 1.0
	for i := range k {
		c = c * float64(n-i) / float64(i+1)
	}
	return c
}

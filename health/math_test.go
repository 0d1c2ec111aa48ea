package health

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Akka's tests give what its approximation is within a tenth of; these are the
// values of the normal distribution itself.
func TestPublishedPhi(t *testing.T) {
	var a accrual
	for _, gap := range []time.Duration{900, 1100} { // mean 1 s, deviation 100 ms
		a.observe(gap * time.Millisecond)
	}
	require.InDelta(t, 1, a.mean, 1e-12)
	require.InDelta(t, 0.01, a.variance, 1e-12)
	for ms, c := range map[int]struct{ akka, exact float64 }{
		0: {0, 0}, 500: {0.1, 0}, 1000: {0.3, 0.301}, 1200: {1.6, 1.643}, 1400: {4.7, 4.499}, 1600: {10.8, 9.006}, 1700: {15.3, 11.893},
	} {
		got := a.phi(time.Duration(ms)*time.Millisecond, time.Millisecond)
		t.Logf("published: phi accrual after %d ms of mean 1000, deviation 100: measured %.3f, reference %.1f (approximated), target %.3f", ms, got, c.akka, c.exact)
		require.InDelta(t, c.exact, got, 0.0006)
	}
	for phi, ms := range map[float64]int{1: 1129, 2: 1233, 3: 1310, 8: 1562} {
		require.Less(t, a.phi(time.Duration(ms-1)*time.Millisecond, 0), phi)
		require.Greater(t, a.phi(time.Duration(ms+1)*time.Millisecond, 0), phi)
	}

	var b accrual
	for _, ms := range []time.Duration{100, 200, 125, 340, 130} {
		b.observe(ms * time.Millisecond)
	}
	t.Logf("published: phi accrual, five samples: measured mean %.0f and variance %.0f, reference 179 and 7584, target the same", b.mean*1e3, b.variance*1e6)
	require.InDelta(t, 0.179, b.mean, 1e-12)
	require.InDelta(t, 7584e-6, b.variance, 1e-12)
}

func TestPhiEdges(t *testing.T) {
	var a accrual
	require.Zero(t, a.phi(time.Hour, time.Second), "nothing is known")
	a.observe(time.Second)
	require.Greater(t, a.phi(24*time.Hour, time.Second), 300., "beyond what a float tells")
	require.InDelta(t, 0.301, a.phi(time.Second, time.Second), 0.001)
	for range 1000 {
		a.observe(2 * time.Second)
	}
	require.InDelta(t, 2, a.mean, 1e-3, "what is old is forgotten")
	require.Equal(t, memory, a.n)
}

func TestBeta(t *testing.T) {
	require.InDelta(t, 0.5, betaCDF(0.5, 3, 3), 1e-12)
	require.InDelta(t, 0.3, betaCDF(0.3, 1, 1), 1e-12)
	require.InDelta(t, math.Pow(0.7, 5), betaCDF(0.7, 5, 1), 1e-12)
	require.Zero(t, betaCDF(0, 2, 3))
	require.InDelta(t, 1, betaCDF(1, 2, 3), 0)
	// The sum of a binomial's tail is the same.
	want := 0.
	for k := 3; k <= 12; k++ {
		want += math.Gamma(13) / math.Gamma(float64(k+1)) / math.Gamma(float64(13-k)) * math.Pow(.2, float64(k)) * math.Pow(.8, float64(12-k))
	}
	require.InDelta(t, want, betaCDF(0.2, 3, 10), 1e-10)

	require.InDelta(t, 0.05, doubtless(1, 1), 1e-8)
	require.InDelta(t, math.Cbrt(0.05), doubtless(3, 1), 1e-8)
	require.InDelta(t, 0.99, doubtless(1e6*0.99, 1e6*0.01), 1e-3)
}

// The share of one is 1/2 more than that of another with the chance that two
// uniform numbers have, and the same whatever came of a great many calls.
func TestExceeds(t *testing.T) {
	require.InDelta(t, 0.5, exceeds(1, 1, 1, 1, 0), 0.01)
	require.InDelta(t, 0.125, exceeds(1, 1, 1, 1, 0.5), 0.01)
	require.InDelta(t, 0.5, exceeds(20001, 80001, 20001, 80001, 0), 0.01)
	require.InDelta(t, 1, exceeds(50001, 50001, 20001, 80001, 0.1), 1e-9)
	require.InDelta(t, 0, exceeds(1, 1e6, 1, 1e6, 0.1), 1e-9)
}

// deviates is the rule of Envoy and gRPC, without its minimum of five hosts: a
// host's rate of success is more than 1.9 deviations below the mean.
func deviates(rates []float64, i int) bool {
	mean, variance := 0., 0.
	for _, r := range rates {
		mean += r / float64(len(rates))
	}
	for _, r := range rates {
		variance += (r - mean) * (r - mean) / float64(len(rates))
	}
	return rates[i] < mean-1.9*math.Sqrt(variance)
}

// The test of proportions sees what the rule of deviations cannot see by its
// arithmetic: up to half of two to eight models that are bad.
func TestOutlierOfFew(t *testing.T) {
	const calls, fails = 100., 0.5
	missed := 0
	for n := 2; n <= 8; n++ {
		for k := 1; k <= n/2; k++ {
			rates := make([]float64, n)
			for i := range rates {
				rates[i] = 1
				if i < k {
					rates[i] = 1 - fails
				}
			}
			others := float64(n-1) * calls
			require.True(t, outlier(calls*fails, calls, float64(k-1)*calls*fails, others), "%d of %d", k, n)
			require.False(t, outlier(0, calls, float64(k)*calls*fails, others), "a good one of %d with %d bad", n, k)
			if !deviates(rates, 0) {
				missed++
			}
			require.Equal(t, k == 1 && n >= 5, deviates(rates, 0), "%d of %d", k, n)
		}
	}
	require.Equal(t, 12, missed)
	require.False(t, outlier(1, 3, 0, 400), "too few calls to tell")
	require.False(t, outlier(5, 40, 2, 400), "hardly more than the others")
	require.False(t, outlier(10, 10, 0, 0), "nobody to compare with")
}

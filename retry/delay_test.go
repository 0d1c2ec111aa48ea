package retry

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLawEnvelope(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		base, longest time.Duration
		multiplier    float64
		want          []time.Duration
	}{
		"doubles up to the longest":   {500 * ms, 3 * time.Second, 2, []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 3000 * ms, 3000 * ms}},
		"constant":                    {100 * ms, time.Second, 1, []time.Duration{100 * ms, 100 * ms, 100 * ms}},
		"base above the longest":      {5 * time.Second, time.Second, 2, []time.Duration{time.Second, time.Second}},
		"a fraction":                  {100 * ms, time.Second, 1.5, []time.Duration{100 * ms, 150 * ms, 225 * ms}},
		"a multiplier that overflows": {1, math.MaxInt64, 1e10, []time.Duration{1, 1e10, math.MaxInt64, math.MaxInt64}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLaw(tt.base, tt.longest, tt.multiplier, -1)
			for i, want := range tt.want {
				require.Equal(t, want, l.next(rand.Float64()), "wait %d", i+1)
			}
		})
	}
}

// The envelope must neither overflow nor end, however often it is asked.
func TestLawNeverStops(t *testing.T) {
	l := newLaw(time.Nanosecond, time.Hour, 3, 1)
	for range 10_000 {
		d := l.next(0.5)
		require.True(t, d >= 0 && d <= time.Hour, "%v", d)
	}
	require.Equal(t, time.Hour/2, l.next(0.5))
}

func TestLawJitter(t *testing.T) {
	const interval = time.Second
	for name, tt := range map[string]struct {
		jitter        float64
		least, most   time.Duration
		mean, stddev2 float64
	}{
		"full":  {1, 0, interval, 0.5, 1.0 / 12},
		"equal": {0.5, interval / 2, interval, 0.75, 1.0 / 48},
		"none":  {-1, interval, interval, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			var sum, squares float64
			const n = 20_000
			for range n {
				d := newLaw(interval, interval, 2, tt.jitter).next(rng.Float64())
				require.True(t, d >= tt.least && d <= tt.most, "%v", d)
				sum += d.Seconds()
				squares += d.Seconds() * d.Seconds()
			}
			mean := sum / n
			require.InDelta(t, tt.mean, mean, 0.01)
			require.InDelta(t, tt.stddev2, squares/n-mean*mean, 0.003)
		})
	}
}

func TestAfterServer(t *testing.T) {
	for _, tt := range []struct {
		asked     time.Duration
		jitter, u float64
		want      time.Duration
	}{
		{2 * time.Second, 1, 0, 2 * time.Second},
		{2 * time.Second, 1, 0.5, 2100 * time.Millisecond},
		{time.Minute, 1, 0.999999, time.Minute + 249999750},
		{time.Minute, 0.5, 0.5, time.Minute + 62500*time.Microsecond},
		{2 * time.Second, -1, 0.9, 2 * time.Second},
		{0, 1, 0.9, 0},
	} {
		require.Equal(t, tt.want, afterServer(tt.asked, tt.jitter, tt.u), "%+v", tt)
	}
}

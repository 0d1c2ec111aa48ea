package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

func TestFakesAreSound(t *testing.T) {
	for seed := range uint64(200) {
		for _, span := range []time.Duration{time.Minute, 3502 * time.Second, time.Hour, 24 * time.Hour} {
			fakes := newFakes(seed, span)
			require.Len(t, fakes, 4)
			for _, f := range fakes {
				_, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{f.Model}})
				require.NoError(t, err)
				i := f.Incidents[0]
				require.LessOrEqual(t, i.From+i.For, span, "%s, seed %d", f.Name, seed)
				require.Contains(t, []time.Duration{1188 * time.Second, 2088 * time.Second, span * 3 / 5}, i.For)
			}
			require.Equal(t, fakes, newFakes(seed, span))
		}
	}
	require.NotEqual(t, newFakes(1, time.Hour), newFakes(2, time.Hour))
}

// The world is as the figures that it is made of, measured on its outcomes.
func TestFakesFollowTheFigures(t *testing.T) {
	const n = 20_000
	for _, f := range newFakes(1, time.Hour) {
		calm := f.Model
		calm.Incidents = nil
		failed, slow, counts := 0, 0, map[chaos.FaultName]int{}
		for i := range n {
			out := calm.Outcome(1, chaos.Try{Call: fmt.Sprint(i)})
			counts[out.Fault.Name]++
			if out.Fault.Name != chaos.None {
				failed++
			} else if out.After.Seconds() > f.FirstToken.At(0.5) {
				slow++
			}
		}
		require.InDelta(t, 315/39_436.0, float64(failed)/n, 0.0025, f.Name)
		require.InDelta(t, 169/315.0, float64(counts[chaos.RateLimited])/float64(failed), 0.16, f.Name)
		require.InDelta(t, 0.5, float64(slow)/float64(n-failed), 0.015, f.Name)
	}
}

func TestDescribe(t *testing.T) {
	require.Equal(t, ``+
		`model            $ per M tokens   first token p50, p99   incident
atlas-large   2.60 in 14.00 out          2.6 s, 14.3 s   02:11–21:59 unavailable (503)
boreal-chat    1.00 in 3.75 out          3.3 s, 17.6 s   10:25–45:13 slow, 2 times as long
cirrus-70b     0.32 in 1.32 out           0.4 s, 0.7 s   04:25–39:13 throttled (429), 86.7 % of attempts
delta-70b      0.14 in 0.46 out          1.2 s, 63.6 s   02:48–22:36 overloaded (529), 30.0 % of attempts
`, describe(newFakes(1, time.Hour)))
}

func TestClockText(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"00:00": 0, "00:01": 600 * time.Millisecond, "01:00": 59*time.Second + 999*time.Millisecond, "60:00": time.Hour, "1560:05": 26*time.Hour + 5*time.Second,
	} {
		require.Equal(t, want, clock(d))
	}
}

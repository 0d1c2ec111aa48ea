package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHistoryIsBounded(t *testing.T) {
	r := New(Config{})
	require.Equal(t, Times{}, r.Times())
	var first *Outcome
	for i := range remembered + 10 {
		o := new(Outcome)
		if first == nil {
			first = o
		}
		r.history.add(o, Outcome{Recovered: i%4 != 0, Duration: time.Duration(i) * time.Second})
	}
	list := r.History()
	require.Len(t, list, remembered)
	require.Equal(t, (remembered+9)*time.Second, list[0].Duration, "newest first")
	times := r.Times()
	require.InDelta(t, .25, times.Manual, .01)
	require.Equal(t, remembered, times.Outcomes)
	require.Equal(t, (remembered+9)*time.Second, times.Recover.Max)
	require.Zero(t, times.Detect)
	r.history.add(first, Outcome{Recovered: true}) // long forgotten
	require.Len(t, r.History(), remembered)
	o := r.history.list[5]
	r.history.add(o, Outcome{Reason: "changed"})
	require.Equal(t, "changed", r.History()[remembered-1-5].Reason)
}

func TestSpread(t *testing.T) {
	var ds []time.Duration
	for i := 100; i > 0; i-- {
		ds = append(ds, time.Duration(i))
	}
	require.Equal(t, Spread{50, 95, 99, 100}, spreadOf(ds))
	require.Equal(t, Spread{7, 7, 7, 7}, spreadOf([]time.Duration{7}))
	require.Equal(t, Spread{}, spreadOf(nil))
}

// Three probes within a minute of an outage, and the next soon enough, whatever
// chance has it.
func TestGaps(t *testing.T) {
	r := &rules{after: 5 * time.Second}
	for _, chance := range []float64{0, .5, .999} {
		at := time.Duration(0)
		for n := range 4 {
			at += r.gap(n, chance)
			require.Equal(t, n < 3, at <= time.Minute, "probe %d at %v", n+1, at)
		}
		require.Less(t, r.gap(100, chance), 29*time.Second)
	}
	slow := &rules{after: time.Minute}
	require.Equal(t, time.Minute, slow.gap(5, 0))
}

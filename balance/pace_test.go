package balance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// tried is a rate of so many a second, that a cut a second after the beginning
// led to.
func tried(speed, rate float64) *trial {
	t := &trial{speed: speed}
	t.cut(aSecond, rate/slower/second)
	return t
}

// perSecond is the rate after so many seconds in which requests waited or not.
func (t *trial) perSecond(seconds int, waits bool) float64 {
	for i := range seconds {
		t.held = waits
		t.advance(int64(i+2) * aSecond)
	}
	return t.rate * second
}

func TestTrialGrowsWhereRequestsWait(t *testing.T) {
	require.InDelta(t, 100, tried(1, 100).perSecond(30, false), .1)
	require.Greater(t, tried(1, 100).perSecond(1, true), 101.)
	require.Less(t, tried(1, 100).perSecond(10, true), 150.)
	grown := tried(1, 100)
	require.Greater(t, grown.perSecond(30, true), 300., "ever faster")
	require.Greater(t, grown.limit, 60., "that may go at once: a fifth of a second's")
}

// A trial lasts for a window.
func TestTrialIsForgotten(t *testing.T) {
	for speed, lasts := range map[float64]int64{.5: 120, 1: 60, 2: 30} {
		p := tried(speed, 100)
		p.advance(lasts * aSecond)
		require.True(t, p.on(), "%v", speed)
		p.advance((lasts + 2) * aSecond)
		require.False(t, p.on(), "%v", speed)
	}
}

// Where nobody had to wait, the wait that there is not does not count as one.
func TestTrialNotesWaits(t *testing.T) {
	p := tried(1, 100)
	p.advance(2 * aSecond)
	require.Zero(t, p.wait(1))
	require.False(t, p.held)
	p.spend(p.level)
	require.Positive(t, p.wait(1))
	require.True(t, p.held)
}

func TestPaceMeasuresWhatWasSent(t *testing.T) {
	p := pace{tried: trial{speed: 1}}
	require.Equal(t, 101*aSecond, p.mark(100*aSecond, 0))
	require.Equal(t, 101*aSecond, p.mark(100*aSecond+aSecond/2, 5))
	require.Equal(t, 102*aSecond, p.mark(101*aSecond, 10), "a mark is due after a second")
	require.InDelta(t, 10, p.sent(102*aSecond, 20)*second, 1e-9)
}

// What was not sent is given back, whoever told of the limit.
func TestPaceGivesBack(t *testing.T) {
	p := pace{tried: trial{speed: 1}}
	p.heard[requests] = *told(10, 3, time.Minute)
	p.advance(aSecond)
	for range 5 {
		require.Zero(t, p.wait(aSecond, 0, false))
		p.spend(0)
		p.giveBack(0)
	}
}

// A refusal is news where the provider says that something remains.
func TestPaceRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		limit, remaining float64
		news             bool
	}{
		"nothing said":     {0, 0, true},
		"nothing remains":  {10, 0, false},
		"one remains":      {10, 1, true},
		"one of a hundred": {100, 1, false},
		"half remains":     {100, 50, true},
	} {
		p := pace{tried: trial{speed: 1}}
		said := [resources]resilience.Quota{{Limit: c.limit, Remaining: c.remaining, Reset: time.Second}}
		require.Equal(t, c.news, p.refused(aSecond, aSecond, 0, said), name)
	}
}

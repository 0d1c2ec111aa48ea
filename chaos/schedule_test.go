package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestSchedule(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		schedule Schedule
		n        int64
		at       time.Duration
		share    float64
	}{
		{Schedule{}, 0, 0, 1},
		{Schedule{}, 1e6, time.Hour, 1},
		{Schedule{Skip: 2, Times: 3}, 1, 0, 0},
		{Schedule{Skip: 2, Times: 3}, 2, 0, 1},
		{Schedule{Skip: 2, Times: 3}, 4, 0, 1},
		{Schedule{Skip: 2, Times: 3}, 5, 0, 0},
		{Schedule{Skip: 2}, 99, 0, 1},
		{Schedule{From: 5 * s, For: 10 * s}, 0, 5*s - 1, 0},
		{Schedule{From: 5 * s, For: 10 * s}, 0, 5 * s, 1},
		{Schedule{From: 5 * s, For: 10 * s}, 0, 15 * s, 0},
		{Schedule{From: 5 * s, On: 2 * s, Off: 3 * s}, 0, 11 * s, 1},
		{Schedule{From: 5 * s, On: 2 * s, Off: 3 * s}, 0, 12 * s, 0},
		{Schedule{Rate: .8, From: 5 * s, Ramp: 10 * s}, 0, 5 * s, 0},
		{Schedule{Rate: .8, From: 5 * s, Ramp: 10 * s}, 0, 10 * s, .4},
		{Schedule{Rate: .8, From: 5 * s, Ramp: 10 * s}, 0, time.Hour, .8},
		{Schedule{Spans: []Span{{0, s}, {5 * s, s}}}, 0, s, 0},
		{Schedule{Spans: []Span{{0, s}, {5 * s, s}}}, 0, 5 * s, 1},
	} {
		settings.Fill(&c.schedule)
		const draws = 4000
		hits := 0
		for i := range draws {
			if c.schedule.strikes(uint64(i), "id", "m", c.n, c.at) {
				hits++
			}
		}
		require.InDelta(t, c.share, float64(hits)/draws, .03, "%+v", c)
	}
}

// Those of a group fail in the same seconds, whatever their models and counts.
func TestScheduleOfAGroup(t *testing.T) {
	s := Schedule{Rate: .3, Group: "g"}
	down := 0
	for at := range 1000 {
		first := s.strikes(1, "x", "a", 0, time.Duration(at)*time.Second)
		if first {
			down++
		}
		for n, model := range []string{"a", "b"} {
			later := time.Duration(at)*time.Second + 900*time.Millisecond
			require.Equal(t, first, s.strikes(1, fmt.Sprint(n), model, int64(n*7), later))
		}
	}
	require.InDelta(t, 300, down, 50)
}

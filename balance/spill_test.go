package balance

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The shares of levels without the noise of draws: Envoy's table to the last
// call in 10,000.
func TestSpill(t *testing.T) {
	for _, tc := range []struct {
		usable, room []int // of a hundred; room is usable if it is not given
		want         []float64
	}{
		{usable: []int{100, 100}, want: []float64{1, 0}},
		{usable: []int{72, 100}, want: []float64{1, 0}},
		{usable: []int{71, 100}, want: []float64{.994, .006}},
		{usable: []int{50, 100}, want: []float64{.7, .3}},
		{usable: []int{25, 100}, want: []float64{.35, .65}},
		{usable: []int{0, 100}, want: []float64{0, 1}},
		{usable: []int{71, 71}, want: []float64{.994, .006}},
		{usable: []int{25, 25}, want: []float64{.5, .5}},
		{usable: []int{5, 65}, want: []float64{1. / 14, 13. / 14}},
		{usable: []int{25, 25, 100}, want: []float64{.35, .35, .3}},
		{usable: []int{25, 25, 20}, want: []float64{25. / 70, 25. / 70, 20. / 70}},
		{usable: []int{0, 0}, want: []float64{0, 0}},
		{usable: []int{100, 100}, room: []int{50, 100}, want: []float64{.7, .3}},
		{usable: []int{50, 100}, room: []int{0, 0}, want: []float64{.7, .3}},
		{usable: []int{1, 0, 0}, want: []float64{1, 0, 0}},
	} {
		const draws = 10_000
		got := make([]int, len(tc.want))
		for i := range draws {
			var levels []group
			for j, usable := range tc.usable {
				l := group{total: 100, usable: usable, room: usable}
				if tc.room != nil {
					l.room = tc.room[j]
				}
				levels = append(levels, l)
			}
			at, held := spill(levels, 0, (float64(i)+.5)/draws)
			require.False(t, held)
			if at >= 0 {
				got[at]++
			}
		}
		for j, want := range tc.want {
			require.InDelta(t, want*draws, got[j], 1, "%v %v", tc.usable, tc.room)
		}
	}
}

// With no last resort and nobody there, there is no level; with one, it is the
// first level that has models at all.
func TestSpillToNobody(t *testing.T) {
	empty, held := group{}, group{total: 5}
	at, _ := spill([]group{empty, held}, 0, 0)
	require.Equal(t, -1, at)
	at, last := spill([]group{empty, held}, 0.5, 0.9)
	require.Equal(t, 1, at)
	require.True(t, last)
	at, _ = spill([]group{empty, empty}, 0.5, 0.9)
	require.Equal(t, -1, at)
}

// What can take all calls alone is not in panic, whatever part of it is held.
func TestSpillWithoutPanic(t *testing.T) {
	_, held := spill([]group{{total: 100, usable: 75, room: 75}}, .8, .5)
	require.False(t, held)
	_, held = spill([]group{{total: 100, usable: 70, room: 70}}, .8, .5)
	require.True(t, held)
}

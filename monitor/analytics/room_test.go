package analytics_test

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

func TestRoom(t *testing.T) {
	load := analytics.Load{PerSecond: 4, Took: 2 * time.Second}
	require.InDelta(t, 8, load.Erlangs(), 1e-12)
	for _, known := range []struct { // from tables of Erlang's C
		servers int
		waits   float64
	}{{9, .6533}, {10, .4092}, {12, .1398}, {16, .0091}} {
		require.InDelta(t, known.waits, analytics.RoomFor(load, known.servers).Waits, 1e-3)
	}
	r := analytics.RoomFor(load, 10)
	require.InDelta(t, r.Queue, load.PerSecond*r.Wait.Seconds(), 1e-6, "Little's law")
	require.InDelta(t, .8, r.Busy, 1e-12)

	for _, servers := range []int{8, 7, 0, -3} {
		r := analytics.RoomFor(load, servers)
		require.Equal(t, 1., r.Waits)
		require.True(t, math.IsInf(r.Queue, 1))
		require.Positive(t, r.Wait)
	}
	require.Equal(t, analytics.Room{Servers: 3}, analytics.RoomFor(analytics.Load{}, 3))
	require.Equal(t, analytics.Room{}, analytics.RoomFor(analytics.Load{PerSecond: -1, Took: time.Second}, 0))

	edge := analytics.RoomFor(analytics.Load{PerSecond: math.Nextafter(1, 0) / 36_000, Took: 10 * time.Hour}, 1)
	require.Equal(t, time.Duration(math.MaxInt64), edge.Wait, "longer than a duration can be")
	odd := analytics.RoomFor(analytics.Load{PerSecond: math.NaN(), Took: time.Second}, 3)
	require.Equal(t, 1., odd.Waits, "what is not a number is never taken for little")
	require.Equal(t, time.Duration(math.MaxInt64), odd.Wait)
	require.Zero(t, analytics.RoomFor(load, math.MaxInt).Waits, "soon told")

	big := analytics.Load{PerSecond: 10_000, Took: time.Second}
	require.InDelta(t, 0, analytics.RoomFor(big, 12_000).Waits, 1e-6)
	require.Greater(t, analytics.RoomFor(big, 10_001).Waits, .9)
}

func TestRoomThatKeeps(t *testing.T) {
	load := analytics.Load{PerSecond: 4, Took: 2 * time.Second}
	r, ok := analytics.RoomThatKeeps(load, 100*time.Millisecond)
	require.True(t, ok)
	require.LessOrEqual(t, r.Wait, 100*time.Millisecond)
	require.Greater(t, analytics.RoomFor(load, r.Servers-1).Wait, 100*time.Millisecond)
	for _, big := range []float64{1e7, math.Inf(1), math.NaN()} {
		_, ok = analytics.RoomThatKeeps(analytics.Load{PerSecond: big, Took: time.Second}, time.Second)
		require.False(t, ok)
	}
	none, ok := analytics.RoomThatKeeps(load, 0)
	require.True(t, ok)
	require.Zero(t, none.Wait)
	r, ok = analytics.RoomThatKeeps(analytics.Load{}, 0)
	require.True(t, ok)
	require.Zero(t, r.Servers)
}

// ends are when places are free again.
type ends []float64

func (e *ends) Len() int           { return len(*e) }
func (e *ends) Less(i, j int) bool { return (*e)[i] < (*e)[j] }
func (e *ends) Swap(i, j int)      { (*e)[i], (*e)[j] = (*e)[j], (*e)[i] }
func (e *ends) Push(x any)         { *e = append(*e, x.(float64)) }
func (e *ends) Pop() any           { old := *e; x := old[len(old)-1]; *e = old[:len(old)-1]; return x }

// TestRoomAsPlayed plays the queue.
func TestRoomAsPlayed(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	const servers, calls, perSecond, took = 10, 400_000, 4., 2.
	free := make(ends, servers)
	now, wait, waited := 0., 0., 0
	for range calls {
		now += r.ExpFloat64() / perSecond
		start := max(now, free[0])
		if start > now {
			waited++
			wait += start - now
		}
		free[0] = start + r.ExpFloat64()*took
		heap.Fix(&free, 0)
	}
	room := analytics.RoomFor(analytics.Load{PerSecond: perSecond, Took: 2 * time.Second}, servers)
	require.InEpsilon(t, room.Waits, float64(waited)/calls, .05)
	require.InEpsilon(t, room.Wait.Seconds(), wait/calls, .08)
}

package window

import (
	"math"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestTally(t *testing.T) {
	var tally Tally
	require.Zero(t, tally.Counts())
	var want [Buckets]int64
	for _, d := range []int64{math.MinInt64, 0, 1, ms, minute, math.MaxInt64} {
		tally.Add(d)
		want[BucketOf(d)]++
	}
	require.Equal(t, want, tally.Counts())
}

func TestTallyRaises(t *testing.T) {
	var tally Tally
	tally.Add(0)
	tally.Add(ms)
	tally.Add(ms)
	counts := [Buckets]int64{3, 0, 5}
	tally.Raise(&counts)
	want := [Buckets]int64{3, 0, 5}
	want[BucketOf(ms)] = 2
	require.Equal(t, want, counts)
	require.Equal(t, want, tally.Counts())
	lower := [Buckets]int64{}
	tally.Raise(&lower)
	require.Equal(t, want, lower)
}

func TestTallyOfMany(t *testing.T) {
	var tally Tally
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for d := range Buckets {
				low, _ := Bounds(d)
				tally.Add(low)
			}
		})
	}
	wg.Wait()
	for _, n := range tally.Counts() {
		require.EqualValues(t, 8, n)
	}
}

// TestSizes are what the docs say.
func TestSizes(t *testing.T) {
	require.EqualValues(t, 176, unsafe.Sizeof(Tally{}))
	require.EqualValues(t, 184, unsafe.Sizeof(Histogram{}))
	require.EqualValues(t, 192, unsafe.Sizeof(cells{}))
	require.EqualValues(t, 64, unsafe.Sizeof([octave]int64{}))
}

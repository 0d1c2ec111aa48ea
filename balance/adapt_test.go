package balance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// adaptIn is a limit of 8 in force, cut at the first instant.
func adaptIn() *adapt {
	a := &adapt{}
	a.reset()
	a.cut(8, 1)
	return a
}

func TestAdaptGoesWhenCalmAndIdle(t *testing.T) {
	for name, c := range map[string]struct {
		after, under int64
		want         int64
	}{
		"calm and idle":     {calm + 1, 3, unlimited},
		"half of it in use": {calm + 1, 4, 8},
		"not for a minute":  {calm, 0, 8},
	} {
		require.Equal(t, c.want, adaptIn().inForce(1+c.after, c.under), name)
	}
}

// Two failures are no reason to limit anything, nor are as many as there are in
// a burst; one more of each is.
func TestAdaptBearsSingleFailures(t *testing.T) {
	var a adapt
	a.reset()
	for failed := range 3 {
		require.EqualValues(t, unlimited, a.inForce(5, 20), "%d failed", failed)
		a.drop(1, 5, 20, 20, false)
	}
	require.EqualValues(t, 14, a.inForce(5, 20))

	a.reset()
	for failed := range 6 {
		require.EqualValues(t, unlimited, a.inForce(5, 100), "%d failed", failed)
		a.drop(1, 5, 100, 100, false)
	}
	require.EqualValues(t, 70, a.inForce(5, 100))
}

// A refusal shows that there is less room than was thought, never that there is
// more.
func TestAdaptCrowdedOnlyLowers(t *testing.T) {
	for others, want := range map[int64]int64{9: 8, 8: 8, 6: 6} {
		a := adaptIn()
		a.crowded(2, 3, others)
		require.Equal(t, want, a.inForce(3, others))
	}
}

// Late first chunks cost a tenth of what is under way.
func TestAdaptLateChunks(t *testing.T) {
	var a adapt
	a.reset()
	now := int64(time.Hour)
	chunk := func(took time.Duration) {
		now += int64(time.Second)
		a.chunk(now-int64(took), now, 50)
	}
	for range 30 {
		chunk(time.Second)
	}
	for range 30 {
		if a.bound {
			break
		}
		chunk(10 * time.Second)
	}
	require.EqualValues(t, 45, a.inForce(now, 50))
}

// Times are judged from the twentieth on.
func TestTrendWarmsUp(t *testing.T) {
	var chunks trend
	for i := range 20 {
		require.False(t, chunks.over(muchToo), "%d seen", i)
		v := 1.
		if i >= 10 {
			v = 100
		}
		chunks.add(int64(i), v)
	}
	require.True(t, chunks.over(muchToo))
}

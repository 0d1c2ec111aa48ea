package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// A good probe says nothing of a model whose few calls fail, and no more than calls
// that were enough.
func TestProbeBesideCalls(t *testing.T) {
	for want, f := range map[mark]finding{
		good: {n: 4, failed: 1}, none: {n: 4, failed: 2}, bad: {n: 10, failed: 9, mark: bad, calls: true},
	} {
		f.probed(resilience.Probed{})
		require.Equal(t, want, f.mark)
	}
	f := finding{n: 10, mark: good}
	f.probed(resilience.Probed{Err: &resilience.Error{Kind: resilience.TimedOut}})
	require.Equal(t, bad, f.mark)
	require.False(t, f.calls)
}

// The score is between 0 and 1, and monotone in all that it is made of.
func TestScoreIsMonotone(t *testing.T) {
	of := func(s, f, malformed float64, p pace) float64 {
		st := state{successes: s, failures: f, malformed: malformed, pace: p}
		return st.score(0, pace{first: time.Second, token: 10 * time.Millisecond})
	}
	last := 0.
	for _, s := range []float64{0, 1, 2, 5, 10, 100, 1e4, 1e6} {
		got := of(s, 0, 0, pace{})
		require.Greater(t, got, last)
		require.Less(t, got, 1.)
		last = got
	}
	for _, f := range []float64{1, 2, 5, 10, 100, 1e4} {
		got := of(10, f, 0, pace{})
		require.Less(t, got, last)
		require.GreaterOrEqual(t, got, 0.)
		last = got
	}
	whole := of(10, 0, 0, pace{})
	require.InDelta(t, whole, of(10, 0, 0, pace{first: time.Second}), 1e-9)
	require.InDelta(t, whole/2, of(10, 0, 0, pace{first: 4 * time.Second}), 1e-9)
	require.InDelta(t, whole/2, of(10, 0, 0, pace{first: time.Second, token: 40 * time.Millisecond}), 1e-9, "by token where that is known")
	require.InDelta(t, whole, of(10, 0, 0, pace{first: time.Millisecond}), 1e-9)
	require.InDelta(t, whole/2, of(10, 0, 5, pace{}), 1e-9)
	require.Zero(t, of(10, 0, 50, pace{}))
	require.Equal(t, pace{1, 2}, pace{1, 0}.least(pace{3, 2}))
}

// Peers are those of the same name, if there are any, else those of the same tier.
func TestPeers(t *testing.T) {
	pool, err := resilience.NewPool(resilience.Models(
		resilience.ModelInfo{ID: "a", Name: "x"}, resilience.ModelInfo{ID: "b", Name: "x", Tier: 1},
		resilience.ModelInfo{ID: "c"}, resilience.ModelInfo{ID: "d"}, resilience.ModelInfo{ID: "e", Tier: 1}))
	require.NoError(t, err)
	of := peersOf(pool.Models())
	require.Equal(t, of(pool.Model("a")), of(pool.Model("b")))
	require.Equal(t, of(pool.Model("c")), of(pool.Model("d")))
	require.NotEqual(t, of(pool.Model("a")), of(pool.Model("c")))
	require.NotEqual(t, of(pool.Model("c")), of(pool.Model("e")))
}

// What a step decided and has not done yet is not taken for undone by others.
func TestHoldsOfOneStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		pool, err := resilience.NewPool(c, resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}))
		require.NoError(t, err)
		c.begin()
		_, _, _ = c.step()
		c.mu.Lock()
		defer c.mu.Unlock()
		a, b := c.states.Of(pool.Model("a")), c.states.Of(pool.Model("b"))
		for range 3 {
			c.settle(a, finding{at: c.pool.Now(), mark: bad, reason: "a test"})
		}
		c.lapse(a, c.pool.Now())
		require.NotZero(t, a.until)
		require.Equal(t, resilience.Unavailable, a.verdict)
		require.Equal(t, "it is the last one", c.crowded(b), "though the other is not held yet")
		for _, do := range c.work.acts {
			do(context.Background())
		}
		require.False(t, pool.Model("a").Available())
		require.True(t, pool.Model("b").Available())
	})
}

package balance_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

// homes makes one call for each of n affinities and returns where it went.
func homes(w *world, n int) (ids []string) {
	w.t.Helper()
	for i := range n {
		id, _, err := w.Do(w.t.Context(), "", resilience.CallOptions{Affinity: fmt.Sprint("user ", i)})
		require.NoError(w.t, err)
		ids = append(ids, id)
	}
	return ids
}

func count(ids []string, id string) (n int) {
	for _, other := range ids {
		if other == id {
			n++
		}
	}
	return n
}

func TestAffinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		infos := append(names("a", "b"), resilience.ModelInfo{ID: "c", Weight: 2})
		w := newWorld(t, balance.Config{}, infos...)
		first := homes(w, n)
		near(t, 0.25, n, count(first, "a"), "a")
		near(t, 0.5, n, count(first, "c"), "c, which has twice the weight")
		require.Equal(t, first, homes(w, n), "always the same")
		require.Equal(t, first[:100], homes(newWorld(t, balance.Config{}, infos[2], infos[0], infos[1]), 100), "in every process, in whatever order")

		w.hold("a", resilience.HoldBreaker, time.Minute)
		moved := homes(w, n)
		for i := range moved {
			if first[i] != "a" {
				require.Equal(t, first[i], moved[i], "only those move whose model is out")
			}
		}
		require.Zero(t, count(moved, "a"))
		require.Less(t, count(moved, "b"), n/2, "and not all to the same")
		time.Sleep(time.Minute)
		require.Equal(t, first, homes(w, n))
	})
}

// A change of the hash would move every prompt away from its cache.
func TestAffinityStaysTheSameAcrossVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := []string{"claude", "gemini", "gpt", "gemini", "claude", "claude", "gemini", "gpt", "gemini", "gpt"}
		require.Equal(t, want, homes(newWorld(t, balance.Config{}, names("gpt", "claude", "gemini")...), 10))
	})
}

// However many calls share an affinity, a model's load stays within 1.25 times
// its part. A few are not spread.
func TestAffinityIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{}, append(names("a", "b", "c", "d"), resilience.ModelInfo{ID: "heavy", Weight: 4})...)
		for _, m := range w.Pool().Models() {
			w.takes[m.ID()] = time.Hour
		}
		w.start(resilience.CallOptions{Affinity: "another"}, 4)
		require.True(t, slices.ContainsFunc(w.Pool().Models(), func(m *resilience.Model) bool { return m.InFlight() == 4 }))
		for range 20 {
			w.start(resilience.CallOptions{Affinity: "one for all"}, 8)
			total := 0.
			for _, m := range w.Pool().Models() {
				total += float64(m.InFlight())
			}
			for _, m := range w.Pool().Models() {
				require.LessOrEqual(t, float64(m.InFlight()), max(4, 1.25*total*m.Weight()/8+1), m.ID())
			}
		}
	})
}

// Calls that wait at a model are load.
func TestAffinityCountsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{}, names("a", "b")...)
		home := homes(w, 1)
		m := w.Pool().Model(home[0])
		m.Queue(10)
		require.NotEqual(t, home, homes(w, 1))
		m.Queue(-10)
		require.Equal(t, home, homes(w, 1))
	})
}

func TestAffinityWhereTwoChoicesDecide(t *testing.T) {
	for algorithm, sticky := range map[balance.Algorithm]bool{
		balance.TwoChoices: true, balance.Regional: true, balance.Priority: true, balance.RoundRobin: false, balance.LeastInFlight: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, balance.Config{Algorithm: algorithm, Region: "eu"}, names("a", "b", "c", "d")...)
			require.Equal(t, sticky, len(w.spread(resilience.CallOptions{Affinity: "x"}, 40)) == 1, algorithm)
		})
	}
}

// A prompt cache does not make up for failures.
func TestAffinityLeavesModelsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{}, names("a", "b", "c")...)
		opts := resilience.CallOptions{Affinity: "x", Attempts: -1}
		home, _, err := w.Do(t.Context(), "", opts)
		require.NoError(t, err)
		w.fail[home] = 1
		failed := 0
		for range 1000 {
			if _, _, err := w.Do(t.Context(), "", opts); err != nil {
				failed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.Less(t, failed, 60)
		w.fail[home] = 0
		time.Sleep(time.Minute)
		again, _, err := w.Do(t.Context(), "", opts)
		require.NoError(t, err)
		require.Equal(t, home, again)
	})
}

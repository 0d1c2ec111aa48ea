package history

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/window"
)

// month makes a pool's series of so many hours before now.
func month(hoursAgo int, rise float64) *series {
	s := &series{}
	rnd := rand.New(rand.NewPCG(1, 2))
	now := time.Now().Unix()
	for i := range int64(hoursAgo) {
		r := record{start: now - now%3600 - 3600*(int64(hoursAgo)-i)}
		n := int64(1000 + 500*math.Sin(2*math.Pi*float64(i)/24) + rise*float64(i) + 20*rnd.NormFloat64())
		r.n[atSpan], r.n[atKind], r.n[atNanos] = 3_600_000, n, n*1e6
		r.took.put(window.BucketOf(int64(time.Second)+rnd.Int64N(int64(time.Second))), uint32(n))
		s.add(&r)
	}
	return s
}

func TestTrends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2000, 3, 20, 12, 30, 0, 0, time.UTC)))
		h := watching(t, Config{})
		h.whole.tiers = month(720, 2).tiers
		rep := h.Report(Month, time.Now())
		require.Len(t, rep.Trends, 1)
		require.Equal(t, "calls per hour", rep.Trends[0].What)
		require.InDelta(t, 48, rep.Trends[0].PerDay, 5)
		require.Less(t, rep.Trends[0].Low, 48.)
		require.Greater(t, rep.Trends[0].High, 48.)
		require.NotNil(t, rep.Expected)
		share := float64(rep.Pool.Calls) / float64(rep.Expected.Calls)
		require.InDelta(t, 19.5/31, share, 0.08)
		require.InEpsilon(t, float64(rep.Expected.Calls)/1000, rep.Expected.Cost, 0.001)
		require.Contains(t, rep.String(), "- pool: calls per hour rises by 4")
		require.Contains(t, rep.String(), "Expected in all: ")

		require.Empty(t, h.Report(Day, time.Now()).Trends)
		require.NotNil(t, h.Report(Day, time.Now()).Expected)
		require.Nil(t, h.Report(Hour, time.Now()).Expected)
		require.Nil(t, h.Report(Day, time.Now().Add(-24*time.Hour)).Expected, "it is over")
		h.whole.tiers = month(10, 0).tiers
		require.Nil(t, h.Report(Month, time.Now()).Expected, "too little is known")
		h.whole.tiers = month(720, 0).tiers
		require.Empty(t, h.Report(Month, time.Now()).Trends)
	})
	require.Equal(t, "a: error rate falls by 1 points a day", Trend{Series{Model: "a"}, "error rate", -0.01, 0, 0}.String())
	require.Equal(t, "a: p95 rises by 0.25 s a day", Trend{Series{Model: "a"}, "p95", 0.25, 0, 0}.String())
}

package health_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
)

// peak is the largest number of probes within 100 ms, between two instants.
func (r *rig) peak(from, to time.Duration) (most int) {
	bins := map[int64]int{}
	for _, p := range r.probes {
		if p.at >= from && p.at < to {
			bins[int64(p.at/(100*time.Millisecond))]++
		}
	}
	for _, n := range bins {
		most = max(most, n)
	}
	return most
}

// A thousand models that are probed every ten seconds are never probed together: not
// at first, nor later; and failures change nothing of that, nor of their number.
func TestPublishedSynchronisation(t *testing.T) {
	const n, period, mean = 1000, 10 * time.Second, 10.
	play := func(t *testing.T, failing int, d time.Duration) (r *rig) {
		t.Helper()
		cfg := health.Config{Interval: period, Probes: n}
		bubble(t, cfg, many(n, resilience.ModelInfo{}), func(in *rig) {
			r = in
			for i := range failing {
				r.set(resilience.Unreachable, fmt.Sprintf("m%d", i))
			}
			time.Sleep(d)
		})
		return r
	}
	none, half, all := play(t, 0, 5*time.Minute+period), play(t, n/2, 2*time.Minute), play(t, n, 2*time.Minute)
	atFirst, later := none.peak(0, period), none.peak(5*time.Minute, time.Hour)
	t.Logf("published: synchronisation of 1,000 checks, most probes in 100 ms within the first period: measured %d, reference 1000 (aligned) and 25 (random phases), target ≤ %.0f", atFirst, 3*mean)
	t.Logf("published: synchronisation of 1,000 checks, most probes in 100 ms after 5 min: measured %d, reference 1000 (fixed) and 21 (jittered), target ≤ %.0f", later, 3*mean)
	require.LessOrEqual(t, float64(atFirst), 3*mean)
	require.LessOrEqual(t, float64(later), 3*mean)
	require.LessOrEqual(t, float64(none.peak(0, time.Hour)), 3*mean)

	minutes := func(r *rig) (counts []int) {
		for m := range 2 {
			from := time.Duration(m) * time.Minute
			n := 0
			for _, p := range r.probes {
				if p.at >= from && p.at < from+time.Minute {
					n++
				}
			}
			counts = append(counts, n)
		}
		return counts
	}
	t.Logf("published: probes a minute with none, half and all of 1,000 models down: measured %v, %v, %v, reference a constant, target the same", minutes(none), minutes(half), minutes(all))
	require.Equal(t, minutes(none), minutes(half))
	require.Equal(t, minutes(none), minutes(all))
	require.InDelta(t, 6000, minutes(none)[1], 60)
}

// Where probes do not suffice, all models get fewer, and alike.
func TestProbeBudget(t *testing.T) {
	bubble(t, health.Config{Interval: 10 * time.Second}, many(60, resilience.ModelInfo{}), func(r *rig) {
		time.Sleep(20 * time.Minute)
		total := r.asked(0)
		require.LessOrEqual(r, total, 1201, "one a second")
		require.Greater(r, total, 1100)
		counts := []int{}
		for _, m := range r.pool.Models() {
			counts = append(counts, r.asked(0, m.ID()))
		}
		require.GreaterOrEqual(r, slices.Min(counts), 16, "%v", counts)
		require.LessOrEqual(r, slices.Max(counts), 21, "%v", counts)
	})
}

// Who waits for a probe is judged by calls meanwhile.
func TestCallsDoNotWaitForProbes(t *testing.T) {
	bubble(t, health.Config{Interval: 10 * time.Second}, many(600, resilience.ModelInfo{}), func(r *rig) {
		time.Sleep(time.Minute)
		r.set(resilience.Overloaded, "m7")
		since := time.Since(r.start)
		for !r.held("m7") && time.Since(r.start) < since+time.Hour {
			r.call("m7", 1)
			time.Sleep(time.Second)
		}
		require.Less(r, time.Since(r.start)-since, 45*time.Second)
	})
}

// Models that have calls leave the probes to the others.
func TestProbeBudgetGoesToTheIdle(t *testing.T) {
	infos := many(60, resilience.ModelInfo{})
	bubble(t, health.Config{Interval: 10 * time.Second}, infos, func(r *rig) {
		busy := func(d time.Duration) {
			for range int(d / time.Second) {
				for _, info := range infos[:50] {
					r.call(info.ID, 1)
				}
				time.Sleep(time.Second)
			}
		}
		busy(2 * time.Minute)
		since := time.Since(r.start)
		busy(2 * time.Minute)
		for _, info := range infos[:50] {
			require.Zero(r, r.asked(since, info.ID))
		}
		for _, info := range infos[50:] {
			require.InDelta(r, 12, r.asked(since, info.ID), 2, "every interval")
		}
	})
}

// Run after Run: there is one schedule, and probes end with each.
func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, quick, models("a", "b"))
		for range 5 {
			r.setBoth(hangs, nil, "b")
			stop := r.run()
			time.Sleep(12 * time.Second)
			stop()
		}
		r.set(nil, "b")
		since := time.Since(r.start)
		stop := r.run()
		time.Sleep(5 * time.Minute)
		stop()
		require.InDelta(t, 30, r.asked(since, "a"), 3)
		require.InDelta(t, 30, r.asked(since, "b"), 3)
	})
}

// An observer that panics is told apart, and the work goes on.
func TestPanicInWork(t *testing.T) {
	panicked := false
	bad := observer(func(e resilience.Event) {
		if e.Kind == resilience.EventHealth && !panicked {
			panicked = true
			panic("an observer")
		}
	})
	bubble(t, quick, models("a", "b"), func(r *rig) {
		r.set(resilience.Unreachable, "a")
		time.Sleep(5 * time.Minute)
		require.Len(r, r.told(resilience.EventPanic), 1)
		require.True(r, r.held("a"))
		since := time.Since(r.start)
		time.Sleep(5 * time.Minute)
		require.InDelta(r, 30, r.asked(since, "a"), 3)
	}, bad)
}

type observer func(resilience.Event)

func (o observer) Install(s *resilience.Setup) error {
	s.Observe(func(_ context.Context, e resilience.Event) { o(e) }, resilience.EventHealth, resilience.EventWarning)
	return nil
}

// Days pass, models fail and come back, and nothing piles up.
func TestSoak(t *testing.T) {
	days, hours, n := 1, 24, 50
	if *long {
		days = 30
	} else if testing.Short() {
		hours = 8
	}
	infos := []resilience.ModelInfo{}
	for _, provider := range []string{"north", "south", "east", "west", "center"} {
		infos = append(infos, many(n/5, resilience.ModelInfo{Provider: provider})...)
	}
	bubble(t, health.Config{Probes: 10}, infos, func(r *rig) {
		heap := func() (bytes uint64, goroutines int) {
			runtime.GC()
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			return s.HeapAlloc, runtime.NumGoroutine()
		}
		day := func() {
			for hour := range hours {
				down := []string{infos[hour].ID, infos[2*hour].ID}
				if hour%6 == 0 {
					for _, info := range infos[:10] {
						down = append(down, info.ID)
					}
				}
				r.set(resilience.Unreachable, down...)
				for range 10 {
					for i := range 10 {
						r.call(infos[(hour+i)%n].ID, 2)
					}
					time.Sleep(time.Minute)
				}
				r.set(nil, down...)
				time.Sleep(50 * time.Minute)
			}
			r.mu.Lock()
			r.probes = nil
			r.mu.Unlock()
			require.NotEmpty(r, r.told(resilience.EventHealth))
		}
		day()
		before, goroutines := heap()
		for range days {
			day()
		}
		after, then := heap()
		require.LessOrEqual(r, then, goroutines)
		require.Less(r, float64(after), float64(before)*1.2+1e6)
		for _, info := range infos {
			require.True(r, r.pool.Model(info.ID).Available(), info.ID)
		}
		r.Logf("%d models, %d days of %d h: heap %d KiB, then %d KiB; %d goroutines", n, days, hours, before>>10, after>>10, then)
	})
}

// Thousands of models are one goroutine and one timer.
func TestManyModels(t *testing.T) {
	n, d := 500, 10*time.Minute
	if *long {
		n, d = 5000, time.Hour
	}
	began := time.Now()
	bubble(t, health.Config{Probes: float64(n)}, many(n, resilience.ModelInfo{}), func(r *rig) {
		for i := range n / 2 {
			r.set(resilience.Overloaded, fmt.Sprintf("m%d", i))
		}
		before := runtime.NumGoroutine()
		time.Sleep(d)
		require.LessOrEqual(r, runtime.NumGoroutine(), before+10)
		require.InDelta(r, float64(n)*d.Seconds()/30, r.asked(0), float64(n)*d.Seconds()/300)
	})
	took := time.Since(began)
	t.Logf("%d models for %v: %v", n, d, took)
	require.Less(t, took, 30*time.Second)
}

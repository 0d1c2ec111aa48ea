package resilience_test

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// keeping is a feature that wants totals.
var keeping = feature(func(s *resilience.Setup) error {
	s.Totals()
	return nil
})

func totalsOf(t require.TestingT, p *resilience.Pool, id string) resilience.Totals {
	all, ok := p.Model(id).Totals()
	require.True(t, ok)
	return all
}

func TestTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := resilience.NewPool(keeping, resilience.Models(
			resilience.ModelInfo{ID: "m", Price: resilience.Price{Input: 1, Output: 2}}))
		require.NoError(t, err)
		c, err := resilience.NewClient(p, resilience.BindFunc("m", func(ctx context.Context, req string) (string, error) {
			time.Sleep(time.Second)
			switch req {
			case "fails":
				return "", resilience.Overloaded
			case "left":
				return "", ctx.Err()
			}
			resilience.ReportUsage(ctx, resilience.Usage{Input: 1000, Output: 10})
			return "fine", nil
		}))
		require.NoError(t, err)
		for range 3 {
			for _, req := range []string{"", "", "fails"} {
				_, _ = c.Call(t.Context(), req)
			}
			time.Sleep(time.Hour) // all windows pass
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err = c.Call(ctx, "left")
		require.Error(t, err)

		all := totalsOf(t, p, "m")
		require.Zero(t, p.Model("m").Stats(time.Minute).Calls)
		require.EqualValues(t, 9, all.Calls)
		require.EqualValues(t, 10, p.Ended())
		require.Zero(t, p.InFlight())
		require.Equal(t, map[resilience.Kind]int64{resilience.Overloaded: 3, resilience.Canceled: 1}, all.Failures)
		require.EqualValues(t, 9, all.Took.Count())
		require.InEpsilon(t, 9*time.Second, all.Took.Sum(), 1./15)
		require.Equal(t, resilience.Usage{Input: 6000, Output: 60}, all.Usage)
		require.EqualValues(t, 6, all.Input[5], "4^4 < 1000 ≤ 4^5")
		require.EqualValues(t, 6, all.Output[2])
		require.InDelta(t, 6*(1000*1e-6+10*2e-6), all.Cost, 1e-9)
		require.Zero(t, all.First.Count())
	})
}

func TestTotalsOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := resilience.NewPool(keeping)
		require.NoError(t, err)
		c, err := resilience.NewClient(p, resilience.BindStream("m", func(ctx context.Context, req string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				time.Sleep(time.Second)
				if !yield("one", nil) {
					return
				}
				time.Sleep(10 * time.Second)
				if req == "breaks" {
					yield("", resilience.Unreachable)
					return
				}
				resilience.ReportUsage(ctx, resilience.Usage{Output: 101})
				yield("two", nil)
			}
		}, resilience.StreamHooks[string, string]{}))
		require.NoError(t, err)
		for _, req := range []string{"", "", "breaks"} {
			s, err := c.Call(t.Context(), req)
			require.NoError(t, err)
			require.EqualValues(t, 1, totalsOf(t, p, "m").Open)
			for range s.All() {
			}
		}
		s, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.NoError(t, s.Close())

		all := totalsOf(t, p, "m")
		require.EqualValues(t, 4, all.Streams)
		require.Zero(t, all.Open)
		require.EqualValues(t, 1, all.Broken)
		require.EqualValues(t, 3, all.Calls)
		require.EqualValues(t, 3, all.Took.Count())
		require.InEpsilon(t, 33*time.Second, all.Took.Sum(), 1./15)
		require.EqualValues(t, 3, all.First.Count())
		require.InEpsilon(t, 3*time.Second, all.First.Sum(), 1./15)
		require.EqualValues(t, 2, all.PerToken.Count())
		require.InEpsilon(t, 200*time.Millisecond, all.PerToken.Sum(), 1./15)
	})
}

func TestTotalsNeverGoDown(t *testing.T) {
	p, err := resilience.NewPool(keeping)
	require.NoError(t, err)
	c, err := resilience.NewClient(p, resilience.BindFunc("m", func(context.Context, string) (string, error) { return "", nil }))
	require.NoError(t, err)
	var wg sync.WaitGroup
	var over atomic.Bool
	const each = 20_000
	for range 4 {
		wg.Go(func() {
			for range each {
				_, _ = c.Call(t.Context(), "")
			}
		})
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		var calls, took int64
		for !over.Load() {
			all, _ := p.Model("m").Totals()
			if all.Calls < calls || all.Took.Count() < took {
				t.Error("a total went down")
				return
			}
			calls, took = all.Calls, all.Took.Count()
		}
	}()
	wg.Wait()
	over.Store(true)
	<-watched
	all := totalsOf(t, p, "m")
	require.EqualValues(t, 4*each, all.Calls)
	require.EqualValues(t, 4*each, all.Took.Count())
	require.EqualValues(t, 4*each, p.Ended())
}

func TestNobodyWantsTotals(t *testing.T) {
	p, err := resilience.NewPool(resilience.Models(resilience.ModelInfo{ID: "m"}))
	require.NoError(t, err)
	_, ok := p.Model("m").Totals()
	require.False(t, ok)
}

// A clock that ticks coarsely sees no time go by until the first chunk.
func TestStreamsThatBeginAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := resilience.NewPool(keeping)
		require.NoError(t, err)
		c, err := resilience.NewClient(p, resilience.BindStream("m", func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				if yield("one", nil) {
					time.Sleep(time.Second)
					yield("two", nil)
				}
			}
		}, resilience.StreamHooks[string, string]{}))
		require.NoError(t, err)
		s, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		for range s.All() {
		}
		all := totalsOf(t, p, "m")
		require.EqualValues(t, 1, all.Streams)
		require.Zero(t, all.Open)
		require.EqualValues(t, 1, all.First.Count())
		require.InEpsilon(t, time.Second, all.Took.Sum(), 1./15)
	})
}

// What goes wrong in the service's own functions does not hide the call.
func TestReportsOfPanics(t *testing.T) {
	var errs []error
	reads := feature(func(s *resilience.Setup) error {
		s.Reports(func(_ context.Context, r resilience.Report, err error) {
			require.False(t, r.Defaulted)
			errs = append(errs, err)
		})
		return nil
	})
	p, err := resilience.NewPool(reads)
	require.NoError(t, err)
	c := newClient(t, p, resilience.BindFunc("m", func(_ context.Context, req string) (string, error) {
		if req == "callee" {
			panic("callee")
		}
		return "", resilience.Overloaded
	}), resilience.Hooks[string, string]{
		Default: func(string, error) (string, error) { panic("default") },
	})
	require.Panics(t, func() { _, _ = c.Call(t.Context(), "default") })
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], resilience.Overloaded)
	require.EqualValues(t, 1, p.Ended())
	require.Zero(t, p.InFlight())
	require.Panics(t, func() { _, _ = c.Call(t.Context(), "callee") })
	require.Len(t, errs, 2)
	require.Equal(t, resilience.Unknown, resilience.KindOf(errs[1]))
	require.EqualValues(t, 2, p.Ended())
}

func TestRefusedCallsEnd(t *testing.T) {
	for _, read := range []bool{false, true} {
		p, err := resilience.NewPool(keeping, feature(func(s *resilience.Setup) error {
			if read {
				s.Reports(func(context.Context, resilience.Report, error) {})
			}
			return nil
		}))
		require.NoError(t, err)
		c, err := resilience.NewClient(p, resilience.BindFunc("m", func(context.Context, string) (string, error) { return "", nil }))
		require.NoError(t, err)
		p.Model("m").Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Hour)})
		_, err = c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Rejected)
		require.EqualValues(t, 1, p.Ended(), read)
		require.Zero(t, p.InFlight())
	}
}

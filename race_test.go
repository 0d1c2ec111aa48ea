package resilience_test

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// lane goes from model to model.
func lane(ctx context.Context, r *resilience.Route) func(*resilience.Race) error {
	return func(x *resilience.Race) error {
		var last error
		for {
			if r.Next(ctx, false) == nil {
				if last == nil {
					return r.None()
				}
				return last
			}
			last = x.Try(false)
			if last == nil || x.Over() || !resilience.KindOf(last).Elsewhere() || !r.Extra(last) {
				return last
			}
		}
	}
}

// hedged starts an attempt beside one that is slow, after each of delays.
func hedged(delays ...time.Duration) resilience.Feature {
	return feature(func(s *resilience.Setup) error {
		s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
			return r.Race(ctx, next, func(x *resilience.Race) error {
				for _, d := range delays {
					x.After(d, func(x *resilience.Race) error {
						if x.Over() || !r.Beside(true) || x.Next() == nil {
							return nil
						}
						return x.Try(true)
					})
				}
				return lane(ctx, r)(x)
			})
		})
		return nil
	})
}

// wide starts n lanes at once.
func wide(n int) resilience.Feature {
	return feature(func(s *resilience.Setup) error {
		s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
			return r.Race(ctx, next, func(x *resilience.Race) error {
				for range n - 1 {
					if r.Beside(false) {
						x.Go(lane(ctx, r))
					}
				}
				return lane(ctx, r)(x)
			})
		})
		return nil
	})
}

// takes answers with text after d, or returns when its context ends.
func takes(d time.Duration, text string) ask {
	return func(ctx context.Context, _ string) (string, error) {
		select {
		case <-time.After(d):
			return text, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// errsAfter fails after d.
func errsAfter(d time.Duration, err error) ask {
	return func(ctx context.Context, req string) (string, error) {
		_, ended := takes(d, "")(ctx, req)
		return "", cmp.Or(ended, err)
	}
}

// ignores answers after d, whatever its context says.
func ignores(d time.Duration, text string) ask {
	return func(context.Context, string) (string, error) {
		time.Sleep(d)
		return text, nil
	}
}

func asking(asks map[string]ask) (opts []option) {
	for _, id := range []string{"a", "b", "c", "d"} {
		if f := asks[id]; f != nil {
			opts = append(opts, resilience.BindFunc(id, f))
		}
	}
	return opts
}

type outcome struct {
	model string
	hedge bool
	kind  resilience.Kind
}

func outcomes(rep resilience.Report) (list []outcome) {
	for _, a := range rep.Attempts {
		list = append(list, outcome{a.Model.ID(), a.Hedge, a.Kind})
	}
	return list
}

func TestRace(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		how      resilience.Feature
		asks     map[string]ask
		opts     resilience.CallOptions
		want     string
		kind     resilience.Kind
		took     time.Duration
		attempts []outcome
	}{
		"no need for a hedge": {
			how: hedged(100 * ms), asks: map[string]ask{"a": takes(50*ms, "a"), "b": takes(0, "b")},
			want: "a", took: 50 * ms, attempts: []outcome{{"a", false, 0}},
		},
		"a hedge wins": {
			how: hedged(100 * ms), asks: map[string]ask{"a": takes(time.Hour, "a"), "b": takes(50*ms, "b")},
			want: "b", took: 150 * ms, attempts: []outcome{{"a", false, resilience.Canceled}, {"b", true, 0}},
		},
		"a hedge loses": {
			how: hedged(100 * ms), asks: map[string]ask{"a": takes(150*ms, "a"), "b": takes(time.Hour, "b")},
			want: "a", took: 150 * ms, attempts: []outcome{{"a", false, 0}, {"b", true, resilience.Canceled}},
		},
		"a hedge loses that does not notice": {
			how: hedged(100 * ms), asks: map[string]ask{"a": takes(150*ms, "a"), "b": ignores(time.Hour, "b")},
			want: "a", took: 150 * ms, attempts: []outcome{{"a", false, 0}, {"b", true, resilience.Canceled}},
		},
		"the second hedge wins": {
			how: hedged(100*ms, 200*ms), asks: map[string]ask{"a": takes(time.Hour, "a"), "b": takes(time.Hour, "b"), "c": takes(ms, "c")},
			want: "c", took: 201 * ms,
			attempts: []outcome{{"a", false, resilience.Canceled}, {"b", true, resilience.Canceled}, {"c", true, 0}},
		},
		"the first fails while a hedge is under way": {
			how: hedged(100 * ms), asks: map[string]ask{"a": errsAfter(150*ms, resilience.Overloaded), "b": takes(time.Second, "b"), "c": takes(ms, "c")},
			want: "c", took: 151 * ms,
			attempts: []outcome{{"a", false, resilience.Overloaded}, {"b", true, resilience.Canceled}, {"c", false, 0}},
		},
		"a hedge fails": {
			how: hedged(100 * ms), asks: map[string]ask{"a": takes(200*ms, "a"), "b": fails(resilience.Overloaded)},
			want: "a", took: 200 * ms, attempts: []outcome{{"a", false, 0}, {"b", true, resilience.Overloaded}},
		},
		"all fail, the hedge last": {
			how: hedged(100 * ms), asks: map[string]ask{"a": errsAfter(150*ms, resilience.Overloaded), "b": errsAfter(time.Second, resilience.Unreachable)},
			kind: resilience.Overloaded, took: 1100 * ms, attempts: []outcome{{"a", false, resilience.Overloaded}, {"b", true, resilience.Unreachable}},
		},
		"the last one left is a hedge, and answers": {
			how: hedged(100 * ms), asks: map[string]ask{"a": errsAfter(150*ms, resilience.Overloaded), "b": takes(time.Second, "b")},
			want: "b", took: 1100 * ms, attempts: []outcome{{"a", false, resilience.Overloaded}, {"b", true, 0}},
		},
		"side by side": {
			how: wide(2), asks: map[string]ask{"a": takes(20*ms, "a"), "b": takes(10*ms, "b"), "c": takes(0, "c")},
			want: "b", took: 10 * ms, attempts: []outcome{{"a", false, resilience.Canceled}, {"b", false, 0}},
		},
		"side by side, each goes on": {
			how: wide(2), asks: map[string]ask{"a": fails(resilience.Overloaded), "b": errsAfter(10*ms, resilience.Overloaded), "c": takes(30*ms, "c"), "d": takes(time.Second, "d")},
			want: "c", took: 30 * ms,
			attempts: []outcome{{"a", false, resilience.Overloaded}, {"b", false, resilience.Overloaded}, {"c", false, 0}, {"d", false, resilience.Canceled}},
		},
		"the budget is one": {
			how: wide(4), asks: map[string]ask{"a": fails(resilience.Overloaded), "b": errsAfter(ms, resilience.Overloaded), "c": fails(resilience.Overloaded), "d": fails(resilience.Overloaded)},
			opts: resilience.CallOptions{Attempts: 2}, kind: resilience.Overloaded, took: ms,
			attempts: []outcome{{"a", false, resilience.Overloaded}, {"b", false, resilience.Overloaded}},
		},
		"never twice with Once": {
			how: wide(4), asks: map[string]ask{"a": takes(time.Second, "a"), "b": takes(0, "b")},
			opts: resilience.CallOptions{Once: true}, want: "a", took: time.Second, attempts: []outcome{{"a", false, 0}},
		},
		"no hedge with Once": {
			how: hedged(ms), asks: map[string]ask{"a": takes(time.Second, "a"), "b": takes(0, "b")},
			opts: resilience.CallOptions{Once: true}, want: "a", took: time.Second, attempts: []outcome{{"a", false, 0}},
		},
		"our own deadline": {
			how: hedged(100 * ms), asks: map[string]ask{"a": errsAfter(150*ms, resilience.Overloaded), "b": takes(time.Hour, "b")},
			opts: resilience.CallOptions{Timeout: time.Second}, kind: resilience.Overloaded, took: time.Second,
			attempts: []outcome{{"a", false, resilience.Overloaded}, {"b", true, resilience.TimedOut}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t, c.how)
				start := time.Now()
				answer, rep, err := newClient(t, p, asking(c.asks)...).Do(t.Context(), "", c.opts)
				require.Equal(t, c.took, time.Since(start))
				require.Equal(t, c.want, answer)
				require.Equal(t, c.kind, resilience.KindOf(err), "%v", err)
				require.Equal(t, c.attempts, outcomes(rep))
				if err == nil {
					require.Equal(t, c.want, rep.Model.ID())
				}
				require.NoError(t, p.Drain(t.Context()), "it waits for losers")
				idle(t, p)
				for _, m := range p.Models() {
					against := 0
					for _, a := range c.attempts {
						if a.model == m.ID() && a.kind.Against() {
							against++
						}
					}
					require.EqualValues(t, against, m.Stats(time.Minute).Failures, "%s: what lost counts for nothing", m)
				}
			})
		})
	}
}

// What loses says nothing about its model but that it is slow.
func TestLosersAreNeutral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second), models("a", "b"))
		c := newClient(t, p, asking(map[string]ask{"a": takes(time.Hour, ""), "b": takes(time.Millisecond, "b")})...)
		_, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		a := p.Model("a")
		s := a.Stats(time.Minute)
		require.Equal(t, []int64{0, 0, 1}, []int64{s.Calls, s.Failures, s.Canceled})
		require.Zero(t, a.Errors())
		require.InDelta(t, 1.001, a.Latency().Seconds(), 0.01)
	})
}

func TestHedgePrefersAnotherProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second, 2*time.Second), resilience.Models(
			resilience.ModelInfo{ID: "a", Provider: "x"}, resilience.ModelInfo{ID: "b", Provider: "x"},
			resilience.ModelInfo{ID: "c", Provider: "y"}, resilience.ModelInfo{ID: "d", Provider: "x"}))
		slow := takes(time.Hour, "")
		c := newClient(t, p, asking(map[string]ask{"a": slow, "b": takes(time.Millisecond, "b"), "c": slow, "d": slow})...)
		_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, []outcome{{"a", false, resilience.Canceled}, {"c", true, resilience.Canceled}, {"b", true, 0}}, outcomes(rep))
	})
}

func TestRaceAndCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second))
		c := newClient(t, p, asking(map[string]ask{"a": errsAfter(2*time.Second, resilience.Overloaded), "b": untilDone})...)
		for _, after := range []time.Duration{1500 * time.Millisecond, 3 * time.Second} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			_, err := c.Call(ctx, "")
			cancel()
			require.ErrorIs(t, err, resilience.Canceled)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			synctest.Wait()
			idle(t, p)
			require.Zero(t, p.Model("b").Stats(time.Minute).Failures)
		}
	})
}

// A model that hangs until our own deadline has failed, be it a hedge or not.
func TestRaceAndOurDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, hedged(time.Second), resilience.Timeouts{Call: 10 * time.Second, Attempt: -1})
		c := newClient(t, p, asking(map[string]ask{"a": untilDone, "b": untilDone})...)
		start := time.Now()
		_, err := c.Call(t.Context(), "")
		require.Equal(t, 10*time.Second, time.Since(start))
		require.ErrorIs(t, err, resilience.TimedOut)
		require.ErrorContains(t, err, "Timeouts.Call")
		synctest.Wait()
		for _, m := range p.Models() {
			require.EqualValues(t, 1, m.Stats(time.Minute).Failures, "%s", m)
		}
	})
}

func TestPanicsInARace(t *testing.T) {
	boom := func(d time.Duration) ask {
		return func(context.Context, string) (string, error) {
			time.Sleep(d)
			panic("boom")
		}
	}
	goexit := func(context.Context, string) (string, error) { runtime.Goexit(); return "", nil }
	for name, asks := range map[string]map[string]ask{
		"the first":        {"a": boom(2 * time.Second), "b": takes(time.Hour, "")},
		"a hedge":          {"a": takes(time.Hour, ""), "b": boom(0)},
		"a hedge, at last": {"a": fails(resilience.Overloaded), "b": boom(0)},
		"goexit":           {"a": takes(time.Hour, ""), "b": goexit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t, hedged(time.Second))
				c := newClient(t, p, asking(asks)...)
				require.Panics(t, func() { _, _ = c.Call(t.Context(), "") })
				synctest.Wait()
				idle(t, p)
			})
		})
	}
	t.Run("after the answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var out logged
			p := newPool(t, hedged(time.Second), resilience.Logger(slog.New(slog.NewTextHandler(&out, nil))))
			sub := p.Subscribe(1, resilience.EventPanic)
			defer sub.Close()
			c := newClient(t, p, asking(map[string]ask{"a": takes(2*time.Second, "a"), "b": boom(time.Minute)})...)
			answer, err := c.Call(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, "a", answer)
			require.NoError(t, p.Drain(t.Context()))
			require.Len(t, sub.C, 1)
			require.Contains(t, out.String(), "boom")
			idle(t, p)
		})
	})
}

// The first token decides; what comes after it comes from the one that won.
func TestStreamsRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := func(first, gap time.Duration, closed *bool) func(context.Context, string) iter.Seq2[string, error] {
			return func(ctx context.Context, _ string) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					defer func() { *closed = true }()
					for i, d := 0, first; i < 5; i, d = i+1, gap {
						select {
						case <-time.After(d):
						case <-ctx.Done():
							yield("", ctx.Err())
							return
						}
						if !yield(string(rune('a'+i)), nil) {
							return
						}
					}
				}
			}
		}
		var closedA, closedB bool
		p := newPool(t, hedged(time.Second), models("a", "b"))
		c, err := resilience.NewClient(p,
			resilience.BindStream("a", source(1500*time.Millisecond, time.Millisecond, &closedA)),
			resilience.BindStream("b", source(100*time.Millisecond, time.Minute, &closedB)))
		require.NoError(t, err)
		start := time.Now()
		s, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, 1100*time.Millisecond, time.Since(start))
		require.True(t, closedA, "the loser is over, the reader need not ask")
		require.Equal(t, "b", s.Model().ID())
		got, err := readAll(s)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c", "d", "e"}, got)
		require.Equal(t, []outcome{{"a", false, resilience.Canceled}, {"b", true, 0}}, outcomes(s.Report()))
		require.True(t, closedB)
		idle(t, p)

		closedA, closedB = false, false
		s, err = c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "b", s.Model().ID())
		require.NoError(t, s.Close())
		synctest.Wait()
		idle(t, p)
	})
}

// A loser that has begun to stream after all is closed.
func TestStreamThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := false
		late := func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				defer func() { closed = true }()
				time.Sleep(time.Minute)
				for yield("late", nil) {
				}
			}
		}
		p := newPool(t, hedged(time.Second), models("a", "b"))
		c, err := resilience.NewClient(p, resilience.BindStream("a", plays(texts("fine")...)), resilience.BindStream("b", late))
		require.NoError(t, err)
		slow, err := resilience.NewClient(p, resilience.BindStream("a", func(ctx context.Context, req string) iter.Seq2[string, error] {
			time.Sleep(2 * time.Second)
			return plays(texts("fine")...)(ctx, req)
		}), resilience.BindStream("b", late))
		require.NoError(t, err)
		for _, c := range []*resilience.Client[string, *resilience.Stream[string]]{c, slow} {
			s, err := c.Call(t.Context(), "")
			require.NoError(t, err)
			_, err = readAll(s)
			require.NoError(t, err)
		}
		require.NoError(t, p.Drain(t.Context()))
		require.True(t, closed)
		idle(t, p)
	})
}

func TestRacesWithinRaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		down := func(ctx context.Context, req string) (string, error) {
			asked.Add(1)
			return errsAfter(time.Second, resilience.Overloaded)(ctx, req)
		}
		inner := func() ask {
			c := newClient(t, newPool(t, wide(3)), bind([]string{"x", "y", "z"}, down)...)
			return c.Call
		}
		p := newPool(t, wide(3))
		c := newClient(t, p, asking(map[string]ask{"a": inner(), "b": inner(), "c": inner()})...)
		_, err := c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Overloaded)
		require.EqualValues(t, 6, asked.Load(), "one for each call, and of five more in the whole tree the outer one has used two")
		synctest.Wait() // a lane tells of its end before it is over
		idle(t, p)
	})
}

func TestRacesConcurrently(t *testing.T) {
	p := newPool(t, hedged(200*time.Microsecond, 400*time.Microsecond), resilience.Timeouts{Call: 20 * time.Millisecond})
	chance := func(id string) ask {
		return func(ctx context.Context, req string) (string, error) {
			d := time.Duration(rand.IntN(800)) * time.Microsecond
			switch rand.IntN(6) {
			case 0:
				return errsAfter(d, resilience.Overloaded)(ctx, req)
			case 1:
				return ignores(d, id)(ctx, req)
			case 2:
				return "", resilience.RateLimited
			default:
				return takes(d, id)(ctx, req)
			}
		}
	}
	c := newClient(t, p, asking(map[string]ask{"a": chance("a"), "b": chance("b"), "c": chance("c")})...)
	done := make(chan error)
	for range 8 {
		go func() {
			for i := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%7 == 0 {
					time.AfterFunc(300*time.Microsecond, cancel)
				}
				answer, rep, err := c.Do(ctx, "", resilience.CallOptions{})
				cancel()
				if err == nil && (rep.Model == nil || rep.Model.ID() != answer) {
					done <- errors.New("answered by " + answer + ", says " + rep.Model.ID())
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		require.NoError(t, <-done)
	}
	require.NoError(t, p.Drain(t.Context()))
	idle(t, p)
}

package resilience_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
)

type stream = resilience.Stream[string]

// mute is a source that goes silent after a word, and when its context ends
// either says so as clients do, or nothing at all.
func mute(says bool, words ...string) func(context.Context, string) iter.Seq2[string, error] {
	return func(ctx context.Context, _ string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, word := range words {
				if !yield(word, nil) {
					return
				}
			}
			<-ctx.Done()
			if says {
				yield("", ctx.Err())
			}
		}
	}
}

// TestWhoEndedAStream reads off the contexts who did, whatever the source says.
func TestWhoEndedAStream(t *testing.T) {
	for name, tc := range map[string]struct {
		end      func(cancel func(), s *stream)
		kind     resilience.Kind
		failures int64
	}{
		"Close":      {func(_ func(), s *stream) { _ = s.Close() }, resilience.Canceled, 0},
		"the caller": {func(cancel func(), _ *stream) { cancel() }, resilience.Canceled, 0},
		"a timer":    {func(func(), *stream) {}, resilience.Truncated, 1},
	} {
		for _, says := range []bool{true, false} {
			for _, hooks := range [][]resilience.StreamHooks[string, string]{nil, {marks}} {
				synctest.Test(t, func(t *testing.T) {
					p := newPool(t, resilience.Timeouts{}, breaker.New(breaker.Config{}))
					c := newStreams(t, p, resilience.BindStream("a", mute(says, "one"), hooks...))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					s, err := c.Call(ctx, "?")
					require.NoError(t, err)
					time.AfterFunc(time.Second, func() { tc.end(cancel, s) })
					_, err = readAll(s)
					require.Equal(t, tc.kind, resilience.KindOf(err), "%s, %v", name, err)
					require.Equal(t, tc.failures, p.Model("a").Stats(time.Minute).Failures, name)
					require.Zero(t, p.InFlight())
				})
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for _, says := range []bool{true, false} {
			p := newPool(t, resilience.Timeouts{})
			_, err := newStreams(t, p, resilience.BindStream("a", mute(says))).Call(t.Context(), "?")
			require.ErrorIs(t, err, resilience.TimedOut, "before the first chunk")
			require.Equal(t, int64(1), p.Model("a").Stats(time.Minute).Failures)
		}
	})
}

func newStreams(t *testing.T, p *resilience.Pool, opts ...resilience.ClientOption[string, *stream]) *resilience.Client[string, *stream] {
	t.Helper()
	c, err := resilience.NewClient(p, opts...)
	require.NoError(t, err)
	return c
}

func TestStreamPanicsSettle(t *testing.T) {
	for name, tc := range map[string]struct {
		open  func(context.Context, string) iter.Seq2[string, error]
		hooks resilience.Hooks[string, *stream]
		kind  resilience.Kind
	}{
		"in Cost": {plays(texts("one usage end")...), resilience.Hooks[string, *stream]{
			Cost: func(*resilience.Model, string, *stream, resilience.Usage) float64 { panic("cost") },
		}, 0},
		"in the source": {func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) { yield("one", nil); panic("source") }
		}, resilience.Hooks[string, *stream]{}, resilience.Unknown},
		"when it is stopped": {func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				defer func() { panic("stop") }()
				yield("one", nil)
			}
		}, resilience.Hooks[string, *stream]{}, resilience.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t)
			s, err := newStreams(t, p, resilience.BindStream("a", tc.open, marks), tc.hooks).Call(t.Context(), "?")
			require.NoError(t, err)
			require.Panics(t, func() { _, _ = readAll(s) })
			require.Zero(t, p.InFlight())
			require.Zero(t, p.Model("a").InFlight())
			if tc.kind != 0 {
				require.Equal(t, tc.kind, s.Report().Attempts[0].Kind)
			}
		})
	}
}

func TestAnswersThatAreNoLiveStream(t *testing.T) {
	old, err := resilience.StreamOf(plays(texts("one end")...))(t.Context(), "?")
	require.NoError(t, err)
	require.NoError(t, old.Close())
	for name, s := range map[string]*stream{"over": old, "empty": {}, "nil": nil} {
		p := newPool(t)
		_, err := newStreams(t, p, resilience.BindFunc("a", func(context.Context, string) (*stream, error) { return s, nil })).Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.Malformed, name)
		require.Zero(t, p.InFlight(), name)
		require.Zero(t, p.Model("a").InFlight(), name)
	}
	hidden := resilience.Wrap(resilience.FuncOf(func(ctx context.Context, req string) (any, error) {
		return resilience.StreamOf(plays(texts("one end")...))(ctx, req)
	}))
	_, err = hidden.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Malformed)
}

// A layer that keeps a stream from the caller has it closed.
func TestStreamThatIsNotHandedOut(t *testing.T) {
	closed := false
	open := func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			defer func() { closed = true }()
			_ = yield("one", nil) && yield("end", nil)
		}
	}
	p := newPool(t, feature(func(s *resilience.Setup) error {
		s.Wrap(resilience.LayerAdmit, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
			return func(ctx context.Context, c *resilience.Call) error {
				return errors.Join(next(ctx, c), resilience.Reject("too late", 0))
			}
		})
		return nil
	}))
	_, err := newStreams(t, p, resilience.BindStream("a", open)).Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Rejected)
	require.True(t, closed)
	require.Zero(t, p.InFlight())
	require.Zero(t, p.Model("a").InFlight())
}

func TestCloseInsideTheLoop(t *testing.T) {
	open := func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for range 100 {
				if !yield("word", nil) {
					return
				}
			}
		}
	}
	p := newPool(t)
	pooled, err := newStreams(t, p, resilience.BindStream("a", open)).Call(t.Context(), "?")
	require.NoError(t, err)
	alone, err := resilience.StreamOf(open)(t.Context(), "?")
	require.NoError(t, err)
	for _, s := range []*stream{pooled, alone} {
		n := 0
		for _, err = range s.All() {
			if err == nil {
				n++
				require.NoError(t, s.Close())
			}
		}
		require.Equal(t, 1, n)
		require.ErrorIs(t, err, resilience.Canceled)
	}
	require.NoError(t, (*stream)(nil).Close())
}

// What a filter or a limit breaks off says nothing about the model.
func TestStreamsBrokenOffByTheRequest(t *testing.T) {
	for _, kind := range []resilience.Kind{resilience.Filtered, resilience.RateLimited, resilience.Invalid} {
		b := breaker.New(breaker.Config{})
		c := streamClient(t, sources{"a": plays(append(texts("one"), frame{err: kind})...)}, b)
		for range 10 {
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			_, err = readAll(s)
			require.ErrorIs(t, err, resilience.Truncated)
			require.ErrorIs(t, err, kind)
		}
		require.Equal(t, breaker.Closed, b.State(c.Pool().Model("a")))
	}
}

func TestOuterTimeoutsGuardInnerStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := resilience.Wrap(resilience.StreamOf(mute(true, "one"), marks), breaker.New(breaker.Config{}))
		outer := resilience.WrapAll([]resilience.ModelCaller[string, *stream]{inner}, fallback.New(fallback.Config{}), resilience.Timeouts{Gap: time.Second})
		s, err := outer.Call(t.Context(), "?")
		require.NoError(t, err)
		start := time.Now()
		_, err = readAll(s)
		require.ErrorIs(t, err, resilience.Truncated)
		require.ErrorIs(t, err, resilience.TimedOut)
		require.Less(t, time.Since(start), 2*time.Second)
		require.Equal(t, int64(1), outer.Pool().Models()[0].Stats(time.Minute).Failures)
		require.Zero(t, inner.Pool().Models()[0].Stats(time.Minute).Failures, "its caller left, as far as it knows")
	})
}

func TestTotalBoundsTheWaitForTheFirstChunkToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := streamClient(t, sources{"a": mute(true)}, resilience.Timeouts{Call: -1, FirstChunk: -1, Total: time.Minute})
		start := time.Now()
		_, err := c.Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.TimedOut)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestAdaptedStreamsKeepTheirCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, words := range [][]string{{"one"}, nil} {
			call := resilience.AdaptStream(resilience.StreamOf(mute(true, words...), marks),
				func(_ context.Context, _ *resilience.Model, s string) (string, error) { return s, nil },
				func(s string) (string, bool, error) { return s, true, nil }, resilience.StreamHooks[string, string]{})
			c := resilience.Wrap(call, resilience.Timeouts{})
			s, err := c.Call(t.Context(), "?")
			if err == nil {
				_, err = readAll(s)
				require.ErrorIs(t, err, resilience.Truncated)
			}
			require.ErrorIs(t, err, resilience.TimedOut)
		}
	})
}

func TestUsageInParts(t *testing.T) {
	hooks := resilience.StreamHooks[string, string]{Usage: func(s string) (resilience.Usage, bool) {
		switch s {
		case "start":
			return resilience.Usage{Input: 1000, Output: 1}, true
		case "end":
			return resilience.Usage{Output: 7}, true
		}
		return resilience.Usage{}, false
	}}
	s, err := newStreams(t, newPool(t), resilience.BindStream("a", plays(texts("start one end")...), hooks)).Call(t.Context(), "?")
	require.NoError(t, err)
	_, err = readAll(s)
	require.NoError(t, err)
	require.Equal(t, resilience.Usage{Input: 1000, Output: 7}, s.Report().Usage)
}

// The context of a source that no streaming attempt ends is ended with its
// stream: a long-lived parent would keep it otherwise.
func TestStreamEndsItsOwnContext(t *testing.T) {
	var seen context.Context
	open := resilience.StreamOf(func(ctx context.Context, _ string) iter.Seq2[string, error] {
		seen = ctx //nolint:fatcontext // it is looked at, not grown
		return func(yield func(string, error) bool) { _ = yield("a", nil) && yield("b", nil) }
	})
	outcomes := map[string]func(*resilience.Stream[string]){
		"read": func(s *resilience.Stream[string]) {
			for range s.All() {
			}
		},
		"closed": func(s *resilience.Stream[string]) { _ = s.Close() },
	}
	for name, finish := range outcomes {
		t.Run(name+" without a pool", func(t *testing.T) {
			s, err := open(t.Context(), "")
			require.NoError(t, err)
			require.NoError(t, seen.Err())
			finish(s)
			require.ErrorIs(t, seen.Err(), context.Canceled)
			require.NoError(t, t.Context().Err())
		})
		t.Run(name+" within a call that does not stream", func(t *testing.T) {
			c := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) {
				s, err := open(ctx, "")
				require.NoError(t, err)
				finish(s)
				require.ErrorIs(t, seen.Err(), context.Canceled)
				return "whole", ctx.Err()
			}), resilience.Timeouts{})
			_, err := c.Call(t.Context(), "")
			require.NoError(t, err)
		})
	}
}

package resilience_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// A frame is a chunk, or an error in its place, that comes after a while.
type frame struct {
	text string
	err  error
	wait time.Duration
}

// plays streams frames, and ends early if its context does.
func plays(frames ...frame) func(context.Context, string) iter.Seq2[string, error] {
	return func(ctx context.Context, _ string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, f := range frames {
				select {
				case <-time.After(f.wait):
				case <-ctx.Done():
					yield("", context.Cause(ctx))
					return
				}
				if !yield(f.text, f.err) || f.err != nil {
					return
				}
			}
		}
	}
}

func texts(all string) (frames []frame) {
	for word := range strings.FieldsSeq(all) {
		frames = append(frames, frame{text: word})
	}
	return frames
}

var marks = resilience.StreamHooks[string, string]{
	Meaningful: func(s string) bool { return s != "role" && s != "ping" },
	Terminal:   func(s string) bool { return s == "end" },
	Usage: func(s string) (resilience.Usage, bool) {
		return resilience.Usage{Output: 7}, s == "usage"
	},
}

// drain reads a stream to its end.
func readAll(s *resilience.Stream[string]) (got []string, err error) {
	for chunk, e := range s.All() {
		if e != nil {
			return got, e
		}
		got = append(got, chunk)
	}
	return got, nil
}

func streamClient(t *testing.T, sources map[string]func(context.Context, string) iter.Seq2[string, error], features ...resilience.Feature) *resilience.Client[string, *resilience.Stream[string]] {
	t.Helper()
	p, err := resilience.NewPool(features...)
	require.NoError(t, err)
	var opts []resilience.ClientOption[string, *resilience.Stream[string]]
	for _, id := range []string{"a", "b", "c"} {
		if open := sources[id]; open != nil {
			opts = append(opts, resilience.BindStream(id, open, marks))
		}
	}
	c, err := resilience.NewClient(p, opts...)
	require.NoError(t, err)
	return c
}

type sources = map[string]func(context.Context, string) iter.Seq2[string, error]

func TestStream(t *testing.T) {
	c := streamClient(t, sources{"a": plays(texts("role one two usage end")...)})
	s, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, "a", rep.Model.ID())
	require.Empty(t, rep.Attempts, "the attempt goes on")
	m := s.Model()
	require.Equal(t, int64(1), m.InFlight())
	require.Equal(t, int64(1), c.Pool().InFlight())
	got, err := readAll(s)
	require.NoError(t, err)
	require.Equal(t, []string{"role", "one", "two", "usage", "end"}, got)
	require.Zero(t, m.InFlight())
	require.Zero(t, c.Pool().InFlight())
	whole := s.Report()
	require.Len(t, whole.Attempts, 1)
	require.Equal(t, int64(7), whole.Usage.Output)
	require.Equal(t, m, whole.Model)
	require.Equal(t, int64(1), m.Stats(time.Minute).Calls)
	got, err = readAll(s)
	require.NoError(t, err)
	require.Empty(t, got, "a second loop gets nothing")
	require.NoError(t, s.Close())
}

// TestStreamNeverTruncatedAsSuccess ends streams in every wrong way.
func TestStreamNeverTruncatedAsSuccess(t *testing.T) {
	for name, tc := range map[string]struct {
		frames []frame
		kinds  []resilience.Kind
		says   string
	}{
		"no end marker":      {texts("role one two"), []resilience.Kind{resilience.Truncated}, "ended without its end marker after 3 chunks"},
		"reset":              {append(texts("one two"), frame{err: io.ErrUnexpectedEOF}), []resilience.Kind{resilience.Truncated}, "after 2 chunks"},
		"overloaded in band": {append(texts("one"), frame{err: resilience.Overloaded}), []resilience.Kind{resilience.Truncated, resilience.Overloaded}, "overloaded after 1 chunks"},
		"stalls":             {append(texts("one two"), frame{text: "late", wait: time.Hour}), []resilience.Kind{resilience.Truncated, resilience.TimedOut}, "timed out after 30s (Timeouts.Gap) after 2 chunks"},
		"drips beyond Total": {append(texts("one"), drip(100)...), []resilience.Kind{resilience.Truncated, resilience.TimedOut}, "(Timeouts.Total)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := streamClient(t, sources{"a": plays(tc.frames...), "b": plays(texts("never end")...)},
					resilience.Timeouts{Total: 5 * time.Minute}, fallback.New(fallback.Config{}), retry.New(retry.Config{}), breaker.New(breaker.Config{}))
				s, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
				_, err = readAll(s)
				for _, k := range tc.kinds {
					require.ErrorIs(t, err, k)
				}
				require.Equal(t, resilience.Truncated, resilience.KindOf(err))
				require.ErrorContains(t, err, tc.says)
				require.Len(t, s.Report().Attempts, 1, "nothing is replayed")
				require.Equal(t, resilience.Truncated, s.Report().Attempts[0].Kind)
				require.Zero(t, c.Pool().InFlight())
				require.Equal(t, int64(1), c.Pool().Model("a").Stats(time.Minute).Failures)
			})
		})
	}
}

func drip(n int) (frames []frame) {
	for range n {
		frames = append(frames, frame{text: "drop", wait: 20 * time.Second})
	}
	return frames
}

func TestStreamEndsThatAreFine(t *testing.T) {
	for name, frames := range map[string][]frame{
		"an error after the end marker": append(texts("one end"), frame{err: io.ErrUnexpectedEOF}),
		"chunks after the end marker":   texts("one end usage"),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := streamClient(t, sources{"a": plays(frames...)}).Call(t.Context(), "?")
			require.NoError(t, err)
			_, err = readAll(s)
			require.NoError(t, err)
			require.Zero(t, s.Report().Attempts[0].Kind)
		})
	}
}

func TestStreamFailsBeforeItsFirstChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			frames []frame
			kind   resilience.Kind
			took   time.Duration
		}{
			"an error":              {[]frame{{err: resilience.RateLimited}}, resilience.RateLimited, 0},
			"silence":               {[]frame{{text: "one", wait: time.Hour}}, resilience.TimedOut, 30 * time.Second},
			"keep-alives and roles": {append(texts("role"), pings(100)...), resilience.TimedOut, 30 * time.Second},
			"an end without text":   {texts("role end"), 0, 0},
			"nothing":               {nil, resilience.Truncated, 0},
		} {
			c := streamClient(t, sources{"a": plays(tc.frames...), "b": plays(texts("fine end")...)},
				resilience.Timeouts{}, fallback.New(fallback.Config{}))
			start := time.Now()
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err, name)
			got, err := readAll(s)
			require.NoError(t, err, name)
			require.Equal(t, tc.took, time.Since(start), name)
			if tc.kind == 0 {
				require.Equal(t, []string{"role", "end"}, got, name)
				continue
			}
			require.Equal(t, []string{"fine", "end"}, got, name)
			require.Equal(t, tc.kind, s.Report().Attempts[0].Kind, name)
			require.Equal(t, "b", s.Report().Model.ID(), name)
		}
	})
}

func pings(n int) (frames []frame) {
	for range n {
		frames = append(frames, frame{text: "ping", wait: time.Second})
	}
	return frames
}

// A stream is bounded by Call until its first chunk, and by no attempt timeout.
func TestStreamOutlivesTheCallsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := append(texts("one"), drip(50)...)
		c := streamClient(t, sources{"a": plays(append(frames, frame{text: "end"})...)},
			resilience.Timeouts{Call: time.Minute, Attempt: 10 * time.Second}, retry.New(retry.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		got, err := readAll(s)
		require.NoError(t, err)
		require.Len(t, got, 52)

		hang := plays(frame{text: "one", wait: time.Hour})
		c = streamClient(t, sources{"a": hang, "b": hang, "c": hang}, resilience.Timeouts{Call: 50 * time.Second}, fallback.New(fallback.Config{}))
		start := time.Now()
		_, err = c.Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.TimedOut)
		require.Equal(t, 50*time.Second, time.Since(start), "30 s for the first, 20 s for the second")
	})
}

func TestStreamIsAbandoned(t *testing.T) {
	for name, leave := range map[string]func(*resilience.Stream[string]){
		"a loop that is left": func(s *resilience.Stream[string]) {
			for range s.All() {
				break
			}
		},
		"Close": func(s *resilience.Stream[string]) { _ = s.Close() },
		"a loop that panics": func(s *resilience.Stream[string]) {
			defer func() { _ = recover() }()
			for range s.All() {
				panic("boom")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := streamClient(t, sources{"a": plays(append(texts("one two"), frame{text: "end", wait: time.Hour})...)},
					resilience.Timeouts{}, breaker.New(breaker.Config{}))
				for range 20 {
					s, err := c.Call(t.Context(), "?")
					require.NoError(t, err)
					leave(s)
					require.Equal(t, resilience.Canceled, s.Report().Attempts[0].Kind)
					require.Zero(t, c.Pool().InFlight())
				}
				require.True(t, c.Pool().Model("a").Available(), "that says nothing about the model")
				require.Zero(t, c.Pool().Model("a").Stats(time.Minute).Failures)
				require.Equal(t, int64(20), c.Pool().Model("a").Stats(time.Minute).Canceled)
			})
		})
	}
}

func TestStreamClosedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := streamClient(t, sources{"a": plays(append(texts("one"), frame{text: "end", wait: time.Hour})...)}, resilience.Timeouts{Gap: -1})
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		go func() {
			time.Sleep(time.Second)
			_ = s.Close()
		}()
		got, err := readAll(s)
		require.Equal(t, []string{"one"}, got)
		require.ErrorIs(t, err, resilience.Canceled)
		require.Zero(t, c.Pool().InFlight())
	})
}

func TestStreamCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := streamClient(t, sources{"a": plays(append(texts("one"), frame{text: "end", wait: time.Hour})...)}, breaker.New(breaker.Config{}))
		ctx, cancel := context.WithCancel(t.Context())
		s, err := c.Call(ctx, "?")
		require.NoError(t, err)
		time.AfterFunc(time.Second, cancel)
		_, err = readAll(s)
		require.ErrorIs(t, err, resilience.Canceled)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, c.Pool().Model("a").Stats(time.Minute).Failures)
	})
}

func TestStreamIsLost(t *testing.T) {
	c := streamClient(t, sources{"a": plays(texts("one two end")...)})
	_, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	require.Equal(t, int64(1), c.Pool().InFlight())
	require.Eventually(t, func() bool {
		runtime.GC()
		return c.Pool().InFlight() == 0
	}, 10*time.Second, time.Millisecond)
}

func TestStreamReaderMayBeSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := streamClient(t, sources{"a": plays(texts("one two end")...)}, resilience.Timeouts{}).Call(t.Context(), "?")
		require.NoError(t, err)
		n := 0
		for _, err := range s.All() {
			require.NoError(t, err)
			time.Sleep(time.Hour)
			n++
		}
		require.Equal(t, 3, n)
	})
}

func TestStreamsThatBreakOpenTheBreaker(t *testing.T) {
	b := breaker.New(breaker.Config{})
	c := streamClient(t, sources{"a": plays(texts("one two")...)}, b)
	for range 5 {
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, breaker.Closed, b.State(s.Model()))
		_, err = readAll(s)
		require.ErrorIs(t, err, resilience.Truncated)
	}
	_, err := c.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Rejected)
}

func TestStreamProbeIsSettledAtItsFirstChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Config{Probes: 1, OpenFor: time.Second})
		down := true
		open := func(ctx context.Context, req string) iter.Seq2[string, error] {
			if down {
				return plays(frame{err: resilience.Overloaded})(ctx, req)
			}
			return plays(texts("one end")...)(ctx, req)
		}
		c := streamClient(t, sources{"a": open}, b)
		for range 5 {
			_, _ = c.Call(t.Context(), "?")
		}
		down = false
		time.Sleep(2 * time.Second)
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, breaker.Closed, b.State(s.Model()), "others need not wait for the whole answer")
		require.NoError(t, s.Close())
	})
}

func TestDrainWaitsForStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := streamClient(t, sources{"a": plays(append(texts("one"), frame{text: "end", wait: time.Minute})...)})
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		drained := make(chan error, 1)
		go func() { drained <- c.Pool().Drain(t.Context()) }()
		synctest.Wait()
		require.Empty(t, drained)
		_, err = readAll(s)
		require.NoError(t, err)
		require.NoError(t, <-drained)
	})
}

func TestStreamThroughNestedPools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := resilience.Wrap(resilience.StreamOf(plays(texts("one two")...), marks), breaker.New(breaker.Config{}))
		outer := resilience.WrapAll([]resilience.ModelCaller[string, *resilience.Stream[string]]{inner}, fallback.New(fallback.Config{}))
		s, err := outer.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, int64(1), inner.Pool().InFlight())
		require.Equal(t, int64(1), outer.Pool().InFlight())
		_, err = readAll(s)
		require.ErrorIs(t, err, resilience.Truncated)
		require.Zero(t, inner.Pool().InFlight())
		require.Zero(t, outer.Pool().InFlight())
		require.Equal(t, int64(1), outer.Pool().Models()[0].Stats(time.Minute).Failures)
	})
}

func TestStreamWithoutAPool(t *testing.T) {
	call := resilience.StreamOf(plays(texts("one two end")...), marks)
	s, err := call(t.Context(), "?")
	require.NoError(t, err)
	require.Nil(t, s.Model())
	got, err := readAll(s)
	require.NoError(t, err)
	require.Len(t, got, 3)

	s, err = resilience.StreamOf(plays(texts("one two")...), marks)(t.Context(), "?")
	require.NoError(t, err)
	_, err = readAll(s)
	require.ErrorIs(t, err, resilience.Truncated)
}

func TestAdaptStream(t *testing.T) {
	provider := resilience.StreamOf(plays(texts("role 1 2")...), marks)
	call := resilience.AdaptStream(provider,
		func(_ context.Context, _ *resilience.Model, n int) (string, error) {
			return strings.Repeat("?", n), nil
		},
		func(s string) (int, bool, error) {
			if s == "bad" {
				return 0, false, errors.New("bad")
			}
			return len(s), s != "role", nil
		}, resilience.StreamHooks[int, int]{})
	p, err := resilience.NewPool()
	require.NoError(t, err)
	c, err := resilience.NewClient(p, resilience.BindFunc("a", call))
	require.NoError(t, err)
	s, err := c.Call(t.Context(), 1)
	require.NoError(t, err)
	var got []int
	for n, e := range s.All() {
		if err = e; e == nil {
			got = append(got, n)
		}
	}
	require.Equal(t, []int{1, 1}, got)
	require.ErrorIs(t, err, resilience.Truncated, "the provider's end marker survives")
	require.Zero(t, p.InFlight())
}

func TestStreamThatIsRejectedIsClosed(t *testing.T) {
	closed := 0
	open := func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			defer func() { closed++ }()
			_ = yield("one", nil) && yield("end", nil)
		}
	}
	p, err := resilience.NewPool(fallback.New(fallback.Config{}))
	require.NoError(t, err)
	c, err := resilience.NewClient(p, resilience.BindStream("a", open), resilience.BindStream("b", open),
		resilience.Hooks[string, *resilience.Stream[string]]{
			Validate: func(string, *resilience.Stream[string]) error { return errors.New("no good") },
		})
	require.NoError(t, err)
	_, err = c.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Malformed)
	require.Equal(t, 2, closed)
	require.Zero(t, p.InFlight())
}

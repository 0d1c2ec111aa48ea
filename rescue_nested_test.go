package resilience_test

import (
	"context"
	"io"
	"iter"
	"net/http"
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

// What an outer pool's timers end, the outer pool goes on with.
func TestRescueOuterGapIsRescued(t *testing.T) {
	for name, outer := range map[string]resilience.Timeouts{"gap": {Gap: time.Second}, "rate": {Gap: 10 * time.Second, MinRate: 2}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := mute(true, "one", "two")
				if name == "rate" {
					frames := texts("one two")
					for range 20 {
						frames = append(frames, frame{text: "ping", wait: time.Second})
					}
					slow = plays(frames...)
				}
				a := breaker.Wrap(resilience.StreamOf(slow, continuing), breaker.Config{})
				b := breaker.Wrap(resilience.StreamOf(func(ctx context.Context, req string) iter.Seq2[string, error] {
					return plays(texts("three four five end")...)(ctx, req)
				}, continuing), breaker.Config{})
				c := resilience.WrapAll([]caller{a, b}, fallback.New(fallback.Config{}), outer)
				s, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
				_, err = readAll(s)
				require.NoError(t, err, "the same stream is rescued without the inner pools")
				require.True(t, s.Report().Rescued)
			})
		})
	}
}

// An outer pool's timers bound the rescues of inner pools.
func TestRescueOuterTimeoutsBoundInnerRescues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := resilience.WrapAll([]caller{
			resilience.StreamOf(breaks("one two", io.ErrUnexpectedEOF), continuing), resilience.StreamOf(mute(true), continuing),
		}, fallback.New(fallback.Config{}))
		b := breaker.Wrap(resilience.StreamOf(writes(poem), continuing), breaker.Config{})
		c := resilience.WrapAll([]caller{a, b}, fallback.New(fallback.Config{}), resilience.Timeouts{})
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		start := time.Now()
		defer time.AfterFunc(24*time.Hour, func() { _ = s.Close() }).Stop()
		got, err := readAll(s)
		require.NoError(t, err)
		require.Equal(t, strings.Fields(poem), got)
		require.Equal(t, 30*time.Second, time.Since(start).Truncate(time.Second), "the outer Gap ends it, and the outer pool goes on")
	})
}

// A pooled client that an adapted stream reads from settles by what its own attempts make of the end.
func TestRescueAdaptedPooledClientsSettle(t *testing.T) {
	for name, open := range map[string]source{"no end marker": plays(texts("one two")...), "stalls": mute(true, "one")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []error
				inner := resilience.Wrap(resilience.StreamOf(open, marks), resilience.Timeouts{Gap: time.Second},
					watch(func(_ context.Context, e resilience.Event) { told = append(told, e.Err) }, resilience.EventAttempt, resilience.EventCall))
				c := resilience.Wrap(resilience.AdaptStream(inner.Call,
					func(_ context.Context, _ *resilience.Model, s string) (string, error) { return s, nil },
					func(s string) (string, bool, error) { return s, true, nil }, resilience.StreamHooks[string, string]{}))
				s, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
				_, err = readAll(s)
				require.ErrorIs(t, err, resilience.Truncated)
				require.Len(t, told, 2)
				require.Equal(t, int64(1), inner.Pool().Models()[0].Stats(time.Minute).Failures)
				for _, e := range told {
					require.Equal(t, resilience.Truncated, resilience.KindOf(e), "%v", e)
				}
				idle(t, inner.Pool())
				idle(t, c.Pool())
			})
		})
	}
}

// Connect holds for the attempts of outer pools.
func TestRescueConnectOfAnOuterPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := resilience.Tap(roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}))
		inner := breaker.Wrap(resilience.StreamOf(func(ctx context.Context, _ string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://model", http.NoBody)
				_, err := rt.RoundTrip(req)
				yield("", err)
			}
		}), breaker.Config{})
		c := resilience.WrapAll([]caller{inner}, resilience.Timeouts{Connect: 5 * time.Second})
		start := time.Now()
		_, err := c.Call(t.Context(), "?")
		require.Error(t, err)
		require.Equal(t, 5*time.Second, time.Since(start), "%v", err)
	})
}

// Close ends an adapted stream without a pool.
func TestRescueCloseOfAdapted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := resilience.AdaptStream(resilience.StreamOf(mute(true, "one"), marks),
			func(_ context.Context, _ *resilience.Model, s string) (string, error) { return s, nil },
			func(s string) (string, bool, error) { return s, true, nil }, resilience.StreamHooks[string, string]{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s, err := f(ctx, "?")
		require.NoError(t, err)
		time.AfterFunc(time.Second, func() { _ = s.Close() })
		start := time.Now()
		_, err = readAll(s)
		require.ErrorIs(t, err, resilience.Canceled)
		require.Equal(t, time.Second, time.Since(start))
	})
}

// Close ends an adapted stream in bypass.
func TestRescueCloseOfAdaptedInBypass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := resilience.AdaptStream(resilience.StreamOf(mute(true, "one"), marks),
			func(_ context.Context, _ *resilience.Model, s string) (string, error) { return s, nil },
			func(s string) (string, bool, error) { return s, true, nil }, resilience.StreamHooks[string, string]{})
		p := newPool(t, models("a"))
		c, err := resilience.NewClient(p, resilience.BindFunc("a", f))
		require.NoError(t, err)
		require.NoError(t, p.Reload(t.Context(), []byte(`{"bypass":true}`), by))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s, err := c.Call(ctx, "?")
		require.NoError(t, err)
		time.AfterFunc(time.Second, func() { _ = s.Close() })
		start := time.Now()
		_, _ = readAll(s)
		require.Equal(t, time.Second, time.Since(start))
	})
}

// The outermost call reports what an inner one rescued.
func TestRescueNestedRescueIsReported(t *testing.T) {
	inner := resilience.WrapAll([]caller{
		resilience.StreamOf(breaks("one two", io.ErrUnexpectedEOF), continuing), resilience.StreamOf(writes(poem), continuing),
	}, fallback.New(fallback.Config{}))
	c := resilience.WrapAll([]caller{inner}, resilience.Timeouts{})
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	_, err = readAll(s)
	require.NoError(t, err)
	idle(t, inner.Pool())
	idle(t, c.Pool())
	require.True(t, s.Report().Rescued)
}

// Adapted streams of pooled clients are rescued within and without.
func TestRescueAdaptedNested(t *testing.T) {
	adapted := func(call resilience.Func[string, *stream]) resilience.Func[string, *stream] {
		return resilience.AdaptStream(call, func(_ context.Context, _ *resilience.Model, s string) (string, error) { return s, nil },
			func(s string) (string, bool, error) { return s, true, nil }, continuing)
	}
	a := resilience.Wrap(resilience.StreamOf(refuses2(breaks("one two", io.ErrUnexpectedEOF), breaks("three", io.ErrUnexpectedEOF)), continuing), retry.New(retry.Config{}), breaker.New(breaker.Config{Consecutive: 2}))
	b := resilience.Wrap(resilience.StreamOf(writes(poem), continuing))
	p := newPool(t, fallback.New(fallback.Config{}))
	c, err := resilience.NewClient(p, resilience.BindFunc("a", adapted(a.Call)), resilience.BindFunc("b", adapted(b.Call)))
	require.NoError(t, err)
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	got, err := readAll(s)
	require.NoError(t, err)
	require.Equal(t, strings.Fields("one two three"), got[:3])
	require.Equal(t, "end", got[len(got)-1])
	for _, p := range []*resilience.Pool{a.Pool(), b.Pool(), p} {
		idle(t, p)
	}
}

// An outer Total ends a rescue by an inner pool.
func TestRescueOuterTotalEndsAnInnerRescue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := breaker.Wrap(resilience.StreamOf(refuses2(breaks("one two", io.ErrUnexpectedEOF), mute(true)), continuing), breaker.Config{})
		c := resilience.WrapAll([]caller{inner}, resilience.Timeouts{Total: 10 * time.Second}, fallback.New(fallback.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		start := time.Now()
		_, err = readAll(s)
		require.Error(t, err)
		require.ErrorContains(t, err, "Timeouts.Total")
		require.Equal(t, 10*time.Second, time.Since(start))
		idle(t, inner.Pool())
		idle(t, c.Pool())
	})
}

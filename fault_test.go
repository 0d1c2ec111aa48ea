package resilience_test

import (
	"context"
	"io"
	"iter"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// Attempts that are made to go wrong are marked, wherever somebody may count
// them, and those that the model was not asked for cost nothing.
func TestFaultIsMarked(t *testing.T) {
	for _, asked := range []bool{true, false} {
		var events []resilience.Event
		var billed []resilience.Bill
		seen := false
		pool, err := resilience.NewPool(
			resilience.Models(resilience.ModelInfo{ID: "m", Price: resilience.Price{Output: 1e6}}), again(2),
			feature(func(s *resilience.Setup) error {
				s.Observe(func(_ context.Context, e resilience.Event) { events = append(events, e) }, resilience.EventAttempt, resilience.EventCall)
				return nil
			}),
			layer(resilience.LayerCache, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				err := next(ctx, c)
				seen = c.Faulted()
				return err
			}),
			layer(resilience.LayerBreaker, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				err := next(ctx, c)
				billed = append(billed, c.Billed(err))
				return err
			}),
			layer(resilience.LayerFault, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				if c.Attempt() > 1 {
					return next(ctx, c)
				}
				c.Fault(asked)
				resilience.ReportUsage(ctx, resilience.Usage{Output: 3})
				return resilience.Overloaded
			}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Output: 2})
			return "fine", nil
		}))
		require.NoError(t, err)
		_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.True(t, seen)
		require.Len(t, rep.Attempts, 2)
		require.True(t, rep.Attempts[0].Faulted)
		require.False(t, rep.Attempts[1].Faulted)
		faulted := func(e resilience.Event) bool { return e.Faulted }
		require.True(t, faulted(events[0]))
		require.False(t, faulted(events[1]), "the second attempt is as it should be")
		require.True(t, faulted(events[2]), "the call is not")

		want := int64(2)
		if asked {
			want = 5
		}
		require.Equal(t, want, rep.Usage.Output)
		require.InDelta(t, float64(want), rep.Cost, 1e-9)
		require.Equal(t, want, pool.Model("m").Stats(1e9).Usage.Output)
		require.Equal(t, asked, billed[0].Accepted)
		require.True(t, billed[1].Accepted)

		seen = true
		_, err = c.Call(t.Context(), "")
		require.NoError(t, err)
	}
}

// A stream is spoiled once, at its source, whatever is around it.
func TestSpoil(t *testing.T) {
	var after []int
	spoil := func(err error, at int) resilience.Feature {
		return layer(resilience.LayerFault, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			c.Fault(true)
			c.Spoil(func(_ context.Context, chunks int) error {
				after = append(after, chunks)
				if chunks < at {
					return nil
				}
				return err
			})
			return next(ctx, c)
		})
	}
	source := resilience.StreamOf(func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, chunk := range []string{"", "a", "b", "", "c", "end", "late"} {
				if !yield(chunk, nil) {
					return
				}
			}
		}
	}, resilience.StreamHooks[string, string]{
		Meaningful: func(s string) bool { return s != "" }, Terminal: func(s string) bool { return s == "end" },
	})
	adapted := resilience.AdaptStream(source,
		func(_ context.Context, _ *resilience.Model, req string) (string, error) { return req, nil },
		func(s string) (string, bool, error) { return s, true, nil })
	for name, ask := range map[string]resilience.Func[string, *resilience.Stream[string]]{"as it is": source, "adapted": adapted} {
		read := func(err error, at int) (got []string, end error) {
			after = nil
			pool, problem := resilience.NewPool(spoil(err, at))
			require.NoError(t, problem)
			c, problem := resilience.NewClient(pool, resilience.BindFunc("m", ask))
			require.NoError(t, problem)
			s, end := c.Call(t.Context(), "")
			if end != nil {
				return nil, end
			}
			for chunk, err := range s.All() {
				if err != nil {
					return got, err
				}
				got = append(got, chunk)
			}
			return got, nil
		}
		got, err := read(errBroken, 2)
		require.ErrorIs(t, err, resilience.Truncated, name)
		require.ErrorIs(t, err, errBroken, name)
		require.Equal(t, []string{"", "a", "b"}, got, name)

		got, err = read(io.EOF, 2)
		require.ErrorIs(t, err, resilience.Truncated, name)
		require.Equal(t, []string{"", "a", "b"}, got, "%s: an end that comes too early", name)

		_, err = read(errBroken, 0)
		require.ErrorIs(t, err, errBroken, "%s: before the first chunk", name)
		require.NotErrorIs(t, err, resilience.Truncated, name)

		got, err = read(errBroken, 4)
		require.NoError(t, err, "%s: the answer was whole", name)
		require.Contains(t, got, "end")
		require.Equal(t, []int{0, 0, 1, 2, 2, 3}, slices.Clone(after), "%s: asked before each chunk, by one stream, up to the end marker", name)
	}
}

package resilience_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestVerbatim has a call ask what it was given, and answer nothing but what the
// model did.
func TestVerbatim(t *testing.T) {
	broken := errors.New("unexpected EOF")
	for name, c := range map[string]struct {
		fails  error
		answer string
		asked  []string
		plain  []string // without it
	}{
		"well":              {nil, "good", []string{"?"}, []string{"? in short"}},
		"an overload":       {resilience.Overloaded, "", []string{"?", "?"}, []string{"? in short", "? in short"}},
		"a broken answer":   {resilience.Truncated, "", []string{"?"}, []string{"? in short", "? in short"}},
		"a broken line":     {broken, "", []string{"?", "?"}, []string{"? in short", "? in short"}},
		"a bad answer":      {nil, "bad", []string{"?"}, []string{"? in short", "? in short, better"}},
		"a filtered answer": {resilience.Filtered, "", []string{"?"}, []string{"? in short"}},
	} {
		t.Run(name, func(t *testing.T) {
			less := layer(resilience.LayerAdmit, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				c.Reduce(1)
				return next(ctx, c)
			})
			for _, verbatim := range []bool{true, false} {
				var asked []string
				p := newPool(t, less, again(2), resilience.Models(resilience.ModelInfo{ID: "m"}))
				client, err := resilience.NewClient(p, resilience.BindAll(func(_ context.Context, _ *resilience.Model, q string) (string, error) {
					asked = append(asked, q)
					return c.answer, c.fails
				}), resilience.Hooks[string, string]{
					Reduce: func(q string, _ int) string { return q + " in short" },
					Revise: func(q, _ string, _ error) string { return q + ", better" },
					Validate: func(_, a string) error {
						if a == "bad" {
							return errors.New("bad")
						}
						return nil
					},
					Default: func(string, error) (string, error) { return "made up", nil },
				})
				require.NoError(t, err)
				answer, rep, err := client.Do(t.Context(), "?", resilience.CallOptions{Verbatim: verbatim})
				if verbatim {
					require.Equal(t, c.asked, asked)
					require.False(t, rep.Defaulted)
					require.Zero(t, rep.Reduced)
					require.Equal(t, c.answer == "good", err == nil)
					require.NotEqual(t, "made up", answer)
				} else {
					require.Equal(t, c.plain, asked)
				}
			}
		})
	}
}

// A stream that breaks is not mended, neither before nor after its first chunk, and
// neither are those of pools behind the model.
func TestVerbatimStreams(t *testing.T) {
	for _, verbatim := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			p := newPool(t, again(3), resilience.Models(resilience.ModelInfo{ID: "m"}))
			streams, err := resilience.NewClient(p, resilience.BindAllStreams(func(_ context.Context, _ *resilience.Model, q string) iter.Seq2[string, error] {
				asked++
				return func(yield func(string, error) bool) { _ = yield("a", nil) && yield("", resilience.Unreachable) }
			}, resilience.StreamHooks[string, string]{
				Terminal: func(c string) bool { return c == "." },
				Resume:   func(q string, got []string) (string, bool) { return q, true },
			}))
			require.NoError(t, err)
			s, _, err := streams.Do(t.Context(), "?", resilience.CallOptions{Verbatim: verbatim})
			require.NoError(t, err)
			n := 0
			for _, err = range s.All() {
				n++
			}
			require.ErrorIs(t, err, resilience.Truncated)
			if verbatim {
				require.Equal(t, 1, asked)
				require.Equal(t, 2, n)
			} else {
				require.Greater(t, asked, 1)
			}
		})
	}
}

package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

// teaches rejects answers that are not numbers, and says so in the next request.
func teaches() resilience.Hooks[string, string] {
	return resilience.Hooks[string, string]{
		Validate: func(_, answer string) error {
			if strings.Trim(answer, "0123456789") != "" {
				return errors.New("not a number")
			}
			return nil
		},
		Revise: func(req, answer string, err error) string { return fmt.Sprintf("%s [%s: %v]", req, answer, err) },
	}
}

// learns answers with a number once its request says what was wrong n times.
func learns(n int, heard *[]string) ask {
	return func(_ context.Context, req string) (string, error) {
		*heard = append(*heard, req)
		if strings.Count(req, "not a number") >= n {
			return "42", nil
		}
		return "forty-two", nil
	}
}

func TestReviseTellsTheModelWhatWasWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		p := newPool(t, retry.New(retry.Config{}), breaker.New(breaker.Config{Consecutive: 1}))
		c := newClient(t, p, resilience.BindFunc("m", learns(2, &heard)), teaches())
		start := time.Now()
		answer, rep, err := c.Do(t.Context(), "How many?", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "42", answer)
		require.Equal(t, []string{
			"How many?",
			"How many? [forty-two: not a number]",
			"How many? [forty-two: not a number] [forty-two: not a number]",
		}, heard)
		require.Len(t, rep.Attempts, 3)
		require.Equal(t, resilience.Malformed, rep.Attempts[1].Kind)
		require.Zero(t, time.Since(start), "it is not a matter of time")
		stats := p.Model("m").Stats(time.Minute)
		require.Equal(t, int64(2), stats.Malformed)
		require.Zero(t, stats.Failures)
		require.True(t, p.Model("m").Available())
	})
}

func TestReviseGoesOnElsewhere(t *testing.T) {
	for name, cfg := range map[string]fallback.Config{
		"in turn": {},
		"lanes":   {Strategy: fallback.Hedged, HedgeAfter: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a, b []string
				p := newPool(t, retry.New(retry.Config{}), fallback.New(cfg))
				c := newClient(t, p, resilience.BindFunc("a", learns(9, &a)), resilience.BindFunc("b", learns(2, &b)), teaches())
				answer, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
				require.Equal(t, "42", answer)
				require.Equal(t, []string{"?", "? [forty-two: not a number]"}, a, "asked twice while there is another")
				require.Equal(t, []string{"? [forty-two: not a number] [forty-two: not a number]"}, b)
			})
		})
	}
}

func TestReviseWithOnceAndWithoutRetry(t *testing.T) {
	for name, features := range map[string][]resilience.Feature{"once": {retry.New(retry.Config{})}, "no retry": nil} {
		t.Run(name, func(t *testing.T) {
			var heard []string
			c := newClient(t, newPool(t, features...), resilience.BindFunc("m", learns(1, &heard)), teaches())
			_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Once: true})
			require.ErrorIs(t, err, resilience.Malformed)
			require.Len(t, heard, 1)
		})
	}
}

// TestAKindOfValidation has answers that are refusals in the shape of success.
func TestAKindOfValidation(t *testing.T) {
	for _, kind := range []resilience.Kind{resilience.Filtered, resilience.Overloaded, resilience.Truncated, resilience.TimedOut} {
		p := newPool(t, breaker.New(breaker.Config{Consecutive: 1}))
		c := newClient(t, p, resilience.BindFunc("m", says("…")), resilience.Hooks[string, string]{
			Validate: func(string, string) error { return fmt.Errorf("%w: it says so", kind) },
		})
		_, err := c.Call(t.Context(), "?")
		require.Equal(t, kind, resilience.KindOf(err))
		require.True(t, p.Model("m").Available(), "nothing that a breaker counts")
		stats := p.Model("m").Stats(time.Minute)
		require.Equal(t, int64(1), stats.Malformed)
		require.Zero(t, stats.Failures)
	}
}

func TestAPanicOfRevise(t *testing.T) {
	var heard []string
	hooks := teaches()
	hooks.Revise = func(string, string, error) string { panic("revise") }
	p := newPool(t, retry.New(retry.Config{}))
	c := newClient(t, p, resilience.BindFunc("m", learns(1, &heard)), hooks)
	require.PanicsWithValue(t, "revise", func() { _, _ = c.Call(t.Context(), "?") })
	require.Zero(t, p.InFlight())
	require.Zero(t, p.Model("m").InFlight())
}

func TestValidationBlamesNoKeyAndIsCharged(t *testing.T) {
	for _, kind := range []resilience.Kind{resilience.RateLimited, resilience.Unauthorized, resilience.QuotaSpent, resilience.NotFound, resilience.Invalid, resilience.Overloaded, resilience.Rejected} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t, resilience.Models(withKeys("m", "p", "a", "b")), breaker.New(breaker.Config{Consecutive: 1}))
				asked := 0
				c := newClient(t, p, resilience.BindFunc("m", counted(&asked, says("x"))), resilience.Hooks[string, string]{
					Validate: func(string, string) error { return fmt.Errorf("%w: no", kind) },
				})
				run := resilience.WithBudget(t.Context(), resilience.Budget{Tokens: 10_000})
				o := of("", 100)
				o.Once = true
				_, _, err := c.Do(run, "x", o)
				require.Equal(t, kind, resilience.KindOf(err))
				require.Empty(t, p.Model("m").Holds())
				total, _ := resilience.Spent(run)
				require.Equal(t, int64(100), total.Usage.Input)
				require.Equal(t, 1, asked)
			})
		})
	}
}

func TestValidationWithOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []resilience.Kind{resilience.RateLimited, resilience.Unauthorized, resilience.Unreachable, resilience.Rejected} {
			asked := 0
			p := newPool(t, models("m", "n"), retry.New(retry.Config{}), fallback.New(fallback.Config{}))
			c := newClient(t, p, append(bind([]string{"m", "n"}, counted(&asked, says("x"))), resilience.Hooks[string, string]{
				Validate: func(string, string) error { return fmt.Errorf("%w: no", kind) },
			})...)
			_, _, err := c.Do(t.Context(), "x", resilience.CallOptions{Once: true})
			require.Error(t, err)
			require.Equal(t, 1, asked, "%v", kind)
		}
	})
}

func TestReviseDoesNotOutliveARescue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, fallback.New(fallback.Config{}))
		type (
			hooks = resilience.Hooks[string, *resilience.Stream[string]]
		)
		var reqs []string
		open := func(id string) func(context.Context, string) iter.Seq2[string, error] {
			return func(_ context.Context, req string) iter.Seq2[string, error] {
				reqs = append(reqs, id+":"+req)
				return func(yield func(string, error) bool) {
					if !yield("a", nil) {
						return
					}
					if id == "m" {
						yield("", resilience.Unreachable)
						return
					}
					_ = yield("b", nil) && yield(".", nil)
				}
			}
		}
		sh := resilience.StreamHooks[string, string]{
			Text:     func(s *string) *string { return s },
			Terminal: func(s string) bool { return s == "." },
			Resume:   func(req string, _ []string) (string, bool) { return req + " rest", true },
		}
		c, err := resilience.NewClient(p, resilience.BindStream("m", open("m"), sh), resilience.BindStream("n", open("n"), sh),
			hooks{
				Validate: func(req string, _ *resilience.Stream[string]) error {
					if req == "? rest" {
						return fmt.Errorf("%w: no", resilience.Invalid)
					}
					return nil
				},
				Revise: func(req string, s *resilience.Stream[string], err error) string {
					_ = s.Model()
					return req + " revised"
				},
			})
		require.NoError(t, err)
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		var got string
		for ch, err := range s.All() {
			require.NoError(t, err)
			got += ch
		}
		require.Equal(t, "ab.", got)
		require.Equal(t, []string{"m:?", "n:? rest", "n:?"}, reqs)
	})
}

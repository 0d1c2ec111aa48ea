package resilience_test

import (
	"context"
	"errors"
	"io"
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

type (
	stringHooks = resilience.StreamHooks[string, string]
	streaming   = resilience.Client[string, *resilience.Stream[string]]
	source      = func(context.Context, string) iter.Seq2[string, error]
)

// resumes asks for the rest by the text so far, after a bar.
func resumes(req string, delivered []string) (string, bool) {
	return req + "|" + strings.Join(delivered, " "), true
}

func itself(s *string) *string {
	if *s == "end" || *s == "role" {
		return nil
	}
	return s
}

// writes answers with words, from where a request for the rest asks for it.
func writes(all string) source {
	return func(ctx context.Context, req string) iter.Seq2[string, error] {
		_, sofar, _ := strings.Cut(req, "|")
		return plays(texts(strings.TrimPrefix(all, sofar))...)(ctx, req)
	}
}

// breaks answers with words and then breaks, whatever it is asked.
func breaks(all string, err error) source { return plays(append(texts(all), frame{err: err})...) }

// refuses rejects requests for the rest, and answers others with next.
func refuses(next source) source {
	return func(ctx context.Context, req string) iter.Seq2[string, error] {
		if strings.Contains(req, "|") {
			return plays(frame{err: resilience.Invalid})(ctx, req)
		}
		return next(ctx, req)
	}
}

func rescuer(t *testing.T, hooks stringHooks, bound map[string]source, features ...resilience.Feature) *streaming {
	t.Helper()
	hooks.Terminal = marks.Terminal
	hooks.Meaningful = func(s string) bool { return s != "end" && marks.Meaningful(s) }
	p := newPool(t, features...)
	var opts []resilience.ClientOption[string, *resilience.Stream[string]]
	for _, id := range []string{"a", "b", "c"} {
		if bound[id] != nil {
			opts = append(opts, resilience.BindStream(id, bound[id], hooks))
		}
	}
	c, err := resilience.NewClient(p, opts...)
	require.NoError(t, err)
	return c
}

func line(rep resilience.Report) (attempts []string) {
	for _, a := range rep.Attempts {
		text := a.Model.ID()
		if a.Kind != 0 {
			text += " " + a.Kind.String()
		}
		if _, then, ok := strings.Cut(a.Reason, " → "); ok {
			text += " → " + then
		}
		attempts = append(attempts, text)
	}
	return attempts
}

const poem = "one two three four five end"

func TestRescue(t *testing.T) {
	resume, text := stringHooks{Resume: resumes}, stringHooks{Text: itself}
	both := stringHooks{Resume: resumes, Text: itself}
	for name, tc := range map[string]struct {
		hooks    stringHooks
		bound    map[string]source
		attempts []string
		fails    string // says so, if it is not rescued
	}{
		"continued elsewhere": {
			resume, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)},
			[]string{"a truncated → continued", "b"}, "",
		},
		"continued twice": {
			resume, map[string]source{
				"a": breaks("one two", resilience.Overloaded), "b": breaks("three", io.ErrUnexpectedEOF), "c": writes(poem),
			},
			[]string{"a truncated → continued", "b truncated → continued", "c"}, "",
		},
		"continued at the same model, which is the only one": {
			resume, map[string]source{"a": refuses2(breaks("one two", io.ErrUnexpectedEOF), writes(poem))},
			[]string{"a truncated → continued", "a"}, "",
		},
		"moved on while being continued": {
			resume, map[string]source{
				"a": breaks("one two", io.ErrUnexpectedEOF), "b": breaks("", resilience.QuotaSpent), "c": writes(poem),
			},
			[]string{"a truncated → continued", "b quota_spent → elsewhere", "c"}, "",
		},
		"asked again": {
			text, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes("role " + poem)},
			[]string{"a truncated → asked again", "b"}, "",
		},
		"asked again, cut otherwise": {
			text, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": plays(texts("onetw othree four five end")...)},
			[]string{"a truncated → asked again", "b"}, "",
		},
		"asked again, all text in one": {
			text, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": plays(texts("onetwothreefourfive end")...)},
			[]string{"a truncated → asked again", "b"}, "",
		},
		"asked again, and again": {
			text, map[string]source{
				"a": breaks("one two", io.ErrUnexpectedEOF), "b": breaks("one", io.ErrUnexpectedEOF), "c": writes(poem),
			},
			[]string{"a truncated → asked again", "b unreachable → asked again", "c"}, "",
		},
		"only the end was left": {
			resume, map[string]source{"a": breaks("one two three four five", io.ErrUnexpectedEOF), "b": writes(poem)},
			[]string{"a truncated → continued", "b"}, "",
		},
		"Text points into a copy": {
			stringHooks{Text: func(s *string) *string { return itself(new(*s)) }},
			map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": plays(texts("onetw othree four five end")...)},
			[]string{"a truncated → asked again", "b canceled"}, "unreachable after 2 chunks",
		},
		"another text": {
			text, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes("one tow three four five end"), "c": writes(poem)},
			[]string{"a truncated → asked again", "b canceled"}, "unreachable after 2 chunks",
		},
		"a shorter text": {
			text, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes("one end")},
			[]string{"a truncated → asked again", "b canceled"}, "unreachable after 2 chunks",
		},
		"continuation refused, asked again": {
			both, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": refuses(writes(poem))},
			[]string{"a truncated → continued", "b invalid → asked again", "b"}, "",
		},
		"continuation refused, and no other way": {
			resume, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": refuses(writes(poem))},
			[]string{"a truncated → continued", "b invalid"}, "unreachable after 2 chunks",
		},
		"nobody left": {
			resume, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": breaks("", resilience.Overloaded)},
			[]string{"a truncated → continued", "b overloaded"}, "unreachable after 2 chunks",
		},
		"filtered": {
			both, map[string]source{"a": breaks("one two", resilience.Filtered), "b": writes(poem)},
			[]string{"a truncated"}, "filtered after 2 chunks",
		},
		"no hooks": {
			stringHooks{}, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)},
			[]string{"a truncated"}, "unreachable after 2 chunks",
		},
		"a chunk without text": {
			stringHooks{Text: func(s *string) *string {
				if *s == "two" {
					return nil
				}
				return s
			}}, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)},
			[]string{"a truncated"}, "unreachable after 2 chunks",
		},
		"nothing to resume": {
			stringHooks{Resume: func(string, []string) (string, bool) { return "", false }},
			map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)},
			[]string{"a truncated"}, "unreachable after 2 chunks",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rescues := 0
				c := rescuer(t, tc.hooks, tc.bound,
					resilience.Timeouts{}, fallback.New(fallback.Config{}), breaker.New(breaker.Config{}),
					watch(func(_ context.Context, e resilience.Event) {
						rescues++
						require.Equal(t, "a", tc.attempts[0][:1])
						require.NotEmpty(t, e.To)
						require.ErrorIs(t, e.Err, resilience.Truncated)
					}, resilience.EventRescue))
				s, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
				got, err := readAll(s)
				rep := s.Report()
				require.Equal(t, tc.attempts, line(rep))
				if tc.fails == "" {
					require.NoError(t, err)
					require.Equal(t, strings.ReplaceAll(poem, " ", ""), strings.TrimPrefix(strings.Join(got, ""), "role"))
					require.True(t, rep.Rescued)
					require.NotZero(t, rescues)
					require.Equal(t, rep.Attempts[len(rep.Attempts)-1].Model, rep.Model)
				} else {
					require.ErrorContains(t, err, tc.fails)
					e, ok := errors.AsType[*resilience.Error](err)
					require.True(t, ok)
					require.Equal(t, resilience.Truncated, e.Kind)
					require.Equal(t, "a", e.Model)
					require.Equal(t, 2, e.Delivered)
					require.Equal(t, []string{"one", "two"}, got)
					require.False(t, rep.Rescued)
					require.Zero(t, rescues)
					require.Equal(t, "a", rep.Model.ID())
				}
				idle(t, c.Pool())
			})
		})
	}
}

// refuses2 answers a request for the rest with more, others with first.
func refuses2(first, more source) source {
	return func(ctx context.Context, req string) iter.Seq2[string, error] {
		if strings.Contains(req, "|") {
			return more(ctx, req)
		}
		return first(ctx, req)
	}
}

// TestRescueWithoutFallback stays with the model that the call was given.
func TestRescueWithoutFallback(t *testing.T) {
	c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
		"a": refuses2(breaks("one two", io.ErrUnexpectedEOF), writes(poem)), "b": writes("never end"),
	})
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	got, err := readAll(s)
	require.NoError(t, err)
	require.Equal(t, strings.Fields(poem), got)
	require.Equal(t, []string{"a truncated → continued", "a"}, line(s.Report()))
}

// TestRescueLimits is about what forbids a rescue.
func TestRescueLimits(t *testing.T) {
	bound := map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": writes(poem)}
	for name, opts := range map[string]resilience.CallOptions{
		"once":                     {Once: true},
		"one attempt":              {Attempts: 1},
		"that model and no others": {Model: "a", Attempts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := rescuer(t, stringHooks{Resume: resumes, Text: itself}, bound, fallback.New(fallback.Config{}))
			s, _, err := c.Do(t.Context(), "?", opts)
			require.NoError(t, err)
			_, err = readAll(s)
			require.Equal(t, resilience.Truncated, resilience.KindOf(err))
			require.Equal(t, []string{"a truncated"}, line(s.Report()))
		})
	}
	t.Run("a limit of models", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := rescuer(t, stringHooks{Resume: resumes}, bound, fallback.New(fallback.Config{Limit: 1}))
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			_, err = readAll(s)
			require.Equal(t, resilience.Truncated, resilience.KindOf(err))
			require.Len(t, s.Report().Attempts, 6, "an extra attempt each")
			for _, a := range s.Report().Attempts {
				require.Equal(t, "a", a.Model.ID())
			}
		})
	})
}

// TestRescueOfStalls covers what our own timers break.
func TestRescueOfStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
			"a": plays(append(texts("one two"), frame{text: "late", wait: time.Hour})...), "b": writes(poem),
		}, resilience.Timeouts{Gap: 10 * time.Second}, fallback.New(fallback.Config{}))
		start := time.Now()
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		got, err := readAll(s)
		require.NoError(t, err)
		require.Equal(t, strings.Fields(poem), got)
		require.Equal(t, 10*time.Second, time.Since(start).Truncate(time.Second))
		require.ErrorContains(t, s.Report().Attempts[0].Err, "(Timeouts.Gap) after 2 chunks")
	})
	t.Run("Total ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
				"a": plays(append(texts("one two"), frame{text: "late", wait: time.Hour})...), "b": writes(poem),
			}, resilience.Timeouts{Total: 10 * time.Second}, fallback.New(fallback.Config{}))
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			_, err = readAll(s)
			require.ErrorContains(t, err, "Timeouts.Total")
			require.Len(t, s.Report().Attempts, 1)
		})
	})
	t.Run("Total goes on through a rescue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			slow := plays(append(append(texts("three"), drip(10)...), texts("end")...)...)
			c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
				"a": plays(append(texts("one"), frame{wait: 8 * time.Second, err: io.ErrUnexpectedEOF})...), "b": slow,
			}, resilience.Timeouts{Total: 10 * time.Second}, fallback.New(fallback.Config{}))
			start := time.Now()
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			_, err = readAll(s)
			require.ErrorContains(t, err, "Timeouts.Total")
			require.Equal(t, 10*time.Second, time.Since(start))
			require.Len(t, s.Report().Attempts, 2)
		})
	})
	t.Run("a rescue has the time that the call had", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
				"a": plays(append(texts("one"), frame{wait: time.Minute, text: "two"}, frame{err: io.ErrUnexpectedEOF})...),
				"b": plays(frame{text: "three", wait: time.Hour}),
			}, resilience.Timeouts{Gap: -1, FirstChunk: -1}, fallback.New(fallback.Config{}))
			s, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Timeout: 5 * time.Second})
			require.NoError(t, err)
			start := time.Now()
			_, err = readAll(s)
			require.Equal(t, resilience.Truncated, resilience.KindOf(err))
			require.Equal(t, 65*time.Second, time.Since(start))
			require.Equal(t, []string{"a truncated → continued", "b timed_out"}, line(s.Report()))
		})
	})
}

// TestRescueIsEnded ends rescues from outside.
func TestRescueIsEnded(t *testing.T) {
	hung := map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": plays(frame{text: "three", wait: time.Hour})}
	t.Run("closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := rescuer(t, stringHooks{Resume: resumes}, hung, resilience.Timeouts{}, fallback.New(fallback.Config{}))
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			time.AfterFunc(time.Second, func() { require.NoError(t, s.Close()) })
			start := time.Now()
			_, err = readAll(s)
			require.Error(t, err)
			require.Equal(t, time.Second, time.Since(start))
			require.Equal(t, []string{"a truncated → continued", "b canceled"}, line(s.Report()))
			require.Zero(t, c.Pool().Model("b").Stats(time.Minute).Failures)
			idle(t, c.Pool())
		})
	})
	t.Run("canceled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c := rescuer(t, stringHooks{Resume: resumes}, hung, resilience.Timeouts{}, fallback.New(fallback.Config{}))
			s, err := c.Call(ctx, "?")
			require.NoError(t, err)
			_, err = readAll(s)
			require.Equal(t, resilience.Truncated, resilience.KindOf(err), "what broke it came first")
			require.Equal(t, []string{"a truncated → continued", "b canceled"}, line(s.Report()))
			idle(t, c.Pool())
		})
	})
	t.Run("panic", func(t *testing.T) {
		c := rescuer(t, stringHooks{Resume: func(string, []string) (string, bool) { panic("resume") }}, hung, fallback.New(fallback.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.PanicsWithValue(t, "resume", func() { _, _ = readAll(s) })
		idle(t, c.Pool())
		require.Len(t, s.Report().Attempts, 1)
	})
	t.Run("panic of the next source", func(t *testing.T) {
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{
			"a": hung["a"], "b": func(context.Context, string) iter.Seq2[string, error] { panic("b") },
		}, fallback.New(fallback.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.PanicsWithValue(t, "b", func() { _, _ = readAll(s) })
		idle(t, c.Pool())
	})
	t.Run("left after a rescue", func(t *testing.T) {
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": hung["a"], "b": writes(poem)}, fallback.New(fallback.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		for chunk, err := range s.All() {
			require.NoError(t, err)
			if chunk == "three" {
				require.Equal(t, "b", s.Model().ID())
				require.True(t, s.Report().Rescued)
				break
			}
		}
		require.Equal(t, []string{"a truncated → continued", "b canceled"}, line(s.Report()))
		idle(t, c.Pool())
	})
}

// TestRescueNested has the calls of two pools in one stream: the inner one
// cannot go on, the outer one can.
func TestRescueNested(t *testing.T) {
	hooks := stringHooks{Resume: resumes, Terminal: marks.Terminal}
	for name, inner := range map[string]resilience.Feature{"retry": retry.New(retry.Config{}), "breaker": breaker.New(breaker.Config{Consecutive: 1})} {
		t.Run(name, func(t *testing.T) {
			broken := resilience.Wrap(resilience.StreamOf(breaks("one two", resilience.Overloaded), hooks), inner)
			well := resilience.Wrap(resilience.StreamOf(writes(poem), hooks), retry.New(retry.Config{}))
			c := fallback.Wrap(fallback.Config{}, resilience.ModelCaller[string, *resilience.Stream[string]](broken), well)
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			got, err := readAll(s)
			require.NoError(t, err)
			require.Equal(t, strings.Fields(poem), got)
			for _, p := range []*resilience.Pool{broken.Pool(), well.Pool(), c.Pool()} {
				idle(t, p)
			}
			require.Equal(t, []string{"1 truncated → continued", "2"}, line(s.Report()))
			require.Equal(t, int64(1), broken.Pool().Models()[0].Stats(time.Minute).Calls, "an outer pool has another model")
			require.True(t, s.Report().Rescued)
			require.Equal(t, int64(1), well.Pool().Models()[0].Stats(time.Minute).Calls)
		})
	}
}

// TestRescueIsBounded breaks streams that are too long to be kept.
func TestRescueIsBounded(t *testing.T) {
	long := func(word string, n int) source {
		return func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for range n {
					if !yield(word, nil) {
						return
					}
				}
				yield("", io.ErrUnexpectedEOF)
			}
		}
	}
	asked := 0
	next := func(ctx context.Context, req string) iter.Seq2[string, error] {
		asked++
		return writes("end")(ctx, req)
	}
	for name, tc := range map[string]struct {
		hooks stringHooks
		first source
		asked int
	}{
		"chunks":     {stringHooks{Resume: resumes}, long("x", 1<<14), 1},
		"too many":   {stringHooks{Resume: resumes}, long("x", 1<<14+1), 0},
		"text":       {stringHooks{Text: itself}, long(strings.Repeat("x", 1<<10), 1<<10), 1},
		"too much":   {stringHooks{Text: itself}, long(strings.Repeat("x", 1<<10), 1<<10+1), 0},
		"many texts": {stringHooks{Resume: resumes, Text: itself}, long("x", 1<<14+1), 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked = 0
			c := rescuer(t, tc.hooks, map[string]source{"a": tc.first, "b": next}, fallback.New(fallback.Config{}))
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			_, _ = readAll(s)
			require.Equal(t, tc.asked, asked)
		})
	}
}

// TestRescueAdapted goes on in the types that the client speaks.
func TestRescueAdapted(t *testing.T) {
	adapted := func(open source) resilience.Func[string, *resilience.Stream[int]] {
		return resilience.AdaptStream(resilience.StreamOf(open, marks),
			func(_ context.Context, _ *resilience.Model, req string) (string, error) { return req, nil },
			func(s string) (int, bool, error) { return len(s), s != "end", nil },
			resilience.StreamHooks[string, int]{Resume: func(req string, delivered []int) (string, bool) {
				return "three five", len(delivered) == 2
			}})
	}
	echo := func(ctx context.Context, req string) iter.Seq2[string, error] {
		return plays(texts(req+" end")...)(ctx, req)
	}
	p := newPool(t, fallback.New(fallback.Config{}))
	c, err := resilience.NewClient(p, resilience.BindFunc("a", adapted(breaks("one two", io.ErrUnexpectedEOF))), resilience.BindFunc("b", adapted(echo)))
	require.NoError(t, err)
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	var got []int
	for n, err := range s.All() {
		require.NoError(t, err)
		got = append(got, n)
	}
	require.Equal(t, []int{3, 3, 5, 4}, got)
	require.Equal(t, []string{"a truncated → continued", "b"}, line(s.Report()))
	idle(t, p)
}

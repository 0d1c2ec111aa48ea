package resilience_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

func (e *apiError) Error() string { return e.Response.Status }

type apiError struct{ Response *http.Response }

// A rescue keeps to fallback's Limit and On.
func TestRescueFallbackLimit(t *testing.T) {
	bound := map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": breaks("", resilience.Overloaded), "c": writes(poem)}
	t.Run("Limit", func(t *testing.T) {
		c := rescuer(t, stringHooks{Resume: resumes}, bound, fallback.New(fallback.Config{Limit: 2}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		_, _ = readAll(s)
		seen := map[string]bool{}
		for _, a := range s.Report().Attempts {
			seen[a.Model.ID()] = true
		}
		require.LessOrEqual(t, len(seen), 2, "models per call: %v", line(s.Report()))
	})
	t.Run("On", func(t *testing.T) {
		bound["b"] = writes(poem)
		c := rescuer(t, stringHooks{Resume: resumes}, bound, fallback.New(fallback.Config{On: func(error) bool { return false }}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		_, _ = readAll(s)
		for _, a := range s.Report().Attempts {
			require.Equal(t, "a", a.Model.ID(), "On says that nobody else gets the call")
		}
	})
	t.Run("Invalid at a later model", func(t *testing.T) {
		c := rescuer(t, stringHooks{Text: itself}, map[string]source{
			"a": breaks("one two", io.ErrUnexpectedEOF), "b": plays(frame{err: resilience.Invalid}), "c": writes(poem),
		}, fallback.New(fallback.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		_, err = readAll(s)
		require.NoError(t, err, "the request suited a: table of kinds, note *; %v", line(s.Report()))
	})
}

// The same model is asked again only where the table of kinds says so.
func TestRescueSameModelByTheTable(t *testing.T) {
	asks := func(err error) source { return refuses2(breaks("one two", err), writes(poem)) }
	for name, err := range map[string]error{
		"quota": resilience.QuotaSpent, "unauthorized": resilience.Unauthorized, "not found": resilience.NotFound, "malformed": resilience.Malformed,
	} {
		t.Run(name, func(t *testing.T) {
			c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": asks(err)}, retry.New(retry.Config{}))
			s, e := c.Call(t.Context(), "?")
			require.NoError(t, e)
			_, _ = readAll(s)
			require.Len(t, s.Report().Attempts, 1, "same model again: no; %v", line(s.Report()))
		})
	}
	t.Run("asked to wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": asks(&resilience.Error{Kind: resilience.RateLimited, RetryAfter: 4 * time.Second})}, retry.New(retry.Config{}))
			s, e := c.Call(t.Context(), "?")
			require.NoError(t, e)
			start := time.Now()
			_, _ = readAll(s)
			require.True(t, len(s.Report().Attempts) == 1 || time.Since(start) >= 4*time.Second, "asked again after %v: %v", time.Since(start), line(s.Report()))
		})
	})
}

// An end marker in the last chunk of the text that is known reaches the reader.
func TestRescueTheEndMarkerSurvivesAsking(t *testing.T) {
	type chunk struct{ text, finish string }
	hooks := resilience.StreamHooks[string, chunk]{
		Terminal: func(c chunk) bool { return c.finish != "" }, Text: func(c *chunk) *string { return &c.text },
	}
	open := func(chunks []chunk, err error) func(context.Context, string) iter.Seq2[chunk, error] {
		return func(context.Context, string) iter.Seq2[chunk, error] {
			return func(yield func(chunk, error) bool) {
				for _, c := range chunks {
					if !yield(c, nil) {
						return
					}
				}
				if err != nil {
					yield(chunk{}, err)
				}
			}
		}
	}
	p := newPool(t, fallback.New(fallback.Config{}))
	c, err := resilience.NewClient(p,
		resilience.BindStream("a", open([]chunk{{"one", ""}, {"two", ""}}, io.ErrUnexpectedEOF), hooks),
		resilience.BindStream("b", open([]chunk{{"one", ""}, {"two", "stop"}}, nil), hooks))
	require.NoError(t, err)
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	finish := ""
	for c, err := range s.All() {
		require.NoError(t, err)
		finish += c.finish
	}
	require.Equal(t, "stop", finish, "the reader never learns why the answer ended")
}

// A model that a reload took away is not asked.
func TestRescueReloadTakesAModelOut(t *testing.T) {
	p := newPool(t, resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}, resilience.ModelInfo{ID: "c"}), fallback.New(fallback.Config{}))
	c, err := resilience.NewClient(p,
		resilience.BindStream("a", breaks("one two", io.ErrUnexpectedEOF), continuing),
		resilience.BindStream("b", writes(poem), continuing), resilience.BindStream("c", writes(poem), continuing))
	require.NoError(t, err)
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"models":[{"id":"a"},{"id":"c"}]}`), by))
	_, err = readAll(s)
	require.NoError(t, err)
	require.Equal(t, []string{"a truncated → continued", "c"}, line(s.Report()))
}

// HoldBack ends with the call's own time.
func TestRescueHoldBackWithinTheCallsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := []frame{{text: "one"}}
		for range 60 {
			frames = append(frames, frame{text: "x", wait: time.Second})
		}
		c := rescuer(t, stringHooks{}, map[string]source{"a": plays(append(frames, texts("end")...)...)}, resilience.Timeouts{HoldBack: 30 * time.Second})
		start := time.Now()
		s, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Timeout: 5 * time.Second})
		_ = s.Close()
		require.LessOrEqual(t, time.Since(start), 6*time.Second, "CallOptions.Timeout: for the whole call; err %v", err)
	})
}

// So does one in which the stream falls silent.
func TestSilentHoldBackWithinTheCallsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rescuer(t, stringHooks{}, map[string]source{"a": plays(frame{text: "one"}, frame{text: "end", wait: time.Hour})},
			resilience.Timeouts{Call: 5 * time.Second, HoldBack: 2 * time.Second})
		start := time.Now()
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.Equal(t, 5*time.Second, time.Since(start))
		require.ErrorIs(t, err, resilience.TimedOut)
		require.ErrorContains(t, err, "timed out after 5s (Timeouts.Call)")
		require.Equal(t, []string{"a timed_out"}, line(rep))
		idle(t, c.Pool())
	})
}

func TestRescueSameModelWaitsAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &apiError{&http.Response{StatusCode: http.StatusTooManyRequests, Status: "429", Header: http.Header{"Retry-After": {"4"}}}}
		c := rescuer(t, stringHooks{Resume: resumes}, map[string]source{"a": refuses2(breaks("one two", e), writes(poem))}, retry.New(retry.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		start := time.Now()
		_, _ = readAll(s)
		require.Equal(t, 4*time.Second, s.Report().Attempts[0].Err.(*resilience.Error).RetryAfter)
		require.True(t, len(s.Report().Attempts) == 1 || time.Since(start) >= 4*time.Second, "asked again after %v: %v", time.Since(start), line(s.Report()))
	})
}

// A model that breaks at once every time is asked again after growing pauses.
func TestRescuePauseBetweenRescues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := rescuer(t, stringHooks{Resume: func(string, []string) (string, bool) { return "", true }}, map[string]source{"a": func(ctx context.Context, req string) iter.Seq2[string, error] {
			n++
			return breaks("one", resilience.Overloaded)(ctx, req)
		}}, resilience.Timeouts{}, retry.New(retry.Config{}))
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		start := time.Now()
		_, err = readAll(s)
		require.Error(t, err)
		require.False(t, n > 2 && time.Since(start) == 0, "overloaded, and asked %d times within %v: %v", n, time.Since(start), line(s.Report()))
	})
}

// A continuation that fails for the model's own reasons is not followed by a repetition there.
func TestRescueFailedModelIsNotAskedAgainAtOnce(t *testing.T) {
	c := rescuer(t, stringHooks{Resume: resumes, Text: itself}, map[string]source{"a": breaks("one two", io.ErrUnexpectedEOF), "b": breaks("", resilience.QuotaSpent)},
		fallback.New(fallback.Config{}))
	s, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	_, err = readAll(s)
	require.Error(t, err)
	require.Equal(t, []string{"a truncated → continued", "b quota_spent"}, line(s.Report()))
}

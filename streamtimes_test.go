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
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

func TestHoldBack(t *testing.T) {
	for name, tc := range map[string]struct {
		a        source
		got      string
		attempts []string
		took     time.Duration
	}{
		"breaks unseen":      {breaks("one two", io.ErrUnexpectedEOF), poem, []string{"a unreachable → again after 0.0s", "a unreachable → elsewhere", "b"}, 0},
		"ends unseen":        {plays(texts("one two")...), poem, []string{"a truncated → again after 0.0s", "a truncated → elsewhere", "b"}, 0},
		"stalls unseen":      {plays(append(texts("one two"), frame{text: "late", wait: time.Hour})...), poem, []string{"a timed_out → elsewhere", "b"}, 30 * time.Second},
		"whole at once":      {writes("one end"), "one end", []string{"a"}, 0},
		"whole with more":    {plays(frame{text: "one"}, frame{text: "end", wait: time.Second}, frame{err: io.ErrUnexpectedEOF}), "one end", []string{"a"}, time.Second},
		"breaks later":       {plays(frame{text: "one"}, frame{text: "two", wait: 3 * time.Second}, frame{err: io.ErrUnexpectedEOF}), "one two", []string{"a truncated"}, 3 * time.Second},
		"filtered unseen":    {breaks("one two", resilience.Filtered), "", []string{"a filtered"}, 0},
		"role, then nothing": {plays(frame{text: "role"}, frame{text: "one", wait: time.Hour}), poem, []string{"a timed_out → elsewhere", "b"}, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := rescuer(t, stringHooks{}, map[string]source{"a": tc.a, "b": writes(poem)},
					resilience.Timeouts{HoldBack: 2 * time.Second}, fallback.New(fallback.Config{}), retry.New(retry.Config{}))
				start := time.Now()
				s, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
				require.Equal(t, tc.took, time.Since(start).Truncate(time.Second))
				if tc.got == "" {
					require.ErrorIs(t, err, resilience.Filtered)
					require.Equal(t, tc.attempts, line(rep))
					idle(t, c.Pool())
					return
				}
				require.NoError(t, err)
				got, _ := readAll(s)
				require.Equal(t, strings.Fields(tc.got), got)
				require.Equal(t, tc.attempts, line(s.Report()))
				require.False(t, s.Report().Rescued)
				idle(t, c.Pool())
			})
		})
	}
	t.Run("nested", func(t *testing.T) {
		inner := resilience.Wrap(resilience.StreamOf(breaks("one two", io.ErrUnexpectedEOF), marks))
		p := newPool(t, resilience.Timeouts{HoldBack: time.Second}, fallback.New(fallback.Config{}))
		c, err := resilience.NewClient(p, resilience.Bind("a", inner), resilience.BindStream("b", writes(poem), marks))
		require.NoError(t, err)
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		got, err := readAll(s)
		require.NoError(t, err)
		require.Equal(t, strings.Fields(poem), got)
		idle(t, inner.Pool())
		idle(t, p)
	})
}

func TestMinRate(t *testing.T) {
	seconds := func(n int, text string) (frames []frame) {
		for range n {
			frames = append(frames, frame{text: text, wait: time.Second})
		}
		return frames
	}
	for name, tc := range map[string]struct {
		frames []frame
		reader time.Duration // what it does with each chunk
		fails  string
	}{
		"drips":         {append(texts("one"), seconds(100, "x")...), 0, "too slow over 10s (Timeouts.MinRate) after 10 chunks"},
		"only pings":    {append(texts("one"), seconds(100, "ping")...), 0, "too slow over 10s"},
		"fast enough":   {append(texts("one"), append(seconds(0, ""), fast(100)...)...), 0, ""},
		"a slow reader": {append(texts("one"), fast(30)...), 5 * time.Second, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := rescuer(t, stringHooks{}, map[string]source{"a": plays(append(tc.frames, frame{text: "end"})...)},
					resilience.Timeouts{MinRate: 2, Gap: 10 * time.Second})
				s, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
				for _, e := range s.All() {
					time.Sleep(tc.reader)
					err = e
				}
				if tc.fails == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, tc.fails)
					require.ErrorIs(t, err, resilience.Truncated)
					require.ErrorIs(t, err, resilience.TimedOut)
					require.Equal(t, int64(1), c.Pool().Model("a").Stats(time.Hour).Failures)
				}
				idle(t, c.Pool())
			})
		})
	}
}

func fast(n int) (frames []frame) {
	for range n {
		frames = append(frames, frame{text: "x", wait: 100 * time.Millisecond})
	}
	return frames
}

func TestConnect(t *testing.T) {
	slow := func(after time.Duration) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(after):
				return reply(200, "one end")(r)
			case <-r.Context().Done():
				return nil, context.Cause(r.Context())
			}
		})
	}
	over := func(base http.RoundTripper) source {
		return func(ctx context.Context, _ string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://model", http.NoBody)
				resp, err := base.RoundTrip(req)
				if err != nil {
					yield("", err)
					return
				}
				defer func() { _ = resp.Body.Close() }()
				time.Sleep(20 * time.Second) // until the first token
				text, _ := io.ReadAll(resp.Body)
				for word := range strings.FieldsSeq(string(text)) {
					if !yield(word, nil) {
						return
					}
				}
			}
		}
	}
	for name, tc := range map[string]struct {
		a     source
		kinds []string
		took  time.Duration
	}{
		"headers late":           {over(resilience.Tap(slow(time.Hour))), []string{"a timed_out → elsewhere", "b"}, 5 * time.Second},
		"headers in time":        {over(resilience.Tap(slow(4 * time.Second))), []string{"a"}, 24 * time.Second},
		"nobody sees the header": {over(slow(6 * time.Second)), []string{"a"}, 26 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := rescuer(t, stringHooks{}, map[string]source{"a": tc.a, "b": writes(poem)},
					resilience.Timeouts{Connect: 5 * time.Second}, fallback.New(fallback.Config{}))
				start := time.Now()
				s, err := c.Call(t.Context(), "?")
				require.NoError(t, err)
				require.Equal(t, tc.took, time.Since(start))
				_, err = readAll(s)
				require.NoError(t, err)
				require.Equal(t, tc.kinds, line(s.Report()))
				if len(tc.kinds) > 1 {
					require.ErrorContains(t, s.Report().Attempts[0].Err, "Timeouts.Connect")
				}
			})
		})
	}
}

// TestTimesThatAreOff are not errors, whether they are off anyway or not.
func TestTimesThatAreOff(t *testing.T) {
	off := resilience.Timeouts{Call: -1, Attempt: -1, Connect: -1, FirstChunk: -1, Gap: -1, MinRate: -1, Total: -1, HoldBack: -1}
	synctest.Test(t, func(t *testing.T) {
		for name, given := range map[string]resilience.Timeouts{"all": off, "op": {Ops: map[string]resilience.Timeouts{"o": off}}} {
			c := rescuer(t, stringHooks{}, map[string]source{"a": plays(frame{text: "one", wait: time.Hour}, frame{text: "end", wait: time.Hour})}, given)
			s, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Op: "o", Timeout: -1})
			require.NoError(t, err, name)
			_, err = readAll(s)
			require.NoError(t, err, name)
		}
	})
}

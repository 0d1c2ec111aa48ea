package resilience_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// lessening is a feature that asks for less.
type lessening struct {
	step    int
	stretch float64
	asked   bool // whether there was a hook
}

func (l *lessening) Install(s *resilience.Setup) error {
	s.Wrap(resilience.LayerAdmit, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error {
			l.asked = c.Reduce(l.step)
			if l.stretch > 0 {
				c.Stretch(l.stretch)
			}
			c.Degrade("severe", "analytics", "history")
			return next(ctx, c)
		}
	})
	return nil
}

// What is given up is in the report, and the request is the reduced one at every
// model; Default still gets what the caller asked.
func TestReduce(t *testing.T) {
	l := &lessening{step: 2}
	var got []string
	fail := func(_ context.Context, req string) (string, error) {
		got = append(got, req)
		return "", resilience.Overloaded
	}
	hooks := resilience.Hooks[string, string]{
		Reduce:  func(req string, step int) string { return req[:len(req)-step] },
		Default: func(req string, _ error) (string, error) { return req, nil },
	}
	p := newPool(t, l, inTurn(false))
	c := newClient(t, p, resilience.BindFunc("a", fail), resilience.BindFunc("b", fail), hooks)
	answer, rep, err := c.Do(t.Context(), "hello", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, "hello", answer)
	require.Equal(t, []string{"hel", "hel"}, got)
	require.True(t, l.asked)
	require.Equal(t, "severe", rep.Level)
	require.Equal(t, 2, rep.Reduced)
	require.Equal(t, []string{"analytics", "history"}, rep.GivenUp)
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "report", rep)
	require.Contains(t, out.String(), `report.level=severe report.givenUp="analytics, history"`)

	c = newClient(t, p, resilience.BindFunc("a", says("x")))
	_, rep, err = c.Do(t.Context(), "hello", resilience.CallOptions{})
	require.NoError(t, err)
	require.False(t, l.asked, "without a hook")
	require.Zero(t, rep.Reduced)
	l.step = 0
	c = newClient(t, p, resilience.BindFunc("a", says("x")), hooks)
	_, rep, err = c.Do(t.Context(), "hello", resilience.CallOptions{})
	require.NoError(t, err)
	require.Zero(t, rep.Reduced)
}

// Attempts have longer, streams until their first chunk too, and what bounds the
// call stays.
func TestStretch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		p := newPool(t, &lessening{stretch: 1.5}, resilience.Timeouts{Call: 20 * time.Second, Attempt: 10 * time.Second})
		c := newClient(t, p, resilience.BindFunc("a", hang))
		start := time.Now()
		_, err := c.Call(t.Context(), "")
		require.EqualError(t, err, "a: timed_out: timed out after 15s (Timeouts.Attempt × 1.5)")
		require.Equal(t, 15*time.Second, time.Since(start))

		p = newPool(t, &lessening{stretch: 3}, resilience.Timeouts{Call: 20 * time.Second, Attempt: 10 * time.Second})
		c = newClient(t, p, resilience.BindFunc("a", hang))
		start = time.Now()
		_, err = c.Call(t.Context(), "")
		require.ErrorContains(t, err, "(Timeouts.Call)")
		require.Equal(t, 20*time.Second, time.Since(start))
	})
}

// What is only reported is measured by the longer bound, too.
func TestStretchObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context, string) (string, error) {
			time.Sleep(12 * time.Second)
			return "", nil
		}
		for stretch, want := range map[float64]int{1.5: 0, 1.1: 1} {
			p := newPool(t, &lessening{stretch: stretch}, resilience.Timeouts{Attempt: 10 * time.Second, ObserveOnly: true})
			warnings := p.Subscribe(10, resilience.EventWarning)
			_, err := newClient(t, p, resilience.BindFunc("a", slow)).Call(t.Context(), "")
			require.NoError(t, err)
			require.Len(t, warnings.C, want)
			warnings.Close()
		}
	})
}

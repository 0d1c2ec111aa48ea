package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestWhoEndedIt goes through who may end an attempt, and what the callee may
// make of it.
func TestWhoEndedIt(t *testing.T) {
	returns := map[string]func(ctx context.Context) error{
		"its context's error": func(ctx context.Context) error { return ctx.Err() },
		"the cause":           context.Cause,
		"a wrapped error":     func(ctx context.Context) error { return fmt.Errorf("call: %w", ctx.Err()) },
		"a text":              func(context.Context) error { return errors.New("request failed") },
	}
	for name, made := range returns {
		t.Run("the caller leaves, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				c := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) {
					<-ctx.Done()
					return "", made(ctx)
				}), resilience.Timeouts{})
				_, err := c.Call(ctx, "")
				require.Equal(t, resilience.Canceled, resilience.KindOf(err))
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, resilience.CallStats{Canceled: 1}, c.Models()[0].Stats(time.Minute), "neutral")
				require.Zero(t, c.Models()[0].Latency())
				code, _ := resilience.HTTPStatus(err)
				require.Equal(t, 499, code)
			})
		})
		t.Run("the caller's deadline passes, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				c := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) {
					<-ctx.Done()
					return "", made(ctx)
				}), resilience.Timeouts{})
				_, err := c.Call(ctx, "")
				require.Equal(t, resilience.Canceled, resilience.KindOf(err))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NotErrorIs(t, err, context.Canceled)
				require.Equal(t, resilience.CallStats{Canceled: 1}, c.Models()[0].Stats(time.Minute))
				code, _ := resilience.HTTPStatus(err)
				require.Equal(t, http.StatusGatewayTimeout, code)
			})
		})
		t.Run("our timer ends it, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) {
					<-ctx.Done()
					return "", made(ctx)
				}), resilience.Timeouts{Attempt: time.Second})
				_, err := c.Call(t.Context(), "")
				require.Equal(t, resilience.TimedOut, resilience.KindOf(err))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, int64(1), c.Models()[0].Stats(time.Minute).Failures)
			})
		})
	}
}

func TestCanceledByNobodyWeKnow(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want resilience.Kind
	}{
		"canceled":         {context.Canceled, resilience.Unknown},
		"out of time":      {context.DeadlineExceeded, resilience.TimedOut},
		"canceled, nested": {&resilience.Error{Kind: resilience.Canceled, Err: context.Canceled}, resilience.Unknown},
		"late, nested":     {&resilience.Error{Kind: resilience.Canceled, Err: context.DeadlineExceeded}, resilience.TimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resilience.Wrap(fails(c.err)).Call(t.Context(), "")
			require.Equal(t, c.want, resilience.KindOf(err))
			require.ErrorIs(t, err, c.err)
		})
	}
}

func TestLateAnswerIsAnAnswerLateFailureEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail error
		slow := ask(func(context.Context, string) (string, error) { time.Sleep(3 * time.Second); return "late", fail })
		n := 0
		c := newClient(t, newPool(t, resilience.Timeouts{Call: 2 * time.Second}, inTurn(false)),
			resilience.BindFunc("a", counted(&n, slow)), resilience.BindFunc("b", counted(&n, slow)))
		answer, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "late", answer)

		fail, n = resilience.Unknown, 0
		_, err = c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.TimedOut)
		require.ErrorContains(t, err, "Timeouts.Call")
	})
}

// TestLateFailureThatSaysMoreKeepsItsKind: what a provider said for certain is
// not overruled by a timer that ran out meanwhile.
func TestLateFailureThatSaysMoreKeepsItsKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := resilience.Wrap(ask(func(context.Context, string) (string, error) {
			time.Sleep(2 * time.Second)
			return "", resilience.QuotaSpent
		}), resilience.Timeouts{Attempt: time.Second})
		_, err := c.Call(t.Context(), "")
		require.Equal(t, resilience.QuotaSpent, resilience.KindOf(err))
	})
}

func TestClassifyComesFirst(t *testing.T) {
	mine := func(err error) resilience.Kind {
		if errors.Is(err, errBroken) {
			return resilience.QuotaSpent
		}
		return 0
	}
	other := func(error) resilience.Kind { return resilience.TooLong }
	for name, c := range map[string]struct {
		err  error
		want resilience.Kind
	}{
		"the first that knows": {fmt.Errorf("503: %w", errBroken), resilience.QuotaSpent},
		"the next":             {errors.New("503"), resilience.TooLong},
		"classified already":   {&resilience.Error{Kind: resilience.Filtered, Err: errBroken}, resilience.Filtered},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resilience.Wrap(fails(c.err), resilience.Classify(mine), resilience.Classify(other)).Call(t.Context(), "")
			require.Equal(t, c.want, resilience.KindOf(err))
		})
	}
	t.Run("not about our timers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := resilience.Wrap(ask(untilDone), resilience.Classify(other), resilience.Timeouts{Attempt: time.Second})
			_, err := c.Call(t.Context(), "")
			require.Equal(t, resilience.TimedOut, resilience.KindOf(err))
		})
	})
}

func TestReportOfAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := 0
		c := resilience.Wrap(ask(func(context.Context, string) (string, error) {
			time.Sleep(time.Second)
			if n++; n < 2 {
				return "", resilience.Overloaded
			}
			return "ok", nil
		}), layer(resilience.LayerRetry, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			require.NoError(t, c.Sleep(ctx, 5*time.Second))
			require.Error(t, next(ctx, c))
			require.NoError(t, c.Sleep(ctx, 2*time.Second))
			return next(ctx, c)
		}))
		_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{Op: "x"})
		require.NoError(t, err)
		require.Equal(t, 9*time.Second, rep.Duration)
		require.Equal(t, "model", rep.Model.ID())
		require.Len(t, rep.Attempts, 2)
		first, second := rep.Attempts[0], rep.Attempts[1]
		require.Equal(t, 5*time.Second, first.Wait, "a wait before the first attempt too")
		require.Equal(t, start.Add(5*time.Second), first.Start)
		require.Equal(t, time.Second, first.Duration)
		require.Equal(t, resilience.Overloaded, first.Kind)
		require.Contains(t, first.Reason, "→ again after 2.0s")
		require.Equal(t, 2*time.Second, second.Wait)
		require.Zero(t, second.Kind)
		require.NoError(t, second.Err)
	})
}

// TestAskingAgainAfterASuccess is what a layer may do that compares answers.
func TestAskingAgainAfterASuccess(t *testing.T) {
	n := 0
	c := resilience.Wrap(counted(&n, says("ok")), layer(resilience.LayerRetry,
		func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
			return errors.Join(next(ctx, c), next(ctx, c))
		}))
	_, err := c.Call(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	idle(t, c.Pool())
}

func TestCallerLeftBeforeTheCall(t *testing.T) {
	asked := 0
	c := resilience.Wrap(resilience.FuncOf(func(context.Context, string) (string, error) { asked++; return "", nil }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Call(ctx, "?")
	require.ErrorIs(t, err, resilience.Canceled)
	require.ErrorIs(t, err, context.Canceled)
	require.EqualError(t, err, "canceled: by the caller")

	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = c.Call(ctx, "?")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualError(t, err, "canceled: the caller's deadline passed")
	require.Zero(t, asked)
}

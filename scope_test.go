package resilience

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// seen runs a call of a pool with features and shows the callee's context.
func seen(ctx context.Context, t *testing.T, look func(ctx context.Context), features ...Feature) error {
	t.Helper()
	c := Wrap(FuncOf(func(ctx context.Context, _ string) (string, error) {
		look(ctx)
		return "ok", nil
	}), features...)
	_, err := c.Call(ctx, "")
	return err
}

func TestContextCostsNothingUntilDoneIsAsked(t *testing.T) {
	require.NoError(t, seen(t.Context(), t, func(ctx context.Context) {
		a := ctx.(*attempt)
		_, ok := ctx.Deadline()
		require.True(t, ok)
		require.NoError(t, ctx.Err())
		require.Nil(t, ctx.Value("key"))
		require.Nil(t, a.armed.Load(), "armed by Deadline, Err or Value")
		require.Nil(t, a.call.armed.Load())
		ctx.Done()
		require.NotNil(t, a.armed.Load())
		require.Nil(t, a.call.armed.Load(), "the call is a link that is skipped")
	}, Timeouts{}))
}

func TestErrAfterTheDeadlineWithoutDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, seen(t.Context(), t, func(ctx context.Context) {
			time.Sleep(time.Second - 1)
			require.NoError(t, ctx.Err())
			time.Sleep(1)
			require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
			select {
			case <-ctx.Done():
			default:
				require.Fail(t, "Err without Done")
			}
		}, Timeouts{Attempt: time.Second}), "a late answer is an answer")
	})
}

func TestChildrenAttachWithoutAGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, cancel := context.WithCancel(t.Context())
		defer cancel()
		require.NoError(t, seen(outer, t, func(ctx context.Context) {
			before := runtime.NumGoroutine()
			var all []context.Context
			for range 100 {
				child, cancel := context.WithCancel(ctx)
				defer cancel()
				grandchild, cancel := context.WithTimeout(child, time.Hour)
				defer cancel()
				all = append(all, child, grandchild)
			}
			require.LessOrEqual(t, runtime.NumGoroutine(), before)
			time.Sleep(2 * time.Second)
			for _, child := range all {
				require.Error(t, child.Err())
				require.ErrorContains(t, context.Cause(child), "timed out after 1s (Timeouts.Attempt)")
			}
		}, Timeouts{Attempt: time.Second}))
	})
}

func TestCauseNamesTheSetting(t *testing.T) {
	type opts = CallOptions
	settings := Timeouts{
		Call: 90 * time.Second, Attempt: time.Minute,
		Ops: map[string]Timeouts{
			"chat": {Attempt: 1500 * time.Millisecond},
			"bulk": {Call: time.Hour},
		},
		Models: map[string]Timeouts{"slow": {Attempt: 2 * time.Hour}},
	}
	for name, c := range map[string]struct {
		settings Timeouts
		model    string
		opts     opts
		want     string
	}{
		"default attempt":         {Timeouts{}, "m", opts{}, "timed out after 1m0s (Timeouts.Attempt)"},
		"default call":            {Timeouts{Attempt: -1}, "m", opts{}, "timed out after 2m0s (Timeouts.Call)"},
		"attempt":                 {settings, "m", opts{}, "timed out after 1m0s (Timeouts.Attempt)"},
		"an operation's":          {settings, "m", opts{Op: "chat"}, "timed out after 1.5s (Timeouts.Ops[chat].Attempt)"},
		"what an operation lacks": {settings, "m", opts{Op: "bulk"}, "timed out after 1m0s (Timeouts.Attempt)"},
		"call before model's":     {settings, "slow", opts{}, "timed out after 1m30s (Timeouts.Call)"},
		"an operation's call":     {settings, "slow", opts{Op: "bulk"}, "timed out after 1h0m0s (Timeouts.Ops[bulk].Call)"},
		"a model's":               {Timeouts{Call: -1, Models: settings.Models}, "slow", opts{}, "timed out after 2h0m0s (Timeouts.Models[slow].Attempt)"},
		"an option":               {settings, "m", opts{Timeout: 3 * time.Second}, "timed out after 3s (CallOptions.Timeout)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool, err := NewPool(c.settings)
				require.NoError(t, err)
				var cause error
				chat, err := NewClient(pool, BindFunc(c.model, func(ctx context.Context, _ string) (string, error) {
					<-ctx.Done()
					cause = context.Cause(ctx)
					return "", ctx.Err()
				}))
				require.NoError(t, err)
				_, _, err = chat.Do(t.Context(), "", c.opts)
				require.EqualError(t, cause, c.want)
				require.ErrorIs(t, cause, context.DeadlineExceeded)
				var timeout net.Error
				require.ErrorAs(t, cause, &timeout)
				require.True(t, timeout.Timeout())
				require.Equal(t, TimedOut, KindOf(err))
				require.ErrorContains(t, err, c.want)
			})
		})
	}
}

func TestTheEarliestDeadlineCounts(t *testing.T) {
	for name, c := range map[string]struct {
		call, attempt, caller, want time.Duration // 0 is none
	}{
		"call":    {1, 2, 3, 1},
		"attempt": {2, 1, 3, 1},
		"caller":  {3, 2, 1, 1},
		"two":     {0, 2, 1, 1},
		"none":    {0, 0, 0, 0},
	} {
		for _, between := range []bool{false, true} { // a layer that derives a context
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					or := func(d time.Duration) time.Duration {
						if d == 0 {
							return -1
						}
						return d * time.Second
					}
					ctx := t.Context()
					if c.caller != 0 {
						short, cancel := context.WithTimeout(ctx, c.caller*time.Second)
						defer cancel()
						ctx = short
					}
					features := []Feature{Timeouts{Call: or(c.call), Attempt: or(c.attempt)}}
					if between {
						features = append(features, installer(func(s *Setup) error {
							s.Wrap(LayerRetry, func(_ *Model, next Handler) Handler {
								return func(ctx context.Context, c *Call) error {
									return next(context.WithValue(ctx, attemptKey{}, nil), c)
								}
							})
							return nil
						}))
					}
					start := time.Now()
					require.NoError(t, seen(ctx, t, func(ctx context.Context) {
						deadline, ok := ctx.Deadline()
						require.Equal(t, c.want != 0, ok)
						if !ok {
							return
						}
						require.Equal(t, c.want*time.Second, deadline.Sub(start))
						<-ctx.Done()
						require.Equal(t, c.want*time.Second, time.Since(start))
					}, features...))
				})
			})
		}
	}
}

type testKey struct{}

func TestContextValuesPassThrough(t *testing.T) {
	ctx := context.WithValue(t.Context(), testKey{}, "trace")
	look := func(ctx context.Context) {
		require.Equal(t, "trace", ctx.Value(testKey{}))
		ctx.Done()
		require.Equal(t, "trace", ctx.Value(testKey{}), "when armed")
	}
	require.NoError(t, seen(ctx, t, look, Timeouts{}))
	require.NoError(t, seen(WithOptions(Detach(ctx), CallOptions{Op: "x"}), t, look))
}

func TestContextOutlivesItsCall(t *testing.T) {
	for _, armed := range []bool{false, true} {
		var kept context.Context
		require.NoError(t, seen(t.Context(), t, func(ctx context.Context) {
			kept = ctx //nolint:fatcontext // to look at after the call
			if armed {
				ctx.Done()
			}
		}, Timeouts{}))
		<-kept.Done()
		require.ErrorIs(t, kept.Err(), context.Canceled)
		require.ErrorIs(t, context.Cause(kept), context.Canceled)
		child, cancel := context.WithCancel(kept)
		defer cancel()
		<-child.Done()
		require.NotNil(t, CallFrom(kept))
	}
}

func TestCausePassesThroughFromTheCaller(t *testing.T) {
	why := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.Context())
	require.NoError(t, seen(ctx, t, func(ctx context.Context) {
		cancel(why)
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		require.Equal(t, why, context.Cause(ctx))
	}, Timeouts{}))
}

func TestContextRaces(t *testing.T) {
	pool, err := NewPool()
	require.NoError(t, err)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		s := &scope{parent: ctx, pool: pool, deadline: pool.now() + int64(time.Hour), cause: &timeoutError{setting: "x", after: time.Hour}}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { <-s.Done() })
			wg.Go(func() { _ = s.Err(); _ = s.Value(testKey{}); _, _ = s.Deadline() })
			wg.Go(func() { child, stop := context.WithCancel(s); defer stop(); <-child.Done() })
		}
		wg.Go(s.cancel)
		wg.Go(cancel)
		wg.Wait()
		require.ErrorIs(t, s.Err(), context.Canceled)
	}
}

// TestCut goes through who is to blame for an attempt that a deadline ended.
func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		timeouts Timeouts
		idle     time.Duration // before the attempt
		against  bool
	}{
		"by its own deadline":                   {Timeouts{Call: time.Hour, Attempt: time.Second}, 0, true},
		"by the call's, from the start":         {Timeouts{Call: time.Minute, Attempt: -1}, 0, true},
		"by the call's, with just half left":    {Timeouts{Call: time.Minute, Attempt: -1}, 30 * time.Second, true},
		"by the call's, with less":              {Timeouts{Call: time.Minute, Attempt: -1}, 31 * time.Second, false},
		"by the call's, with most of its usual": {Timeouts{Call: 2 * time.Minute, Attempt: time.Minute}, 80 * time.Second, true},
		"by the call's, with a third":           {Timeouts{Call: 2 * time.Minute, Attempt: time.Minute}, 100 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var against bool
				wait := installer(func(s *Setup) error {
					s.Wrap(LayerRetry, func(_ *Model, next Handler) Handler {
						return func(ctx context.Context, call *Call) error {
							require.NoError(t, call.Sleep(ctx, c.idle))
							err := next(ctx, call)
							against = call.Against(err)
							return err
						}
					})
					return nil
				})
				chat := Wrap(FuncOf(func(ctx context.Context, _ string) (string, error) {
					<-ctx.Done()
					return "", ctx.Err()
				}), wait, c.timeouts)
				_, err := chat.Call(t.Context(), "")
				require.Equal(t, TimedOut, KindOf(err))
				require.Equal(t, c.against, against)
				failures := map[bool]int64{true: 1}[c.against]
				require.Equal(t, failures, chat.Models()[0].Stats(time.Minute).Failures, "stats and Against agree")
			})
		})
	}
}

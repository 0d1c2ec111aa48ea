package resilience_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// asked is a client that notes the options of its calls.
func asked(t *testing.T) (c *client, got *[]resilience.CallOptions) {
	t.Helper()
	got = new([]resilience.CallOptions)
	note := ask(func(ctx context.Context, _ string) (string, error) {
		*got = append(*got, resilience.CallFrom(ctx).Options())
		return "", nil
	})
	return newClient(t, newPool(t), resilience.BindFunc("a", note), resilience.BindFunc("b", note)), got
}

func TestWithOptions(t *testing.T) {
	type opts = resilience.CallOptions
	given := opts{Model: "a", Fallbacks: []string{"b"}, Op: "op", Tenant: "t", Timeout: time.Minute, Attempts: 3, Once: true, Require: nil}
	ctx := resilience.WithOptions(t.Context(), given)

	c, got := asked(t)
	_, err := c.Call(ctx, "")
	require.NoError(t, err)
	_, _, err = c.Do(ctx, "", opts{Op: "mine", Attempts: 1})
	require.NoError(t, err)
	_, _, err = c.Do(ctx, "", opts{Model: "b", Timeout: time.Second, Tenant: "u"})
	require.NoError(t, err)
	mine, other := given, given
	mine.Op, mine.Attempts = "mine", 1
	other.Model, other.Fallbacks, other.Timeout, other.Tenant = "b", nil, time.Second, "u"
	require.Equal(t, []opts{given, mine, other}, *got, "explicit fields win; a model comes with its fallbacks")

	_, err = c.Call(resilience.WithOptions(ctx, opts{Op: "nearer"}), "")
	require.NoError(t, err)
	nearer := given
	nearer.Op = "nearer"
	require.Equal(t, nearer, (*got)[3], "options lie over those of an outer context")

	_, err = c.Call(resilience.Detach(ctx), "")
	require.NoError(t, err)
	require.Zero(t, (*got)[4])
}

func TestWithOptionsAppliesToTheNextCallOnly(t *testing.T) {
	inner, got := asked(t)
	outer := newClient(t, newPool(t), resilience.BindFunc("x", func(ctx context.Context, req string) (string, error) {
		_, err := inner.Call(ctx, req)
		if err == nil {
			_, err = inner.Call(resilience.WithOptions(ctx, resilience.CallOptions{Model: "b", Op: "own"}), req)
		}
		return "", err
	}))
	ctx := resilience.WithOptions(t.Context(), resilience.CallOptions{Model: "x", Op: "op", Attempts: 2, Timeout: time.Minute})
	_, err := outer.Call(ctx, "")
	require.NoError(t, err)
	require.Equal(t, []resilience.CallOptions{{Op: "op"}, {Model: "b", Op: "own"}}, *got)
}

func TestTimeoutOption(t *testing.T) {
	for opt, want := range map[time.Duration]time.Duration{0: 2 * time.Minute, time.Second: time.Second, time.Hour: time.Hour} {
		c := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) {
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.InDelta(t, want.Seconds(), time.Until(deadline).Seconds(), 1)
			return "", nil
		}), resilience.Timeouts{Attempt: -1})
		_, _, err := c.Do(t.Context(), "", resilience.CallOptions{Timeout: opt})
		require.NoError(t, err)
	}
}

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

func TestReportAsALogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, inTurn(true), resilience.Models(
			resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b", Price: resilience.Price{Output: 1}}))
		c := newClient(t, p, resilience.BindFunc("a", func(context.Context, string) (string, error) {
			time.Sleep(75 * time.Second)
			return "", &sdkError{StatusCode: 500}
		}), resilience.BindFunc("b", func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Output: 5e5})
			return "b", nil
		}))
		limit(t, p, "b", time.Hour)
		_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{Op: "chat", Model: "a", Fallbacks: []string{"b"}})
		require.NoError(t, err)
		rep.Generation = 1
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "call", rep)
		require.Contains(t, out.String(), `call.call=1 call.op=chat call.model=b call.took=1m15s call.generation=1 `+
			`call.a1="a unreachable 500 internal server error after 1m15s → elsewhere" call.a2="b ok 0.0s" `+
			`call.cost=0.5 call.substituted=true call.lastResort=true`)
	})
}

// TestRefusalsAreTheSameEitherWay compares the short way to refuse a call to a
// held model with the long one, which a report takes.
func TestRefusalsAreTheSameEitherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t)
		c := newClient(t, p, echo("a")...)
		same := func() string {
			t.Helper()
			_, short := c.Call(t.Context(), "")
			_, _, long := c.Do(t.Context(), "", resilience.CallOptions{})
			require.EqualError(t, short, long.Error())
			require.Equal(t, resilience.Rejected, resilience.KindOf(short))
			require.Equal(t, resilience.RetryAfter(long), resilience.RetryAfter(short))
			idle(t, p)
			return short.Error()
		}
		limit(t, p, "a", time.Hour)
		require.Contains(t, same(), "retry in 1h0m0s")
		time.Sleep(30 * time.Minute)
		require.Contains(t, same(), "retry in 30m0s", "an error that is kept does not grow old")
		limit(t, p, "a", time.Hour)
		require.Contains(t, same(), "retry in 1h0m0s", "and not the hold's")
		require.NoError(t, p.Model("a").Drain(t.Context(), by))
		require.NotContains(t, same(), "retry in")
		require.NoError(t, p.Model("a").Restore(t.Context(), by))
		p.Model("a").Release(t.Context(), resilience.HoldLimit)
		_, err := c.Call(t.Context(), "")
		require.NoError(t, err)
	})
}

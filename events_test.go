package resilience_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// watch observes events of these kinds.
func watch(fn func(ctx context.Context, e resilience.Event), kinds ...resilience.EventKind) resilience.Feature {
	return feature(func(s *resilience.Setup) error { s.Observe(fn, kinds...); return nil })
}

func TestEventsOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []resilience.Event
		p := newPool(t, inTurn(false), resilience.Models(
			resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b", Price: resilience.Price{Input: 1, Output: 2}}),
			watch(func(ctx context.Context, e resilience.Event) {
				require.Equal(t, ctx, e.Context())
				require.Equal(t, "trace", ctx.Value(traceKey{}))
				got = append(got, e)
			}, resilience.EventAttempt, resilience.EventCall, resilience.EventFallback))
		c := newClient(t, p, resilience.BindFunc("a", fails(resilience.Overloaded)),
			resilience.BindFunc("b", func(ctx context.Context, _ string) (string, error) {
				time.Sleep(time.Second)
				resilience.ReportUsage(ctx, resilience.Usage{Input: 1e6, Output: 1e6})
				return "b", nil
			}))
		ctx := context.WithValue(t.Context(), traceKey{}, "trace")
		_, _, err := c.Do(ctx, "", resilience.CallOptions{Op: "op", Tenant: "tenant"})
		require.NoError(t, err)
		var kinds []resilience.EventKind
		for _, e := range got {
			kinds = append(kinds, e.Kind)
			require.Equal(t, []any{uint64(1), "op", "tenant"}, []any{e.Call, e.Op, e.Tenant})
			require.False(t, e.Time.IsZero())
		}
		require.Equal(t, []resilience.EventKind{
			resilience.EventAttempt, resilience.EventFallback, resilience.EventAttempt, resilience.EventCall,
		}, kinds)
		require.ErrorIs(t, got[0].Err, resilience.Overloaded)
		require.Equal(t, []any{"a", "b", "b"}, []any{got[1].From, got[1].To, got[1].Model.ID()})
		for _, e := range got[2:] {
			require.NoError(t, e.Err)
			require.Equal(t, "b", e.Model.ID())
			require.Equal(t, 2, e.Attempt)
			require.Equal(t, time.Second, e.Duration)
			require.Equal(t, resilience.Usage{Input: 1e6, Output: 1e6}, e.Usage)
			require.InDelta(t, 3, e.Cost, 1e-9)
		}
	})
}

type traceKey struct{}

// TestEventsOfASuccess: a first attempt that succeeds is an event too, whoever
// listens to what.
func TestEventsOfASuccess(t *testing.T) {
	for _, kind := range []resilience.EventKind{resilience.EventAttempt, resilience.EventCall} {
		var got []resilience.Event
		c := resilience.Wrap(ask(func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Input: 3})
			return "", nil
		}), watch(func(_ context.Context, e resilience.Event) { got = append(got, e) }, kind))
		_, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, got, 1, kind)
		require.Equal(t, int64(3), got[0].Usage.Input, kind)
	}
}

func TestEventMask(t *testing.T) {
	p := newPool(t, models("a"))
	kinds := []resilience.EventKind{resilience.EventHold, resilience.EventRelease}
	require.False(t, p.Wants(resilience.EventHold))
	one, two := p.Subscribe(10, kinds...), p.Subscribe(0)
	require.True(t, p.Wants(resilience.EventHold))
	require.True(t, p.Wants(resilience.EventPanic), "two wants all")
	two.Close()
	require.False(t, p.Wants(resilience.EventPanic))
	p.Emit(t.Context(), resilience.Event{Kind: resilience.EventWarning})
	p.Emit(t.Context(), resilience.Event{Kind: 250})
	limit(t, p, "a", time.Hour)
	one.Close()
	one.Close()
	require.False(t, p.Wants(resilience.EventHold))
	limit(t, p, "a", 2*time.Hour)
	require.Len(t, one.C, 1)
	for k := resilience.EventAttempt; k <= resilience.EventPanic; k++ {
		require.NotContains(t, []string{"", "unknown"}, k.String())
	}
	require.Equal(t, "unknown", resilience.EventKind(99).String())
}

func TestSlowSubscriberLosesEvents(t *testing.T) {
	p := newPool(t, models("a"))
	s := p.Subscribe(2, resilience.EventWarning)
	tiny := p.Subscribe(-5, resilience.EventWarning)
	for range 5 {
		p.Emit(t.Context(), resilience.Event{Kind: resilience.EventWarning})
	}
	require.Equal(t, int64(3), s.Dropped())
	require.Equal(t, int64(4), tiny.Dropped(), "room for one at least")
	s.Close()
	n := 0
	for range s.C {
		n++
	}
	require.Equal(t, 2, n)
}

func TestSubscribeRaces(t *testing.T) {
	p := newPool(t, models("a"))
	var sent, received atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				p.Emit(t.Context(), resilience.Event{Kind: resilience.EventWarning})
				sent.Add(1)
			}
		})
		wg.Go(func() {
			for range 50 {
				s := p.Subscribe(1, resilience.EventWarning)
				wg.Go(s.Close)
				for range s.C {
					received.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.False(t, p.Wants(resilience.EventWarning))
	require.Equal(t, int64(1200), sent.Load())
}

func TestTimeoutsObserveOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		p := newPool(t, resilience.Timeouts{Call: 5 * time.Second, Attempt: 2 * time.Second, ObserveOnly: true},
			watch(func(_ context.Context, e resilience.Event) {
				require.True(t, e.Would)
				got = append(got, e.Reason+" after "+e.Duration.String())
			}, resilience.EventWarning))
		var took time.Duration
		c := newClient(t, p, resilience.BindFunc("a", func(ctx context.Context, _ string) (string, error) {
			_, ok := ctx.Deadline()
			require.False(t, ok)
			time.Sleep(took)
			require.NoError(t, ctx.Err())
			return "", nil
		}))
		for _, took = range []time.Duration{2 * time.Second, 3 * time.Second, 6 * time.Second} {
			_, err := c.Call(t.Context(), "")
			require.NoError(t, err)
		}
		require.Equal(t, []string{
			"timed out after 2s (Timeouts.Attempt) after 3s",
			"timed out after 2s (Timeouts.Attempt) after 6s",
			"timed out after 5s (Timeouts.Call) after 6s",
		}, got)
	})
}

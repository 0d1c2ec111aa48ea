package stack_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/simtest"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

// A listener hears of what is held and of all that heals.
type listener func(resilience.Event)

func (l listener) Install(s *resilience.Setup) error {
	s.Observe(func(_ context.Context, e resilience.Event) { l(e) },
		resilience.EventHold, resilience.EventRelease, resilience.EventBreaker, resilience.EventHealth,
		resilience.EventRecovery, resilience.EventDegrade, resilience.EventWarning)
	return nil
}

// An httpError is an error as an SDK makes it of a response.
type httpError struct {
	StatusCode int
	Response   *http.Response
}

func (e *httpError) Error() string { return fmt.Sprint("status ", e.StatusCode) }

// clockSteps are what the wall clock is set forth by. The tests need a clock that
// never jumps beside it, which bubbles do not have.
var clockSteps = []time.Duration{0, time.Hour, -time.Hour, 400 * 24 * time.Hour, -time.Second}

// TestClockSteps has an outage of two of three models in a pool that began before the
// wall clock was set: what is held stays held, nothing else happens, and all comes
// back in time.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	for _, step := range clockSteps {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			var out atomic.Bool
			serve := func(_ context.Context, m *resilience.Model) error {
				time.Sleep(5 * time.Millisecond)
				if out.Load() && m.ID() != "c" {
					return resilience.Overloaded
				}
				return nil
			}
			var mu sync.Mutex
			var events []resilience.Event
			pool := newPool(t, stack.New(stack.Config{}), degrade.New(degrade.Config{}), health.New(health.Config{Interval: time.Second}),
				recovery.New(recovery.Config{After: 100 * time.Millisecond, Step: 50 * time.Millisecond}),
				listener(func(e resilience.Event) {
					mu.Lock()
					defer mu.Unlock()
					events = append(events, e)
				}),
				resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}, resilience.ModelInfo{ID: "c"}), resilience.Probe(serve))
			client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, _ string) (string, error) {
				return "", serve(ctx, m)
			}))
			require.NoError(t, err)
			simtest.SetClock(pool, step)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = pool.Run(ctx) })
			defer wg.Wait()
			defer cancel()
			traffic := func(d time.Duration) {
				for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					_, err := client.Call(ctx, "?")
					require.NoError(t, err)
				}
			}
			traffic(200 * time.Millisecond)
			out.Store(true)
			for range 5 { // in a row are enough for a breaker
				_, errA := client.Pin("a").Call(ctx, "?")
				_, errB := client.Pin("b").Call(ctx, "?")
				require.Error(t, errA)
				require.Error(t, errB)
			}
			traffic(time.Second)
			require.False(t, pool.Model("a").Available() || pool.Model("b").Available())
			out.Store(false)
			require.Eventually(t, func() bool {
				traffic(50 * time.Millisecond)
				return pool.Model("a").Ramp() == 1 && pool.Model("b").Ramp() == 1 && pool.Model("a").Available() && pool.Model("b").Available()
			}, 20*time.Second, time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			for _, e := range events {
				require.NotContains(t, e.Reason, "late", "of a warning")
				require.WithinDuration(t, time.Now().Round(0), e.Time.Round(0), 15*time.Second, "%v", e)
				if e.Model != nil {
					require.NotEqual(t, "c", e.Model.ID(), "%v", e)
				}
			}
		})
	}
}

// TestDatesAfterAStep has dates by the wall clock, which others have read from
// theirs, mean what they meant to them.
func TestDatesAfterAStep(t *testing.T) {
	t.Parallel()
	for _, step := range clockSteps {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			busy := func(context.Context, string) (string, error) {
				date := http.Header{"Retry-After": {time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)}}
				return "", &httpError{http.StatusTooManyRequests, &http.Response{StatusCode: http.StatusTooManyRequests, Header: date}}
			}
			pool := newPool(t, stack.New(stack.Config{}), resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}))
			client := newClient(t, pool, map[string]ask{"a": busy, "b": busy})
			simtest.SetClock(pool, step)
			limited, drained := pool.Model("a"), pool.Model("b")
			until := time.Now().Add(time.Minute).Round(0)
			require.NoError(t, drained.Drain(t.Context(), resilience.Control{Actor: "ops", Reason: "a test", Until: until}))
			require.WithinDuration(t, until, drained.Holds()[0].Until.Round(0), time.Millisecond)
			time.Sleep(1100 * time.Millisecond)
			began := pool.Now()
			_, rep, err := client.Do(t.Context(), "?", resilience.CallOptions{})
			require.InDelta(t, 20, resilience.RetryAfter(err).Seconds(), 1.1, "%v", err)
			require.WithinDuration(t, time.Now().Round(0), rep.Attempts[0].Start.Round(0), 100*time.Millisecond)
			require.False(t, limited.Available())
			require.InDelta(t, 20, (limited.Holds()[0].Until.Sub(pool.At(began))).Seconds(), 1.1)
		})
	}
}

package degrade_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

// A level does what its step says, and the report says what was given up.
func TestStep(t *testing.T) {
	cfg := degrade.Config{Levels: map[string]degrade.Step{
		"minimal":  {},
		"moderate": {Reduce: 2, Cheaper: true, Timeouts: 2, Disabled: []string{"analytics", "history"}},
		"severe":   {Admit: "high"},
	}}
	infos := []resilience.ModelInfo{
		{ID: "dear", Price: resilience.Price{Input: 10, Output: 10}}, {ID: "cheap", Tier: 1, Price: resilience.Price{Input: 1, Output: 1}},
	}
	degraded(t, cfg, infos, func(r *rig) {
		client := r.with(resilience.Hooks[string, string]{Reduce: func(q string, step int) string { return q[:len(q)-step] }})
		var asked string
		left := time.Duration(0)
		r.do = func(ctx context.Context, m *resilience.Model, q string) (string, error) {
			asked = m.ID() + " " + q
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			for _, feature := range []string{"analytics", "analytics"} { // once in the report
				if degrade.Enabled(ctx, feature) {
					asked += " " + feature
				}
			}
			if degrade.Enabled(ctx, "search") {
				asked += " search"
			}
			return "fine", nil
		}
		do := func(client *resilience.Client[string, string]) resilience.Report {
			_, rep, err := client.Do(r.Context(), "hello", resilience.CallOptions{})
			require.NoError(r, err)
			return rep
		}
		rep := do(client)
		require.Equal(r, "dear hello analytics analytics search", asked)
		require.Equal(r, time.Minute, left)
		require.Empty(r, rep.Level)
		require.Empty(r, rep.GivenUp)

		release := r.override(degrade.Minimal, time.Hour)
		rep = do(client)
		require.Equal(r, "dear hello analytics analytics search", asked)
		require.Equal(r, "minimal", rep.Level)
		require.Empty(r, rep.GivenUp)
		release()

		release = r.override(degrade.Moderate, time.Hour)
		rep = do(client)
		require.Equal(r, "cheap hel search", asked)
		require.Equal(r, 2*time.Minute, left)
		require.Equal(r, "moderate", rep.Level)
		require.Equal(r, 2, rep.Reduced)
		require.Equal(r, []string{"reduced", "cheaper", "analytics"}, rep.GivenUp, "history was not asked for")
		rep = do(r.client)
		require.Equal(r, "cheap hello search", asked)
		require.Equal(r, []string{"cheaper", "analytics"}, rep.GivenUp, "without a hook")
		require.False(r, r.controller.Enabled("history"))
		require.True(r, r.controller.Enabled("search"))
		require.True(r, degrade.Enabled(r.Context(), "history"), "outside of a call")
		release()

		release = r.override(degrade.Severe, time.Hour)
		_, rep, err := client.Do(r.Context(), "hello", resilience.CallOptions{})
		require.EqualError(r, err, "refused: normal priority, and the level is severe, retry in 1h0m0s")
		require.ErrorIs(r, err, resilience.Rejected)
		require.Equal(r, time.Hour, resilience.RetryAfter(err))
		status, after := resilience.HTTPStatus(err)
		require.Equal(r, 503, status)
		require.Equal(r, time.Hour, after)
		require.Equal(r, "severe", rep.Level)
		require.Error(r, r.ask(resilience.Low))
		require.NoError(r, r.ask(resilience.High))
		require.NoError(r, r.ask(resilience.Critical))
		require.NoError(r, r.ask(resilience.Critical+3))
		require.Len(r, drain(r.rejects), 2)
		release()
	}, resilience.Timeouts{})
}

func drain(s *resilience.Subscription) (events []resilience.Event) {
	for {
		select {
		case e := <-s.C:
			events = append(events, e)
		default:
			return events
		}
	}
}

// Default answers a call that was shed, with the request that the caller made.
func TestDefaultAnswersWhatIsShed(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		client := r.with(resilience.Hooks[string, string]{
			Reduce:  func(string, int) string { return "" },
			Default: func(q string, err error) (string, error) { return "sorry, " + q, nil },
		})
		r.override(degrade.Severe, time.Hour)
		answer, rep, err := client.Do(r.Context(), "you", resilience.CallOptions{Priority: resilience.Low})
		require.NoError(r, err)
		require.Equal(r, "sorry, you", answer)
		require.True(r, rep.Defaulted)
		require.Equal(r, "severe", rep.Level)
		require.Empty(r, rep.GivenUp)
	})
}

// What is asked for while a stream is read is in its report too.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := degrade.New(degrade.Config{})
		pool, err := resilience.NewPool(c, resilience.Models(ids("a")...))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindStream("a",
			func(ctx context.Context, _ string) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					degrade.Enabled(ctx, "early")
					if !yield("one", nil) {
						return
					}
					degrade.Enabled(ctx, "late")
					degrade.Enabled(ctx, "early")
					yield("two", nil)
				}
			}, resilience.StreamHooks[string, string]{}))
		require.NoError(t, err)
		control := by
		control.Until = time.Now().Add(time.Hour)
		_, err = c.Override(t.Context(), degrade.Severe, control)
		require.NoError(t, err)
		stream, err := client.Call(t.Context(), "?")
		require.NoError(t, err)
		for _, err := range stream.All() {
			require.NoError(t, err)
		}
		require.Equal(t, "severe", stream.Report().Level)
		require.Equal(t, []string{"early", "late"}, stream.Report().GivenUp)
	})
}

// A hook that panics passes through, and the call is over.
func TestReducePanics(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		r.override(degrade.Moderate, time.Hour)
		client := r.with(resilience.Hooks[string, string]{Reduce: func(string, int) string { panic("boom") }})
		require.PanicsWithValue(r, "boom", func() { _, _ = client.Call(r.Context(), "?") })
		require.Zero(r, r.pool.InFlight())
		done := make(chan struct{})
		client = r.with(resilience.Hooks[string, string]{Reduce: func(string, int) string { runtime.Goexit(); return "" }})
		go func() {
			defer close(done)
			_, _ = client.Call(r.Context(), "?")
		}()
		<-done
		require.Zero(r, r.pool.InFlight())
		require.NoError(r, r.ask(resilience.Normal))
	})
}

// A call within a call is degraded as the nearest that is.
func TestNested(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		inner := resilience.Wrap(resilience.Func[string, bool](func(ctx context.Context, _ string) (bool, error) {
			return degrade.Enabled(ctx, "x"), nil
		}))
		on := true
		r.do = func(ctx context.Context, _ *resilience.Model, _ string) (string, error) {
			var err error
			on, err = inner.Call(ctx, "")
			return "", err
		}
		r.override(degrade.Severe, time.Hour)
		require.NoError(r, r.ask(resilience.Normal))
		require.False(r, on)
	})
}

// ObserveOnly changes nothing and says what it would do.
func TestObserveOnly(t *testing.T) {
	degraded(t, degrade.Config{ObserveOnly: true, Reserve: 0.5}, []resilience.ModelInfo{{ID: "a", Limits: resilience.Limits{Concurrency: 2}}}, func(r *rig) {
		stop := r.run()
		defer stop()
		fail := errors.New("no")
		r.do = func(ctx context.Context, _ *resilience.Model, _ string) (string, error) {
			require.True(r, degrade.Enabled(ctx, "x"))
			return "", fail
		}
		release := r.override(degrade.Emergency, time.Hour)
		require.Equal(r, degrade.None, r.controller.Level())
		require.True(r, r.controller.Enabled("x"))
		_, rep, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Priority: resilience.Low})
		require.ErrorIs(r, err, fail)
		require.Empty(r, rep.Level)
		events := drain(r.rejects)
		require.Len(r, events, 1)
		require.True(r, events[0].Would)
		release()
		require.Equal(r, []string{
			"none → emergency: override by a test: to see (would)", "emergency → none: released: override by a test: to see (would)",
		}, r.changes())
		require.Contains(r, r.log.take()[0], "observeOnly=true")
		for range 1000 {
			require.ErrorIs(r, r.ask(resilience.Normal), fail)
			time.Sleep(time.Millisecond)
		}
		require.Greater(r, len(drain(r.rejects)), 700, "throttled, it would be")
	})
}

// Lower priorities are shed before any of a higher one, and none that is critical: of
// each ten calls a second come, and so many are served.
func TestThrottleInOrder(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		serve, second, taken := 0, int64(-1), 0
		r.do = func(context.Context, *resilience.Model, string) (string, error) {
			if now := int64(r.pool.Now() / time.Second); now != second {
				second, taken = now, 0
			}
			if taken++; taken <= serve {
				return "", nil
			}
			return "", resilience.Overloaded
		}
		letIn := func(d time.Duration) (in [4]int) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				for p := resilience.Low; p <= resilience.Critical; p++ {
					in[p+1] += r.asks(1, p)
				}
			}
			return in
		}
		serve = 40
		require.Equal(r, [4]int{1200, 1200, 1200, 1200}, letIn(2*time.Minute))
		const few, most = 15, 1185
		for _, c := range []struct {
			serve   int
			partial int // the priority of which a part is shed, all of those below
		}{{17, 0}, {12, 1}, {8, 2}, {2, 3}, {0, 3}} {
			serve = c.serve
			letIn(150 * time.Second)
			in := letIn(2 * time.Minute)
			for i, n := range in {
				switch {
				case i < c.partial:
					require.LessOrEqual(r, n, few, "%v %v", c, in)
				case i > c.partial || i == 3:
					require.GreaterOrEqual(r, n, most, "%v %v", c, in)
				default:
					require.Greater(r, n, few, "%v %v", c, in)
					require.Less(r, n, most, "%v %v", c, in)
				}
			}
			require.Equal(r, 1200, in[3])
		}
		serve = 40
		letIn(20 * time.Second)
		require.Equal(r, [4]int{600, 600, 600, 600}, letIn(time.Minute), "what is well again gets all")
	}, resilience.Seed(rand.NewPCG(1, 1)))
}

// After a long outage the throttle lets go within seconds, and not minutes.
func TestThrottleRecovers(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		var err error = resilience.Overloaded
		r.do = func(context.Context, *resilience.Model, string) (string, error) { return "", err }
		calls := func(d time.Duration) (in int) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				in += r.asks(1, resilience.Normal)
			}
			return in
		}
		calls(10 * time.Minute)
		require.InDelta(r, 60, calls(time.Minute), 5)
		err = nil
		start := time.Now()
		for calls(time.Second) < 50 {
			require.Less(r, time.Since(start), 10*time.Second)
		}
	})
}

// Calls for a model that is gone do not cost those for others, and errors that are
// not the pool's cost nobody.
func TestThrottleIsolates(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a", "b"), func(r *rig) {
		r.do = func(_ context.Context, m *resilience.Model, _ string) (string, error) {
			if m.ID() == "a" {
				return "", resilience.Overloaded
			}
			return "", nil
		}
		shed := 0
		for range 10_000 {
			if _, _, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Model: "a"}); errors.Is(err, resilience.Rejected) {
				shed++
			}
			time.Sleep(10 * time.Millisecond)
		}
		require.Greater(r, shed, 9000)
		for range 1000 {
			_, _, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Model: "b"})
			require.NoError(r, err)
		}
		require.NoError(r, r.pool.Reload(r.Context(), []byte(`{"degrade": {"throttle": 3}}`), by))

		kinds := map[resilience.Kind]bool{
			resilience.Invalid: false, resilience.TooLong: false, resilience.Filtered: false, resilience.Malformed: false,
			resilience.TimedOut: true, resilience.RateLimited: true, resilience.Overloaded: true, resilience.Unreachable: true,
			resilience.Unauthorized: true, resilience.QuotaSpent: true, resilience.NotFound: true, resilience.Truncated: true,
			resilience.Rejected: true, resilience.Unknown: true,
		}
		for kind, sheds := range kinds {
			require.Equal(r, sheds, throttled(r.T, resilience.CallOptions{}, kind), kind)
		}
		require.False(r, throttled(r.T, resilience.CallOptions{}, context.Canceled))
		require.False(r, throttled(r.T, resilience.CallOptions{Require: []string{"wings"}}, nil))
		require.False(r, throttled(r.T, resilience.CallOptions{}, &resilience.BudgetError{Budget: "x"}))
		for _, kind := range []resilience.Kind{resilience.RateLimited, resilience.QuotaSpent, resilience.Unauthorized} {
			require.False(r, throttled(r.T, resilience.CallOptions{Key: "own"}, kind), kind)
		}
	})
}

type leaveKey struct{}

// throttled reports whether calls that fail so are throttled; with context.Canceled
// their callers leave.
func throttled(t *testing.T, opts resilience.CallOptions, err error) (shed bool) {
	t.Helper()
	pool, e := resilience.NewPool(degrade.New(degrade.Config{}), resilience.Models(ids("a")...))
	require.NoError(t, e)
	rejects := pool.Subscribe(1000, resilience.EventReject)
	defer rejects.Close()
	client, e := resilience.NewClient(pool, resilience.BindFunc("a", func(ctx context.Context, _ string) (string, error) {
		if errors.Is(err, context.Canceled) {
			ctx.Value(leaveKey{}).(context.CancelFunc)()
		}
		return "", err
	}))
	require.NoError(t, e)
	for range 500 {
		ctx, leave := context.WithCancel(t.Context())
		_, _, _ = client.Do(context.WithValue(ctx, leaveKey{}, leave), "?", opts)
		leave()
		time.Sleep(time.Millisecond)
	}
	return slices.ContainsFunc(drain(rejects), func(e resilience.Event) bool { return strings.HasPrefix(e.Reason, "throttled") })
}

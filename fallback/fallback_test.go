package fallback_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/retry"
)

// script answers call i at model id with the i-th error, nil for an answer; the
// last one stays.
type script map[string][]error

type world struct {
	*resilience.Client[string, string]
	asked []string
}

// newWorld binds the models in the order of infos.
func newWorld(t *testing.T, cfg fallback.Config, s script, infos ...resilience.ModelInfo) *world {
	t.Helper()
	pool, err := resilience.NewPool(resilience.Models(infos...), fallback.New(cfg))
	require.NoError(t, err)
	w := &world{}
	var opts []resilience.ClientOption[string, string]
	for _, info := range infos {
		calls := 0
		opts = append(opts, resilience.BindFunc(info.ID, func(context.Context, string) (string, error) {
			w.asked = append(w.asked, info.ID)
			plan := s[info.ID]
			if len(plan) == 0 {
				return "from " + info.ID, nil
			}
			err := plan[min(calls, len(plan)-1)]
			calls++
			if err != nil {
				return "", err
			}
			return "from " + info.ID, nil
		}))
	}
	w.Client, err = resilience.NewClient(pool, opts...)
	require.NoError(t, err)
	return w
}

func models(ids ...string) (infos []resilience.ModelInfo) {
	for _, id := range ids {
		infos = append(infos, resilience.ModelInfo{ID: id})
	}
	return infos
}

// TestKinds goes through the columns "elsewhere" of the table.
func TestKinds(t *testing.T) {
	elsewhere := map[resilience.Kind]bool{
		resilience.TimedOut: true, resilience.RateLimited: true, resilience.Overloaded: true, resilience.Unreachable: true,
		resilience.Unauthorized: true, resilience.QuotaSpent: true, resilience.NotFound: true, resilience.Malformed: true,
		resilience.Truncated: true, resilience.Rejected: true, resilience.Unknown: true,
	}
	for k := resilience.Canceled; k <= resilience.Unknown; k++ {
		t.Run(k.String(), func(t *testing.T) {
			w := newWorld(t, fallback.Config{}, script{"a": {fmt.Errorf("%w: no", k)}}, models("a", "b")...)
			got, err := w.Call(t.Context(), "?")
			if elsewhere[k] || k == resilience.Canceled { // a Canceled that no caller of ours asked for is Unknown
				require.NoError(t, err)
				require.Equal(t, "from b", got)
				require.Equal(t, []string{"a", "b"}, w.asked)
				return
			}
			require.ErrorIs(t, err, k)
			require.Equal(t, []string{"a"}, w.asked)
			require.Empty(t, got)
		})
	}
}

func TestCallerGoneStopsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pool, err := resilience.NewPool(fallback.New(fallback.Config{LastResort: true}))
	require.NoError(t, err)
	asked := 0
	c, err := resilience.NewClient(pool,
		resilience.BindFunc("a", func(context.Context, string) (string, error) {
			asked++
			cancel()
			return "", resilience.Overloaded
		}),
		resilience.BindFunc("b", func(context.Context, string) (string, error) { asked++; return "b", nil }))
	require.NoError(t, err)
	_, err = c.Call(ctx, "?")
	require.ErrorIs(t, err, resilience.Canceled)
	require.Equal(t, 1, asked)
}

func TestOutOfTimeStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		hang := func(ctx context.Context, _ string) (string, error) {
			asked++
			<-ctx.Done()
			return "", context.Cause(ctx)
		}
		pool, err := resilience.NewPool(
			resilience.Timeouts{Call: 25 * time.Second, Attempt: 10 * time.Second}, fallback.New(fallback.Config{}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool, resilience.BindFunc("a", hang), resilience.BindFunc("b", hang),
			resilience.BindFunc("c", hang), resilience.BindFunc("d", hang))
		require.NoError(t, err)
		start := time.Now()
		_, err = c.Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.TimedOut)
		require.Equal(t, 25*time.Second, time.Since(start))
		require.Equal(t, 4, asked, "10 s, then half of the 15 s and of the 7.5 s that were left, then all of it")
	})
}

// A model that answers after the call's time with what would move the call on
// does not.
func TestLateFailureStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		late := func(context.Context, string) (string, error) {
			asked++
			time.Sleep(2 * time.Second)
			return "", resilience.QuotaSpent
		}
		pool, err := resilience.NewPool(resilience.Timeouts{Call: time.Second}, fallback.New(fallback.Config{}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool, resilience.BindFunc("a", late), resilience.BindFunc("b", late))
		require.NoError(t, err)
		_, err = c.Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.QuotaSpent)
		require.Equal(t, 1, asked)
	})
}

func TestOrder(t *testing.T) {
	down := []error{resilience.Unreachable}
	w := newWorld(t, fallback.Config{}, script{"a": down, "b": down, "c": down, "d": down},
		resilience.ModelInfo{ID: "a", Tier: 2}, resilience.ModelInfo{ID: "b", Tier: 1},
		resilience.ModelInfo{ID: "c", Tier: 2}, resilience.ModelInfo{ID: "d", Tier: 1})
	_, err := w.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Unreachable)
	require.Equal(t, []string{"b", "d", "a", "c"}, w.asked, "by tier, then as bound, each once")
}

func TestHeldModelsAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fallback.Config{}, script{}, models("a", "b")...)
		a := w.Pool().Model("a")
		a.Hold(t.Context(), resilience.Hold{By: resilience.HoldQuota, Reason: "spent", Until: time.Now().Add(time.Hour)})
		start := time.Now()
		got, rep, err := w.Do(t.Context(), "?", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "from b", got)
		require.Len(t, rep.Attempts, 1)
		require.Zero(t, time.Since(start))
		time.Sleep(time.Hour)
		got, err = w.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, "from a", got, "a hold that ran out holds nothing")
	})
}

func TestLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := func(w *world, id string, by resilience.HoldBy, d time.Duration) {
			w.Pool().Model(id).Hold(t.Context(), resilience.Hold{By: by, Until: time.Now().Add(d)})
		}
		w := newWorld(t, fallback.Config{}, script{}, models("a", "b")...)
		hold(w, "a", resilience.HoldBreaker, time.Minute)
		hold(w, "b", resilience.HoldQuota, time.Hour)
		_, err := w.Call(t.Context(), "?")
		require.ErrorIs(t, err, resilience.Rejected)
		require.Equal(t, time.Minute, resilience.RetryAfter(err))
		require.Empty(t, w.asked)

		w = newWorld(t, fallback.Config{LastResort: true}, script{"b": {resilience.Overloaded}}, models("a", "b", "c", "d")...)
		hold(w, "a", resilience.HoldBreaker, time.Hour)
		hold(w, "c", resilience.HoldQuota, time.Minute)
		hold(w, "d", resilience.HoldManual, time.Second)
		got, rep, err := w.Do(t.Context(), "?", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, "from c", got)
		require.Equal(t, []string{"b", "c"}, w.asked, "what is free first, then what is free soonest, never what a person took out")
		require.True(t, rep.LastResort)
	})
}

func TestFirstKindSurvives(t *testing.T) {
	w := newWorld(t, fallback.Config{}, script{
		"a": {resilience.RateLimited}, "b": {resilience.Invalid}, "c": {resilience.Unreachable},
	}, models("a", "b", "c")...)
	_, err := w.Call(t.Context(), "?")
	require.Equal(t, []string{"a", "b", "c"}, w.asked, "the parameters of b do not end the call")
	require.Equal(t, resilience.RateLimited, resilience.KindOf(err))
	for _, k := range []resilience.Kind{resilience.RateLimited, resilience.Invalid, resilience.Unreachable} {
		require.ErrorIs(t, err, k, "every attempt can be reached")
	}
	var all *resilience.ExhaustedError
	require.ErrorAs(t, err, &all)
	require.Len(t, all.Attempts, 3)
}

// A refusal of ours is no look at the request: the model after it is the first.
func TestWrongRequestAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := func(context.Context, string) (string, error) { return "", resilience.Reject("full", 0) }
		for _, strategy := range []fallback.Strategy{fallback.Sequential, fallback.Hedged, fallback.Parallel} {
			c := race(t, fallback.Config{Strategy: strategy, Width: 1}, []ask{full, full, fails(ms, resilience.Invalid), boom})
			_, err := c.Call(t.Context(), "?")
			require.ErrorIs(t, err, resilience.Invalid)
			idle(t, c.Pool())

			c = race(t, fallback.Config{Strategy: strategy, Width: 1}, []ask{fails(ms, errDown), full, fails(ms, resilience.Invalid), takes(ms, "d")})
			got, err := c.Call(t.Context(), "?")
			require.NoError(t, err, "the first model has looked at it")
			require.Equal(t, "d", got)
			idle(t, c.Pool())
		}
	})
}

func TestUnknownGoesElsewhereOnce(t *testing.T) {
	odd := []error{errors.New("odd")}
	w := newWorld(t, fallback.Config{}, script{"a": odd, "b": odd}, models("a", "b", "c")...)
	_, err := w.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Unknown)
	require.Equal(t, []string{"a", "b"}, w.asked)
}

func TestTooLongGoesToLargerWindows(t *testing.T) {
	long := []error{resilience.TooLong}
	w := newWorld(t, fallback.Config{}, script{"a": long, "d": long},
		resilience.ModelInfo{ID: "a", ContextWindow: 100}, resilience.ModelInfo{ID: "b", ContextWindow: 100},
		resilience.ModelInfo{ID: "c"}, resilience.ModelInfo{ID: "d", ContextWindow: 200},
		resilience.ModelInfo{ID: "e", ContextWindow: 150}, resilience.ModelInfo{ID: "f", ContextWindow: 1000})
	got, err := w.Call(t.Context(), "?")
	require.NoError(t, err)
	require.Equal(t, "from f", got)
	require.Equal(t, []string{"a", "d", "f"}, w.asked)

	w = newWorld(t, fallback.Config{}, script{"a": long}, models("a", "b")...)
	_, err = w.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.TooLong)
	require.Equal(t, []string{"a"}, w.asked, "nobody is known to be larger")
}

func TestFilteredOnlyWhereAllowed(t *testing.T) {
	cfg := fallback.Config{Ops: map[string]fallback.Config{"summarize": {Filtered: true}}}
	s := script{"a": {resilience.Filtered}}
	w := newWorld(t, cfg, s, models("a", "b")...)
	_, err := w.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Filtered)
	got, _, err := w.Do(t.Context(), "?", resilience.CallOptions{Op: "summarize"})
	require.NoError(t, err)
	require.Equal(t, "from b", got)
}

func TestLimits(t *testing.T) {
	down := []error{resilience.Overloaded}
	s := script{"a": down, "b": down, "c": down, "d": down, "e": down, "f": down, "g": down, "h": down}
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, tc := range []struct {
		name string
		cfg  fallback.Config
		opts resilience.CallOptions
		want int
	}{
		{"the call's budget", fallback.Config{}, resilience.CallOptions{}, 6},
		{"Limit", fallback.Config{Limit: 2}, resilience.CallOptions{}, 2},
		{"Limit of the operation", fallback.Config{Limit: 2, Ops: map[string]fallback.Config{"x": {Limit: 3}}}, resilience.CallOptions{Op: "x"}, 3},
		{"Attempts", fallback.Config{}, resilience.CallOptions{Attempts: 7}, 7},
		{"Attempts, none but one", fallback.Config{}, resilience.CallOptions{Attempts: -1}, 1},
		{"Once", fallback.Config{}, resilience.CallOptions{Once: true}, 1},
		{"all there are", fallback.Config{}, resilience.CallOptions{Attempts: 100}, 8},
		{"ObserveOnly", fallback.Config{ObserveOnly: true}, resilience.CallOptions{}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, tc.cfg, s, models(ids...)...)
			_, rep, err := w.Do(t.Context(), "?", tc.opts)
			require.ErrorIs(t, err, resilience.Overloaded)
			require.Equal(t, ids[:tc.want], w.asked)
			require.Len(t, rep.Attempts, tc.want)
		})
	}
}

func TestOn(t *testing.T) {
	teapot := errors.New("teapot")
	cfg := fallback.Config{On: func(err error) bool { return errors.Is(err, teapot) }}
	w := newWorld(t, cfg, script{"a": {teapot}, "b": {resilience.Overloaded}}, models("a", "b", "c")...)
	_, err := w.Call(t.Context(), "?")
	require.Error(t, err)
	require.Equal(t, []string{"a", "b"}, w.asked, "On decides, not the table")
}

func TestObserveOnlyTells(t *testing.T) {
	w := newWorld(t, fallback.Config{ObserveOnly: true}, script{"a": {resilience.Overloaded}}, models("a", "b")...)
	sub := w.Pool().Subscribe(4, resilience.EventFallback)
	defer sub.Close()
	_, err := w.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Overloaded)
	e := <-sub.C
	require.True(t, e.Would)
	require.Equal(t, "a", e.From)
}

func TestEvents(t *testing.T) {
	w := newWorld(t, fallback.Config{}, script{"a": {resilience.Overloaded}}, models("a", "b")...)
	sub := w.Pool().Subscribe(4, resilience.EventFallback)
	defer sub.Close()
	_, err := w.Call(t.Context(), "?")
	require.NoError(t, err)
	e := <-sub.C
	require.Equal(t, "a", e.From)
	require.Equal(t, "b", e.To)
	require.False(t, e.Would)
}

func TestWrapKeepsEachPoolAndJoinsTheBudget(t *testing.T) {
	asked := 0
	down := func(context.Context, string) (string, error) { asked++; return "", resilience.Overloaded }
	inner := func() resilience.ModelCaller[string, string] {
		return fallback.Wrap(fallback.Config{}, resilience.FuncOf(down), resilience.FuncOf(down), resilience.FuncOf(down))
	}
	c := fallback.Wrap(fallback.Config{}, inner(), inner(), inner(), inner())
	_, err := c.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Overloaded)
	require.LessOrEqual(t, asked, 6, "one and five extra in the whole tree")
}

func TestReload(t *testing.T) {
	by := resilience.Control{Actor: "test", Reason: "reload"}
	w := newWorld(t, fallback.Config{Limit: 1}, script{"a": {resilience.Overloaded}}, models("a", "b")...)
	_, err := w.Call(t.Context(), "?")
	require.Error(t, err)
	require.NoError(t, w.Pool().Reload(t.Context(), []byte(`{"fallback": {"limit": 2}}`), by))
	_, err = w.Call(t.Context(), "?")
	require.NoError(t, err)
	require.Contains(t, w.Pool().Stack(), "route    fallback strategy=sequential limit=2 width=2 hedgeAfter=learnt hedgeShare=0.05 hedges=2 "+
		"lastResort=false filtered=false observeOnly=false")
	require.NoError(t, w.Pool().Reload(t.Context(), []byte(`{}`), by))
	_, err = w.Call(t.Context(), "?")
	require.Error(t, err, "an absent section is as it was given")

	for config, want := range map[string]string{
		`{"fallback": {"limt": 2}}`:              `fallback.limt: `,
		`{"fallback": {"limit": -2}}`:            `fallback.limit: `,
		`{"fallback": {"ops": {"x": {"l": 1}}}}`: `fallback.ops.x.l: `,
	} {
		require.ErrorContains(t, w.Pool().Reload(t.Context(), []byte(config), by), want)
	}
}

func TestConfig(t *testing.T) {
	require.NoError(t, settings.Lint(fallback.Config{}))
	_, err := resilience.NewPool(fallback.New(fallback.Config{Limit: -1}))
	require.ErrorContains(t, err, "fallback.limit")
	_, err = resilience.NewPool(fallback.New(fallback.Config{}), fallback.New(fallback.Config{}))
	require.Error(t, err, "one pool, one fallback")
}

func TestPanicPassesThrough(t *testing.T) {
	pool, err := resilience.NewPool(fallback.New(fallback.Config{}))
	require.NoError(t, err)
	c, err := resilience.NewClient(pool, resilience.BindFunc("a", func(context.Context, string) (string, error) { panic("boom") }))
	require.NoError(t, err)
	require.PanicsWithValue(t, "boom", func() { _, _ = c.Call(t.Context(), "?") })
	require.Zero(t, pool.InFlight())
	require.Zero(t, pool.Model("a").InFlight())
}

// Observing must change nothing, and so must a limit: who counts on another
// model below is told that there is none.
func TestLayersBelowDoNotCountOnMovesThatWillNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, cfg := range []fallback.Config{{ObserveOnly: true}, {Limit: 1}} {
			asked := 0
			down := func(context.Context, string) (string, error) { asked++; return "", resilience.Overloaded }
			pool, err := resilience.NewPool(fallback.New(cfg), retry.New(retry.Config{}))
			require.NoError(t, err)
			c, err := resilience.NewClient(pool, resilience.BindFunc("a", down), resilience.BindFunc("b", down))
			require.NoError(t, err)
			_, err = c.Call(t.Context(), "?")
			require.ErrorIs(t, err, resilience.Overloaded)
			require.Equal(t, 3, asked)
		}
	})
	w := newWorld(t, fallback.Config{ObserveOnly: true}, script{"a": {resilience.Overloaded}}, models("a")...)
	sub := w.Pool().Subscribe(4, resilience.EventFallback)
	defer sub.Close()
	_, err := w.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Overloaded)
	require.Empty(t, sub.C, "there is nowhere to go")
}

func TestOneManagerOnePool(t *testing.T) {
	f := fallback.New(fallback.Config{})
	_, err := resilience.NewPool(f)
	require.NoError(t, err)
	_, err = resilience.NewPool(f)
	require.ErrorContains(t, err, "belongs to another pool")
}

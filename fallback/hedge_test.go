package fallback_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

const ms = time.Millisecond

const errDown = resilience.Unreachable

type ask = resilience.Func[string, string]

// takes answers with text after d, or returns when its context ends.
func takes(d time.Duration, text string) ask { return errs(d, text, nil) }

// fails fails after d.
func fails(d time.Duration, err error) ask { return errs(d, "", err) }

func errs(d time.Duration, text string, err error) ask {
	return func(ctx context.Context, _ string) (string, error) {
		if d == 0 {
			return text, err
		}
		select {
		case <-time.After(d):
			return text, err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func never(ctx context.Context, _ string) (string, error) {
	<-ctx.Done()
	return "", context.Cause(ctx)
}

// race is a client of models a, b, c … with cfg.
func race(t *testing.T, cfg fallback.Config, asks []ask, features ...resilience.Feature) *resilience.Client[string, string] {
	t.Helper()
	pool, err := resilience.NewPool(append(features, fallback.New(cfg))...)
	require.NoError(t, err)
	var opts []resilience.ClientOption[string, string]
	for i, f := range asks {
		opts = append(opts, resilience.BindFunc(string(rune('a'+i)), f))
	}
	c, err := resilience.NewClient(pool, opts...)
	require.NoError(t, err)
	return c
}

func idle(t *testing.T, p *resilience.Pool) {
	t.Helper()
	synctest.Wait()
	require.Zero(t, p.InFlight())
	for _, m := range p.Models() {
		require.Zero(t, m.InFlight(), m)
	}
}

type tried struct {
	model string
	hedge bool
	kind  resilience.Kind
}

func attempts(rep resilience.Report) (list []tried) {
	for _, a := range rep.Attempts {
		list = append(list, tried{a.Model.ID(), a.Hedge, a.Kind})
	}
	return list
}

const canceled = resilience.Canceled

func TestHedge(t *testing.T) {
	one := fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, Hedges: 1}
	two := fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms}
	for name, tc := range map[string]struct {
		cfg      fallback.Config
		asks     []ask
		opts     resilience.CallOptions
		want     string
		kind     resilience.Kind
		took     time.Duration
		attempts []tried
	}{
		"not needed": {
			cfg: two, asks: []ask{takes(99*ms, "a"), takes(0, "b")},
			want: "a", took: 99 * ms, attempts: []tried{{"a", false, 0}},
		},
		"wins": {
			cfg: two, asks: []ask{never, takes(50*ms, "b")},
			want: "b", took: 150 * ms, attempts: []tried{{"a", false, canceled}, {"b", true, 0}},
		},
		"loses": {
			cfg: two, asks: []ask{takes(150*ms, "a"), never},
			want: "a", took: 150 * ms, attempts: []tried{{"a", false, 0}, {"b", true, canceled}},
		},
		"the second one at twice the delay": {
			cfg: two, asks: []ask{never, never, takes(10*ms, "c"), takes(0, "d")},
			want: "c", took: 210 * ms, attempts: []tried{{"a", false, canceled}, {"b", true, canceled}, {"c", true, 0}},
		},
		"but not a third": {
			cfg: two, asks: []ask{takes(time.Second, "a"), never, never, takes(0, "d")},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}, {"b", true, canceled}, {"c", true, canceled}},
		},
		"one only": {
			cfg: one, asks: []ask{takes(time.Second, "a"), never, takes(0, "c")},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}, {"b", true, canceled}},
		},
		"fails first": {
			cfg: one, asks: []ask{takes(time.Second, "a"), fails(10*ms, errDown), takes(0, "c")},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}, {"b", true, errDown}},
		},
		"fails first, and another takes its place": {
			cfg: two, asks: []ask{takes(time.Second, "a"), fails(10*ms, resilience.Invalid), takes(10*ms, "c")},
			want: "c", took: 210 * ms, attempts: []tried{{"a", false, canceled}, {"b", true, resilience.Invalid}, {"c", true, 0}},
		},
		"the model fails before it": {
			cfg: one, asks: []ask{fails(20*ms, errDown), takes(50*ms, "b"), takes(0, "c")},
			want: "b", took: 70 * ms, attempts: []tried{{"a", false, errDown}, {"b", false, 0}},
		},
		"what comes after a failure is hedged too": {
			cfg: one, asks: []ask{fails(20*ms, errDown), never, takes(30*ms, "c")},
			want: "c", took: 150 * ms, attempts: []tried{{"a", false, errDown}, {"b", false, canceled}, {"c", true, 0}},
		},
		"the model fails beside it, and a third is asked at once": {
			cfg: one, asks: []ask{fails(110*ms, errDown), takes(time.Second, "b"), takes(20*ms, "c")},
			want: "c", took: 130 * ms, attempts: []tried{{"a", false, errDown}, {"b", true, canceled}, {"c", false, 0}},
		},
		"the model fails beside it, and there is no third": {
			cfg: one, asks: []ask{fails(110*ms, errDown), takes(time.Second, "b")},
			want: "b", took: 1100 * ms, attempts: []tried{{"a", false, errDown}, {"b", true, 0}},
		},
		"all fail": {
			cfg: one, asks: []ask{fails(110*ms, resilience.RateLimited), fails(50*ms, errDown), fails(50*ms, resilience.Unreachable)},
			kind: resilience.RateLimited, took: 160 * ms,
			attempts: []tried{{"a", false, resilience.RateLimited}, {"b", true, errDown}, {"c", false, resilience.Unreachable}},
		},
		"a filter ends the call for all": {
			cfg: one, asks: []ask{fails(110*ms, resilience.Filtered), takes(time.Second, "b"), takes(0, "c")},
			kind: resilience.Filtered, took: 110 * ms, attempts: []tried{{"a", false, resilience.Filtered}, {"b", true, canceled}},
		},
		"the request ends the call": {
			cfg: one, asks: []ask{fails(10*ms, resilience.Invalid), takes(0, "b")},
			kind: resilience.Invalid, took: 10 * ms, attempts: []tried{{"a", false, resilience.Invalid}},
		},
		"the request ends the call, without a delay": {
			cfg: fallback.Config{Strategy: fallback.Hedged}, asks: []ask{fails(10*ms, resilience.Invalid), takes(0, "b")},
			kind: resilience.Invalid, took: 10 * ms, attempts: []tried{{"a", false, resilience.Invalid}},
		},
		"the filter of a hedge does not": {
			cfg: one, asks: []ask{takes(150*ms, "a"), fails(10*ms, resilience.Filtered), takes(0, "c")},
			want: "a", took: 150 * ms, attempts: []tried{{"a", false, 0}, {"b", true, resilience.Filtered}},
		},
		"not with Once": {
			cfg: two, asks: []ask{takes(time.Second, "a"), takes(0, "b")}, opts: resilience.CallOptions{Once: true},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}},
		},
		"not without attempts": {
			cfg: two, asks: []ask{takes(time.Second, "a"), takes(0, "b")}, opts: resilience.CallOptions{Attempts: -1},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}},
		},
		"one of the call's attempts": {
			cfg: two, asks: []ask{takes(time.Second, "a"), never, takes(0, "c")}, opts: resilience.CallOptions{Attempts: 2},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}, {"b", true, canceled}},
		},
		"one of Limit": {
			cfg:  fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, Limit: 2},
			asks: []ask{takes(time.Second, "a"), never, takes(0, "c")},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}, {"b", true, canceled}},
		},
		"not if one is observed": {
			cfg:  fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, ObserveOnly: true},
			asks: []ask{takes(time.Second, "a"), takes(0, "b")},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}},
		},
		"not of one that is asked for": {
			cfg: two, asks: []ask{takes(time.Second, "a"), takes(0, "b")}, opts: resilience.CallOptions{Model: "a"},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}},
		},
		"of an operation": {
			cfg:  fallback.Config{Ops: map[string]fallback.Config{"chat": two}},
			asks: []ask{takes(time.Second, "a"), takes(50*ms, "b")}, opts: resilience.CallOptions{Op: "chat"},
			want: "b", took: 150 * ms, attempts: []tried{{"a", false, canceled}, {"b", true, 0}},
		},
		"not of another": {
			cfg:  fallback.Config{Ops: map[string]fallback.Config{"chat": two}},
			asks: []ask{takes(time.Second, "a"), takes(50*ms, "b")},
			want: "a", took: time.Second, attempts: []tried{{"a", false, 0}},
		},
		"the deadline passes": {
			cfg: one, asks: []ask{never, never}, opts: resilience.CallOptions{Timeout: time.Second},
			kind: resilience.TimedOut, took: time.Second,
			attempts: []tried{{"a", false, resilience.TimedOut}, {"b", true, resilience.TimedOut}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := race(t, tc.cfg, tc.asks)
				got, rep, err := c.Do(t.Context(), "?", tc.opts)
				require.Equal(t, tc.kind, resilience.KindOf(err), "%v", err)
				require.Equal(t, tc.want, got)
				require.Equal(t, tc.took, rep.Duration)
				require.Equal(t, tc.attempts, attempts(rep))
				idle(t, c.Pool())
				for _, m := range c.Pool().Models() {
					sum := m.Stats(time.Minute)
					if tc.kind == 0 && sum.Canceled > 0 {
						require.Zero(t, sum.Failures, "who lost is not to blame")
					}
				}
			})
		})
	}
}

func TestHedgeWhoLeavesIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, LastResort: true}, []ask{never, never, never, never})
		time.AfterFunc(150*ms, cancel)
		_, rep, err := c.Do(ctx, "?", resilience.CallOptions{})
		require.ErrorIs(t, err, resilience.Canceled)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 150*ms, rep.Duration)
		require.Equal(t, []tried{{"a", false, canceled}, {"b", true, canceled}}, attempts(rep))
		idle(t, c.Pool())
	})
}

func TestHedgePanics(t *testing.T) {
	cfg := fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms}
	boom := func(context.Context, string) (string, error) { panic("boom") }
	synctest.Test(t, func(t *testing.T) {
		c := race(t, cfg, []ask{never, boom})
		require.PanicsWithValue(t, "boom", func() { _, _ = c.Call(t.Context(), "?") }, "while the caller waits")
		idle(t, c.Pool())
	})
	synctest.Test(t, func(t *testing.T) {
		c := race(t, cfg, []ask{takes(150*ms, "a"), func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			panic("boom")
		}})
		sub := c.Pool().Subscribe(1, resilience.EventPanic)
		defer sub.Close()
		got, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, "a", got)
		start := time.Now()
		require.NoError(t, c.Pool().Drain(t.Context()), "a drain waits for who lost")
		require.Equal(t, time.Second, time.Since(start))
		require.Len(t, sub.C, 1)
		idle(t, c.Pool())
	})
}

func TestHedgeEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms}, []ask{never, takes(0, "b")})
		sub := c.Pool().Subscribe(4, resilience.EventHedge, resilience.EventFallback)
		defer sub.Close()
		time.Sleep(time.Minute)
		_, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		e := <-sub.C
		require.Equal(t, resilience.EventHedge, e.Kind)
		require.Equal(t, []string{"a", "b", "b"}, []string{e.From, e.To, e.Model.ID()})
		require.Equal(t, 100*ms, e.Duration)
		require.Empty(t, sub.C)
	})
}

func TestHedgeGoesToAnotherProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		infos := resilience.Models(
			resilience.ModelInfo{ID: "a", Provider: "x"}, resilience.ModelInfo{ID: "b", Provider: "x"}, resilience.ModelInfo{ID: "c", Provider: "y", Tier: 1})
		c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms}, []ask{never, takes(0, "b"), takes(0, "c")}, infos)
		got, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, "c", got)
	})
}

func TestHedgeNeedsRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, Hedges: 1},
			[]ask{takes(time.Second, "a"), never}, retry.New(retry.Config{Budget: 1e-6}))
		hedges := 0
		for range 20 {
			_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
			require.NoError(t, err)
			hedges += len(rep.Attempts) - 1
		}
		require.Equal(t, 10, hedges, "those that were saved up")
	})
}

func TestHedgeIsOffWhereProvidersAskForLess(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		wait time.Duration
	}{
		"rate limited":         {resilience.RateLimited, 10 * time.Second},
		"overloaded":           {resilience.Overloaded, 10 * time.Second},
		"as long as it asks":   {&resilience.Error{Kind: resilience.RateLimited, RetryAfter: 30 * time.Second}, 30 * time.Second},
		"a minute at most":     {&resilience.Error{Kind: resilience.RateLimited, RetryAfter: time.Hour}, time.Minute},
		"anything else is not": {resilience.Unreachable, 0},
	} {
		for hidden, features := range map[string][]resilience.Feature{"": nil, ", waited out": {retry.New(retry.Config{Base: -1})}} {
			if hidden != "" && tc.wait > 10*time.Second {
				continue // that is not waited out
			}
			t.Run(name+hidden, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fail := false
					c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, Hedges: 1}, []ask{
						func(ctx context.Context, req string) (string, error) {
							if fail {
								fail = false
								return "", tc.err
							}
							return takes(time.Second, "a")(ctx, req)
						}, never,
					}, features...)
					hedged := func(opts resilience.CallOptions) bool {
						_, rep, _ := c.Do(t.Context(), "?", opts)
						return len(rep.Attempts) > 1
					}
					require.True(t, hedged(resilience.CallOptions{}))
					fail = true
					_, _, _ = c.Do(t.Context(), "?", resilience.CallOptions{Model: "a"})
					start := time.Now()
					if tc.wait > 0 {
						require.False(t, hedged(resilience.CallOptions{}))
						time.Sleep(tc.wait - time.Since(start))
					}
					require.True(t, hedged(resilience.CallOptions{}))
				})
			})
		}
	}
}

func TestHedgeLearnsItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := atomic.Bool{}
		n := 0
		c := race(t, fallback.Config{Strategy: fallback.Hedged}, []ask{
			func(ctx context.Context, req string) (string, error) {
				if slow.Load() {
					return takes(time.Minute, "a")(ctx, req)
				}
				n++
				return takes(time.Duration(n%100)*10*ms, "a")(ctx, req) // the 95th percentile is 950 ms
			}, takes(ms, "b"),
		})
		hedge := func(op string) time.Duration {
			slow.Store(true)
			defer slow.Store(false)
			_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{Op: op})
			require.NoError(t, err)
			if rep.Model.ID() == "b" {
				return rep.Duration - ms
			}
			return 0
		}
		for range 90 {
			_, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
		}
		require.Zero(t, hedge(""), "not warm yet")
		for range 300 {
			_, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
		}
		require.InDelta(t, 950*ms, hedge(""), float64(60*ms))
		require.Zero(t, hedge("another"), "of which nothing is known")
		require.NoError(t, c.Pool().Reset(t.Context(), c.Pool().Model("b"), resilience.Control{Actor: "test", Reason: "reset"}))
		require.NotZero(t, hedge(""), "another model's")
		require.NoError(t, c.Pool().Reset(t.Context(), c.Pool().Model("a"), resilience.Control{Actor: "test", Reason: "reset"}))
		require.Zero(t, hedge(""), "all forgotten")
		for range 200 {
			_, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		require.NotZero(t, hedge(""))
		time.Sleep(7 * time.Minute)
		require.Zero(t, hedge(""), "all forgotten")
	})
}

func TestHedgeDoesNotLearnFromQuickFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := race(t, fallback.Config{Strategy: fallback.Hedged, Hedges: 1}, []ask{
			func(ctx context.Context, req string) (string, error) {
				if n++; n%2 == 0 {
					return "", resilience.Unreachable
				}
				return takes(time.Second, "a")(ctx, req)
			}, takes(ms, "b"),
		})
		for range 1000 {
			_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
			require.NoError(t, err)
			for _, a := range rep.Attempts {
				require.False(t, a.Hedge && a.Start.Sub(rep.Attempts[0].Start) < 900*ms)
			}
		}
	})
}

// A hedge is worth it where the other model answers as soon as is normal.
func TestHedgesStopWhereTheyDoNoGood(t *testing.T) {
	cfg := fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, Hedges: 1}
	for name, tc := range map[string]struct {
		a, b ask
		opts resilience.CallOptions
		want int // hedges of a hundred calls
	}{
		"the model is slow":                {takes(10*time.Second, "a"), takes(50*ms, "b"), resilience.CallOptions{}, 100},
		"the request is":                   {takes(10*time.Second, "a"), takes(5*time.Second, "b"), resilience.CallOptions{}, 5},
		"nobody is":                        {takes(150*ms, "a"), never, resilience.CallOptions{}, 5},
		"neither answers in time":          {never, never, resilience.CallOptions{Timeout: 150 * ms}, 5},
		"both fail, which says nothing":    {fails(150*ms, resilience.Filtered), never, resilience.CallOptions{}, 100},
		"it is of use after a slow minute": {takes(150*ms, "a"), takes(20*ms, "b"), resilience.CallOptions{}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := race(t, cfg, []ask{tc.a, tc.b})
				hedges := 0
				for i := range 200 {
					_, rep, _ := c.Do(t.Context(), "?", tc.opts)
					if i >= 100 { // before, too little is known
						hedges += len(rep.Attempts) - 1
					}
				}
				require.Equal(t, tc.want, hedges)
				idle(t, c.Pool())
			})
		})
	}
}

func TestHedgeIsOffWhileModelsAreBusy(t *testing.T) {
	for busy, want := range map[int]bool{0: true, 1: true, 3: false} { // of eight, before this one
		synctest.Test(t, func(t *testing.T) {
			held := func(ctx context.Context, req string) (string, error) {
				if req == "held" {
					return never(ctx, req)
				}
				return takes(time.Second, "a")(ctx, req)
			}
			c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, Hedges: 1}, []ask{held, never}, resilience.Models(
				resilience.ModelInfo{ID: "a", Limits: resilience.Limits{Concurrency: 4}},
				resilience.ModelInfo{ID: "b", Limits: resilience.Limits{Concurrency: 4}}))
			ctx, cancel := context.WithCancel(t.Context())
			for range busy {
				go func() { _, _, _ = c.Do(ctx, "held", resilience.CallOptions{Model: "a", Op: "held"}) }()
			}
			synctest.Wait()
			_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
			require.NoError(t, err)
			require.Equal(t, want, len(rep.Attempts) > 1, "%d busy", busy)
			cancel()
			idle(t, c.Pool())
		})
	}
}

// What a caller's own key is refused says nothing of others.
func TestHedgeStaysOnWhereOneKeyIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, Hedges: 1}, []ask{
			func(ctx context.Context, req string) (string, error) {
				if resilience.KeyFrom(ctx) != "" {
					return "", resilience.RateLimited
				}
				return takes(time.Second, "a")(ctx, req)
			}, never,
		})
		_, _, err := c.Do(t.Context(), "?", resilience.CallOptions{Key: "acme", Model: "a"})
		require.ErrorIs(t, err, resilience.RateLimited)
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, []tried{{"a", false, 0}, {"b", true, canceled}}, attempts(rep))
	})
}

// When everything is slow at once, what was learnt is of no use.
func TestHedgesAreBoundedWhenAllIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := atomic.Int64{}
		wait.Store(int64(100 * ms))
		hedges := 0
		both := func(ctx context.Context, req string) (string, error) {
			return takes(time.Duration(wait.Load()), "")(ctx, req)
		}
		c := race(t, fallback.Config{Strategy: fallback.Hedged, Hedges: 1}, []ask{both, both})
		call := func(n int) {
			for range n {
				_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
				require.NoError(t, err)
				hedges += len(rep.Attempts) - 1
			}
		}
		call(2000)
		hedges = 0
		wait.Store(int64(time.Second))
		call(100)
		require.LessOrEqual(t, hedges, 20+10)
		require.Positive(t, hedges)
	})
}

// chunks is a stream of three; it is 10 s between them, which nobody hedges.
type chunks struct {
	ctx    context.Context
	wait   time.Duration
	text   string
	left   int
	closed *atomic.Int64
}

func (s *chunks) Recv() (string, error) {
	if s.left == 0 {
		return "", io.EOF
	}
	s.left--
	defer func() { s.wait = 10 * time.Second }()
	return takes(s.wait, s.text)(s.ctx, "")
}

func (s *chunks) Close() error { s.closed.Add(1); return nil }

func TestHedgeDecidesOnTheFirstChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := atomic.Int64{}
		stream := func(first time.Duration, text string) func(context.Context, string) iter.Seq2[string, error] {
			return func(ctx context.Context, _ string) iter.Seq2[string, error] {
				return resilience.FromRecv(&chunks{ctx, first, text, 3, &closed})
			}
		}
		pool, err := resilience.NewPool(fallback.New(fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms}))
		require.NoError(t, err)
		c, err := resilience.NewClient(pool,
			resilience.BindStream("a", stream(time.Minute, "a")), resilience.BindStream("b", stream(50*ms, "b")))
		require.NoError(t, err)
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 1, closed.Load(), "who lost is closed")
		require.Zero(t, pool.Model("a").InFlight())
		require.EqualValues(t, 1, pool.Model("b").InFlight())
		all := ""
		for chunk, err := range s.All() {
			require.NoError(t, err)
			all += chunk
		}
		require.Equal(t, "bbb", all)
		rep := s.Report()
		require.Equal(t, []tried{{"a", false, canceled}, {"b", true, 0}}, attempts(rep))
		idle(t, pool)
	})
}

// What was read is not to be raced for.
func TestARescueIsNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := func(wait time.Duration, texts ...string) func(context.Context, string) iter.Seq2[string, error] {
			return func(ctx context.Context, _ string) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					if _, err := takes(wait, "")(ctx, ""); err != nil {
						yield("", err)
						return
					}
					for _, text := range texts {
						if text == "" {
							yield("", resilience.Unreachable)
							return
						}
						if !yield(text, nil) {
							return
						}
					}
				}
			}
		}
		hooks := resilience.StreamHooks[string, string]{
			Resume: func(req string, _ []string) (string, bool) { return req, true },
		}
		for want, cfg := range map[int]fallback.Config{
			2: {Strategy: fallback.Hedged, HedgeAfter: 100 * ms}, 3: {Strategy: fallback.Parallel},
		} {
			pool, err := resilience.NewPool(fallback.New(cfg))
			require.NoError(t, err)
			c, err := resilience.NewClient(pool, resilience.BindStream("a", open(50*ms, "one ", ""), hooks),
				resilience.BindStream("b", open(time.Second, "two"), hooks), resilience.BindStream("c", open(time.Second, "three"), hooks))
			require.NoError(t, err)
			s, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			all := ""
			for chunk, err := range s.All() {
				require.NoError(t, err)
				all += chunk
			}
			require.Contains(t, []string{"one two", "one three"}, all)
			require.Len(t, s.Report().Attempts, want, cfg.Strategy)
			require.True(t, s.Report().Rescued)
			idle(t, pool)
		}
	})
}

func TestLosersCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		price := resilience.Price{Input: 1e6}
		c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms}, []ask{
			func(ctx context.Context, req string) (string, error) {
				resilience.ReportUsage(ctx, resilience.Usage{Input: 3})
				return never(ctx, req)
			}, takes(50*ms, "b"),
		}, resilience.Models(resilience.ModelInfo{ID: "a", Price: price}, resilience.ModelInfo{ID: "b", Price: price}))
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.NoError(t, err)
		require.Equal(t, 3.0, rep.Cost)
		require.Equal(t, 3.0, rep.Attempts[0].Cost)
	})
}

func TestHedgeAroundAnotherPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms}
		inner := race(t, cfg, []ask{never, takes(250*ms, "inner")})
		outer := race(t, cfg, []ask{inner.Call, takes(time.Second, "outer"), takes(time.Second, "third")})
		got, err := outer.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, "inner", got)
		idle(t, inner.Pool())
		idle(t, outer.Pool())

		slow := race(t, cfg, []ask{never, never, never})
		outer = race(t, cfg, []ask{slow.Call, takes(time.Second, "outer")})
		got, err = outer.Call(t.Context(), "?")
		require.NoError(t, err)
		require.Equal(t, "outer", got)
		idle(t, slow.Pool())
	})
}

var errOdd = errors.New("odd")

func TestUnknownGoesElsewhereOnceOverAllLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := race(t, fallback.Config{Strategy: fallback.Hedged, HedgeAfter: 100 * ms, Hedges: 1},
			[]ask{fails(200*ms, errOdd), fails(10*ms, errOdd), takes(0, "c")})
		_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
		require.ErrorIs(t, err, resilience.Unknown)
		require.Equal(t, []tried{{"a", false, resilience.Unknown}, {"b", true, resilience.Unknown}}, attempts(rep))
	})
}

package fallback_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

func TestParallel(t *testing.T) {
	cfg := func(width int) fallback.Config {
		return fallback.Config{Strategy: fallback.Parallel, Width: width}
	}
	for name, tc := range map[string]struct {
		cfg   fallback.Config
		asks  []ask
		opts  resilience.CallOptions
		want  string
		kind  resilience.Kind
		took  time.Duration
		tries int
	}{
		"the quicker one wins": {
			cfg: cfg(0), asks: []ask{takes(time.Second, "a"), takes(50*ms, "b"), takes(0, "c")}, want: "b", took: 50 * ms, tries: 2,
		},
		"as wide as asked": {
			cfg: cfg(3), asks: []ask{takes(time.Second, "a"), takes(50*ms, "b"), takes(10*ms, "c")}, want: "c", took: 10 * ms, tries: 3,
		},
		"wider than there are models": {
			cfg: cfg(8), asks: []ask{takes(time.Second, "a"), takes(50*ms, "b")}, want: "b", took: 50 * ms, tries: 2,
		},
		"who fails makes room for the next": {
			cfg: cfg(2), asks: []ask{takes(time.Minute, "a"), fails(10*ms, errDown), fails(10*ms, errDown), takes(10*ms, "d")},
			want: "d", took: 30 * ms, tries: 4,
		},
		"an error is not the first answer": {
			cfg: cfg(2), asks: []ask{fails(0, errDown), takes(50*ms, "b")}, want: "b", took: 50 * ms, tries: 2,
		},
		"all fail": {
			cfg: cfg(2), asks: []ask{fails(10*ms, errDown), fails(20*ms, errDown), fails(20*ms, errDown)},
			kind: errDown, took: 30 * ms, tries: 3,
		},
		"a filter ends it": {
			cfg: cfg(2), asks: []ask{fails(10*ms, resilience.Filtered), takes(time.Second, "b")},
			kind: resilience.Filtered, took: 10 * ms, tries: 2,
		},
		"the request ends it": {
			cfg: cfg(2), asks: []ask{fails(10*ms, resilience.Invalid), takes(time.Second, "b")},
			kind: resilience.Invalid, took: 10 * ms, tries: 2,
		},
		"Attempts": {
			cfg: cfg(4), asks: []ask{takes(time.Second, "a"), never, never, never}, opts: resilience.CallOptions{Attempts: 2},
			want: "a", took: time.Second, tries: 2,
		},
		"Limit": {
			cfg:  fallback.Config{Strategy: fallback.Parallel, Width: 4, Limit: 3},
			asks: []ask{takes(time.Second, "a"), never, never, never}, want: "a", took: time.Second, tries: 3,
		},
		"Once": {
			cfg: cfg(4), asks: []ask{takes(time.Second, "a"), takes(0, "b")}, opts: resilience.CallOptions{Once: true},
			want: "a", took: time.Second, tries: 1,
		},
		"ObserveOnly": {
			cfg:  fallback.Config{Strategy: fallback.Parallel, ObserveOnly: true},
			asks: []ask{takes(time.Second, "a"), takes(0, "b")}, want: "a", took: time.Second, tries: 1,
		},
		"one model": {cfg: cfg(4), asks: []ask{takes(time.Second, "a")}, want: "a", took: time.Second, tries: 1},
		"an operation's own": {
			cfg:  fallback.Config{Ops: map[string]fallback.Config{"x": cfg(3)}},
			asks: []ask{never, never, takes(10*ms, "c")}, opts: resilience.CallOptions{Op: "x"}, want: "c", took: 10 * ms, tries: 3,
		},
		"the deadline passes": {
			cfg: cfg(2), asks: []ask{never, never}, opts: resilience.CallOptions{Timeout: time.Second},
			kind: resilience.TimedOut, took: time.Second, tries: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := race(t, tc.cfg, tc.asks, retry.New(retry.Config{Attempts: 1, Budget: 1e-6})) // which lanes do not take of
				got, rep, err := c.Do(t.Context(), "?", tc.opts)
				require.Equal(t, tc.kind, resilience.KindOf(err), "%v", err)
				require.Equal(t, tc.want, got)
				require.Equal(t, tc.took, rep.Duration)
				require.Len(t, rep.Attempts, tc.tries)
				for _, a := range rep.Attempts {
					require.False(t, a.Hedge)
				}
				idle(t, c.Pool())
			})
		})
	}
}

// The limit holds for a last resort after a race as well.
func TestParallelLimitAndLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := func(context.Context, string) (string, error) { return "", resilience.Reject("full", 0) }
		c := race(t, fallback.Config{Strategy: fallback.Parallel, Limit: 3, LastResort: true},
			[]ask{fails(time.Second, errDown), down, down, boom})
		held := func(id string, d time.Duration) {
			c.Pool().Model(id).Hold(t.Context(), resilience.Hold{By: resilience.HoldQuota, Until: time.Now().Add(d)})
		}
		held("c", 500*ms) // when b has refused there is nothing else yet
		held("d", time.Hour)
		_, err := c.Call(t.Context(), "?")
		require.ErrorIs(t, err, errDown)
		idle(t, c.Pool())
	})
}

func TestParallelPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, asks := range [][]ask{{boom, never}, {never, boom}} {
			c := race(t, fallback.Config{Strategy: fallback.Parallel}, asks)
			require.PanicsWithValue(t, "boom", func() { _, _ = c.Call(t.Context(), "?") })
			idle(t, c.Pool())
		}
	})
}

func boom(context.Context, string) (string, error) { panic("boom") }

// shares counts who answers n calls.
func shares(t *testing.T, c *resilience.Client[string, string], n int, each func()) map[string]float64 {
	t.Helper()
	got := map[string]float64{}
	for range n {
		who, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		got[who] += 1 / float64(n)
		each()
	}
	return got
}

func TestRandomIsEven(t *testing.T) {
	seed := resilience.Seed(rand.NewPCG(1, 1))
	infos := resilience.Models(resilience.ModelInfo{ID: "a", Weight: 100}, resilience.ModelInfo{ID: "b"},
		resilience.ModelInfo{ID: "c"}, resilience.ModelInfo{ID: "d"}, resilience.ModelInfo{ID: "e", Tier: 1})
	c := race(t, fallback.Config{Strategy: fallback.Random}, []ask{takes(0, "a"), takes(0, "b"), takes(0, "c"), takes(0, "d"), boom}, infos, seed)
	c.Pool().Model("b").Hold(t.Context(), resilience.Hold{By: resilience.HoldQuota, Until: time.Now().Add(time.Hour)})
	c.Pool().Model("c").SetFull(true)
	got := shares(t, c, 4000, func() {})
	require.InDelta(t, .5, got["a"], .03)
	require.InDelta(t, .5, got["d"], .03, "neither what is held nor what is full")
	c.Pool().Model("c").SetFull(false)
	got = shares(t, c, 6000, func() {})
	for _, id := range []string{"a", "c", "d"} {
		require.InDelta(t, 1./3, got[id], .03, id)
	}
}

func TestDrawnModelsFailOverToTheOthers(t *testing.T) {
	for _, s := range []fallback.Strategy{fallback.Random, fallback.Weighted} {
		down := fails(0, errDown)
		c := race(t, fallback.Config{Strategy: s}, []ask{down, down, down, takes(0, "d")})
		for range 50 {
			got, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
			require.NoError(t, err)
			require.Equal(t, "d", got)
			var ids []string
			for _, a := range rep.Attempts {
				ids = append(ids, a.Model.ID())
			}
			slices.Sort(ids)
			require.Equal(t, slices.Compact(slices.Clone(ids)), ids, "none twice")
		}
	}
}

func TestWeighted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := resilience.Seed(rand.NewPCG(1, 1))
		cfg := fallback.Config{Strategy: fallback.Weighted, Limit: 1}
		infos := func(a, b float64) resilience.Feature {
			return resilience.Models(resilience.ModelInfo{ID: "a", Weight: a}, resilience.ModelInfo{ID: "b", Weight: b})
		}
		wait := func() { time.Sleep(ms) }

		c := race(t, cfg, []ask{takes(10*ms, "a"), takes(10*ms, "b")}, infos(3, 1), seed)
		require.InDelta(t, .75, shares(t, c, 3000, wait)["a"], .03, "by weight")

		c = race(t, cfg, []ask{takes(10*ms, "a"), takes(40*ms, "b")}, infos(1, 1), seed)
		require.InDelta(t, .8, shares(t, c, 3000, wait)["a"], .03, "by latency")

		c = race(t, cfg, []ask{takes(10*ms, "a"), takes(10*ms, "b")}, infos(1, 1), seed)
		c.Pool().Model("b").SetRamp(.25)
		require.InDelta(t, .8, shares(t, c, 3000, wait)["a"], .03, "by ramp")

		c = race(t, cfg, []ask{takes(10*ms, "a"), takes(10*ms, "b"), takes(10*ms, "c")}, resilience.Models(models("a", "b", "c")...), seed)
		c.Pool().Model("a").SetFull(true)
		require.Zero(t, shares(t, c, 100, wait)["a"], "what has room first")
		for _, m := range c.Pool().Models() {
			m.SetRamp(0)
		}
		require.InDelta(t, 1, shares(t, c, 10, wait)["b"], 1e-9, "nobody has any weight: in order")

		n := 0
		c = race(t, fallback.Config{Strategy: fallback.Weighted}, []ask{takes(10*ms, "a"), func(ctx context.Context, req string) (string, error) {
			if n++; n%2 == 0 {
				return takes(10*ms, "b")(ctx, req)
			}
			return fails(10*ms, errDown)(ctx, req)
		}}, infos(1, 1), seed)
		first := shares(t, c, 3000, wait)["a"]
		asked := float64(n) / 3000
		require.InDelta(t, 1./3, asked, .06, "by errors: half of its calls fail, so it gets half as many; %v", first)
	})
}

// A model of which nothing is known is drawn like an average one.
func TestWeightedTakesTheUnknownForTheAverage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := resilience.Seed(rand.NewPCG(1, 1))
		const n = 1000
		unknown := 0.
		for range n {
			c := race(t, fallback.Config{Strategy: fallback.Weighted}, []ask{takes(10*ms, "a"), takes(10*ms, "b")}, seed)
			_, err := c.Pin("a").Call(t.Context(), "?")
			require.NoError(t, err)
			who, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			if who == "b" {
				unknown++
			}
		}
		require.InDelta(t, .5, unknown/n, .05)
	})
}

// Of as many as a draw is made among, none is left out.
func TestWeightedAmongAll(t *testing.T) {
	pool, err := resilience.NewPool(fallback.New(fallback.Config{Strategy: fallback.Weighted}))
	require.NoError(t, err)
	var opts []resilience.ClientOption[string, string]
	for i := range 64 {
		id := fmt.Sprint("m", i)
		opts = append(opts, resilience.BindFunc(id, takes(0, id)))
	}
	c, err := resilience.NewClient(pool, opts...)
	require.NoError(t, err)
	for _, m := range pool.Models()[:63] {
		m.SetRamp(0)
	}
	require.InDelta(t, 1, shares(t, c, 100, func() {})["m63"], 1e-9)
}

func TestWeightedAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // calls take as long
		var infos []resilience.ModelInfo
		for i := range 1000 {
			infos = append(infos, resilience.ModelInfo{ID: fmt.Sprint("m", i)})
		}
		pool, err := resilience.NewPool(resilience.Models(infos...), resilience.Seed(rand.NewPCG(1, 1)), fallback.New(fallback.Config{Strategy: fallback.Weighted}))
		require.NoError(t, err)
		seen := map[string]int{}
		var opts []resilience.ClientOption[string, string]
		for _, info := range infos {
			opts = append(opts, resilience.BindFunc(info.ID, func(context.Context, string) (string, error) { seen[info.ID]++; return "", nil }))
		}
		c, err := resilience.NewClient(pool, opts...)
		require.NoError(t, err)
		for range 5000 {
			_, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
		}
		require.Greater(t, len(seen), 900)
	})
}

func TestCriticalMayUseHeldModels(t *testing.T) {
	for _, s := range []fallback.Strategy{fallback.Sequential, fallback.Parallel, fallback.Weighted, fallback.Random, fallback.Hedged} {
		synctest.Test(t, func(t *testing.T) {
			c := race(t, fallback.Config{Strategy: s, HedgeAfter: 100 * ms}, []ask{takes(0, "a"), takes(0, "b")})
			for _, m := range c.Pool().Models() {
				m.Hold(t.Context(), resilience.Hold{By: resilience.HoldQuota, Until: time.Now().Add(time.Hour)})
			}
			_, err := c.Call(t.Context(), "?")
			require.ErrorIs(t, err, resilience.Rejected)
			got, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{Priority: resilience.Critical})
			require.NoError(t, err, s)
			require.Equal(t, "a", got)
			require.True(t, rep.LastResort)
			c.Pool().Model("a").Release(t.Context(), resilience.HoldQuota)
			require.NoError(t, c.Pool().Model("b").Drain(t.Context(), resilience.Control{Actor: "test", Reason: "out"}))
			_, rep, err = c.Do(t.Context(), "?", resilience.CallOptions{Priority: resilience.Critical})
			require.NoError(t, err)
			require.False(t, rep.LastResort)
		})
	}
}

func TestRacesThatLostGoOnWithWhatIsHeld(t *testing.T) {
	for _, s := range []fallback.Strategy{fallback.Parallel, fallback.Hedged} {
		synctest.Test(t, func(t *testing.T) {
			c := race(t, fallback.Config{Strategy: s, HedgeAfter: 100 * ms, LastResort: true},
				[]ask{fails(200*ms, errDown), fails(200*ms, errDown), takes(0, "c")})
			c.Pool().Model("c").Hold(t.Context(), resilience.Hold{By: resilience.HoldQuota, Until: time.Now().Add(time.Hour)})
			got, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
			require.NoError(t, err, s)
			require.Equal(t, "c", got)
			require.True(t, rep.LastResort)
			require.Len(t, rep.Attempts, 3)
		})
	}
}

// Which limits are waited out is retry's to say; what it does not wait for goes
// elsewhere at once.
func TestRateLimits(t *testing.T) {
	for _, tc := range []struct {
		asks time.Duration
		want string
		took time.Duration
	}{{2 * time.Second, "a", 2 * time.Second}, {time.Minute, "b", 0}} {
		synctest.Test(t, func(t *testing.T) {
			limited := &resilience.Error{Kind: resilience.RateLimited, RetryAfter: tc.asks}
			n := 0
			c := race(t, fallback.Config{}, []ask{func(context.Context, string) (string, error) {
				if n++; n == 1 {
					return "", limited
				}
				return "a", nil
			}, takes(0, "b")}, retry.New(retry.Config{}))
			got, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			require.InDelta(t, tc.took, rep.Duration, float64(300*ms))
		})
	}
}

func TestSilenceGoesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range []fallback.Strategy{fallback.Sequential, fallback.Parallel, fallback.Weighted, fallback.Random, fallback.Hedged} {
			var asked atomic.Int64
			silent := func(ctx context.Context, req string) (string, error) { asked.Add(1); return never(ctx, req) }
			c := race(t, fallback.Config{Strategy: s}, []ask{silent, silent, takes(ms, "c")},
				retry.New(retry.Config{}), resilience.Timeouts{Attempt: 10 * time.Second})
			got, err := c.Call(t.Context(), "?")
			require.NoError(t, err)
			require.Equal(t, "c", got)
			require.LessOrEqual(t, asked.Load(), int64(2), "none twice")
			idle(t, c.Pool())
		}
	})
}

// All strategies under load, with what can go wrong and a reload now and then.
func TestStrategiesTogether(t *testing.T) {
	odd := func(ctx context.Context, req string) (string, error) {
		switch d := time.Duration(rand.ExpFloat64() * float64(ms)); rand.IntN(10) {
		case 0:
			return "", resilience.Overloaded
		case 1:
			return "", resilience.RateLimited
		case 2:
			time.Sleep(d) // whatever the context says
			return "late", nil
		case 3:
			return fails(d, resilience.Filtered)(ctx, req)
		case 4:
			return fails(d, resilience.TooLong)(ctx, req)
		default:
			return takes(d, "fine")(ctx, req)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		cfg := fallback.Config{Strategy: fallback.Hedged, HedgeAfter: ms, Ops: map[string]fallback.Config{
			"parallel": {Strategy: fallback.Parallel, Width: 3}, "weighted": {Strategy: fallback.Weighted},
			"random": {Strategy: fallback.Random}, "sequential": {Strategy: fallback.Sequential, LastResort: true},
			"learnt": {HedgeAfter: -1, HedgeShare: .5},
		}}
		c := race(t, cfg, []ask{odd, odd, odd, odd, odd}, retry.New(retry.Config{Base: ms}), resilience.Timeouts{Call: time.Second, Attempt: 100 * ms})
		ops := []string{"", "parallel", "weighted", "random", "sequential", "learnt"}
		n := 300
		if testing.Short() {
			n = 100
		}
		var lanes sync.WaitGroup
		for lane := range 24 {
			lanes.Go(func() {
				for range n {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Float64()*20*float64(ms)))
					got, rep, err := c.Do(ctx, "?", resilience.CallOptions{Op: ops[lane%len(ops)], Priority: resilience.Priority(lane % 4)})
					cancel()
					if err == nil && (got == "" || rep.Model == nil) || err != nil && got != "" || len(rep.Attempts) > 6 {
						t.Errorf("%q %v %v", got, rep, err)
						return
					}
				}
			})
		}
		by := resilience.Control{Actor: "test", Reason: "reload"}
		for _, doc := range []string{
			`{"fallback": {"strategy": "parallel", "ops": {"learnt": {"strategy": "hedged", "hedgeAfter": "1ms"}}}}`,
			`{"fallback": {"strategy": "hedged", "hedgeShare": 0.3}}`, `{"fallback": {"observeOnly": true}}`, `{}`,
		} {
			time.Sleep(50 * ms)
			require.NoError(t, c.Pool().Reload(t.Context(), []byte(doc), by))
		}
		lanes.Wait()
		require.NoError(t, c.Pool().Drain(t.Context()))
		idle(t, c.Pool())
	})
}

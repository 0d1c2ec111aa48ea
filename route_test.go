package resilience_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// pick is a picker made of a function.
type pick func(c *resilience.Call, from resilience.Candidates) *resilience.Model

func (p pick) Install(s *resilience.Setup) error { s.Pick(p); return nil }

func (p pick) Pick(c *resilience.Call, from resilience.Candidates) *resilience.Model {
	return p(c, from)
}

func limit(t *testing.T, p *resilience.Pool, id string, d time.Duration) {
	t.Helper()
	p.Model(id).Hold(t.Context(), resilience.Hold{By: resilience.HoldLimit, Until: time.Now().Add(d)})
}

// path makes a call that fails everywhere and returns the models tried.
func path(t *testing.T, c *client, opts resilience.CallOptions) (ids []string) {
	t.Helper()
	_, rep, err := c.Do(t.Context(), "", opts)
	require.Error(t, err)
	for _, a := range rep.Attempts {
		ids = append(ids, a.Model.ID())
	}
	return ids
}

func TestOrderOfModels(t *testing.T) {
	infos := resilience.Models(
		resilience.ModelInfo{ID: "spare", Tier: 2},
		resilience.ModelInfo{ID: "b", Tier: 1},
		resilience.ModelInfo{ID: "a", Tier: 1},
		resilience.ModelInfo{ID: "first", Tier: -1})
	opts := bind([]string{"a", "spare", "first", "b"}, fails(resilience.RateLimited))

	c := newClient(t, newPool(t, infos, inTurn(false)), opts...)
	require.Equal(t, []string{"first", "a", "b", "spare"}, path(t, c, resilience.CallOptions{}), "by tier, then as bound")

	var sizes []int
	last := pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
		sizes = append(sizes, from.Len())
		for i := from.Len() - 1; i >= 0; i-- {
			if m := from.At(i); m != nil {
				return m
			}
		}
		return nil
	})
	c = newClient(t, newPool(t, infos, inTurn(false), last), opts...)
	require.Equal(t, []string{"first", "b", "a", "spare"}, path(t, c, resilience.CallOptions{}), "within a tier as picked")
	require.Equal(t, []int{1, 1, 2, 1, 2, 1, 2, 1}, sizes, "a tier at a time")

	p := newPool(t, infos, inTurn(false))
	c = newClient(t, p, opts...)
	limit(t, p, "a", time.Hour)
	limit(t, p, "first", time.Hour)
	require.Equal(t, []string{"b", "spare"}, path(t, c, resilience.CallOptions{}), "held models are skipped")
	var ids []string
	for _, m := range c.Models() {
		ids = append(ids, m.ID())
	}
	require.Equal(t, []string{"first", "a", "b", "spare"}, ids)
}

func TestStrangePickers(t *testing.T) {
	other := newClient(t, newPool(t), echo("stranger")...).Models()[0]
	var held *resilience.Model
	for name, p := range map[string]pick{
		"nothing":    func(*resilience.Call, resilience.Candidates) *resilience.Model { return nil },
		"a stranger": func(*resilience.Call, resilience.Candidates) *resilience.Model { return other },
		"a held one": func(*resilience.Call, resilience.Candidates) *resilience.Model { return held },
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, p)
			c := newClient(t, pool, echo("a", "b")...)
			held = pool.Model("a")
			require.NoError(t, held.Drain(t.Context(), by))
			answer, err := c.Call(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, "b", answer)
		})
	}
}

func TestPickersMayChooseHeldModelsAndOtherTiers(t *testing.T) {
	var offered [][]string
	p := newPool(t, resilience.Models(
		resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}, resilience.ModelInfo{ID: "c", Tier: 1}, resilience.ModelInfo{ID: "d", Tier: 2}),
		pick(func(_ *resilience.Call, from resilience.Candidates) (chosen *resilience.Model) {
			for ; from.Len() > 0; from = from.Next() {
				var ids []string
				for i := range from.Len() {
					if m := from.Held(i); m != nil {
						ids = append(ids, m.ID())
						chosen = m
					}
				}
				offered = append(offered, ids)
			}
			return chosen
		}))
	c := newClient(t, p, echo("a", "b", "c", "d")...)
	limit(t, p, "c", time.Hour)
	require.NoError(t, p.Model("a").Drain(t.Context(), by))
	require.NoError(t, p.Model("d").Drain(t.Context(), by))
	answer, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, "c", answer)
	require.True(t, rep.LastResort)
	require.Equal(t, [][]string{{"b"}, {"c"}, nil}, offered, "all but what people hold")
}

func TestFullModelsAreTheLast(t *testing.T) {
	var a, b *resilience.Model
	two := pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
		a, b = from.Two()
		return a
	})
	p := newPool(t, two)
	c := newClient(t, p, echo("a", "b", "c")...)
	ask := func(full ...string) {
		for _, m := range p.Models() {
			m.SetFull(slices.Contains(full, m.ID()))
		}
		_, err := c.Call(t.Context(), "")
		require.NoError(t, err)
	}
	for range 20 {
		ask("a", "c")
		require.Equal(t, "b", a.ID())
		require.Nil(t, b)
		ask("a", "b", "c")
		require.NotNil(t, b, "where all are full there is no difference")
		ask("a")
		require.False(t, a.Full() || b.Full())
	}
}

func TestRegionIsACapability(t *testing.T) {
	p := newPool(t, inTurn(true), resilience.Models(resilience.ModelInfo{ID: "us", Region: "us"},
		resilience.ModelInfo{ID: "eu", Region: "eu", Capabilities: []string{"vision"}}, resilience.ModelInfo{ID: "nowhere"}))
	c := newClient(t, p, echo("us", "eu", "nowhere")...)
	for _, needs := range [][]string{{"eu"}, {"eu", "vision"}} {
		answer, _, err := c.Do(t.Context(), "", resilience.CallOptions{Require: needs})
		require.NoError(t, err)
		require.Equal(t, "eu", answer)
	}
	_, _, err := c.Do(t.Context(), "", resilience.CallOptions{Require: []string{""}})
	require.ErrorIs(t, err, resilience.Rejected)
}

func TestNoModelIsTriedTwice(t *testing.T) {
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("m%02d", i))
	}
	random := pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model { a, _ := from.Two(); return a })
	c := newClient(t, newPool(t, inTurn(true), random, resilience.Seed(rand.NewPCG(1, 2))), bind(ids, fails(resilience.Overloaded))...)
	got := path(t, c, resilience.CallOptions{Attempts: 100})
	require.ElementsMatch(t, ids, got)
}

func TestLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, inTurn(true))
		c := newClient(t, p, bind([]string{"hour", "drained", "minute", "open"}, fails(resilience.Overloaded))...)
		limit(t, p, "hour", time.Hour)
		limit(t, p, "minute", time.Minute)
		p.Model("open").Hold(t.Context(), resilience.Hold{By: resilience.HoldBreaker})
		require.NoError(t, p.Model("drained").Drain(t.Context(), by))
		require.Equal(t, []string{"minute", "hour", "open"}, path(t, c, resilience.CallOptions{}), "soonest first, never by hand")
	})
}

func TestLastResortIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, inTurn(true))
		c := newClient(t, p, resilience.BindFunc("a", func(ctx context.Context, _ string) (string, error) {
			require.True(t, resilience.CallFrom(ctx).LastResort())
			time.Sleep(2 * time.Minute) // b comes free meanwhile
			return "", resilience.Overloaded
		}), resilience.BindFunc("b", func(ctx context.Context, _ string) (string, error) {
			require.False(t, resilience.CallFrom(ctx).LastResort())
			return "b", nil
		}))
		limit(t, p, "a", time.Minute)
		limit(t, p, "b", 90*time.Second)
		_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.False(t, rep.LastResort, "the model that answered was free")

		limit(t, p, "b", time.Minute)
		require.NoError(t, p.Model("a").Drain(t.Context(), by))
		c = newClient(t, p, echo("b")...)
		_, rep, err = c.Do(t.Context(), "", resilience.CallOptions{})
		require.NoError(t, err)
		require.True(t, rep.LastResort)
	})
}

func TestOptionsRestrictModels(t *testing.T) {
	infos := resilience.Models(
		resilience.ModelInfo{ID: "az-1", Name: "gpt-5", Capabilities: []string{"tools", "vision"}},
		resilience.ModelInfo{ID: "az-2", Name: "gpt-5", Tier: 1, Capabilities: []string{"tools"}},
		resilience.ModelInfo{ID: "sonnet", Capabilities: []string{"vision"}},
		resilience.ModelInfo{ID: "haiku"})
	p := newPool(t, infos, inTurn(false))
	all := newClient(t, p, bind([]string{"az-1", "az-2", "sonnet", "haiku"}, fails(resilience.RateLimited))...)
	type opts = resilience.CallOptions
	for name, c := range map[string]struct {
		opts opts
		want []string
	}{
		"any":                {opts{}, []string{"az-1", "sonnet", "haiku", "az-2"}},
		"by name":            {opts{Model: "gpt-5"}, []string{"az-1", "az-2"}},
		"by ID":              {opts{Model: "az-2"}, []string{"az-2"}},
		"with fallbacks":     {opts{Model: "haiku", Fallbacks: []string{"gpt-5", "az-2", "haiku"}}, []string{"haiku", "az-1", "az-2"}},
		"require":            {opts{Require: []string{"vision"}}, []string{"az-1", "sonnet"}},
		"require both":       {opts{Require: []string{"vision", "tools"}}, []string{"az-1"}},
		"require, fallbacks": {opts{Model: "haiku", Fallbacks: []string{"sonnet"}, Require: []string{"vision"}}, []string{"sonnet"}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, path(t, all, c.opts)) })
	}
	for name, c := range map[string]struct {
		opts opts
		want string
	}{
		"unknown":          {opts{Model: "sonet"}, `not_found: no model "sonet" is bound; did you mean "sonnet"?`},
		"unknown fallback": {opts{Model: "haiku", Fallbacks: []string{"az-3"}}, `not_found: no model "az-3" is bound; did you mean "az-1"?`},
		"nothing like it":  {opts{Model: "llama\n\x00"}, `not_found: no model "llama" is bound`},
	} {
		t.Run(name, func(t *testing.T) {
			limit(t, p, "haiku", time.Hour) // which has nothing to do with it
			_, rep, err := all.Do(t.Context(), "", c.opts)
			require.EqualError(t, err, c.want)
			require.ErrorIs(t, err, resilience.NotFound)
			require.Empty(t, rep.Attempts)
			p.Model("haiku").Release(t.Context(), resilience.HoldLimit)
		})
	}
}

func TestPin(t *testing.T) {
	p := newPool(t, inTurn(false))
	c := newClient(t, p, echo("a", "b")...)
	pinned := c.Pin("b")
	require.Equal(t, []*resilience.Model{p.Model("b")}, pinned.Models())
	answer, _, err := pinned.Do(t.Context(), "", resilience.CallOptions{Model: "a", Fallbacks: []string{"a"}})
	require.NoError(t, err)
	require.Equal(t, "b", answer)
	limit(t, p, "b", time.Hour)
	_, err = pinned.Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.Rejected)
	require.ErrorContains(t, err, "skipped b held by limit")
	require.Nil(t, c.Pin("x").Models())
	_, err = c.Pin("x").Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.NotFound)
}

// TestPinIsOfOneModel: a name that several share is not an ID, and an ID may be
// the name of others.
func TestPinIsOfOneModel(t *testing.T) {
	p := newPool(t, inTurn(false), resilience.Models(
		resilience.ModelInfo{ID: "az", Name: "gpt-5"}, resilience.ModelInfo{ID: "az-2", Name: "gpt-5"}, resilience.ModelInfo{ID: "x", Name: "az"}))
	c := newClient(t, p, bind([]string{"x", "az", "az-2"}, fails(resilience.RateLimited))...)
	for _, bypass := range []string{"false", "true"} {
		require.NoError(t, p.Reload(t.Context(), []byte(`{"bypass": `+bypass+`}`), by))
		_, err := c.Pin("gpt-5").Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.NotFound)
	}
	require.NoError(t, p.Reload(t.Context(), []byte(`{}`), by))
	require.Nil(t, c.Pin("gpt-5").Models())
	require.Len(t, c.Pin("az").Models(), 1)
	require.Equal(t, []string{"az"}, path(t, c.Pin("az"), resilience.CallOptions{}))
	require.Equal(t, []string{"x", "az"}, path(t, c, resilience.CallOptions{Model: "az"}))
}

func TestSubstituted(t *testing.T) {
	p := newPool(t, inTurn(false), resilience.Models(
		resilience.ModelInfo{ID: "x1", Name: "x"}, resilience.ModelInfo{ID: "x2", Name: "x"}, resilience.ModelInfo{ID: "y"}))
	c := newClient(t, p, echo("x1", "x2", "y")...)
	opts := resilience.CallOptions{Model: "x", Fallbacks: []string{"y"}}
	for _, step := range []struct {
		hold        string
		model       string
		substituted bool
	}{{"", "x1", false}, {"x1", "x2", false}, {"x2", "y", true}} {
		if step.hold != "" {
			limit(t, p, step.hold, time.Hour)
		}
		_, rep, err := c.Do(t.Context(), "", opts)
		require.NoError(t, err)
		require.Equal(t, step.model, rep.Model.ID())
		require.Equal(t, step.substituted, rep.Substituted)
	}
}

func TestLarger(t *testing.T) {
	grow := feature(func(s *resilience.Setup) error {
		s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
			err := r.None()
			for r.Next(ctx, false) != nil {
				if err = next(ctx, r.Call()); err == nil {
					return nil
				}
				r.Larger()
			}
			return err
		})
		return nil
	})
	p := newPool(t, grow, resilience.Models(
		resilience.ModelInfo{ID: "8k", ContextWindow: 8_000}, resilience.ModelInfo{ID: "4k", ContextWindow: 4_000},
		resilience.ModelInfo{ID: "unknown"}, resilience.ModelInfo{ID: "8k2", ContextWindow: 8_000},
		resilience.ModelInfo{ID: "128k", ContextWindow: 128_000}))
	c := newClient(t, p, bind([]string{"8k", "4k", "unknown", "8k2", "128k"}, fails(resilience.TooLong))...)
	require.Equal(t, []string{"8k", "128k"}, path(t, c, resilience.CallOptions{}))
	require.Equal(t, []string{"unknown", "8k"}, path(t, c, resilience.CallOptions{Model: "unknown", Fallbacks: []string{"8k"}}))
}

func TestWaitForTheOnlyModel(t *testing.T) {
	type held struct {
		by resilience.HoldBy
		d  time.Duration
	}
	for name, c := range map[string]struct {
		holds map[string][]held
		left  time.Duration // of the caller's deadline
		want  bool
	}{
		"four seconds":           {map[string][]held{"a": {{resilience.HoldLimit, 4 * time.Second}}}, time.Hour, true},
		"five seconds":           {map[string][]held{"a": {{resilience.HoldLimit, 5 * time.Second}}}, time.Hour, true},
		"more":                   {map[string][]held{"a": {{resilience.HoldLimit, 5001 * time.Millisecond}}}, time.Hour, false},
		"not in time":            {map[string][]held{"a": {{resilience.HoldLimit, 4 * time.Second}}}, 4 * time.Second, false},
		"not with its jitter":    {map[string][]held{"a": {{resilience.HoldLimit, 4 * time.Second}}}, 5 * time.Second, false},
		"just in time":           {map[string][]held{"a": {{resilience.HoldLimit, 4 * time.Second}}}, 5*time.Second + 1, true},
		"another holder":         {map[string][]held{"a": {{resilience.HoldBreaker, time.Second}}}, time.Hour, false},
		"another holder as well": {map[string][]held{"a": {{resilience.HoldLimit, time.Second}, {resilience.HoldHealth, time.Second}}}, time.Hour, false},
		"the shorter of two": {map[string][]held{
			"a": {{resilience.HoldLimit, time.Hour}}, "b": {{resilience.HoldLimit, 2 * time.Second}},
		}, time.Hour, true},
		"beside one held for good": {map[string][]held{
			"a": {{resilience.HoldBreaker, time.Hour}}, "b": {{resilience.HoldLimit, 2 * time.Second}},
		}, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t, resilience.Seed(rand.NewPCG(1, 1)))
				var ids []string
				for id := range c.holds {
					ids = append(ids, id)
				}
				all := newClient(t, p, echo(ids...)...)
				first := 5 * time.Second
				for id, list := range c.holds {
					for _, h := range list {
						p.Model(id).Hold(t.Context(), resilience.Hold{By: h.by, Until: time.Now().Add(h.d)})
						if h.by == resilience.HoldLimit {
							first = min(first, h.d)
						}
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.left)
				defer cancel()
				start := time.Now()
				_, rep, err := all.Do(ctx, "", resilience.CallOptions{})
				took := time.Since(start)
				if !c.want {
					require.ErrorIs(t, err, resilience.Rejected)
					require.Zero(t, took, "refused at once")
					return
				}
				require.NoError(t, err)
				require.GreaterOrEqual(t, took, first)
				require.LessOrEqual(t, took, first*5/4)
				require.Equal(t, took, rep.Attempts[0].Wait)
			})
		})
	}
}

func TestWaitersDoNotArriveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, resilience.Seed(rand.NewPCG(7, 7)))
		arrived := make(chan time.Duration, 100)
		start := time.Now()
		c := newClient(t, p, resilience.BindFunc("a", func(context.Context, string) (string, error) {
			arrived <- time.Since(start)
			return "", nil
		}))
		limit(t, p, "a", 4*time.Second)
		for range 100 {
			go func() { _, _ = c.Call(t.Context(), "") }()
		}
		time.Sleep(6 * time.Second)
		early, late, same := 0, 0, map[time.Duration]bool{}
		for range 100 {
			at := <-arrived
			require.GreaterOrEqual(t, at, 4*time.Second)
			same[at] = true
			if at < 4500*time.Millisecond {
				early++
			} else {
				late++
			}
		}
		require.Greater(t, len(same), 95)
		require.InDelta(t, 50, early, 15)
		require.InDelta(t, 50, late, 15)
	})
}

func TestCallerLeavesWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, router := range []resilience.Feature{feature(func(*resilience.Setup) error { return nil }), inTurn(false)} {
			p := newPool(t, router)
			asked := false
			c := newClient(t, p, resilience.BindFunc("a", says("a")), resilience.Hooks[string, string]{
				Default: func(string, error) (string, error) { asked = true; return "default", nil },
			})
			limit(t, p, "a", 4*time.Second)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := c.Call(ctx, "")
			require.Equal(t, resilience.Canceled, resilience.KindOf(err))
			require.ErrorIs(t, err, context.Canceled)
			require.False(t, asked, "nobody waits for a default")
			idle(t, p)
		}
	})
}

func TestTwoIsUniform(t *testing.T) {
	const n, draws = 10, 20_000
	counts := map[string]int{}
	random := pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
		a, b := from.Two()
		require.NotNil(t, b)
		require.NotSame(t, a, b)
		counts[a.ID()]++
		counts[b.ID()]++
		return a
	})
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprint("m", i))
	}
	p := newPool(t, random, resilience.Seed(rand.NewPCG(3, 4)))
	c := newClient(t, p, echo(ids...)...)
	limit(t, p, "m0", time.Hour)
	limit(t, p, "m1", time.Hour)
	for range draws {
		_, err := c.Call(t.Context(), "")
		require.NoError(t, err)
	}
	require.Len(t, counts, n-2, "held models are not drawn")
	var chi2 float64
	const want = 2 * draws / float64(n-2)
	for _, got := range counts {
		chi2 += (float64(got) - want) * (float64(got) - want) / want
	}
	require.Less(t, chi2, 24.3, "chi-squared with 7 degrees of freedom at p = 0.001")
}

func TestTwoWhenFewAreFree(t *testing.T) {
	const n = 1000
	for free := range 4 {
		var a, b *resilience.Model
		random := pick(func(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
			a, b = from.Two()
			return a
		})
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprint("m", i))
		}
		p := newPool(t, random, resilience.Seed(rand.NewPCG(5, 6)))
		c := newClient(t, p, echo(ids...)...)
		for _, id := range ids[free:] {
			limit(t, p, id, time.Hour)
		}
		seen := map[string]int{}
		for range 100 {
			_, err := c.Call(t.Context(), "")
			require.Equal(t, free == 0, err != nil)
			require.Equal(t, free > 0, a != nil)
			require.Equal(t, free > 1, b != nil)
			if b != nil {
				require.NotSame(t, a, b)
			}
			if a != nil {
				seen[a.ID()]++
			}
		}
		require.Len(t, seen, free, "each of those that are free comes first at times")
	}
}

func TestRemainingAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var remaining []int
		var left []time.Duration
		p := newPool(t, inTurn(false), resilience.Timeouts{Call: time.Minute, Attempt: -1},
			layer(resilience.LayerRetry, func(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
				remaining = append(remaining, c.Remaining())
				left = append(left, c.Left())
				return next(ctx, c)
			}))
		c := newClient(t, p, bind([]string{"a", "b", "c"}, func(context.Context, string) (string, error) {
			time.Sleep(time.Second)
			return "", resilience.Overloaded
		})...)
		limit(t, p, "b", time.Hour)
		require.Equal(t, []string{"a", "c"}, path(t, c, resilience.CallOptions{}))
		require.Equal(t, []int{1, 0}, remaining)
		require.Equal(t, []time.Duration{time.Minute, 59 * time.Second}, left)
	})
}

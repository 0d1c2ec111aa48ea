package health_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/health"
)

// dead is a pool of two providers, one of which dies after two minutes of little
// traffic. It returns how many calls asked that one then.
func dead(t *testing.T, watched bool, then func(r *rig)) (asked int) {
	t.Helper()
	infos := append(many(10, resilience.ModelInfo{Provider: "acme"}), many(4, resilience.ModelInfo{Provider: "bolt", Tier: 1})...)
	features := []resilience.Feature{breaker.New(breaker.Config{Consecutive: 3}), fallback.New(fallback.Config{})}
	cfg := health.Config{}
	if !watched {
		cfg.ObserveOnly, cfg.Probes = true, -1
	}
	bubble(t, cfg, infos, func(r *rig) {
		var n atomic.Int64
		var fail atomic.Bool
		for _, info := range infos[:10] {
			r.setBoth(func(context.Context) error {
				if fail.Load() {
					return resilience.Unreachable
				}
				return nil
			}, func(context.Context) error {
				time.Sleep(100 * time.Millisecond)
				if fail.Load() {
					n.Add(1)
					return resilience.Unreachable
				}
				return nil
			}, info.ID)
		}
		traffic := func(d time.Duration) {
			for range int(d / (5 * time.Second)) {
				_, _ = r.client.Call(context.Background(), "?")
				time.Sleep(5 * time.Second)
			}
		}
		traffic(2 * time.Minute)
		r.told()
		fail.Store(true)
		traffic(4 * time.Minute)
		asked = int(n.Load())
		if then != nil {
			fail.Store(false)
			then(r)
		}
	}, features...)
	return asked
}

// A provider that is dead is found out once and not ten times, probed as one, and
// back as one.
func TestDeadProvider(t *testing.T) {
	asked := dead(t, true, func(r *rig) {
		lines := r.told(resilience.EventHealth)
		var group []string
		for _, l := range lines {
			if strings.HasPrefix(l, "pool") {
				group = append(group, l)
			}
		}
		require.Len(r, group, 1, "%v", lines)
		require.Regexp(r, `^pool available>unavailable: provider acme: \d of 10 models are out, 0 well$`, group[0])
		for _, m := range r.pool.Models()[:10] {
			require.False(r, m.Available(), m.ID())
		}
		require.LessOrEqual(r, r.asked(time.Since(r.start)-time.Minute, ids(r.pool.Models()[:10])...), 3, "one an interval")
		time.Sleep(40 * time.Second)
		lines = r.told(resilience.EventHealth)
		require.Len(r, lines, 1)
		require.Regexp(r, `^pool unavailable>available: provider acme: acmem\d answered a probe$`, lines[0])
		for _, m := range r.pool.Models()[:10] {
			require.False(r, r.held(m.ID()), m.ID())
		}
	})
	alone := dead(t, false, nil)
	t.Logf("calls that asked a dead provider of 10 models in 4 min of a call each 5 s: %d, model by model %d", asked, alone)
	require.Less(t, asked*2, alone)
}

func ids(models []*resilience.Model) (list []string) {
	for _, m := range models {
		list = append(list, m.ID())
	}
	return list
}

// out takes models out as a breaker does.
func (r *rig) out(d time.Duration, ids ...string) {
	for _, id := range ids {
		r.pool.Model(id).Hold(r.Context(), resilience.Hold{By: resilience.HoldBreaker, Until: time.Now().Add(d)})
	}
}

// What counts as an outage, and what does not.
func TestOutage(t *testing.T) {
	region := func(n int, provider, region string) []resilience.ModelInfo {
		infos := many(n, resilience.ModelInfo{Provider: provider, Region: region})
		for i := range infos {
			infos[i].ID += region
		}
		return infos
	}
	infos := append(region(4, "acme", "eu"), region(4, "acme", "us")...)
	infos = append(infos, region(4, "bolt", "")...)
	for name, c := range map[string]struct {
		out  []string
		well []string // have answered since
		want string
	}{
		"one":                   {out: []string{"acmem0eu"}},
		"two of a region":       {out: []string{"acmem0eu", "acmem1eu"}, want: "provider acme in eu: 2 of 4 models are out, 0 well"},
		"others elsewhere well": {out: []string{"acmem0eu", "acmem1eu"}, well: []string{"acmem0us", "acmem1us", "boltm0"}, want: "provider acme in eu: 2 of 4 models are out, 0 well"},
		"two of two regions":    {out: []string{"acmem0eu", "acmem1us"}, want: "provider acme: 2 of 8 models are out, 0 well"},
		"most are well":         {out: []string{"acmem0eu", "acmem1us"}, well: []string{"acmem2eu", "acmem2us", "acmem3us"}},
		"half are well":         {out: []string{"acmem0eu", "acmem1us"}, well: []string{"acmem2eu", "acmem2us"}, want: "provider acme: 2 of 8 models are out, 2 well"},
		"others, too":           {out: []string{"acmem0eu", "acmem1us", "boltm0", "boltm1"}},
		"others, but few":       {out: []string{"acmem0eu", "acmem1us", "boltm0"}, well: []string{"boltm1", "boltm2"}, want: "provider acme: 2 of 8 models are out, 0 well"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, health.Config{Probes: -1}, infos, func(r *rig) {
				for _, info := range infos {
					r.setBoth(nil, func(context.Context) error { time.Sleep(50 * time.Millisecond); return nil }, info.ID)
				}
				time.Sleep(time.Minute)
				if len(c.well) > 0 { // one after the other, calls between
					r.out(5*time.Minute, c.out[:1]...)
					time.Sleep(2 * time.Second)
					for _, id := range c.well {
						r.call(id, 1)
					}
					time.Sleep(2 * time.Second)
					r.out(5*time.Minute, c.out[1:]...)
				} else {
					r.out(5*time.Minute, c.out...)
				}
				time.Sleep(2 * time.Second)
				lines := r.told(resilience.EventHealth)
				if c.want == "" {
					require.Empty(r, lines)
					return
				}
				require.Equal(r, []string{"pool available>unavailable: " + c.want}, lines)
				for _, m := range r.pool.Models() {
					info := m.Info()
					inGroup := info.Provider == "acme" && (info.Region == "eu" || !strings.Contains(c.want, " in eu"))
					out := strings.Contains(strings.Join(c.out, " "), m.ID())
					well := strings.Contains(strings.Join(c.well, " "), m.ID())
					require.Equal(r, inGroup && !well, r.held(m.ID()) || inGroup && out, m.ID())
				}
				time.Sleep(66 * time.Second) // nobody probes: calls decide again
				for _, m := range r.pool.Models() {
					require.False(r, r.held(m.ID()))
				}
				require.Contains(r, strings.Join(r.told(resilience.EventHealth), "\n"), "its time is over, and calls decide")
			})
		})
	}
}

// A call that succeeds ends an outage as a probe does, and one provider alone is not
// held whole.
func TestOutageEnds(t *testing.T) {
	infos := append(many(4, resilience.ModelInfo{Provider: "acme"}), many(2, resilience.ModelInfo{Provider: "bolt"})...)
	bubble(t, health.Config{Probes: -1}, infos, func(r *rig) {
		r.setBoth(nil, func(context.Context) error { time.Sleep(50 * time.Millisecond); return nil }, "acmem3")
		time.Sleep(time.Minute)
		r.out(5*time.Minute, "acmem0", "acmem1")
		time.Sleep(2 * time.Second)
		require.True(r, r.held("acmem3"))
		r.pool.Model("acmem2").Release(r.Context(), resilience.HoldHealth)
		time.Sleep(2 * time.Second)
		require.False(r, r.held("acmem2"))
		require.Equal(r, resilience.Available, r.status("acmem2"), "it was not ill")
		m := r.pool.Model("acmem3")
		m.Release(r.Context(), resilience.HoldHealth)
		r.call("acmem3", 1)
		time.Sleep(2 * time.Second)
		require.False(r, r.held("acmem2"))
		require.Contains(r, strings.Join(r.told(resilience.EventHealth), "\n"), "provider acme: acmem3 answered")
	})
	bubble(t, health.Config{Interval: 10 * time.Second, Probes: -1}, infos, func(r *rig) { // who is ill itself stays out
		r.setBoth(nil, func(context.Context) error { time.Sleep(50 * time.Millisecond); return nil }, "acmem3")
		r.setBoth(nil, fails(resilience.Overloaded), "acmem2")
		for !r.held("acmem2") {
			r.call("acmem2", 1)
			time.Sleep(time.Second)
		}
		r.out(time.Minute, "acmem0", "acmem1")
		time.Sleep(2 * time.Second)
		require.True(r, r.held("acmem3"))
		r.pool.Model("acmem3").Release(r.Context(), resilience.HoldHealth)
		r.call("acmem3", 1)
		time.Sleep(2 * time.Second)
		require.Contains(r, strings.Join(r.told(resilience.EventHealth), "\n"), "provider acme: acmem3 answered")
		require.True(r, r.held("acmem2"))
	})
	bubble(t, health.Config{Probes: -1}, infos[:4], func(r *rig) {
		time.Sleep(time.Minute)
		r.out(5*time.Minute, "acmem0", "acmem1")
		time.Sleep(2 * time.Second)
		require.False(r, r.held("acmem2"), "there is nowhere else")
	})
	bubble(t, health.Config{Probes: -1, ObserveOnly: true}, infos, func(r *rig) {
		time.Sleep(time.Minute)
		r.out(5*time.Minute, "acmem0", "acmem1")
		time.Sleep(2 * time.Second)
		require.False(r, r.held("acmem2"))
		require.Equal(r, []string{"pool available>unavailable: provider acme: 2 of 4 models are out, 0 well (would)"}, r.told(resilience.EventHealth))
	})
}

// Two outages at the same instant take the same course each time, with the same
// source of chance.
func TestOutagesReplay(t *testing.T) {
	course := func() (lines []string) {
		var infos []resilience.ModelInfo
		for provider, n := range map[string]int{"acme": 3, "bolt": 3, "core": 12} {
			infos = append(infos, many(n, resilience.ModelInfo{Provider: provider})...)
		}
		slices.SortFunc(infos, func(a, b resilience.ModelInfo) int { return strings.Compare(a.ID, b.ID) })
		bubble(t, health.Config{Interval: 5 * time.Second, Probes: 20, MinCalls: 100}, infos, func(r *rig) {
			time.Sleep(30 * time.Second)
			for _, info := range infos {
				if info.Provider != "core" {
					r.set(resilience.Unreachable, info.ID)
				}
			}
			for range 30 {
				time.Sleep(2 * time.Second)
				lines = append(lines, r.told(resilience.EventHealth, resilience.EventHold)...)
				for _, m := range r.pool.Models() {
					for _, h := range m.Holds() {
						lines = append(lines, m.ID()+" "+h.Until.String())
					}
				}
			}
		})
		return lines
	}
	want := course()
	require.Contains(t, strings.Join(want, "\n"), "provider acme")
	require.Contains(t, strings.Join(want, "\n"), "provider bolt")
	for range 20 {
		require.Equal(t, want, course())
	}
}

// Who falls ill while an outage of its provider lasts is part of that one, and has
// its traffic back when that is over.
func TestOutageGrows(t *testing.T) {
	infos := append(many(6, resilience.ModelInfo{Provider: "acme"}), many(8, resilience.ModelInfo{Provider: "core"})...)
	bubble(t, health.Config{Interval: 5 * time.Second, Probes: -1, MinCalls: 2, Fall: 1}, infos, func(r *rig) {
		ask := func(d time.Duration, ids ...string) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
				for _, id := range ids {
					r.call(id, 1)
				}
			}
		}
		core := []string{"corem0", "corem1", "corem2", "corem3", "corem4", "corem5", "corem6", "corem7"}
		for _, info := range infos {
			r.setBoth(nil, func(context.Context) error { time.Sleep(30 * time.Millisecond); return nil }, info.ID)
		}
		ask(30*time.Second, core...)
		r.told()
		r.set(resilience.Unreachable, "acmem0", "acmem1")
		told := ""
		for range 20 {
			if told += strings.Join(r.told(resilience.EventHealth), "\n"); strings.Contains(told, "pool ") {
				break
			}
			ask(time.Second, append(core, "acmem0", "acmem1")...)
			r.call("acmem2", 1)
			r.call("acmem3", 1)
		}
		require.Contains(r, told, "pool available>unavailable: provider acme")
		r.set(resilience.Unreachable, "acmem2", "acmem3")
		r.call("acmem2", 20)
		r.call("acmem3", 20)
		ask(2*time.Minute, core...)
		var outages []string
		for _, line := range r.told(resilience.EventHealth) {
			if line, ours := strings.CutPrefix(line, "pool "); ours {
				from, _, _ := strings.Cut(line, ":")
				outages = append(outages, from)
			}
		}
		require.NotEmpty(r, outages)
		for i, line := range outages {
			require.Equal(r, []string{"unavailable>available", "available>unavailable"}[i%2], line, "%v", outages)
		}
		require.Equal(r, 1, len(outages)%2, "%v", outages)
	})
}

package balance_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
)

const fourModels = `{"models": [{"id": "a", "provider": "p", "region": "eu"}, {"id": "b", "provider": "p", "region": "eu"},
	{"id": "c", "provider": "p", "region": "eu"}, {"id": "new", "provider": "p", "region": "eu"}]}`

// Where load is spread, a new model gets its share of it; where one model is
// chosen for what it is, its share of all.
func TestNewModelsStartSlowly(t *testing.T) {
	const n = 2000
	for a, normal := range map[balance.Algorithm]float64{
		balance.TwoChoices: 0.25, balance.RoundRobin: 0.25, balance.Weighted: 0.25, balance.WeightedRandom: 0.25,
		balance.LeastInFlight: 0.25, balance.Regional: 0.25, balance.Priority: 0.25, balance.Scored: 1,
	} {
		t.Run(string(a), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := balance.Config{Algorithm: a, Region: "eu", Score: func(m *resilience.Model) float64 { return float64(len(m.ID())) }}
				w := newWorld(t, cfg, names("a", "b", "c")...)
				time.Sleep(time.Minute)
				w.reload(fourModels)
				for _, step := range []struct {
					after time.Duration
					ramp  float64
				}{{0, 0.1}, {3 * time.Second, 0.1}, {12 * time.Second, 0.5}, {9 * time.Second, 0.8}, {6 * time.Second, 1}} {
					time.Sleep(step.after)
					near(t, normal*step.ramp, n, w.spread(resilience.CallOptions{}, n)["new"], step.after.String())
				}
			})
		})
	}
}

// A model that starts has as much in flight as its share allows, although it
// looks idle.
func TestSlowStartUnderLoad(t *testing.T) {
	for _, a := range []balance.Algorithm{balance.TwoChoices, balance.LeastInFlight} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, balance.Config{Algorithm: a}, names("a", "b", "c")...)
			for _, id := range []string{"a", "b", "c", "new"} {
				w.takes[id] = time.Second
			}
			w.start(resilience.CallOptions{}, 60)
			w.reload(fourModels)
			for range 3 {
				time.Sleep(time.Second)
				w.start(resilience.CallOptions{}, 60)
			}
			require.LessOrEqual(t, w.Pool().Model("new").InFlight(), int64(4), "a tenth of 15 would be 2")
			for range 30 {
				time.Sleep(time.Second)
				w.start(resilience.CallOptions{}, 60)
			}
			require.InDelta(t, 15, w.Pool().Model("new").InFlight(), 3)
		})
	}
}

func TestWhoStartsSlowly(t *testing.T) {
	const n = 2000
	by := resilience.Control{Actor: "mia", Reason: "a test"}
	for name, tc := range map[string]struct {
		cfg balance.Config
		do  func(w *world, m *resilience.Model)
		at  float64 // the share of c at once
	}{
		"after a hold by health": {do: func(w *world, m *resilience.Model) {
			w.hold("c", resilience.HoldHealth, time.Second)
			time.Sleep(time.Second)
		}, at: 0.1},
		"after a hold by recovery": {do: func(w *world, m *resilience.Model) {
			w.hold("c", resilience.HoldRecovery, time.Minute)
			m.Release(w.t.Context(), resilience.HoldRecovery)
		}, at: 0.1},
		"after a drain": {do: func(w *world, m *resilience.Model) {
			require.NoError(w.t, m.Drain(w.t.Context(), by))
			require.NoError(w.t, m.Restore(w.t.Context(), by))
		}, at: 0.1},
		"not after a limit": {do: func(w *world, m *resilience.Model) {
			w.hold("c", resilience.HoldLimit, time.Second)
			time.Sleep(time.Second)
		}, at: 1},
		"not where it is off": {cfg: balance.Config{SlowStart: -1}, do: func(w *world, m *resilience.Model) {
			w.hold("c", resilience.HoldHealth, time.Second)
			time.Sleep(time.Second)
		}, at: 1},
		"as others say": {do: func(w *world, m *resilience.Model) { m.SetRamp(0.4) }, at: 0.4},
		"the lower of both": {do: func(w *world, m *resilience.Model) {
			w.hold("c", resilience.HoldHealth, time.Second)
			m.SetRamp(0.4)
			time.Sleep(time.Second)
		}, at: 0.1},
		"a reload goes on with what began": {do: func(w *world, m *resilience.Model) {
			w.hold("c", resilience.HoldHealth, time.Second)
			time.Sleep(time.Second)
			w.spread(resilience.CallOptions{}, 1)
			time.Sleep(15 * time.Second)
			w.reload(`{"balance": {"slowStart": "5m"}}`)
		}, at: 0.5},
		"a reload ends it": {do: func(w *world, m *resilience.Model) {
			w.hold("c", resilience.HoldHealth, time.Second)
			time.Sleep(time.Second)
			w.spread(resilience.CallOptions{}, 1)
			w.reload(`{"balance": {"slowStart": "-1s"}}`)
		}, at: 1},
		"a reset ends it": {do: func(w *world, m *resilience.Model) {
			w.hold("c", resilience.HoldHealth, time.Second)
			time.Sleep(time.Second)
			w.spread(resilience.CallOptions{}, 1)
			require.NoError(w.t, w.Pool().Reset(w.t.Context(), m, by))
		}, at: 1},
		"not what a reload keeps": {do: func(w *world, m *resilience.Model) {
			w.reload(`{}`)
		}, at: 1},
		"not after a breaker that only observes": {do: func(w *world, m *resilience.Model) {
			w.Pool().Emit(w.t.Context(), resilience.Event{Kind: resilience.EventBreaker, Model: m, From: "half_open", To: "closed", Would: true})
		}, at: 1},
		"all of them": {do: func(w *world, m *resilience.Model) {
			for _, id := range []string{"a", "b", "c"} {
				w.hold(id, resilience.HoldHealth, time.Second)
			}
			time.Sleep(time.Second)
		}, at: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.cfg, names("a", "b", "c")...)
				w.spread(resilience.CallOptions{}, 10)
				tc.do(w, w.Pool().Model("c"))
				near(t, tc.at/3, n, w.spread(resilience.CallOptions{}, n)["c"], "c")
			})
		})
	}
}

// Starting slowly is no reason to send calls to a model that fails.
func TestSlowStartBesideFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{}, names("good", "bad")...)
		w.fail["bad"] = 1
		for range 5 {
			_, err := w.Pin("bad").Call(t.Context(), "")
			require.Error(t, err)
		}
		w.Pool().Model("good").SetRamp(0.1)
		for range 50 {
			_, rep, err := w.Do(t.Context(), "", resilience.CallOptions{})
			require.NoError(t, err)
			require.Len(t, rep.Attempts, 1)
		}
	})
}

func TestBreakersThatCloseStartSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		pool, err := resilience.NewPool(breaker.New(breaker.Config{Consecutive: 1}), balance.New(balance.Config{Algorithm: balance.RoundRobin}), inTurn{})
		require.NoError(t, err)
		client, err := resilience.NewClient(pool,
			resilience.BindFunc("a", func(context.Context, string) (string, error) {
				if down {
					return "", resilience.Unreachable
				}
				return "a", nil
			}),
			resilience.BindFunc("b", func(context.Context, string) (string, error) { return "b", nil }))
		require.NoError(t, err)
		spread := func(n int) (a int) {
			for range n {
				id, err := client.Call(t.Context(), "")
				require.NoError(t, err)
				if id == "a" {
					a++
				}
			}
			return a
		}
		spread(10)
		require.False(t, pool.Model("a").Available())
		down = false
		time.Sleep(20 * time.Second)
		require.Equal(t, 2, spread(4), "probes")
		near(t, 0.05, 2000, spread(2000), "a")
		time.Sleep(15 * time.Second)
		near(t, 0.25, 2000, spread(2000), "a")
		time.Sleep(15 * time.Second)
		require.Equal(t, 1000, spread(2000))
	})
}

// Where all are new, all get their share, and none is passed over for ever.
func TestManyStartAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 8000
		var ids []string
		for i := range 20 {
			ids = append(ids, string(rune('a'+i)))
		}
		w := newWorld(t, balance.Config{Algorithm: balance.WeightedRandom}, names(ids...)...)
		for _, m := range w.Pool().Models() {
			m.SetRamp(0.01)
		}
		got := w.spread(resilience.CallOptions{}, n)
		for _, id := range ids {
			near(t, 1./20, n, got[id], id)
		}
	})
}

// A pool is not slow to start with, wherever its models come from.
func TestAPoolStartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2000
		pool, err := resilience.NewPool(balance.New(balance.Config{Algorithm: balance.WeightedRandom}))
		require.NoError(t, err)
		var opts []resilience.ClientOption[string, string]
		for _, id := range []string{"a", "b"} {
			opts = append(opts, resilience.BindFunc(id, func(context.Context, string) (string, error) { return id, nil }))
		}
		_, err = resilience.NewClient(pool, opts[0])
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, opts...)
		require.NoError(t, err)
		a := 0
		for range n {
			if id, _ := client.Call(t.Context(), ""); id == "a" {
				a++
			}
		}
		near(t, 0.5, n, a, "a")
	})
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "config.json")
		require.NoError(t, os.WriteFile(path, []byte(fourModels), 0o600))
		pool, err := resilience.NewPool(resilience.ConfigFile(path, -1), balance.New(balance.Config{}))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindProvider("p",
			func(_ context.Context, m *resilience.Model, _ string) (string, error) { return m.ID(), nil }))
		require.NoError(t, err)
		w := &world{Client: client, t: t}
		require.Len(t, w.spread(resilience.CallOptions{Affinity: "x"}, 40), 1, "none is passed over for being new")
	})
}

// What the only model of a region does not get goes to the rest of its tier.
func TestRampOfTheOnlyModelOfARegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		infos := names("a", "b", "c")
		infos[0].Region, infos[1].Region, infos[2].Region = "eu", "us", "us"
		w := newWorld(t, balance.Config{Algorithm: balance.Regional, Region: "eu"}, infos...)
		w.Pool().Model("a").SetRamp(.1)
		near(t, .1, 2000, w.spread(resilience.CallOptions{}, 2000)["a"], "of the calls of eu")
		require.InDelta(t, 20, w.spread(resilience.CallOptions{Affinity: "x"}, 200)["a"], 15)
		w.Pool().Model("b").SetFull(true)
		w.Pool().Model("c").SetFull(true)
		require.Equal(t, 50, w.spread(resilience.CallOptions{}, 50)["a"], "nobody else has room")
	})
}

// However many models are on their way back, each gets no more than its part while
// there is one that is not.
func TestSeveralRampsBesideOneModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{}, names("a", "b", "c")...)
		w.Pool().Model("a").SetRamp(.01)
		w.Pool().Model("b").SetRamp(.01)
		n := w.spread(resilience.CallOptions{}, 2000)
		require.Less(t, n["a"]+n["b"], 80)
	})
}

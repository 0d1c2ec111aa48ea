package balance_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
)

func TestHeldModelsAreLeftOut(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, opts := way.cfg, way.opts
				w := newWorld(t, cfg, names("a", "b", "c", "d")...)
				for _, id := range []string{"a", "b", "d"} {
					w.hold(id, resilience.HoldQuota, time.Hour)
				}
				require.Equal(t, map[string]int{"c": 50}, w.spread(opts, 50))
				w.hold("c", resilience.HoldQuota, time.Hour)
				_, _, err := w.Do(t.Context(), "", opts)
				require.ErrorIs(t, err, resilience.Rejected)
			})
		})
	}
}

func TestOneModelTakesAll(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, opts := way.cfg, way.opts
				w := newWorld(t, cfg, names("a")...)
				w.Pool().Model("a").SetRamp(0)
				require.Equal(t, map[string]int{"a": 20}, w.spread(opts, 20))
			})
		})
	}
}

func TestFullModelsComeLast(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, opts := way.cfg, way.opts
				w := newWorld(t, cfg, names("a", "b", "c", "d")...)
				for _, id := range []string{"a", "b", "d"} {
					w.Pool().Model(id).SetFull(true)
				}
				w.Pool().Model("c").SetRamp(0.1)
				require.Equal(t, map[string]int{"c": 50}, w.spread(opts, 50), "as long as another has room, even if it gets less than usual")
				w.Pool().Model("c").SetFull(true)
				total := 0
				for _, n := range w.spread(opts, 50) {
					total += n
				}
				require.Equal(t, 50, total)
			})
		})
	}
}

func TestThousandsOfModels(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, opts := way.cfg, way.opts
				var ids []string
				for i := range 5000 {
					ids = append(ids, fmt.Sprint("m", i))
				}
				w := newWorld(t, cfg, names(ids...)...)
				for i := range 5000 {
					if i != 4321 {
						w.hold(ids[i], resilience.HoldBreaker, time.Hour)
					}
				}
				require.Equal(t, map[string]int{"m4321": 3}, w.spread(opts, 3))
			})
		})
	}
}

// A call that goes on to other models finds each of them once.
func TestEachModelOnceInACall(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, opts := way.cfg, way.opts
				w := newWorld(t, cfg, names("a", "b", "c", "d")...)
				w.fail["a"], w.fail["b"], w.fail["c"], w.fail["d"] = 1, 1, 1, 1
				_, rep, err := w.Do(t.Context(), "", opts)
				require.ErrorIs(t, err, resilience.Unreachable)
				var asked []string
				for _, a := range rep.Attempts {
					asked = append(asked, a.Model.ID())
				}
				slices.Sort(asked)
				require.Equal(t, []string{"a", "b", "c", "d"}, asked)
			})
		})
	}
}

func TestConcurrentPicks(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, opts := way.cfg, way.opts
				cfg.LastResort = 0.5
				w := newWorld(t, cfg, names("a", "b", "c", "d")...)
				stop := make(chan struct{})
				var wg sync.WaitGroup
				wg.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						case <-time.After(time.Second):
						}
						m := w.Pool().Models()[i%3]
						m.SetFull(i%2 == 0)
						m.SetRamp(float64(i%10) / 10)
						m.Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Second)})
					}
				})
				for range 8 {
					wg.Go(func() {
						for range 200 {
							_, _, err := w.Do(t.Context(), "", opts)
							require.NoError(t, err)
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
				time.Sleep(time.Minute)
				close(stop)
				wg.Wait()
			})
		})
	}
}

func TestEvenShares(t *testing.T) {
	const n = 4000
	for _, a := range []balance.Algorithm{
		balance.TwoChoices, balance.WeightedRandom, balance.LeastInFlight, balance.Cheapest, balance.Priority, balance.Regional,
	} {
		t.Run(string(a), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, balance.Config{Algorithm: a}, names("a", "held", "b", "c", "d")...)
				w.hold("held", resilience.HoldBreaker, time.Hour)
				got := w.spread(resilience.CallOptions{}, n)
				for _, id := range []string{"a", "b", "c", "d"} {
					near(t, 0.25, n, got[id], id)
				}
			})
		})
	}
}

func TestRoundRobin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{Algorithm: balance.RoundRobin}, names("a", "b", "c", "d")...)
		require.Equal(t, "abcdabcd", w.order(8))
		w.hold("b", resilience.HoldBreaker, time.Minute)
		require.Equal(t, map[string]int{"a": 20, "c": 20, "d": 20}, w.spread(resilience.CallOptions{}, 60), "nobody gets the turns of a model that is out")
		time.Sleep(time.Minute)
		require.Equal(t, map[string]int{"a": 15, "b": 15, "c": 15, "d": 15}, w.spread(resilience.CallOptions{}, 60))
	})
}

func TestWeightedIsSmoothAndExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{Algorithm: balance.Weighted},
			resilience.ModelInfo{ID: "a", Weight: 5}, resilience.ModelInfo{ID: "b"}, resilience.ModelInfo{ID: "c"})
		require.Equal(t, "aabacaaaabacaa", w.order(14), "as nginx does")
		w.reload(`{"models": [{"id": "a", "provider": "p", "weight": 0.5}, {"id": "b", "provider": "p", "weight": 2.5}, {"id": "c", "provider": "p"}]}`)
		require.Equal(t, map[string]int{"a": 100, "b": 500, "c": 200}, w.spread(resilience.CallOptions{}, 800))
	})
}

func TestWeightedRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 8000
		w := newWorld(t, balance.Config{Algorithm: balance.WeightedRandom},
			resilience.ModelInfo{ID: "a", Weight: 5}, resilience.ModelInfo{ID: "b", Weight: 2}, resilience.ModelInfo{ID: "c"})
		got := w.spread(resilience.CallOptions{}, n)
		near(t, 5./8, n, got["a"], "a")
		near(t, 2./8, n, got["b"], "b")
	})
}

// What is in flight stands in proportion to weight.
func TestLoadPerWeight(t *testing.T) {
	for _, a := range []balance.Algorithm{balance.LeastInFlight, balance.TwoChoices} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, balance.Config{Algorithm: a}, resilience.ModelInfo{ID: "a", Weight: 3}, resilience.ModelInfo{ID: "b"})
			w.takes["a"], w.takes["b"] = time.Hour, time.Hour
			w.start(resilience.CallOptions{}, 40)
			require.InDelta(t, 30, w.Pool().Model("a").InFlight(), 1)
			require.InDelta(t, 10, w.Pool().Model("b").InFlight(), 1)
			w.Pool().Model("a").Queue(30)
			w.start(resilience.CallOptions{}, 8)
			require.InDelta(t, 18, w.Pool().Model("b").InFlight(), 1, "who waits counts, too")
			w.Pool().Model("a").Queue(-30)
		})
	}
}

// A model that is tried for the first time is tried once at a time, however
// many calls come.
func TestColdModelIsNotFlooded(t *testing.T) {
	for _, a := range []balance.Algorithm{balance.TwoChoices, balance.LeastLatency} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, balance.Config{Algorithm: a, SlowStart: -1}, names("a", "b")...)
			w.takes["a"], w.takes["b"] = time.Second, time.Second
			for range 5 {
				_, err := w.Pin("a").Call(t.Context(), "")
				require.NoError(t, err)
			}
			w.start(resilience.CallOptions{}, 100)
			require.EqualValues(t, 1, w.Pool().Model("b").InFlight())
			require.EqualValues(t, 99, w.Pool().Model("a").InFlight())
		})
	}
}

func TestLatencyDecides(t *testing.T) {
	for _, a := range []balance.Algorithm{balance.TwoChoices, balance.LeastLatency} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, balance.Config{Algorithm: a}, names("slow", "fast")...)
			w.takes["slow"], w.takes["fast"] = 4*time.Second, time.Second
			w.spread(resilience.CallOptions{}, 10)
			got := w.spread(resilience.CallOptions{}, 100)
			require.Greater(t, got["fast"], 85)
			if a == balance.TwoChoices {
				require.Positive(t, got["slow"], "who was slow is tried again")
			}
		})
	}
}

// A latency that is not confirmed counts for less and less: what it outweighs at
// first, it does not later.
func TestLatenciesFade(t *testing.T) {
	for _, c := range []struct {
		after  time.Duration
		weight float64 // of the slow one, which takes four times as long
		want   string
	}{
		{0, 3.5, "fast"},
		{0, 4.5, "slow"},
		{10 * time.Second, 1.4, "fast"},
		{10 * time.Second, 2, "slow"},
		{time.Minute, 1.1, "slow"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, balance.Config{}, resilience.ModelInfo{ID: "slow", Weight: c.weight}, resilience.ModelInfo{ID: "fast"})
			w.takes["slow"], w.takes["fast"] = 4*time.Second, time.Second
			var both sync.WaitGroup
			for id, takes := range w.takes {
				both.Go(func() {
					time.Sleep(4*time.Second - takes)
					_, err := w.Pin(id).Call(t.Context(), "")
					require.NoError(t, err)
				})
			}
			both.Wait()
			time.Sleep(c.after)
			require.Equal(t, c.want, w.order(1), "%v later, %v", c.after, c.weight)
		})
	}
}

// A failure now and then, which holds nothing back, still tips the scales.
func TestSingleFailuresCount(t *testing.T) {
	for _, a := range []balance.Algorithm{balance.LeastInFlight, balance.LeastLatency, balance.TwoChoices} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, balance.Config{Algorithm: a}, names("good", "bad")...)
			w.takes["good"], w.takes["bad"] = time.Second, time.Second
			for range 5 {
				for id := range w.takes {
					_, err := w.Pin(id).Call(t.Context(), "")
					require.NoError(t, err)
				}
			}
			w.fail["bad"] = 1
			_, err := w.Pin("bad").Call(t.Context(), "")
			require.Error(t, err)
			w.fail["bad"] = 0
			require.Equal(t, map[string]int{"good": 3}, w.spread(resilience.CallOptions{}, 3), a)
		})
	}
}

// A model is known as soon as it was called often enough.
func TestLeastLatencySoonKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{Algorithm: balance.LeastLatency}, names("slow", "fast")...)
		w.takes["slow"], w.takes["fast"] = 20*time.Millisecond, 10*time.Millisecond
		w.spread(resilience.CallOptions{}, 1)
		for range 3 {
			for id := range w.takes {
				_, err := w.Pin(id).Call(t.Context(), "")
				require.NoError(t, err)
			}
		}
		require.Equal(t, map[string]int{"fast": 20}, w.spread(resilience.CallOptions{}, 20))
	})
}

// Least latency sends all calls to the fastest as long as it has room, and
// notices by its load when it has not, before its median shows it.
func TestLeastLatencyNoticesQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{Algorithm: balance.LeastLatency}, names("slow", "fast", "slower")...)
		w.takes["slow"], w.takes["fast"], w.takes["slower"] = 1500*time.Millisecond, time.Second, 3*time.Second
		for range 60 {
			w.start(resilience.CallOptions{}, 50)
			time.Sleep(time.Second)
		}
		w.start(resilience.CallOptions{}, 50)
		require.EqualValues(t, 50, w.Pool().Model("fast").InFlight(), "it has room for all")
		w.reload(`{"models": [{"id": "slow", "provider": "p"}, {"id": "slower", "provider": "p"}]}`)
		w.start(resilience.CallOptions{}, 1)
		require.EqualValues(t, 1, w.Pool().Model("slow").InFlight())
	})
	synctest.Test(t, func(t *testing.T) {
		e := offer(t, 1, serversOf(10, 4, 100*time.Millisecond), .85*400, 5000, 10_000, balancer(balance.LeastLatency))
		require.Less(t, e.quantile(.99), 2*time.Second, "by the median alone half of the calls took longer than 28 s")
	})
}

// With calls longer than a latency is remembered for, load still decides.
func TestLongCallsGoByLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{}, names("a", "b", "c", "d")...)
		for _, id := range []string{"a", "b", "c", "d"} {
			w.takes[id] = time.Minute
		}
		for range 100 {
			w.start(resilience.CallOptions{}, 1)
			time.Sleep(7 * time.Second)
		}
		most := int64(0)
		for _, m := range w.Pool().Models() {
			most = max(most, m.InFlight())
		}
		require.LessOrEqual(t, most, int64(4), "of nine at four models")
	})
}

func TestCheapest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{Algorithm: balance.Cheapest, SlowStart: -1},
			resilience.ModelInfo{ID: "unknown"},
			resilience.ModelInfo{ID: "input", Price: resilience.Price{Input: 1, Output: 5}}, // 8 for 3:1
			resilience.ModelInfo{ID: "output", Price: resilience.Price{Input: 2, Output: 1}},
			resilience.ModelInfo{ID: "free", Price: resilience.Price{Free: true}})
		w.takes["unknown"] = time.Second
		for _, want := range []string{"free", "output", "input", "unknown"} {
			require.Equal(t, map[string]int{want: 10}, w.spread(resilience.CallOptions{}, 10))
			w.hold(want, resilience.HoldQuota, time.Hour)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, balance.Config{Algorithm: balance.Cheapest},
			resilience.ModelInfo{ID: "slow", Price: resilience.Price{Input: 1}}, resilience.ModelInfo{ID: "fast", Price: resilience.Price{Input: 1}})
		w.takes["slow"], w.takes["fast"] = 4*time.Second, time.Second
		w.spread(resilience.CallOptions{}, 10)
		require.Greater(t, w.spread(resilience.CallOptions{}, 100)["fast"], 85, "of the same price")
	})
}

func TestScored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scores := map[string]float64{"a": 1, "b": math.NaN(), "c": 3, "d": 3}
		cfg := balance.Config{Algorithm: balance.Scored, Score: func(m *resilience.Model) float64 { return scores[m.ID()] }}
		w := newWorld(t, cfg, names("a", "b", "c", "d")...)
		const n = 2000
		got := w.spread(resilience.CallOptions{}, n)
		near(t, 0.5, n, got["c"], "c")
		require.Equal(t, n, got["c"]+got["d"])
		w.hold("c", resilience.HoldQuota, time.Hour)
		w.hold("d", resilience.HoldQuota, time.Hour)
		require.Equal(t, map[string]int{"a": 10}, w.spread(resilience.CallOptions{}, 10), "NaN is the worst")
	})
}

// A model that fails at once must not attract calls, also where nobody breaks
// or retries.
func TestFastFailuresDoNotAttract(t *testing.T) {
	for _, tc := range []struct {
		cfg  balance.Config
		opts resilience.CallOptions
		most int // failures of 2000 calls, ten a second
	}{
		{cfg: balance.Config{}, most: 100},
		{cfg: balance.Config{Algorithm: balance.LeastInFlight}, most: 100},
		{cfg: balance.Config{Algorithm: balance.LeastLatency}, most: 100},
		{cfg: balance.Config{Algorithm: balance.Regional, Region: "eu"}, most: 100},
		{cfg: balance.Config{Algorithm: balance.Priority}, most: 100},
		{cfg: balance.Config{Algorithm: balance.Cheapest}, most: 120},
		{cfg: balance.Config{Algorithm: balance.Scored, Score: func(m *resilience.Model) float64 {
			return float64(strings.Count(m.ID(), "bad"))
		}}, most: 120},
	} {
		t.Run(string(tc.cfg.Algorithm), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.cfg, resilience.ModelInfo{ID: "bad", Price: resilience.Price{Input: 1}},
					resilience.ModelInfo{ID: "b", Price: resilience.Price{Input: 2}}, resilience.ModelInfo{ID: "c", Price: resilience.Price{Input: 3}})
				w.takes["bad"], w.takes["b"], w.takes["c"] = time.Millisecond, time.Second, time.Second
				w.fail["bad"] = 1
				failed := 0
				for range 2000 {
					go func() {
						if _, _, err := w.Do(t.Context(), "", resilience.CallOptions{Attempts: -1}); err != nil {
							failed++
						}
					}()
					time.Sleep(100 * time.Millisecond)
					synctest.Wait()
				}
				time.Sleep(time.Minute)
				require.LessOrEqual(t, failed, tc.most)
			})
		})
	}
}

package breaker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// What calls say in these tests.
var (
	good    = outcome{}
	bad     = outcome{harm: whole}
	light   = outcome{harm: whole / 2}
	slow    = outcome{slow: true}
	neutral = outcome{neutral: true}
)

const lease = int64(2 * time.Minute)

// plain are the defaults, without jitter unless a rig says otherwise.
func plain() rules {
	return rules{
		failureRate: 0.5, slowAfter: int64(30 * time.Second), minCalls: 10, window: int64(30 * time.Second),
		consecutive: 5, openFor: int64(10 * time.Second), maxOpenFor: int64(40 * time.Second), probes: 2,
	}
}

// A rig is an engine on the clock of a test.
type rig struct {
	*testing.T
	engine
	start   time.Time
	mu      sync.Mutex
	changes []string
}

func newRig(t *testing.T, r rules) *rig {
	t.Helper()
	g := &rig{T: t, start: time.Now()}
	g.init(r, func() float64 { return 0 }, func(c change) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.changes = append(g.changes, fmt.Sprintf("%v→%v %s", c.from, c.to, c.reason))
	})
	return g
}

func (g *rig) now() int64 { return int64(time.Since(g.start)) }

func (g *rig) admit() (permit, error) {
	if p, ok := g.enter(); ok {
		return p, nil
	}
	return g.knock(context.Background(), g.now(), lease)
}

func (g *rig) end(p permit, o outcome) { g.report(context.Background(), g.now(), p, o) }

// call makes a call and reports whether it was let through.
func (g *rig) call(o outcome) bool {
	p, err := g.admit()
	if err == nil {
		g.end(p, o)
	}
	return err == nil
}

func (g *rig) calls(outcomes ...outcome) {
	g.Helper()
	for i, o := range outcomes {
		require.True(g, g.call(o), "call %d", i)
	}
}

func (g *rig) is(s State) {
	g.Helper()
	require.Equal(g, s.String(), g.peek(g.now()).String(), g.changes)
}

func (g *rig) trip() {
	g.Helper()
	g.calls(slices.Repeat([]outcome{bad}, 5)...)
	g.is(Open)
}

// half trips the breaker and waits until it probes.
func (g *rig) half() {
	g.Helper()
	g.trip()
	time.Sleep(time.Duration(g.gate.Load() - g.now()))
	g.is(HalfOpen)
}

func virtual(t *testing.T, name string, r rules, f func(g *rig)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(newRig(t, r)) })
	})
}

func with(edit func(*rules)) rules {
	r := plain()
	edit(&r)
	return r
}

// mix repeats a pattern of outcomes n times.
func mix(n int, pattern ...outcome) []outcome { return slices.Repeat(pattern, n) }

func TestTrips(t *testing.T) {
	slowly := with(func(r *rules) { r.slowRate = 0.5 })
	drift := with(func(r *rules) { r.drift, r.failureRate, r.consecutive = 6, 0, 0 })
	rateOnly := with(func(r *rules) { r.consecutive = 0 })
	for _, tt := range []struct {
		name  string
		rules rules
		first []outcome // leaves it closed
		last  outcome   // opens it
		why   string
	}{
		{"in a row", plain(), mix(4, bad), bad, "5 failures in a row"},
		{"in a row after a success", plain(), append(mix(4, bad), good, bad, bad, bad, bad), bad, "5 failures in a row"},
		{"light ones weigh half", plain(), mix(9, light), light, "5 failures in a row"},
		{"light and whole", rateOnly, append(mix(3, bad, light), mix(4, good)...), bad, "50% of 11 calls failed"},
		{"at the rate itself", plain(), append(mix(4, good, bad), good), bad, "50% of 10 calls failed"},
		{"not before there are enough", rateOnly, mix(9, bad), bad, "100% of 10 calls failed"},
		{"neutral ones are not calls", rateOnly, append(mix(9, bad), mix(20, neutral)...), bad, "100% of 10 calls failed"},
		{"slow", slowly, append(mix(4, good, slow), good), slow, "50% of 10 calls were slow"},
		{"slow failures are slow too", with(func(r *rules) { r.slowRate, r.failureRate = 0.5, 0 }),
			append(mix(4, good, outcome{harm: whole, slow: true}), good), slow, "50% of 10 calls were slow"},
		{"drift at once", drift, mix(2, bad), bad, "failures drifted to 6.9"},
		{"drift slowly", drift, append(mix(2, bad), mix(7, good)...), bad, "failures drifted to 6.2"},
		{"drift forgets no lower than zero", drift, append(mix(1000, good), bad, bad), bad, "failures drifted to 6.9"},
		{"drift of light ones", drift, mix(5, light), light, "failures drifted to 6.9"},
	} {
		virtual(t, tt.name, tt.rules, func(g *rig) {
			g.calls(tt.first...)
			g.is(Closed)
			g.calls(tt.last)
			require.Equal(g, []string{"closed→open " + tt.why}, g.changes)
			require.False(g, g.call(good))
		})
	}
}

func TestStaysClosed(t *testing.T) {
	off := with(func(r *rules) { r.failureRate, r.consecutive = 0, 0 })
	for _, tt := range []struct {
		name  string
		rules rules
		calls []outcome
	}{
		{"below the rate", plain(), append(mix(50, good, good, bad), bad)},
		{"four in a row", plain(), mix(30, good, good, good, good, good, bad, bad, bad, bad)},
		{"slow, but nobody asked", plain(), mix(100, slow)},
		{"slow below the rate", with(func(r *rules) { r.slowRate = 0.5 }), append(mix(50, good, good, slow), slow)},
		{"neutral", plain(), mix(100, neutral)},
		{"neutral ones do not part a row, nor make one", plain(), append(mix(4, bad), mix(9, neutral)...)},
		{"everything off", off, mix(100, bad)},
		{"a slow success parts a row", with(func(r *rules) { r.failureRate = 0 }), mix(20, bad, bad, bad, bad, slow)},
		{"light failures of half the calls", with(func(r *rules) { r.consecutive = 0 }), mix(50, light, good)},
	} {
		virtual(t, tt.name, tt.rules, func(g *rig) {
			g.calls(tt.calls...)
			g.is(Closed)
			require.Empty(g, g.changes)
		})
	}
}

func TestWindow(t *testing.T) {
	rateOnly := with(func(r *rules) { r.consecutive = 0 })
	virtual(t, "forgets what is older", rateOnly, func(g *rig) {
		g.calls(mix(9, bad)...)
		time.Sleep(31 * time.Second)
		g.calls(mix(9, bad)...)
		g.is(Closed)
		g.calls(bad)
		g.is(Open)
	})
	virtual(t, "remembers what is not", rateOnly, func(g *rig) {
		g.calls(mix(9, bad)...)
		time.Sleep(27 * time.Second)
		g.calls(bad)
		g.is(Open)
	})
	// A call that takes longer than the window counts when it ends.
	virtual(t, "counts at the end", with(func(r *rules) { r.window = int64(time.Second) }), func(g *rig) {
		var permits []permit
		for range 5 {
			p, err := g.admit()
			require.NoError(g, err)
			permits = append(permits, p)
		}
		time.Sleep(time.Minute)
		for _, p := range permits {
			g.end(p, bad)
		}
		g.is(Open)
	})
	virtual(t, "begins anew at the close", rateOnly, func(g *rig) {
		g.calls(mix(10, bad)...)
		time.Sleep(10 * time.Second)
		g.calls(good, good)
		g.is(Closed)
		g.calls(bad) // the eleventh failure in twelve calls of 30 s, yet the first of this life
		g.is(Closed)
		g.calls(append(mix(8, good), bad)...)
		g.is(Closed)
		g.calls(mix(6, bad)...)
		g.is(Open)
	})
	virtual(t, "the row begins anew at the close", plain(), func(g *rig) {
		g.half()
		g.calls(good, good)
		g.calls(mix(4, bad)...)
		g.is(Closed)
	})
	virtual(t, "drift begins anew at the close", with(func(r *rules) { r.drift, r.consecutive = 6, 0 }), func(g *rig) {
		g.calls(bad, bad, bad)
		time.Sleep(10 * time.Second)
		g.calls(good, good, bad, bad)
		g.is(Closed)
	})
}

func TestOpenTime(t *testing.T) {
	until := func(g *rig) time.Duration { return time.Duration(g.gate.Load() - g.now()) }
	virtual(t, "is exact", plain(), func(g *rig) {
		g.trip()
		require.Equal(g, 10*time.Second, until(g))
		time.Sleep(10*time.Second - 1)
		require.False(g, g.call(good))
		time.Sleep(1)
		require.True(g, g.call(good))
		g.is(HalfOpen)
	})
	virtual(t, "doubles with each failed round, is capped, and starts over after a close", plain(), func(g *rig) {
		g.trip()
		for _, want := range []time.Duration{10, 20, 40, 40, 40} {
			require.Equal(g, want*time.Second, until(g))
			time.Sleep(until(g))
			g.calls(bad)
			g.is(Open)
		}
		time.Sleep(until(g))
		g.calls(good, good)
		g.is(Closed)
		g.trip()
		require.Equal(g, 10*time.Second, until(g))
	})
	virtual(t, "does not overflow", with(func(r *rules) { r.openFor, r.maxOpenFor = 1, 1<<62 }), func(g *rig) {
		g.opened = 1000
		g.trip()
		require.Equal(g, int64(1)<<62, int64(until(g)))
	})
	virtual(t, "is jittered upward by a tenth, within the cap", plain(), func(g *rig) {
		rng := rand.New(rand.NewPCG(1, 2))
		g.random = rng.Float64
		seen := map[time.Duration]bool{}
		for range 200 {
			g.trip()
			d := until(g)
			require.GreaterOrEqual(g, d, 10*time.Second)
			require.LessOrEqual(g, d, 11*time.Second)
			seen[d] = true
			g.close(g.Context(), g.now(), "")
		}
		require.Greater(g, len(seen), 150)
		g.opened = 9
		g.trip()
		require.Equal(g, 40*time.Second, until(g))
	})
	asked := func(d time.Duration) outcome { return outcome{harm: whole, wait: int64(d)} }
	for _, tt := range []struct {
		name string
		ask  time.Duration
		want time.Duration
	}{
		{"an overloaded provider asks for longer", 25 * time.Second, 25 * time.Second},
		{"for less", 3 * time.Second, 10 * time.Second},
		{"for more than the cap", time.Hour, 40 * time.Second},
	} {
		virtual(t, tt.name, plain(), func(g *rig) {
			g.calls(mix(4, bad)...)
			g.calls(asked(tt.ask))
			require.Equal(g, tt.want, until(g))
		})
	}
	virtual(t, "asking for less does not shorten it", plain(), func(g *rig) {
		g.calls(asked(30*time.Second), asked(12*time.Second), bad, bad, bad)
		require.Equal(g, 30*time.Second, until(g))
	})
	virtual(t, "what was asked is capped once", plain(), func(g *rig) {
		g.calls(mix(4, bad)...)
		g.calls(asked(time.Hour))
		time.Sleep(40 * time.Second)
		g.calls(bad)
		require.Equal(g, 20*time.Second, until(g))
	})
	virtual(t, "what was asked is forgotten at a close", plain(), func(g *rig) {
		g.calls(asked(30 * time.Second))
		g.close(g.Context(), g.now(), "")
		g.trip()
		require.Equal(g, 10*time.Second, until(g))
	})
	virtual(t, "what was asked a while ago still counts", plain(), func(g *rig) {
		g.calls(asked(30 * time.Second))
		time.Sleep(5 * time.Second)
		g.calls(mix(4, bad)...)
		require.Equal(g, 25*time.Second, until(g))
		time.Sleep(25 * time.Second)
		g.calls(good, good)
		g.trip()
		require.Equal(g, 10*time.Second, until(g))
	})
}

func TestRounds(t *testing.T) {
	slowly := with(func(r *rules) { r.slowRate = 0.9 })
	for _, tt := range []struct {
		name   string
		rules  rules
		probes []outcome
		want   State
	}{
		{"all good", plain(), []outcome{good, good}, Closed},
		{"one good so far", plain(), []outcome{good}, HalfOpen},
		{"first bad", plain(), []outcome{bad}, Open},
		{"good, then bad", plain(), []outcome{good, bad}, Open},
		{"one light says too little", plain(), []outcome{light, good}, HalfOpen},
		{"one light does not keep it open", plain(), []outcome{light, good, good}, Closed},
		{"two light ones are a failure", plain(), []outcome{light, light}, Open},
		{"neutral ones do not vote", plain(), mix(50, neutral), HalfOpen},
		{"neutral and good", plain(), []outcome{neutral, good, neutral, good}, Closed},
		{"slow is good", plain(), []outcome{slow, slow}, Closed},
		{"slow is bad where there is a slow rate", slowly, []outcome{slow}, Open},
		{"one probe", with(func(r *rules) { r.probes = 1 }), []outcome{good}, Closed},
		{"five probes", with(func(r *rules) { r.probes = 5 }), mix(4, good), HalfOpen},
	} {
		virtual(t, tt.name, tt.rules, func(g *rig) {
			g.half()
			g.calls(tt.probes...)
			g.is(tt.want)
		})
	}
}

func TestNoMoreProbesThanAllowed(t *testing.T) {
	virtual(t, "at once", plain(), func(g *rig) {
		g.half()
		a, err := g.admit()
		require.NoError(g, err)
		_, err = g.admit()
		require.NoError(g, err)
		for range 10 {
			_, err = g.admit()
			require.ErrorIs(g, err, resilience.Rejected)
			require.ErrorContains(g, err, "half-open")
		}
		g.end(a, neutral) // frees its place
		_, err = g.admit()
		require.NoError(g, err)
		_, err = g.admit()
		require.Error(g, err)
	})
	virtual(t, "of a thousand that race", plain(), func(g *rig) {
		g.trip()
		time.Sleep(10 * time.Second)
		var in atomic.Int32
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := g.admit(); err == nil {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(g, 2, in.Load())
		require.Equal(g, "open→half-open open time is over", g.changes[1])
		require.Len(g, g.changes, 2)
	})
	virtual(t, "over many racing rounds", with(func(r *rules) { r.probes = 3 }), func(g *rig) {
		var out, most atomic.Int32
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(7, uint64(i)))
				for range 200 {
					p, err := g.admit()
					if err == nil && p.lease != 0 {
						n := out.Add(1)
						for {
							m := most.Load()
							if n <= m || most.CompareAndSwap(m, n) {
								break
							}
						}
					}
					time.Sleep(time.Duration(rng.Int64N(int64(5 * time.Second))))
					if err == nil {
						if p.lease != 0 {
							out.Add(-1)
						}
						g.end(p, []outcome{good, bad, bad, neutral, light}[rng.IntN(5)])
					}
				}
			})
		}
		wg.Wait()
		require.EqualValues(g, 3, most.Load())
		require.Greater(g, len(g.changes), 20)
		require.Empty(g, broken(g.changes))
	})
}

// broken returns the first change that does not begin where the one before it
// ended.
func broken(changes []string) string {
	at := Closed.String()
	for _, c := range changes {
		states, _, _ := strings.Cut(c, " ")
		from, to, _ := strings.Cut(states, "→")
		if from != at {
			return c
		}
		at = to
	}
	return ""
}

func TestStaleOutcomes(t *testing.T) {
	for _, o := range []outcome{good, bad, light, slow, neutral} {
		virtual(t, fmt.Sprintf("of a call from before the trip %+v", o), plain(), func(g *rig) {
			var old []permit
			for range 20 {
				p, err := g.admit()
				require.NoError(g, err)
				old = append(old, p)
			}
			g.half()
			probe, err := g.admit()
			require.NoError(g, err)
			for _, p := range old[:10] {
				g.end(p, o)
			}
			g.is(HalfOpen)
			require.Len(g, g.leases, 1, "a stale outcome must not give back a place")
			g.end(probe, good)
			g.is(HalfOpen)
			g.calls(good)
			g.is(Closed)
			for _, p := range old[10:] {
				g.end(p, o)
			}
			g.is(Closed)
			require.Zero(g, g.rules.Load().counts.Sum(g.now(), 1<<40, calls)[0])
			g.calls(mix(4, bad)...)
			g.is(Closed)
		})
		virtual(t, fmt.Sprintf("of a probe of an earlier round %+v", o), plain(), func(g *rig) {
			g.half()
			old, err := g.admit()
			require.NoError(g, err)
			g.calls(bad)
			g.is(Open)
			time.Sleep(20 * time.Second)
			g.is(HalfOpen)
			g.calls(good)
			g.end(old, o)
			g.is(HalfOpen)
			g.calls(good)
			g.is(Closed)
		})
		virtual(t, fmt.Sprintf("reported twice %+v", o), plain(), func(g *rig) {
			g.half()
			p, err := g.admit()
			require.NoError(g, err)
			g.end(p, neutral)
			q, err := g.admit()
			require.NoError(g, err)
			g.end(q, bad)
			g.end(q, o)
			g.is(Open)
			require.Len(g, g.changes, 3)
		})
	}
}

func TestHungProbe(t *testing.T) {
	virtual(t, "has failed when its lease runs out", plain(), func(g *rig) {
		g.half()
		a, err := g.admit()
		require.NoError(g, err)
		b, err := g.admit()
		require.NoError(g, err)
		time.Sleep(time.Duration(lease) - 1)
		require.False(g, g.call(good))
		g.is(HalfOpen)
		time.Sleep(1)
		require.False(g, g.call(good))
		g.is(Open)
		require.Equal(g, 20*time.Second, time.Duration(g.gate.Load()-g.now()), "it grows")
		require.Equal(g, "half-open→open probe hung", g.changes[2])
		time.Sleep(20 * time.Second)
		g.calls(good, good)
		g.end(a, bad)
		g.end(b, good)
		g.is(Closed)
	})
	virtual(t, "is noticed by its own late return", plain(), func(g *rig) {
		g.half()
		p, err := g.admit()
		require.NoError(g, err)
		time.Sleep(time.Duration(lease))
		g.end(p, good)
		g.is(Open)
	})
	virtual(t, "next to a good one", plain(), func(g *rig) {
		g.half()
		_, err := g.admit()
		require.NoError(g, err)
		g.calls(good)
		g.is(HalfOpen)
		g.calls(good) // two are in: decided without the hung one
		g.is(Closed)
		time.Sleep(time.Hour)
		g.calls(good)
		g.is(Closed)
	})
}

func TestByHand(t *testing.T) {
	virtual(t, "open until a time, then probe", plain(), func(g *rig) {
		g.hold(g.Context(), Open, g.now()+int64(time.Hour), "maintenance")
		time.Sleep(time.Hour - 1)
		_, err := g.admit()
		require.ErrorIs(g, err, resilience.Rejected)
		g.is(Open)
		time.Sleep(1)
		g.is(HalfOpen)
		g.calls(good, good)
		g.is(Closed)
		require.Equal(g, []string{
			"closed→open maintenance", "open→half-open open time is over", "half-open→closed probes succeeded",
		}, g.changes)
	})
	virtual(t, "a probe that fails afterwards opens for the plain time", plain(), func(g *rig) {
		g.hold(g.Context(), Open, g.now()+int64(time.Hour), "")
		time.Sleep(time.Hour)
		g.calls(bad)
		require.Equal(g, 10*time.Second, time.Duration(g.gate.Load()-g.now()))
	})
	virtual(t, "the later order counts, even if it ends sooner", plain(), func(g *rig) {
		g.trip()
		g.hold(g.Context(), Open, g.now()+int64(time.Second), "shorter")
		time.Sleep(time.Second)
		g.is(HalfOpen)
	})
	virtual(t, "isolated until close", plain(), func(g *rig) {
		g.half()
		probe, err := g.admit()
		require.NoError(g, err)
		g.hold(g.Context(), Isolated, shut, "bad answers")
		g.end(probe, good)
		time.Sleep(1000 * time.Hour)
		_, err = g.admit()
		require.ErrorIs(g, err, resilience.Rejected)
		require.ErrorContains(g, err, "isolated")
		require.Zero(g, resilience.RetryAfter(err))
		g.is(Isolated)
		g.close(g.Context(), g.now(), "fixed")
		g.is(Closed)
		g.calls(mix(4, bad)...)
		g.is(Closed)
	})
	virtual(t, "close forgets", plain(), func(g *rig) {
		g.calls(mix(4, bad)...)
		g.close(g.Context(), g.now(), "")
		require.Empty(g, g.changes, "closed already")
		g.calls(mix(4, bad)...)
		g.is(Closed)
		g.calls(bad)
		g.is(Open)
		time.Sleep(10 * time.Second)
		g.calls(bad)
		g.close(g.Context(), g.now(), "")
		g.trip()
		require.Equal(g, 10*time.Second, time.Duration(g.gate.Load()-g.now()), "growth too")
	})
	virtual(t, "outcomes of calls under way are dropped", plain(), func(g *rig) {
		p, err := g.admit()
		require.NoError(g, err)
		g.hold(g.Context(), Isolated, shut, "")
		g.end(p, bad)
		g.end(p, good)
		g.is(Isolated)
	})
}

func TestPass(t *testing.T) {
	last := func(g *rig) (permit, error) { return g.pass(g.Context(), g.now(), lease) }
	virtual(t, "open: goes uncounted", plain(), func(g *rig) {
		g.trip()
		for _, o := range []outcome{good, bad} {
			p, err := last(g)
			require.NoError(g, err)
			g.end(p, o)
			g.is(Open)
		}
		require.Len(g, g.changes, 1)
	})
	virtual(t, "half-open: probes, or goes uncounted", plain(), func(g *rig) {
		g.half()
		a, _ := last(g)
		b, _ := last(g)
		c, err := last(g)
		require.NoError(g, err)
		g.end(c, bad)
		g.is(HalfOpen)
		g.end(a, good)
		g.end(b, good)
		g.is(Closed)
	})
	virtual(t, "by hand: does not go", plain(), func(g *rig) {
		g.hold(g.Context(), Open, g.now()+int64(time.Minute), "")
		_, err := last(g)
		require.ErrorIs(g, err, resilience.Rejected)
		time.Sleep(time.Minute)
		_, err = last(g)
		require.NoError(g, err)
		g.hold(g.Context(), Isolated, shut, "")
		_, err = last(g)
		require.ErrorIs(g, err, resilience.Rejected)
	})
}

func TestApply(t *testing.T) {
	virtual(t, "keeps the row", plain(), func(g *rig) {
		g.calls(bad, bad, bad)
		g.apply(g.Context(), g.now(), with(func(r *rules) { r.consecutive = 4 }))
		g.is(Closed)
		g.calls(bad)
		g.is(Open)
	})
	virtual(t, "knows of a success in between", with(func(r *rules) { r.slowRate = 1 }), func(g *rig) {
		g.calls(bad, bad, bad, bad, good)
		g.apply(g.Context(), g.now(), with(func(r *rules) { r.slowRate, r.consecutive = 1, 3 }))
		g.calls(slow)
		g.is(Closed)
	})
	virtual(t, "says nothing of a closed breaker", plain(), func(g *rig) {
		g.apply(g.Context(), g.now(), with(func(r *rules) { r.observe = true }))
		g.calls(good)
		require.Empty(g, g.changes)
	})
	virtual(t, "keeps an open time that has begun", plain(), func(g *rig) {
		g.trip()
		g.apply(g.Context(), g.now(), with(func(r *rules) { r.openFor = int64(time.Second) }))
		time.Sleep(10*time.Second - 1)
		g.is(Open)
		time.Sleep(1)
		g.is(HalfOpen)
	})
	virtual(t, "keeps the counts when the window changes", with(func(r *rules) { r.consecutive = 0 }), func(g *rig) {
		g.calls(mix(9, bad)...)
		g.apply(g.Context(), g.now(), with(func(r *rules) { r.consecutive, r.window = 0, int64(time.Hour) }))
		time.Sleep(time.Minute)
		g.calls(bad)
		g.is(Open)
	})
	virtual(t, "changes the size of a round under way", plain(), func(g *rig) {
		g.half()
		g.calls(good)
		g.apply(g.Context(), g.now(), with(func(r *rules) { r.probes = 4 }))
		g.calls(good, good)
		g.is(HalfOpen)
		g.calls(good)
		g.is(Closed)
	})
}

func TestRefusal(t *testing.T) {
	virtual(t, "says when to come back", plain(), func(g *rig) {
		g.trip()
		_, err := g.admit()
		require.ErrorIs(g, err, resilience.Rejected)
		require.ErrorContains(g, err, "breaker open")
		require.Equal(g, 10*time.Second, resilience.RetryAfter(err))
		time.Sleep(99 * time.Millisecond)
		_, again := g.admit()
		require.Same(g, err, again)
		time.Sleep(time.Millisecond)
		_, later := g.admit()
		require.Equal(g, 9900*time.Millisecond, resilience.RetryAfter(later))
	})
	virtual(t, "of another open time", plain(), func(g *rig) {
		g.trip()
		_, err := g.admit()
		require.Equal(g, 10*time.Second, resilience.RetryAfter(err))
		g.hold(g.Context(), Open, g.now()+int64(time.Minute), "")
		_, err = g.admit()
		require.Equal(g, time.Minute, resilience.RetryAfter(err))
	})
	virtual(t, "costs nothing", plain(), func(g *rig) {
		g.trip()
		require.Zero(g, testing.AllocsPerRun(100, func() { _, _ = g.admit() }))
	})
}

// Whoever hears of a change may ask the engine about it, and change it again;
// changes are still heard one by one.
func TestChangesFromAnObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, plain())
		var heard []string
		g.publish = func(c change) {
			heard = append(heard, fmt.Sprintf("%v→%v, is %v", c.from, c.to, g.peek(g.now())))
			if c.to == Open {
				g.close(t.Context(), g.now(), "no")
				heard = append(heard, "done")
			}
		}
		g.calls(mix(5, bad)...)
		require.Equal(t, []string{"closed→open, is open", "done", "open→closed, is closed"}, heard)
	})
}

func TestPanickingObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, plain())
		heard := 0
		g.publish = func(change) {
			if heard++; heard == 1 {
				panic("observer")
			}
		}
		g.calls(mix(4, bad)...)
		require.PanicsWithValue(t, "observer", func() { g.call(bad) })
		g.is(Open)
		time.Sleep(10 * time.Second)
		g.calls(good, good)
		require.Equal(t, 3, heard)
	})
}

func TestGobreakerIsNotAskedWhileAllIsWell(t *testing.T) {
	virtual(t, "closed", plain(), func(g *rig) {
		g.cb = nil // would panic
		g.calls(mix(100, good, neutral, good)...)
	})
	virtual(t, "open", plain(), func(g *rig) {
		g.trip()
		g.cb = nil
		for range 100 {
			_, err := g.admit()
			require.ErrorIs(g, err, resilience.Rejected)
		}
	})
}

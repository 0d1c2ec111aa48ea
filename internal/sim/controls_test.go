package sim_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/degrade"
)

// A forgery makes one thing wrong in a history that is right.
type forgery func(h *history)

// find returns the first element that fits.
func find[T any](t *testing.T, list []*T, fits func(*T) bool) *T {
	t.Helper()
	i := slices.IndexFunc(list, fits)
	require.GreaterOrEqual(t, i, 0, "the history has none")
	return list[i]
}

// A history in which each check finds what it looks for, made of a real one.
// That must be found, or else the check is worth nothing.
func TestEachCheckFindsSomething(t *testing.T) {
	if testing.Short() {
		t.Skip("looks at the same history 100 times")
	}
	s := controlled()
	plain := func(c *callRecord) bool { return c.got != nil && len(c.report.Attempts) == 1 }
	streamed := func(c *callRecord) bool { return c.whole && c.err == nil && len(c.chunks) > 3 }
	forgeries := map[int][]forgery{
		1: {
			func(h *history) { h.calls[0].ends++ },
			func(h *history) { find(t, h.calls, plain).err = errBad },
			func(h *history) {
				h.calls[0].got, h.calls[0].err, h.calls[0].whole, h.calls[0].crashed = nil, nil, false, false
			},
			func(h *history) {
				h.events = append(h.events, eventRecord{kind: resilience.EventCall, call: h.calls[0].id, model: -1})
			},
		},
		2: {func(h *history) { h.calls[5].first = h.calls[5].limit + int64(time.Second) }},
		3: {func(h *history) {
			for range 7 {
				h.asks = append(h.asks, &askRecord{call: h.calls[0].id, valued: true, begin: 1, end: 1})
			}
		}},
		4: {func(h *history) {
			for range 20 {
				h.events = append(h.events, eventRecord{at: int64(time.Minute), kind: resilience.EventRetry, model: 0, err: resilience.Overloaded})
			}
		}},
		5: {
			func(h *history) { h.gates[3].state, h.gates[3].lastResort = breaker.Open, false },
			func(h *history) { h.gates[3].state, h.gates[3].lastResort = breaker.Isolated, true },
		},
		6: {func(h *history) {
			g := *find(t, h.gates, func(g *gateRecord) bool { return g.state == breaker.HalfOpen && !g.lastResort })
			for range 4 {
				c := g
				h.gates = append(h.gates, &c)
			}
			for _, c := range h.gates[len(h.gates)-4:] {
				c.begin, c.end = int64(lasts), int64(lasts)+1
			}
		}},
		7: {func(h *history) {
			h.events = append(h.events, eventRecord{at: int64(lasts), kind: resilience.EventReject, reason: "refused: breaker half-open, probes under way"})
		}},
		8: {
			func(h *history) { turn(h, "half-open", "closed", "probes succeeded") },
			func(h *history) { turn(h, "half-open", "open", "probe failed") },
		},
		9:  {func(h *history) { turn(h, "open", "closed", "because") }},
		10: {func(h *history) { turn(h, "half-open", "open", "because") }, func(h *history) { h.end.models[1].state = breaker.Open }},
		11: {func(h *history) { turn(h, "closed", "open", "5 failures in a row") }},
		12: {func(h *history) {
			a := find(t, h.asks, func(a *askRecord) bool { return a.kind == resilience.RateLimited && a.wait > 0 && a.key == "" })
			b := &askRecord{call: h.calls[0].id, model: a.model, begin: a.end + int64(a.wait)/2, end: a.end + int64(a.wait)/2, valued: true}
			h.asks = append(h.asks, b)
			h.gates = append(h.gates, &gateRecord{call: b.call, model: b.model, begin: b.begin, end: b.end, over: b.end})
			slices.SortStableFunc(h.gates, func(a, b *gateRecord) int { return int(a.begin - b.begin) })
		}, func(h *history) { again(h, find(t, h.asks, byKey(resilience.RateLimited)), 10*time.Second) },
			func(h *history) {
				a := find(t, h.asks, byKey(resilience.RateLimited))
				again(h, a, 10*time.Second)
				for model := range s.models { // what is reset is another model, or was before
					e := eventRecord{at: a.end + int64(time.Second), kind: resilience.EventControl, model: model, reason: "reset by recovery: a probe succeeded"}
					if model == a.model {
						e.at = a.begin - 1
					}
					h.events = append(h.events, e)
				}
			}},
		13: {
			func(h *history) {
				a := *find(t, h.asks, func(a *askRecord) bool { return a.kind == resilience.Unauthorized && a.key == "" })
				a.begin, a.end = a.end+1, a.end+2
				h.asks = append(h.asks, &a)
			},
			func(h *history) { again(h, find(t, h.asks, byKey(resilience.Unauthorized)), time.Second) },
			func(h *history) { again(h, find(t, h.asks, byKey(resilience.QuotaSpent)), 20*time.Second) },
			func(h *history) { again(h, find(t, h.asks, guest), time.Minute) },
		},
		14: {func(h *history) {
			a := find(t, h.asks, func(a *askRecord) bool { return a.kind == resilience.Invalid })
			h.visits = append(h.visits, &visitRecord{call: a.call, model: (a.model + 1) % len(s.models), at: a.end + int64(time.Second), capable: true, named: true})
		}},
		15: {
			func(h *history) { find(t, h.calls, streamed).chunks[1].word = 0 },
			func(h *history) { find(t, h.calls, streamed).chunks[2].model++ },
		},
		16: {func(h *history) { c := find(t, h.calls, streamed); c.chunks = c.chunks[:len(c.chunks)-1] }},
		17: {
			func(h *history) { find(t, h.calls, plain).got.bad = true },
			func(h *history) { find(t, h.calls, plain).got.model++ },
			func(h *history) { find(t, h.calls, plain).report.Attempts[0].Usage.Input++ },
		},
		18: {
			func(h *history) { find(t, h.calls, plain).got.call++ },
			func(h *history) { find(t, h.calls, streamed).chunks[0].call++ },
		},
		19: {
			func(h *history) { h.end.models[0].inFlight = 1 },
			func(h *history) { h.end.models[0].queued = 1 },
			func(h *history) { h.end.inFlight = 1 },
			func(h *history) {
				for range 9 {
					h.gates = append(h.gates, &gateRecord{model: 0, begin: int64(lasts)})
				}
			},
		},
		20: {func(h *history) { v := *h.visits[0]; h.visits = append(h.visits, &v) }},
		21: {
			func(h *history) { h.visits[0].capable = false },
			func(h *history) { h.visits[0].named = false },
			func(h *history) { h.visits[0].byHand = true },
		},
		23: {
			func(h *history) {
				c := h.calls[0]
				c.allHeld, c.err, c.first, c.plan.opts.Priority = true, resilience.Rejected, c.begin+int64(time.Second), resilience.Normal
			},
			func(h *history) { h.calls[0].err = errors.New("who knows") },
		},
		25: {
			func(h *history) { h.asks[0].valued = false },
			func(h *history) { h.asks[0].end = 0 },
			func(h *history) { c := find(t, h.calls, plain); c.alive, c.plan.cancel = false, 0 },
		},
		26: {func(h *history) { h.samples = append(h.samples, sampleRecord{queued: 101}) }, func(h *history) { h.samples = append(h.samples, sampleRecord{inFlight: -1}) }},
		27: {func(h *history) { h.panicked = "deadlock" }},
		28: {
			func(h *history) { h.end.drains[1] = context.DeadlineExceeded },
			func(h *history) { h.end.drained = int64(time.Second) },
			func(h *history) { h.end.later = nil },
		},
		29: {
			func(h *history) { h.calls[0].report.Generation += 7 },
			func(h *history) {
				h.orders = append(h.orders, orderRecord{kind: badReload, changed: true, asked: true})
			},
		},
		30: {
			func(h *history) { h.calls[0].report.Usage.Input++ },
			func(h *history) { h.calls[0].report.Cost++ },
			func(h *history) {
				c := find(t, h.calls, plain)
				c.report.Attempts = nil
				c.report.Usage, c.report.Cost = resilience.Usage{}, 0
			},
			func(h *history) {
				c := find(t, h.calls, plain)
				h.events = append(h.events, eventRecord{kind: resilience.EventAttempt, call: c.id})
			},
			func(h *history) { h.end.purseHeld = 1 },
			func(h *history) { h.end.purseSpent++ },
		},
		32: {
			func(h *history) { h.orders = append(h.orders, orderRecord{kind: drain, at: int64(lasts)}) },
			func(h *history) { h.orders = append(h.orders, orderRecord{kind: veto, asked: true, changed: true}) },
		},
		34: {
			func(h *history) { h.scenario.runs = true; level(h, time.Minute, "minimal", "moderate") },
			func(h *history) {
				h.scenario.runs = true
				level(h, time.Minute, "none", "severe")
				level(h, 3*time.Minute, "severe", "none")
			},
			func(h *history) {
				h.scenario.runs = true
				level(h, time.Minute, "none", "minimal")
				level(h, time.Minute+29*time.Second, "minimal", "none")
			},
			func(h *history) { level(h, time.Minute, "none", "minimal"); level(h, 2*time.Minute, "minimal", "none") },
			func(h *history) { h.end.level = degrade.Minimal },
		},
		35: {
			func(h *history) { strike(h, 1, time.Minute-time.Second) },
			func(h *history) { strike(h, 1, 3*time.Minute) },
			func(h *history) { strike(h, 0, 2*time.Minute) },
			func(h *history) { h.days[0].err = errBad },
			func(h *history) { h.days[0].end += int64(2 * time.Minute) },
			func(h *history) { h.days[0].models = []int{1, 2, 3} },
			func(h *history) {
				d := *h.days[0]
				d.begin, d.models = d.begin+1, []int{3}
				h.days = append(h.days, &d)
			},
			func(h *history) {
				for i := range time.Duration(500) {
					strike(h, 1, 2*time.Minute+i*time.Millisecond)
				}
			},
			func(h *history) { h.scenario.blast = nil },
		},
		36: {
			func(h *history) {
				h.orders = append(h.orders, orderRecord{kind: drain, asked: true, model: h.visits[0].model, at: -1, until: int64(lasts)})
			},
			func(h *history) {
				h.orders = append(h.orders, orderRecord{kind: isolate, asked: true, model: h.gates[0].model, at: -1, until: int64(lasts)})
			},
		},
		37: {func(h *history) {
			for _, c := range h.calls {
				c.err = resilience.Rejected
			}
		}},
		38: {
			func(h *history) { h.end.models[0].state = breaker.HalfOpen },
			func(h *history) { h.end.available[0] = false },
			func(h *history) {
				for _, c := range h.calls {
					h.asks = append(h.asks, &askRecord{call: c.id, valued: true, begin: c.begin, end: c.end})
				}
			},
		},
		39: {func(h *history) {
			c := find(t, h.calls, func(c *callRecord) bool { return c.plan.opts.Once })
			for range 2 {
				h.asks = append(h.asks, &askRecord{call: c.id, valued: true, accepted: true, begin: c.begin, end: c.end})
			}
		}},
		40: {
			func(h *history) { find(t, h.asks, guest).key = "p0-k0" },
			func(h *history) {
				h.events = append(h.events, eventRecord{kind: resilience.EventHold, to: "credential", call: find(t, h.asks, guest).call})
			},
			func(h *history) { find(t, h.asks, byKey(resilience.Unauthorized)).key = "own0" },
			func(h *history) { find(t, h.asks, byKey(resilience.Unauthorized)).key = "" },
			func(h *history) { find(t, h.asks, func(a *askRecord) bool { return a.key == "" }).key = "p0-k0" },
		},
		41: {func(h *history) {
			a := find(t, h.asks, byKey(resilience.Unauthorized))
			h.asks = slices.DeleteFunc(h.asks, func(b *askRecord) bool { return b.call == a.call && b.begin >= a.end })
		}},
		42: {
			func(h *history) { h.end.accounts[0].Reserved.Cost = 1e-9 },
			func(h *history) { h.end.accounts[0].Spent.Cost += 1e-9 },
			func(h *history) { h.end.accounts[0].Spent.Tokens-- },
			func(h *history) {
				find(t, h.asks, func(a *askRecord) bool { return a.billed.Output > 0 }).billed.Output++
			},
			func(h *history) {
				for title, e := range h.worst {
					e.over[1] = 101
					h.worst[title] = e
				}
			},
		},
	}
	maps.Copy(forgeries, healForgeries())
	right := simulate(t, s)
	require.Empty(t, violations(right), "the history is right")
	for _, c := range checks {
		require.NotEmpty(t, forgeries[c.number], "%d, %s", c.number, c.name)
		for i, forge := range forgeries[c.number] {
			h := right.copied()
			forge(h)
			found := slices.ContainsFunc(violations(h), func(v violation) bool { return v.number == c.number })
			require.True(t, found, "forgery %d of check %d, %s", i, c.number, c.name)
		}
	}
}

// byKey finds requests that a model's key made fail so, and the key alone.
func byKey(kind resilience.Kind) func(*askRecord) bool {
	return func(a *askRecord) bool { return a.kind == kind && strings.HasPrefix(a.key, "p5-") }
}

// guest finds requests that failed by a key of the caller's.
func guest(a *askRecord) bool { return a.kind == resilience.Unauthorized && a.key == "own0" }

// again adds a request by the same key.
func again(h *history, a *askRecord, after time.Duration) {
	b := *a
	b.begin, b.end, b.kind = a.end+int64(after), a.end+int64(after), resilience.Unreachable
	h.asks = append(h.asks, &b)
	h.gates = append(h.gates, &gateRecord{call: b.call, model: b.model, begin: b.begin, end: b.end, over: b.end})
	slices.SortStableFunc(h.gates, func(a, b *gateRecord) int { return cmp.Compare(a.begin, b.begin) })
}

// turn adds a change of the breaker of the first model.
func turn(h *history, from, to, reason string) {
	h.events = append(h.events, eventRecord{at: int64(lasts), kind: resilience.EventBreaker, model: 0, from: from, to: to, reason: reason})
}

// level adds a change of the level of degradation.
func level(h *history, when time.Duration, from, to string) {
	h.events = append(h.events, eventRecord{at: int64(when), kind: resilience.EventDegrade, from: from, to: to})
}

// strike adds an attempt that was made to fail.
func strike(h *history, model int, begin time.Duration) {
	h.events = append(h.events, eventRecord{at: int64(begin), kind: resilience.EventAttempt, model: model, faulted: true})
}

// controlled is a scenario in which all happens that forgeries need.
func controlled() scenario {
	s := draw(3)
	s.rescue, s.runs = false, false
	s.config.Fallback.Strategy, s.config.Fallback.LastResort, s.config.Balance.LastResort = "sequential", false, 0
	s.config.Limiter.InFlight, s.config.Limiter.Tenant, s.config.Limiter.Queue = 8, 0, 0
	s.config.Breaker.Probes = 2
	s.faults = nil
	var all []int
	for i := range s.models {
		all = append(all, i)
		s.models[i].inners, s.models[i].Limits, s.models[i].Keys = 0, resilience.Limits{}, nil
	}
	s.keys, s.guests, s.blind = true, true, false
	s.models[5].Provider, s.models[5].Keys = "p5", []string{"p5-k0", "p5-k1", "p5-k2", "p5-k3"}
	s.budgets = &budget.Config{Limits: []budget.Limit{{Scope: budget.Tenant, Cost: .2, Tokens: 20_000, Window: budget.Day(nil)}}}
	for i, f := range []fault{
		{kind: refuse, models: []int{0, 1}},
		{kind: throttle, models: []int{2, 3}, wait: 20 * time.Second},
		{kind: unauthorized, models: []int{4}},
		{kind: poison, share: .2},
		{kind: keyDead, models: []int{5}, key: "p5-k0"},
		{kind: keySpent, models: []int{5}, key: "p5-k1"},
		{kind: keyLimited, models: []int{5}, key: "p5-k2", wait: 20 * time.Second},
		{kind: keyDead, models: all, key: "own0"},
	} {
		f.id, f.from, f.to = i+1, time.Minute, 3*time.Minute
		s.faults = append(s.faults, f)
	}
	s.levels = &degrade.Config{Throttle: -1}
	s.blast = &chaos.Blast{Models: 2, Share: .5, For: 3 * time.Minute}
	s.faults = append(s.faults, fault{id: 20, kind: injected, models: []int{1, 2}, from: time.Minute, to: 3 * time.Minute, share: .5})
	return s
}

// copied copies as much of a history as forgeries change.
func (h *history) copied() *history {
	c := &history{scenario: h.scenario, reached: h.reached, end: h.end, panicked: h.panicked}
	c.calls, c.asks, c.visits, c.gates = deep(h.calls), deep(h.asks), deep(h.visits), deep(h.gates)
	for _, call := range c.calls {
		call.chunks = slices.Clone(call.chunks)
		call.report.Attempts = slices.Clone(call.report.Attempts)
		if call.got != nil {
			got := *call.got
			call.got = &got
		}
	}
	c.days, c.glances = deep(h.days), deep(h.glances)
	c.worst, c.end.accounts = maps.Clone(h.worst), slices.Clone(h.end.accounts)
	c.events, c.orders, c.samples = slices.Clone(h.events), slices.Clone(h.orders), slices.Clone(h.samples)
	c.end.models, c.end.available, c.end.drains = slices.Clone(h.end.models), slices.Clone(h.end.available), slices.Clone(h.end.drains)
	c.end.ramps, c.end.health, c.end.outcomes = slices.Clone(h.end.ramps), slices.Clone(h.end.health), slices.Clone(h.end.outcomes)
	return c
}

func deep[T any](list []*T) []*T {
	all := make([]*T, len(list))
	for i, p := range list {
		c := *p
		all[i] = &c
	}
	return all
}

package sim_test

import (
	"context"
	"hash/fnv"
	"math"
	"slices"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/internal/sim"
	"github.com/cmmv-hive/resilience/retry"
)

// A watch is a feature that sees what passes between the layers.
type watch struct {
	*history

	breakers *breaker.Breakers
	pool     *resilience.Pool
	lives    [32]int // changes of each breaker's state; under history.mu
}

// Install implements [resilience.Feature].
func (w *watch) Install(s *resilience.Setup) error {
	w.pool = s.Pool()
	s.Wrap(resilience.LayerRetry, w.visit)
	s.Wrap(resilience.LayerLimit, w.part)
	s.Wrap(resilience.LayerTimeout, w.gate)
	s.Observe(w.see)
	return nil
}

func number(m *resilience.Model) int {
	if m == nil {
		return -1
	}
	n := 0
	for _, c := range m.ID()[1:] {
		n = 10*n + int(c-'0')
	}
	return n
}

func recordOf(ctx context.Context) *callRecord {
	rec, _ := ctx.Value(callKey{}).(*callRecord)
	return rec
}

func actorOf(rec *callRecord, model int) int64 { return rec.id*actorsACall + int64(model) }

// visit sees each model that a call goes to.
func (w *watch) visit(m *resilience.Model, next resilience.Handler) resilience.Handler {
	return func(ctx context.Context, c *resilience.Call) error {
		rec := recordOf(ctx)
		v := &visitRecord{call: rec.id, model: number(m), at: now(), lastResort: c.LastResort(), rescue: rec.stream, ramp: m.Ramp()}
		for _, h := range m.Holds() {
			v.byHand = v.byHand || h.By == resilience.HoldManual
		}
		opts := c.Options()
		v.capable = true
		for _, need := range opts.Require {
			v.capable = v.capable && (slices.Contains(m.Info().Capabilities, need) || m.Info().Region == need)
		}
		v.named = opts.Model == "" || slices.ContainsFunc(append([]string{opts.Model}, opts.Fallbacks...), func(n string) bool {
			return n == m.ID() || n == m.Name()
		})
		w.mu.Lock()
		w.visits = append(w.visits, v)
		w.mu.Unlock()
		w.trace.Add(sim.Mark{At: v.at, Actor: actorOf(rec, v.model), What: markVisit})
		if w.scenario.config.Fallback.Strategy == fallback.Parallel { // lanes set out at the same instant
			if err := c.Sleep(ctx, sim.Until(now(), 0, actorOf(rec, v.model))); err != nil {
				return err
			}
		}
		return next(ctx, c)
	}
}

// part lets those whom the limiter has just let in go first: what wakes at the
// same instant would otherwise go on in any order.
func (w *watch) part(m *resilience.Model, next resilience.Handler) resilience.Handler {
	return func(ctx context.Context, c *resilience.Call) error {
		err := next(ctx, c)
		_ = sim.Sleep(context.Background(), 0, actorOf(recordOf(ctx), number(m)))
		return err
	}
}

// gate sees each attempt that the breaker lets through.
func (w *watch) gate(m *resilience.Model, next resilience.Handler) resilience.Handler {
	return func(ctx context.Context, c *resilience.Call) (err error) {
		rec := recordOf(ctx)
		g := &gateRecord{call: rec.id, model: number(m), begin: now(), state: w.breakers.State(m), lastResort: c.LastResort()}
		w.mu.Lock()
		g.life = w.lives[g.model]
		w.gates = append(w.gates, g)
		w.mu.Unlock()
		w.trace.Add(sim.Mark{At: g.begin, Actor: actorOf(rec, g.model), What: markGate, N: int64(g.state)})
		returned := false
		defer func() {
			g.end = now()
			g.over = g.end
			if !returned {
				g.crashed, g.against, g.kind = true, true, resilience.Unknown
				return
			}
			if err != nil {
				g.kind, g.against = resilience.KindOf(err), c.Against(err)
				return
			}
			if c.Running() {
				g.over = 0
				c.OnEnd(func(err error) {
					g.over = now()
					g.kind, g.against = resilience.KindOf(err), c.Against(err)
				})
			}
		}()
		err = next(ctx, c)
		returned = true
		return err
	}
}

// see notes an event.
func (w *watch) see(ctx context.Context, e resilience.Event) {
	r := eventRecord{at: now(), kind: e.Kind, model: number(e.Model), from: e.From, to: e.To, reason: e.Reason, key: e.Key, err: resilience.KindOf(e.Err),
		took: e.Duration, faulted: e.Faulted, would: e.Would}
	if e.Kind == resilience.EventHealth && e.Model != nil && e.To == resilience.Unavailable.String() {
		r.spare = slices.ContainsFunc(w.pool.Models(), func(m *resilience.Model) bool { return m != e.Model && m.Available() })
	}
	if rec := recordOf(ctx); rec != nil {
		r.call = rec.id
	}
	if e.Kind == resilience.EventHold && e.Model != nil && e.Key == "" {
		r.until = w.ends(e.Model, e.To)
	}
	w.mu.Lock()
	if e.Kind == resilience.EventBreaker {
		w.lives[r.model]++
	}
	w.events = append(w.events, r)
	w.mu.Unlock()
	actor := r.call*actorsACall + int64(r.model+1)
	if e.Kind == resilience.EventCall && e.Err != nil { // of lanes that fail together any may be the last
		actor = r.call * actorsACall
	}
	h := fnv.New64a()
	if e.Kind == resilience.EventBudget { // of calls that it refuses together any may be the first
		actor = 0
	} else {
		_, _ = h.Write([]byte(e.From + "|" + e.To + "|" + e.Reason))
	}
	w.trace.Add(sim.Mark{At: r.at, Actor: actor, What: markEvent<<8 | uint64(e.Kind), N: int64(h.Sum64())})
}

// ends is when a hold does, or a very long time if it is open.
func (w *watch) ends(m *resilience.Model, holder string) int64 {
	for _, h := range m.Holds() {
		if h.Key == "" && h.By.String() == holder && !h.Until.IsZero() {
			return int64(h.Until.Sub(w.pool.At(0)))
		}
	}
	return math.MaxInt64
}

// nested are the features of a pool behind a model.
func nested(seed uint64, model int) []resilience.Feature {
	f := []resilience.Feature{resilience.Seed(newSource(seed, uint64(model))), retry.New(retry.Config{Attempts: 2})}
	if model%2 == 0 {
		f = append(f, breaker.New(breaker.Config{MaxOpenFor: breakerLongest}))
	}
	return f
}

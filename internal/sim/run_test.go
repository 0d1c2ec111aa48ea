package sim_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/internal/sim"
	"github.com/cmmv-hive/resilience/stack"
)

// simulate plays a scenario in virtual time. A panic of the bubble, such as of
// goroutines left in it, becomes part of the history.
func simulate(t *testing.T, s scenario, extra ...resilience.Feature) (h *history) {
	t.Helper()
	h = &history{scenario: s, reached: map[string]bool{}}
	defer func() {
		if v := recover(); v != nil {
			h.panicked = fmt.Sprint(v)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		if err := h.play(t.Context(), extra); err != nil {
			h.panicked = err.Error()
		}
	})
	return h
}

func (h *history) play(ctx context.Context, extra []resilience.Feature) error {
	w := newWorld(h)
	cfg := h.scenario.config
	breakers := breaker.New(cfg.Breaker)
	eyes := &watch{history: h, breakers: breakers}
	d := &desk{history: h, breakers: breakers, asked: map[string]bool{}, resetting: &w.resetting}
	c, err := w.open(append(extra, eyes, resilience.Audit(d.audit), breakers, stack.New(cfg))...)
	if err != nil {
		return err
	}
	d.clients = c
	lazy := c.pool.Subscribe(1)
	defer lazy.Close()

	base, stop := context.WithCancel(ctx)
	defer stop()
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	for _, work := range []func(context.Context){w.weathers, d.work, d.sample} {
		others.Go(func() { work(base) })
	}
	if h.scenario.runs {
		for _, p := range append(c.inner, c.pool) {
			others.Go(func() { _ = p.Run(base) })
		}
	}
	guests := &crowd{history: h, clients: c, exits: slices.ContainsFunc(h.scenario.faults, func(f fault) bool { return f.kind == exits })}
	guests.traffic(ctx)
	h.probe(ctx, guests, breakers)
	h.finish(ctx, d)
	h.end.dropped = lazy.Dropped()
	return nil
}

// probe calls models that no call has reached since they failed, as the
// balancer prefers others.
func (h *history) probe(ctx context.Context, guests *crowd, breakers *breaker.Breakers) {
	for range 3 {
		for _, m := range guests.pool.Models() {
			if breakers.State(m) == breaker.Closed && m.Available() {
				continue
			}
			for range 3 {
				id := guests.take(1)
				_ = sim.Sleep(ctx, time.Millisecond, id*actorsACall+caller)
				p := callPlan{patience: 20 * time.Second}
				p.opts.Model = m.ID()
				p.opts.Timeout = 15 * time.Second
				guests.call(ctx, id, p)
			}
		}
		_ = sim.Sleep(ctx, 20*time.Second, traffic)
	}
}

// finish drains the pool and looks at what is left.
func (h *history) finish(ctx context.Context, d *desk) {
	_ = sim.Sleep(ctx, 30*time.Second, traffic) // losers of races have noticed by then
	h.end.inFlight = d.pool.InFlight()
	if h.end.now = now(); d.budgets != nil {
		h.end.accounts = d.budgets.Accounts("", "")
	}
	if d.levels != nil {
		h.end.level = d.levels.Level()
	}
	h.end.models = d.looks()
	if d.healer != nil {
		h.end.outcomes = d.healer.History()
	}
	for _, m := range d.pool.Models() {
		h.end.available = append(h.end.available, m.Available())
		h.end.ramps = append(h.end.ramps, m.Ramp())
		if d.checker != nil {
			h.end.health = append(h.end.health, d.checker.Last(m))
		}
	}
	begin := now()
	for range 2 {
		grace, cancel := context.WithTimeout(ctx, time.Minute)
		h.end.drains = append(h.end.drains, d.pool.Drain(grace))
		cancel()
	}
	h.end.drained = now() - begin
	_, h.end.later = d.chat.Call(context.WithValue(ctx, callKey{}, &callRecord{}), request{})
	for _, p := range d.inner {
		h.end.drains = append(h.end.drains, p.Drain(ctx))
	}
}

package sim_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/internal/sim"
	"github.com/cmmv-hive/resilience/recovery"
)

// A probeKind is what the pool's probe sees.
type probeKind string

const (
	blindProbe   probeKind = ""        // there is none
	deepProbe    probeKind = "deep"    // all that a call of one token would
	shallowProbe probeKind = "shallow" // but for keys, quotas and models that are gone
)

// drawHealing draws how models are watched and brought back.
func (s *scenario) drawHealing(r *rand.Rand) {
	both := chance(r, .2)
	checked, healed := both || chance(r, .12), both || chance(r, .12)
	if !checked && !healed {
		return
	}
	s.runs = s.runs || chance(r, .7)
	s.probe = pick(r, blindProbe, deepProbe, deepProbe, deepProbe, shallowProbe)
	if healed {
		s.recovery = &recovery.Config{
			Strategy: pick(r, "", "", recovery.Immediate, recovery.Gradual, recovery.Progressive, recovery.Conservative),
			After:    pick(r, 0, 0, 2*time.Second, 10*time.Second), Timeout: pick(r, 0, time.Second, 3*time.Second),
			Attempts: pick(r, 0, 2, 4, -1), AtOnce: pick(r, 0, 1, 5), ObserveOnly: chance(r, .1), Actions: drawActions(r),
		}
		if chance(r, .2) {
			s.recovery.Ramp, s.recovery.Step = []float64{.2, .6}, between(r, 2*time.Second, 9*time.Second)
		}
	}
	if checked {
		s.health = &health.Config{
			// What is held for ten intervals must be back before all is over.
			Interval: pick[time.Duration](r, 2, 3, 5, 8, 10)*time.Second - time.Duration(1+r.Int64N(20_000_000)),
			Timeout:  pick(r, 0, time.Second, 2*time.Second), Probes: pick(r, 0, .5, 5, -1),
			Rise: pick(r, 0, 1, 3), Fall: pick(r, 0, 1, 2, 5), ErrorRate: pick(r, 0, .3, -1), MinCalls: pick(r, 0, 2, 10),
			MaxEjected: pick(r, 0, .2, 1), ObserveOnly: chance(r, .1),
		}
		if healed && s.recovery.After == 2*time.Second { // or else both wake at the same instant, when a probe ends
			s.health.Timeout = pick(r, time.Second, 2*time.Second)
		}
	}
}

// drawActions draws what is done before a probe.
func drawActions(r *rand.Rand) map[resilience.Kind][]recovery.Action {
	if chance(r, .5) {
		return nil
	}
	doing := func(m *resilience.Model) int64 { return probing(number(m), 999) }
	all := []recovery.Action{
		recovery.Reset(), recovery.WarmUp(nil),
		recovery.WarmUp(func(ctx context.Context, m *resilience.Model) error {
			return sim.Sleep(ctx, 200*time.Millisecond, doing(m))
		}),
		recovery.Switch(func(context.Context, *resilience.Model) error { return errors.New("there is no other") }),
		recovery.Reload(func(ctx context.Context, m *resilience.Model) error {
			<-ctx.Done()
			_ = sim.Sleep(context.Background(), 0, doing(m))
			return context.Cause(ctx)
		}),
		recovery.RotateKey(func(context.Context, *resilience.Model) error { panic(crash("an action panicked")) }),
		{Name: "exit", Run: func(context.Context, *resilience.Model) error { runtime.Goexit(); return nil }},
	}
	actions := map[resilience.Kind][]recovery.Action{}
	for range 1 + r.IntN(3) {
		kind := pick(r, 0, resilience.Overloaded, resilience.TimedOut, resilience.Unreachable, resilience.Unauthorized)
		actions[kind] = append(actions[kind], pick(r, all...))
	}
	return actions
}

// probing is the actor of a model's n-th probe, and of its actions.
func probing(model int, n int64) int64 { return healActors + 1000*int64(model) + n }

// heals are the features that watch models and bring them back.
func (w *world) heals(c *clients) (features []resilience.Feature) {
	if w.scenario.probe != blindProbe {
		features = append(features, resilience.Probe(w.glance))
	}
	if w.scenario.health != nil {
		c.checker = health.New(*w.scenario.health)
		features = append(features, c.checker)
	}
	if w.scenario.recovery != nil {
		c.healer = recovery.New(*w.scenario.recovery)
		features = append(features, yields{}, c.healer, &w.resetting)
	}
	return features
}

// A probeRecord is a probe that reached a provider.
type probeRecord struct {
	model      int
	begin, end int64
	kind       resilience.Kind
}

// glance is the pool's probe: it takes no slot.
func (w *world) glance(ctx context.Context, of *resilience.Model) (err error) {
	m := w.models[number(of)]
	n := m.probed.Add(1)
	p := &probeRecord{model: m.index, begin: now(), kind: resilience.Unknown}
	w.mu.Lock()
	w.glances = append(w.glances, p)
	w.mu.Unlock()
	actor := probing(m.index, n%900)
	w.trace.Add(sim.Mark{At: p.begin, Actor: actor, What: markProbe, N: n})
	defer func() {
		p.end = now()
		w.trace.Add(sim.Mark{At: p.end, Actor: actor, What: markProbe<<8 | uint64(p.kind), N: n})
	}()
	if err := sim.Sleep(ctx, time.Duration(m.slower.Load())*30*time.Microsecond, actor); err != nil {
		p.kind = resilience.Canceled
		return err
	}
	a := &askRecord{call: 1<<40 + n*16 + int64(m.index), model: m.index, begin: now(), key: resilience.KeyFrom(ctx)}
	faults := []faultKind{refuse, overload, throttle, unreachable, brownout, herd, panics, exits}
	if w.scenario.probe == deepProbe {
		if p.kind, err = w.refusesKey(a); err != nil {
			return err
		}
		faults = append(faults, unauthorized, quota, gone)
	}
	if f := w.meets(a, faults...); f != nil {
		if p.kind, err = m.refuses(f, a); err != nil {
			return err
		}
		p.kind = resilience.Unknown
		switch f.kind {
		case panics:
			panic(crash("a probe panicked"))
		case exits:
			runtime.Goexit()
		}
	}
	if m.hung.Load() {
		<-ctx.Done()
		_ = sim.Sleep(context.Background(), 0, actor)
		p.kind = resilience.TimedOut
		return context.Cause(ctx)
	}
	p.kind = 0
	return nil
}

// yields lets recovery, which answers and events wake, go first: calls go on at
// instants of their own.
type yields struct{}

// Install implements [resilience.Feature].
func (yields) Install(s *resilience.Setup) error {
	yield := func(m *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error {
			actor := actorOf(recordOf(ctx), number(m))
			err := next(ctx, c)
			_ = sim.Sleep(context.Background(), 0, actor)
			if err == nil && c.Running() {
				c.OnEnd(func(error) { _ = sim.Sleep(context.Background(), 0, actor) })
			}
			return err
		}
	}
	s.Wrap(resilience.LayerTimeout, yield)
	s.Wrap(resilience.LayerLimit, yield)
	return nil
}

// An order is the model that somebody is resetting.
type order struct {
	of atomic.Pointer[resilience.Model]
}

// Install implements [resilience.Feature].
func (o *order) Install(s *resilience.Setup) error {
	s.Observe(func(_ context.Context, e resilience.Event) {
		ours := strings.Contains(e.Reason, "operator: ") || e.Kind == resilience.EventBreaker && e.Reason == "reset"
		if m := o.of.Load(); m != nil && e.Model == m && ours {
			_ = sim.Sleep(context.Background(), 0, operator)
		}
	}, resilience.EventControl, resilience.EventRelease, resilience.EventBreaker)
	s.OnReset(func(m *resilience.Model) {
		if o.of.Load() == m {
			_ = sim.Sleep(context.Background(), 0, operator)
		}
	})
	return nil
}

// reset resets a model, and lets recovery see each step of that.
func (d *desk) reset(ctx context.Context, m *resilience.Model, by resilience.Control) error {
	if d.healer != nil {
		d.resetting.of.Store(m)
		defer d.resetting.of.Store(nil)
	}
	return d.pool.Reset(ctx, m, by)
}

// needed reports whether a model needs people: they look for what only they mend,
// and at what recovery leaves to them.
func (d *desk) needed(m *resilience.Model) bool {
	for _, h := range m.Holds() {
		switch h.By {
		case resilience.HoldCredential, resilience.HoldQuota, resilience.HoldHealth:
			return true
		case resilience.HoldRecovery:
			if d.scenario.recovery.Attempts < 0 { // it never says so
				return true
			}
		}
	}
	return d.healer != nil && slices.ContainsFunc(d.healer.History(), func(o recovery.Outcome) bool { return o.Model == m && !o.Recovered })
}

// notices lets holds end that are over.
func (d *desk) notices() {
	if d.checker == nil && d.healer == nil {
		return
	}
	for _, m := range d.pool.Models() {
		m.Available()
	}
}

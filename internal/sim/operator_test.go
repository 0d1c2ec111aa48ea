package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/internal/sim"
)

// A desk is where operators do what the scenario says.
type desk struct {
	*history
	clients

	breakers  *breaker.Breakers
	refuses   bool            // the audit does
	asked     map[string]bool // what the audit was asked about at this instant
	resetting *order
}

var errVeto = errors.New("the audit says no")

// audit is asked before anything takes effect.
func (d *desk) audit(_ context.Context, c resilience.Change) error {
	if d.refuses {
		return errVeto
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := c.What
	if c.Model != nil {
		key += c.Model.ID()
	}
	if c.What == "drain" {
		key = d.draining(c.Model)
	}
	d.asked[key] = true
	return nil
}

// draining says what the audit must have been asked about a drain: whether the
// model was drained before.
func (d *desk) draining(m *resilience.Model) string {
	drained := slices.ContainsFunc(m.Holds(), func(h resilience.Hold) bool { return h.By == resilience.HoldManual })
	return fmt.Sprint("drain", m.ID(), drained)
}

// A task is an order at an instant.
type task struct {
	at   time.Duration
	do   func(context.Context, *orderRecord)
	kind faultKind
	of   int
	till time.Duration
}

// tasks are all that there is to do.
func (d *desk) tasks() (list []task) {
	by := func(until time.Duration) resilience.Control {
		c := resilience.Control{Actor: "operator", Reason: "a simulation"}
		if until > 0 {
			c.Until = d.pool.At(0).Add(until)
		}
		return c
	}
	for _, f := range d.scenario.faults {
		if !slices.Contains(ofOperators, f.kind) {
			continue
		}
		m := d.pool.Models()[f.models[0]]
		add := func(at, till time.Duration, kind faultKind, do func(context.Context, *orderRecord)) {
			list = append(list, task{at, do, kind, f.models[0], till})
		}
		switch f.kind {
		case drain:
			if f.id%2 == 0 { // ends by itself
				add(f.from, f.to, drain, func(ctx context.Context, o *orderRecord) {
					key := d.draining(m)
					o.err = m.Drain(ctx, by(f.to))
					o.asked = d.was(key)
				})
				continue
			}
			add(f.from, f.to, drain, func(ctx context.Context, o *orderRecord) {
				key := d.draining(m)
				o.err = m.Drain(ctx, by(0))
				o.asked = d.was(key)
			})
			add(f.to, 0, "restore", func(ctx context.Context, o *orderRecord) {
				o.err = m.Restore(ctx, by(0))
				o.asked = d.was("restore" + m.ID())
			})
		case veto:
			add(f.from, 0, veto, func(ctx context.Context, o *orderRecord) {
				d.refuses = true
				before := m.Holds()
				o.err = m.Drain(ctx, by(0))
				o.changed = len(m.Holds()) != len(before) || !errors.Is(o.err, errVeto)
				d.refuses = false
				o.asked = true
			})
		case openHand:
			add(f.from, f.to, openHand, func(ctx context.Context, o *orderRecord) {
				o.err = d.breakers.Open(ctx, m, by(f.to))
				o.asked = d.was("breaker.open" + m.ID())
			})
		case isolate:
			add(f.from, f.to, isolate, func(ctx context.Context, o *orderRecord) {
				o.err = d.breakers.Isolate(ctx, m, by(0))
				o.asked = d.was("breaker.isolate" + m.ID())
			})
			add(f.to, 0, "close", func(ctx context.Context, o *orderRecord) {
				o.err = d.breakers.Close(ctx, m, by(0))
				o.asked = d.was("breaker.close" + m.ID())
			})
		case reset:
			add(f.from, 0, reset, func(ctx context.Context, o *orderRecord) {
				o.err = d.reset(ctx, m, by(0))
				o.asked = d.was("reset" + m.ID())
			})
		case reload:
			add(f.from, 0, reload, func(ctx context.Context, o *orderRecord) {
				was := d.states()
				gen := d.pool.Generation()
				o.err, o.reload = d.pool.Reload(ctx, d.document(f), by(0)), f.id
				o.asked = d.was("config")
				o.changed = !slices.Equal(was, d.states()) || d.pool.Generation() != gen+1
				if d.pool.InFlight() > 0 {
					d.reach("a reload in mid-call")
				}
			})
		case badReload:
			add(f.from, 0, badReload, func(ctx context.Context, o *orderRecord) {
				was, stack, gen := d.states(), d.pool.Stack(), d.pool.Generation()
				err := d.pool.Reload(ctx, []byte(`{"retry": {"attempts": 2}, "breaker": {"openFor": "soon"}}`), by(0))
				o.asked = true
				o.changed = err == nil || !slices.Equal(was, d.states()) || !slices.Equal(stack, d.pool.Stack()) || d.pool.Generation() != gen
			})
		}
	}
	// People mend what only they can, and say so.
	list = append(list, task{at: heal, kind: "mended", of: -1, do: func(ctx context.Context, o *orderRecord) {
		o.asked = true
		for _, m := range d.pool.Models() {
			if d.needed(m) {
				o.err = errors.Join(o.err, d.reset(ctx, m, by(0)))
			}
		}
	}})
	if b := d.scenario.budgets; b != nil { // somebody pays
		list = append(list, task{at: heal, kind: reload, of: -1, do: func(ctx context.Context, o *orderRecord) {
			text, err := json.Marshal(map[string]any{"budget": scaled(b, 1000)})
			o.err = errors.Join(err, d.pool.Reload(ctx, text, by(0)))
			o.asked = d.was("config")
		}})
	}
	list = append(list, d.injections()...)
	slices.SortStableFunc(list, func(a, b task) int { return int(a.at - b.at) })
	return list
}

func (d *desk) was(what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[what]
}

// states is what must not change by a reload.
func (d *desk) states() (list []string) {
	for _, m := range d.pool.Models() {
		state := fmt.Sprint(d.breakers.State(m), m.InFlight())
		if !d.scenario.keys { // a reload gives keys another chance
			state += m.Status().String()
		}
		list = append(list, state)
	}
	return list
}

// document is a configuration that changes what may be changed at any time.
func (d *desk) document(f fault) []byte {
	infos := make([]resilience.ModelInfo, 0, len(d.scenario.models))
	for i, m := range d.scenario.models {
		info := m.ModelInfo
		if (i+f.id)%3 == 0 {
			info.Weight = float64(1 + f.id%4)
		}
		info.Keys = d.scenario.keysAfter(i, f.id)
		infos = append(infos, info)
	}
	doc := map[string]any{"models": infos}
	if b := d.scenario.budgets; b != nil && f.id%3 > 0 {
		doc["budget"] = scaled(b, .6*float64(f.id%3))
	}
	switch f.id % 4 {
	case 0:
		doc["breaker"] = map[string]any{"consecutive": 4}
	case 1:
		doc["retry"] = map[string]any{"attempts": 2}
	case 2:
		doc["fallback"] = map[string]any{"strategy": "sequential"}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return text
}

// work does it all.
func (d *desk) work(ctx context.Context) {
	for i, t := range d.tasks() {
		if sim.Sleep(ctx, t.at-time.Duration(now()), orders+int64(i)) != nil {
			return
		}
		o := orderRecord{at: now(), kind: t.kind, model: t.of, until: int64(t.till)}
		d.mu.Lock()
		d.asked = map[string]bool{}
		d.mu.Unlock()
		t.do(ctx, &o)
		d.mu.Lock()
		d.orders = append(d.orders, o)
		d.mu.Unlock()
		d.trace.Add(sim.Mark{At: o.at, Actor: operator, What: markOrder, N: int64(len(strings.TrimSpace(string(o.kind))))})
	}
}

// sample looks at all models every so often.
func (d *desk) sample(ctx context.Context) {
	for n := 0; sim.Sleep(ctx, 2997*time.Millisecond, sampler) == nil; n++ {
		if n%4 == 0 { // they are dear to list
			d.money()
		}
		d.keysOut()
		d.notices()
		list := d.looks()
		halves := 0
		d.mu.Lock()
		for _, s := range list {
			if s.state == breaker.HalfOpen {
				halves++
			}
			if s.state != breaker.Closed || s.queued > 0 || s.inFlight > 0 {
				d.samples = append(d.samples, s)
			}
		}
		if halves >= 2 {
			d.reached["two breakers are half-open"] = true
		}
		d.mu.Unlock()
	}
}

func (d *desk) looks() (list []sampleRecord) {
	for i, m := range d.pool.Models() {
		list = append(list, sampleRecord{now(), i, m.InFlight(), m.Queued(), d.breakers.State(m)})
	}
	return list
}

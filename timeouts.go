package resilience

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience/internal/settings"
)

// Timeouts bounds calls and attempts. It is a [Feature]; a pool without it
// leaves time to the callers' contexts. Zero means the default, negative means
// no bound. Fields set in Ops, by [CallOptions].Op, lie over the fields beside
// it, and those in Models, by a model's name or ID, over both.
//
// While the call can go to another model, an attempt gets half of the time that
// the call has left at most, be the deadline the caller's or ours, so that one
// that hangs leaves time for the other.
//
// An attempt that runs out of time fails as [TimedOut], with an error that
// names the setting. A late answer is an answer; a failure after the call's
// deadline ends the call.
type Timeouts struct {
	Call    time.Duration `json:"call" default:"2m"`     // the whole call, or until a stream's first chunk
	Attempt time.Duration `json:"attempt" default:"60s"` // one attempt that does not stream

	Connect    time.Duration `json:"connect" off:"yes"`        // until a stream's headers, where a [Tap] sees them; off
	FirstChunk time.Duration `json:"firstChunk" default:"30s"` // until a stream's first meaningful chunk
	Gap        time.Duration `json:"gap" default:"30s"`        // that a reader waits for a chunk of a stream
	MinRate    float64       `json:"minRate" off:"yes"`        // meaningful chunks a second, while a reader waits for them, over a Gap; off
	Total      time.Duration `json:"total" off:"yes"`          // a whole stream; off

	// HoldBack keeps back the beginning of a stream, from its first meaningful
	// chunk, so that what breaks within that time is retried or moved on like any
	// call; off. It ends with the first chunk after it, and there is none where Call
	// leaves no time for it; one in which the stream falls silent ends as a failure
	// when Call does. Nested pools each hold back what comes to them.
	HoldBack time.Duration `json:"holdBack" off:"yes"`

	// ObserveOnly bounds nothing, and reports which calls, attempts and first
	// chunks would have been cut short as an [EventWarning] with Would set.
	ObserveOnly bool `json:"observeOnly"`

	Ops    map[string]Timeouts `json:"ops,omitempty"`
	Models map[string]Timeouts `json:"models,omitempty"` // not Call
}

// timeouts are Timeouts in force.
type timeouts struct {
	bounds
	observe bool
	text    string
	ops     map[string]*bounds
	models  map[string]*bounds // by name or ID, then by op
}

// bounds are the limits of one operation, with the errors that name them.
type bounds struct {
	forCall, forAttempt, forConnect, forFirst, forGap, forPace, forTotal, holdBack time.Duration

	callCause, attemptCause, connectCause, firstCause, gapCause, paceCause, totalCause *timeoutError

	minRate float64
	ops     map[string]*bounds
}

// Install implements [Feature].
func (t Timeouts) Install(s *Setup) error {
	ready, err := t.prepare("timeouts")
	if err != nil {
		return err
	}
	s.pool.timeouts.Store(ready)
	s.Configure("timeouts", func(raw json.RawMessage) (func(), error) {
		next := t
		if raw != nil {
			if err := decode("timeouts", raw, &next); err != nil {
				return nil, err
			}
		}
		ready, err := next.prepare("timeouts")
		return func() { s.pool.timeouts.Store(ready) }, err
	})
	return nil
}

func (t Timeouts) prepare(path string) (*timeouts, error) {
	if err := errors.Join(problems(settings.Check(path, &t)), t.misplaced(path)); err != nil {
		return nil, err
	}
	base := t
	base.Ops, base.Models = nil, nil
	settings.Fill(&base)
	ready := &timeouts{bounds: base.bounds("Timeouts"), observe: t.ObserveOnly, text: settings.Describe(t)}
	if len(t.Ops) > 0 {
		ready.ops = map[string]*bounds{}
	}
	for op, over := range t.Ops {
		b := settings.Overlay(base, over).bounds("Timeouts.Ops[" + op + "]")
		b.credit(over, &ready.bounds)
		ready.ops[op] = &b
	}
	if len(t.Models) > 0 {
		ready.models = map[string]*bounds{}
	}
	for name, over := range t.Models {
		b := settings.Overlay(base, over).bounds("Timeouts.Models[" + name + "]")
		b.credit(over, &ready.bounds)
		b.ops = map[string]*bounds{}
		for op, forOp := range t.Ops {
			both := settings.Overlay(settings.Overlay(base, forOp), over).bounds("Timeouts.Models[" + name + "]")
			both.credit(over, ready.ops[op])
			b.ops[op] = &both
		}
		ready.models[name] = &b
	}
	return ready, nil
}

func (t Timeouts) bounds(setting string) bounds {
	cause := func(name string, d time.Duration) *timeoutError {
		return &timeoutError{setting: setting + "." + name, after: d}
	}
	b := bounds{
		forCall: t.Call, callCause: cause("Call", t.Call),
		forAttempt: t.Attempt, attemptCause: cause("Attempt", t.Attempt),
		forConnect: t.Connect, connectCause: cause("Connect", t.Connect),
		forFirst: t.FirstChunk, firstCause: cause("FirstChunk", t.FirstChunk),
		forGap: t.Gap, gapCause: cause("Gap", t.Gap),
		forPace: t.Gap, minRate: t.MinRate,
		forTotal: t.Total, totalCause: cause("Total", t.Total),
		holdBack: t.HoldBack,
	}
	if t.Gap <= 0 {
		b.forPace = paceSpan
	}
	b.paceCause = cause("MinRate", b.forPace)
	b.paceCause.slow, b.totalCause.overall = true, true
	return b
}

// paceSpan is over what MinRate goes if Gap is off.
const paceSpan = 30 * time.Second

// credit makes what over does not set name the setting that it comes from.
func (b *bounds) credit(over Timeouts, from *bounds) {
	for _, c := range []struct {
		set        bool
		mine, from **timeoutError
	}{
		{over.Call != 0, &b.callCause, &from.callCause},
		{over.Attempt != 0, &b.attemptCause, &from.attemptCause},
		{over.Connect != 0, &b.connectCause, &from.connectCause},
		{over.FirstChunk != 0, &b.firstCause, &from.firstCause},
		{over.Gap != 0, &b.gapCause, &from.gapCause},
		{over.MinRate != 0 || over.Gap != 0, &b.paceCause, &from.paceCause},
		{over.Total != 0, &b.totalCause, &from.totalCause},
	} {
		if !c.set {
			*c.mine = *c.from
		}
	}
}

// misplaced reports what overrides set to no effect.
func (t Timeouts) misplaced(path string) error {
	var errs []error
	bad := func(wrong bool, kind, name, key, problem string) {
		if wrong {
			errs = append(errs, &ConfigError{path + "." + kind + "." + name + "." + key, problem})
		}
	}
	for _, op := range slices.Sorted(maps.Keys(t.Ops)) {
		bad(t.Ops[op].ObserveOnly, "ops", op, "observeOnly", "is for all calls; set it beside ops")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Models)) {
		bad(t.Models[name].Call != 0, "models", name, "call", "a call may go to several models; set attempt")
		bad(t.Models[name].ObserveOnly, "models", name, "observeOnly", "is for all models; set it beside models")
	}
	return errors.Join(errs...)
}

// call and attempt return the bounds of c and of its next attempt, zero or
// less for none.
func (t *timeouts) call(c *Call) (time.Duration, *timeoutError) {
	b := t.ofCall(c)
	return t.enforced(b.forCall, b.callCause)
}

func (t *timeouts) ofCall(c *Call) *bounds {
	if t.ops != nil {
		if b := t.ops[c.Op()]; b != nil {
			return b
		}
	}
	return &t.bounds
}

func (t *timeouts) attempt(c *Call) (time.Duration, *timeoutError) {
	b := t.of(c)
	return t.enforced(c.stretched(b.forAttempt, b.attemptCause))
}

func (t *timeouts) firstChunk(c *Call) (time.Duration, *timeoutError) {
	b := t.of(c)
	return t.enforced(c.stretched(b.forFirst, b.firstCause))
}

func (t *timeouts) enforced(d time.Duration, cause *timeoutError) (time.Duration, *timeoutError) {
	if t.observe {
		return 0, nil
	}
	return d, cause
}

func (t *timeouts) of(c *Call) *bounds {
	if t.models != nil {
		b := t.models[c.model.id]
		if b == nil {
			b = t.models[c.model.Name()]
		}
		if b != nil {
			if forOp := b.ops[c.Op()]; forOp != nil {
				return forOp
			}
			return b
		}
	}
	return t.ofCall(c)
}

// would reports an attempt that ObserveOnly spared.
func (t *timeouts) would(a *attempt, took time.Duration) {
	b := t.of(a.call)
	bound, cause := b.forAttempt, b.attemptCause
	if a.call.streams {
		bound, cause = b.forFirst, b.firstCause
		if n := a.notes(); n.firstChunk > 0 {
			took = n.firstChunk
		}
	}
	if bound, cause = a.call.stretched(bound, cause); bound > 0 && took > bound {
		a.pool.Emit(a, Event{Kind: EventWarning, Model: a.model, Duration: took, Reason: cause.Error(), Would: true})
	}
}

// wouldCall reports a call that ObserveOnly spared.
func (t *timeouts) wouldCall(c *Call, took time.Duration) {
	if b := t.ofCall(c); c.deadline == 0 && !c.streams && b.forCall > 0 && took > b.forCall {
		c.pool.Emit(c, Event{Kind: EventWarning, Model: c.model, Duration: took, Reason: b.callCause.Error(), Would: true})
	}
}

package resilience

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

// A Feature adds something to a pool. Install says what, and fails if the
// feature is misconfigured. A feature belongs to one pool. One that has a
// String method describes its settings in effect; [Pool.Stack] shows them.
type Feature interface{ Install(s *Setup) error }

// A Handler carries a call onward. Ctx is c or derived from it, and what a
// layer passes on. For feature authors.
type Handler func(ctx context.Context, c *Call) error

// A Layer is a place in the stack. Calls pass from the first to the last. For
// feature authors.
type Layer int

// The places in the stack, outermost first.
const (
	LayerObserve Layer = iota // sees each call once, with its outcome
	LayerAdmit                // may refuse or reduce the call
	LayerCache                // may answer without a model
	LayerRoute                // chooses models, one or several

	LayerRetry   // tries the same model again
	LayerLimit   // waits or refuses for lack of room
	LayerBreaker // refuses while the model is failing
	LayerTimeout // bounds the attempt; then it is measured
	LayerFault   // stands in for the model, and is measured as if it were
)

const layers = int(LayerFault) + 1

// String returns the layer's name.
func (l Layer) String() string {
	names := [layers]string{"observe", "admit", "cache", "route", "retry", "limit", "breaker", "timeout", "fault"}
	if l >= 0 && int(l) < len(names) {
		return names[l]
	}
	return "unknown"
}

// Setup is what a feature may ask for while it is being installed, and only
// then. For feature authors.
type Setup struct {
	pool     *Pool
	feature  Feature // being installed
	number   int     // of it
	wraps    [layers][]wrapper
	sections map[string]*section
	defaults []defaulted
	ready    []func() error
	problems []error
	files    []*file
	infos    []ModelInfo // declared
	learnt   []ModelInfo // from bindings
	routeBy  wrapper
	pickBy   wrapper
	closed   bool              // to models that are not declared
	clients  map[string]client // by what they bind
}

// client is what a client binds.
type client struct{ ids, providers []string }

// bound reports clients to which infos leave no model.
func (s *Setup) bound(infos []ModelInfo) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(s.clients)) {
		c := s.clients[key]
		if slices.ContainsFunc(infos, func(info ModelInfo) bool {
			return slices.Contains(c.ids, info.ID) || info.Provider != "" && slices.Contains(c.providers, info.Provider)
		}) {
			continue
		}
		errs = append(errs, &ConfigError{"models", "leave a client without a model, which binds " + key})
	}
	return errors.Join(errs...)
}

type wrapper struct {
	feature Feature
	number  int
	wrap    func(m *Model, next Handler) Handler
}

type section struct {
	number  int // of the feature
	prepare func(json.RawMessage) (func(), error)
}

type defaulted struct {
	section string
	feature Feature
}

// Pool returns the pool, which holds no calls yet.
func (s *Setup) Pool() *Pool { return s.pool }

// Wrap adds a layer. Above LayerRoute wrap is called once, with a nil model;
// below it once per model. Of several layers at the same place the one that
// was installed first is the outermost. LayerRoute itself is for Route.
func (s *Setup) Wrap(at Layer, wrap func(m *Model, next Handler) Handler) {
	if at < 0 || int(at) >= layers || at == LayerRoute {
		s.problem("feature", "there is no place for it at layer "+at.String())
		return
	}
	s.wraps[at] = append(s.wraps[at], wrapper{s.feature, s.number, wrap})
}

// Route makes route the feature that goes through models: it makes one the
// call's model by r.Next and sends it there by next. A pool has one; without
// it the first model picked is the only one tried.
func (s *Setup) Route(route func(ctx context.Context, r *Route, next Handler) error) {
	if s.pool.router != nil {
		s.problem("route", "two features want to go through models")
		return
	}
	s.pool.router, s.routeBy = route, wrapper{s.feature, s.number, nil}
}

// Pick makes p choose among models. A pool has one picker; without it models
// are taken in the order of tier, then of binding.
func (s *Setup) Pick(p Picker) {
	if s.pool.picker != nil {
		s.problem("pick", "two features want to choose among models")
		return
	}
	s.pool.picker, s.pickBy = p, wrapper{s.feature, s.number, nil}
}

// RetryBudget makes take the pool's budget for attempts beyond each call's
// first: it takes one, at the same model or elsewhere, and reports whether
// there was one. [Call.Extra] and [Route.Extra] ask it. A pool has one.
func (s *Setup) RetryBudget(take func(elsewhere bool) bool) {
	if s.pool.retryBudget != nil {
		s.problem("retryBudget", "two features own the retry budget")
		return
	}
	s.pool.retryBudget = take
}

// StandIns makes names say what may stand in for a model that a call is
// restricted to by name or ID, where it names no Fallbacks itself: names and
// IDs, in order. A pool has one. A section's "standIns" is checked for names that
// no model has, as its "models" is.
func (s *Setup) StandIns(names func(model string) []string) {
	if s.pool.standIns != nil {
		s.problem("standIns", "two features say what stands in for what")
		return
	}
	s.pool.standIns = names
}

// Observe calls fn for events of the given kinds, on the goroutine they happen
// on. It must return quickly and must not panic.
func (s *Setup) Observe(fn func(ctx context.Context, e Event), kinds ...EventKind) {
	s.pool.events.observe(fn, kinds)
}

// Background adds work to [Pool.Run]. Work that panics or fails is logged and
// started again; work that returns nil is done.
func (s *Setup) Background(name string, run func(ctx context.Context) error) {
	s.pool.background = append(s.pool.background, work{name, run})
}

// Reports makes fn read the report of each call that did not go as it should: that
// failed or was canceled, met a failure on its way, was answered by another name, a
// held model or [Hooks.Default], was degraded, or whose stream broke. Err is what the
// caller gets; of a call that panics it has the kind [Unknown], or is what
// [Hooks.Default] was called for. Fn is called once for a call, with the call's context
// when it ends, on the goroutine on which it does; it must return quickly, must not
// panic, and keep nothing of the report's slices.
func (s *Setup) Reports(fn func(ctx context.Context, r Report, err error)) {
	s.pool.readers = append(s.pool.readers, fn)
}

// Totals makes the pool keep [Model.Totals], for 1.5 KB a model and 64 bytes for each
// octave that one of its distributions reaches into.
func (s *Setup) Totals() { s.pool.totals = true }

// Bills makes fn know what each attempt has used, where that is known, and what it
// costs, where it has a price. It is called when the attempt ends, on its goroutine;
// it must return quickly and must not panic.
func (s *Setup) Bills(fn func(c *Call, m *Model, u Usage, dollars float64)) {
	s.pool.bills = append(s.pool.bills, fn)
}

// Ready calls fn when all features are installed and nothing is wrong with them, for
// what needs to know them all. If it fails so does [NewPool].
func (s *Setup) Ready(fn func() error) { s.ready = append(s.ready, fn) }

// Tell has whoever collects metrics know of m. See [Pool.Metrics].
func (s *Setup) Tell(m Metric) { s.pool.metrics = append(s.pool.metrics, m) }

// OnReset registers what [Pool.Reset] does for the feature.
func (s *Setup) OnReset(fn func(m *Model)) { s.pool.resets = append(s.pool.resets, fn) }

// Explain lets the feature say why m would refuse a call now though nothing
// holds it; "" if it would not. [Pool.Explain] asks it.
func (s *Setup) Explain(fn func(m *Model) string) { s.pool.doubts = append(s.pool.doubts, fn) }

// Configure makes the feature the owner of a section of the configuration.
// Prepare checks a new section and returns a function that puts it into
// effect, which cannot fail; an absent section is nil and means what the
// feature was made with. Two owners of a section are a [*ConfigError].
func (s *Setup) Configure(name string, prepare func(json.RawMessage) (commit func(), err error)) {
	if s.sections[name] != nil {
		s.problem(name, "two features own this section")
		return
	}
	s.sections[name] = &section{s.number, prepare}
}

// Default installs f after all other features, if none of them owns the
// section. Features that are made of others use it.
func (s *Setup) Default(section string, f Feature) {
	s.defaults = append(s.defaults, defaulted{section, f})
}

func (s *Setup) problem(path, problem string) {
	s.problems = append(s.problems, &ConfigError{path, problem})
}

// snapshot returns a function that takes back what is installed from now on.
func (s *Setup) snapshot() (undo func()) {
	p, old := s.pool, *s
	router, picker, budget, standIns := p.router, p.picker, p.retryBudget, p.standIns
	background, resets, doubts, readers := p.background, p.resets, p.doubts, p.readers
	bills, metrics, totals := p.bills, p.metrics, p.totals
	old.sections = maps.Clone(s.sections)
	return func() {
		*s = old
		p.router, p.picker, p.retryBudget, p.standIns = router, picker, budget, standIns
		p.background, p.resets, p.doubts, p.readers = background, resets, doubts, readers
		p.bills, p.metrics, p.totals = bills, metrics, totals
	}
}

// install installs features, then the defaults that nobody took the place of.
func (s *Setup) install(features []Feature) {
	for _, f := range features {
		s.one(f)
	}
	for len(s.defaults) > 0 { // a default may bring defaults of its own
		defaults := s.defaults
		s.defaults = nil
		for _, d := range defaults {
			if s.sections[d.section] == nil {
				s.one(d.feature)
			}
		}
	}
}

func (s *Setup) one(f Feature) {
	if f == nil {
		s.problem("feature", "is nil")
		return
	}
	s.feature = f
	s.number++
	if err := f.Install(s); err != nil {
		s.problems = append(s.problems, err)
	}
	s.feature = nil
}

// build builds what is below LayerRoute for m.
func (s *Setup) build(m *Model) {
	m.chain, m.fault = s.chain(m, LayerRetry, LayerTimeout, measure), nil
	if len(s.wraps[LayerFault]) > 0 {
		m.fault = s.chain(m, LayerFault, LayerFault, answer)
	}
}

// chain builds the layers between two places around h.
func (s *Setup) chain(m *Model, from, to Layer, h Handler) Handler {
	for at := to; at >= from; at-- {
		for _, w := range slices.Backward(s.wraps[at]) {
			h = w.wrap(m, h)
		}
	}
	return h
}

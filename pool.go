package resilience

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cmmv-hive/resilience/internal/settings"
)

// A Pool is a set of models and the features that protect them.
type Pool struct {
	clock
	vigil

	layers      Handler // from LayerObserve to LayerRoute
	guarded     bool    // by layers above LayerRoute
	router      func(ctx context.Context, r *Route, next Handler) error
	picker      Picker
	retryBudget func(elsewhere bool) bool
	standIns    func(model string) []string
	timeouts    atomic.Pointer[timeouts]
	roster      atomic.Pointer[roster]
	bypass      atomic.Bool
	draining    atomic.Bool
	running     atomic.Bool
	events      hub

	log        *slog.Logger
	random     *random
	rules      []func(error) Kind
	probe      func(context.Context, *Model) error // or nil
	audits     []func(context.Context, Change) error
	background []work
	resets     []func(*Model)
	doubts     []func(*Model) string
	readers    []func(context.Context, Report, error)
	bills      []func(c *Call, m *Model, u Usage, dollars float64)
	metrics    []Metric
	totals     bool // are kept

	mu        sync.Mutex // of changes to the roster and the configuration
	setup     *Setup
	drainedBy map[string]hold // by ID: orders about models that are gone, under mu
	house     house           // under mu
	guests    guests
	turn      chan struct{} // of one Reload at a time; it may wait for an audit
	drained   chan struct{} // closed when draining and open is 0
	emptied   sync.Once     // closes drained

	_    line         // what every call writes, apart from what it reads
	open atomic.Int64 // calls in the lowest bits, and how many have ended above
	_    line
	ids  atomic.Uint64
}

// line keeps what is written often from sharing a line of a processor's cache
// with what is read often.
type line [64]byte

// roster is the pool's models in one generation. It does not change.
type roster struct {
	generation uint64 // of itself
	config     uint64 // of the configuration
	models     []*Model
	byID       map[string]*Model
}

// random is a source of chance that may be shared, for [Seed].
type random struct {
	mu  sync.Mutex
	src *rand.Rand
}

// NewPool installs features. All that is wrong with them is reported at once,
// as joined errors of type [*ConfigError].
func NewPool(features ...Feature) (*Pool, error) {
	p := &Pool{
		log: slog.New(slog.DiscardHandler), drained: make(chan struct{}), turn: make(chan struct{}, 1),
		drainedBy: map[string]hold{},
	}
	p.start()
	p.roster.Store(&roster{config: 1})
	p.setup = &Setup{pool: p, sections: map[string]*section{}}
	if err := p.install(features); err != nil {
		return nil, err
	}
	return p, nil
}

// install installs features and builds the layers anew.
func (p *Pool) install(features []Feature) error {
	s := p.setup
	undo := s.snapshot()
	s.install(features)
	problems := slices.Concat(s.problems, checkInfos("models", s.infos))
	s.problems = nil
	if len(s.files) > 1 {
		problems = append(problems, &ConfigError{"configFile", "is given twice, and each would undo the other"})
		s.files = nil
	}
	var plans []*plan
	for _, f := range s.files {
		plan, err := f.begin(p)
		problems = append(problems, err)
		plans = append(plans, plan)
	}
	s.files = nil
	err := errors.Join(problems...)
	for _, fn := range s.ready {
		if err == nil {
			err = fn()
		}
	}
	s.ready = nil
	if err != nil {
		undo()
		return err
	}
	p.layers = s.chain(nil, LayerObserve, LayerCache, p.route)
	p.guarded = len(s.wraps[LayerObserve])+len(s.wraps[LayerAdmit])+len(s.wraps[LayerCache]) > 0
	old := p.roster.Load()
	for _, m := range old.models {
		s.build(m)
	}
	if len(old.models) == 0 && len(s.infos) > 0 {
		p.publish(s.infos, 1)
	}
	for _, plan := range plans {
		s.closed = s.closed || plan.given
		p.apply(plan, 1)
	}
	return nil
}

// publish makes infos the pool's models, under a configuration. A model that was there before stays
// the same Model, with all that is known about it. The caller has p.mu, or is
// alone with the pool.
func (p *Pool) publish(infos []ModelInfo, config uint64) {
	old := p.roster.Load()
	next := &roster{generation: old.generation + 1, config: config, byID: make(map[string]*Model, len(infos))}
	for _, info := range infos {
		m := old.byID[info.ID]
		if m == nil {
			m = newModel(p, info)
			m.holds[HoldManual] = p.drainedBy[info.ID] // an order outlives a reload
			m.regate()
			p.setup.build(m)
		} else {
			m.describe(info)
		}
		next.models = append(next.models, m)
		next.byID[info.ID] = m
	}
	for _, m := range old.models {
		if next.byID[m.id] != nil {
			continue
		}
		m.mu.Lock()
		if h := m.holds[HoldManual]; h.until != 0 {
			p.drainedBy[m.id] = h
		} else {
			delete(p.drainedBy, m.id)
		}
		m.mu.Unlock()
	}
	p.roster.Store(next)
	p.tidy(next.models)
}

// bind makes sure that the pool has models of these IDs, as far as it may
// learn of new ones.
func (p *Pool) bind(ids, providers []string, all bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.roster.Load()
	var infos []ModelInfo
	for _, m := range r.models {
		infos = append(infos, m.Info())
	}
	var errs []error
	var learnt []ModelInfo
	for _, id := range ids {
		switch {
		case r.byID[id] != nil:
		case p.setup.closed:
			problem := "is not among the pool's models"
			if near := settings.Nearest(id, modelIDs(r.models)); near != "" {
				problem += fmt.Sprintf("; did you mean %q?", near)
			}
			errs = append(errs, &ConfigError{"client.bind." + id, problem})
		case printable(id) != id:
			errs = append(errs, &ConfigError{"client.bind", fmt.Sprintf("%q %s", id, notAnID)})
		default:
			learnt = append(learnt, ModelInfo{ID: id})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if !all { // one that binds all is never left without a model
		if p.setup.closed {
			if err := p.anyOf(ids, providers); err != nil {
				return err
			}
		}
		if p.setup.clients == nil {
			p.setup.clients = map[string]client{}
		}
		key := strings.Join(slices.Concat(ids, providers), ", ")
		p.setup.clients[key] = client{slices.Clone(ids), slices.Clone(providers)}
	}
	if len(learnt) > 0 {
		p.setup.learnt = append(p.setup.learnt, learnt...)
		p.publish(append(infos, learnt...), r.config)
	}
	return nil
}

// anyOf reports that none of the pool's models is what a client binds, as a
// reload would.
func (p *Pool) anyOf(ids, providers []string) error {
	var known []string
	for _, m := range p.roster.Load().models {
		provider := m.info.Load().Provider
		if slices.Contains(ids, m.id) || provider != "" && slices.Contains(providers, provider) {
			return nil
		}
		known = append(known, provider)
	}
	problem := "no model of the pool has this provider"
	if near := settings.Nearest(providers[0], known); near != "" {
		problem += fmt.Sprintf("; did you mean %q?", near)
	}
	return &ConfigError{"client.bindProvider." + providers[0], problem}
}

func modelIDs(models []*Model) (ids []string) {
	for _, m := range models {
		ids = append(ids, m.id)
	}
	return ids
}

// unknown is the error of a call that names a model nobody has bound.
func (p *Pool) unknown(name string, t *table) error {
	reason := fmt.Sprintf("no model %q is bound", printable(name))
	var names []string
	for n := range t.only {
		names = append(names, n)
	}
	slices.Sort(names)
	if near := settings.Nearest(name, names); near != "" {
		reason += fmt.Sprintf("; did you mean %q?", near)
	}
	return &Error{Kind: NotFound, reason: reason, refused: true, gaveUp: true}
}

// Models returns the pool's models in the order of their declaration.
func (p *Pool) Models() []*Model { return slices.Clone(p.roster.Load().models) }

// Model returns the model with this ID, or nil.
func (p *Pool) Model(id string) *Model { return p.roster.Load().byID[id] }

// Generation numbers the configurations: 1 is what the pool was made with, and
// each that [Pool.Reload] puts into effect is one more.
func (p *Pool) Generation() uint64 { return p.roster.Load().config }

// InFlight counts the pool's open calls.
func (p *Pool) InFlight() int64 { return p.open.Load() & openMask }

// Draining reports whether [Pool.Drain] was called, so that new calls are refused.
func (p *Pool) Draining() bool { return p.draining.Load() }

// What Pool.open holds: up to sixteen million open calls, and the calls that have
// ended, which begin anew after a million of millions.
const (
	openBits = 24
	openMask = 1<<openBits - 1
	oneEnded = 1<<openBits - 1 // one more that has ended, one fewer that is open
)

// end ends a call, and with the last one a drain.
func (p *Pool) end() { p.less(oneEnded) }

// close undoes one more open.
func (p *Pool) close() { p.less(-1) }

func (p *Pool) less(by int64) {
	if p.open.Add(by)&openMask == 0 && p.draining.Load() {
		p.emptied.Do(func() { close(p.drained) })
	}
}

// Drain refuses new calls, for good, and waits for the calls that are open. If
// ctx ends first, the error says how many were left. It may be called more
// than once.
func (p *Pool) Drain(ctx context.Context) error {
	p.open.Add(1) // so that the last call, this one if there is no other, closes drained
	p.draining.Store(true)
	p.close()
	select {
	case <-p.drained:
		return nil
	case <-ctx.Done():
		if open := p.InFlight(); open > 0 {
			return fmt.Errorf("resilience: drain ended with %s open: %w", counted(open, "call"), context.Cause(ctx))
		}
		return nil
	}
}

var errNoModel error = &ConfigError{"model", "is nil, or of another pool"}

// Reset makes every feature forget what it holds against m, and lifts all
// holds but a manual one, those of its keys too. It fails if the audit refuses.
func (p *Pool) Reset(ctx context.Context, m *Model, by Control) error {
	if m == nil || m.pool != p {
		return errNoModel
	}
	if err := p.Audit(ctx, Change{Control: by, What: "reset", Model: m, From: m.Status().String()}); err != nil {
		return err
	}
	for _, reset := range p.resets {
		reset(m)
	}
	for hold := HoldManual + 1; int(hold) < holders; hold++ {
		m.release(ctx, hold, by.Actor+": "+by.Reason)
	}
	m.SetRamp(1)
	p.pardon(ctx, []*Model{m}, by.Actor+": "+by.Reason, HoldLimit, HoldQuota, HoldCredential)
	places := (&access{model: m}).places()
	p.guests.forget(func(at place, _ HoldBy) bool { return slices.Contains(places[:], at) })
	return nil
}

// Stack describes the installed layers, outermost first, with the settings in
// effect.
func (p *Pool) Stack() []string {
	var lines []string
	add := func(layer Layer, w wrapper) {
		name := fmt.Sprintf("%T", w.feature)
		for section, s := range p.setup.sections {
			if s.number == w.number {
				name = section
			}
		}
		line := fmt.Sprintf("%-8s %-8s", layer, name)
		if s, ok := w.feature.(fmt.Stringer); ok {
			line += " " + s.String()
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	for at := range layers {
		for _, w := range p.setup.wraps[at] {
			add(Layer(at), w)
		}
		switch Layer(at) {
		case LayerRoute:
			if p.setup.routeBy.feature != nil {
				add(LayerRoute, p.setup.routeBy)
			}
			if p.setup.pickBy.feature != nil {
				add(LayerRoute, p.setup.pickBy)
			}
		case LayerTimeout:
			if t := p.timeouts.Load(); t != nil {
				lines = append(lines, fmt.Sprintf("%-8s timeouts %s", LayerTimeout, t.text))
			}
		}
	}
	if p.bypass.Load() {
		lines = append(lines, "bypassed: none of these is in effect")
	}
	return lines
}

// Log returns the pool's logger. For feature authors.
func (p *Pool) Log() *slog.Logger { return p.log }

// Rand returns a random number in [0, 1). For feature authors.
func (p *Pool) Rand() float64 {
	if p.random == nil {
		return rand.Float64()
	}
	p.random.mu.Lock()
	defer p.random.mu.Unlock()
	return p.random.src.Float64()
}

// pair returns two different random numbers in [0, n); n is at least 2.
func (p *Pool) pair(n int) [2]int {
	r := p.bits()
	i, j := int(r>>32*uint64(n)>>32), int(r&math.MaxUint32*uint64(n-1)>>32)
	if j >= i {
		j++
	}
	return [2]int{i, j}
}

func (p *Pool) bits() uint64 {
	if p.random == nil {
		return rand.Uint64()
	}
	p.random.mu.Lock()
	defer p.random.mu.Unlock()
	return p.random.src.Uint64()
}

package chaos

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the injector's part of a configuration file.
const section = "chaos"

// InjectorConfig configures an [Injector]. The zero value is switched off.
type InjectorConfig struct {
	// Enabled allows faults. A configuration that takes it away ends all there
	// are, and an experiment that runs.
	Enabled bool   `json:"enabled"`
	Seed    uint64 `json:"seed,omitempty"` // of the chance of [Injector.Inject]
	Blast   Blast  `json:"blast,omitzero"`

	// Speed is how much faster time passes than in the world that is imitated, 1
	// by default, and 0.001 to 1000. All times of injections, experiments and results are of that
	// world; those of the pool's other features are not.
	Speed float64 `json:"-"`

	// Config returns the pool's configuration in force, to which an experiment
	// that changes it goes back. Without it that is what the program gave the
	// features.
	Config func() []byte `json:"-"`
}

// An Injector is a feature that makes attempts go wrong on purpose, while it is
// told to. Until then it costs a call one atomic load. Its section in a
// configuration file is "chaos".
//
// An attempt that it strikes is marked: [resilience.Call.Faulted] tells features,
// Faulted of reports and events tell others. One that the model was not asked for
// costs nothing; one that was, late or with its stream broken, costs what it cost.
type Injector struct {
	given InjectorConfig
	cfg   atomic.Pointer[InjectorConfig]
	pool  *resilience.Pool
	speed float64
	live  atomic.Pointer[live]

	turn    sync.Mutex // of what begins
	running bool       // an experiment
	settled uint64     // the pool's configuration that is as the program gave it

	mu sync.Mutex // of changes to live
}

// live is what happens to attempts now. It does not change.
type live struct {
	doses []*dose
	watch *watch // of an experiment, or nil
}

// NewInjector returns an injector. What is wrong with cfg is reported by
// [resilience.NewPool].
func NewInjector(cfg InjectorConfig) *Injector { return &Injector{given: cfg} }

// Install implements [resilience.Feature].
func (i *Injector) Install(s *resilience.Setup) error {
	if i.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "the injector is installed already; each pool needs one of its own"}
	}
	commit, err := i.prepare(nil)
	if err != nil {
		return err
	}
	i.pool, i.speed = s.Pool(), cmp.Or(i.given.Speed, 1)
	commit()
	s.Configure(section, i.prepare)
	s.Wrap(resilience.LayerFault, i.wrap)
	return nil
}

const minSpeed, maxSpeed = 0.001, 1000

// now is the time since the pool began, in the world that is imitated.
func (i *Injector) now() time.Duration { return i.world(i.pool.Now()) }

// world turns a time of the pool's clock into one of that world, and clock the
// other way round.
func (i *Injector) world(d time.Duration) time.Duration { return time.Duration(float64(d) * i.speed) }
func (i *Injector) clock(d time.Duration) time.Duration { return time.Duration(float64(d) / i.speed) }

func (i *Injector) wrap(m *resilience.Model, next resilience.Handler) resilience.Handler {
	live := &i.live
	return func(ctx context.Context, c *resilience.Call) error {
		if live.Load() == nil {
			return next(ctx, c)
		}
		return i.meet(ctx, c, m, next)
	}
}

func (i *Injector) prepare(raw json.RawMessage) (commit func(), err error) {
	cfg := i.given
	if raw != nil {
		if err := configErrors(settings.Decode(section, raw, &cfg)); err != nil {
			return nil, err
		}
	}
	if err := configErrors(settings.Check(section, cfg)); err != nil {
		return nil, err
	}
	if cfg.Speed != 0 && !(cfg.Speed >= minSpeed && cfg.Speed <= maxSpeed) {
		return nil, &resilience.ConfigError{Path: section + ".speed", Problem: fmt.Sprintf("%v is no speed, want %v to %d", cfg.Speed, minSpeed, maxSpeed)}
	}
	settings.Fill(&cfg)
	return func() {
		i.cfg.Store(&cfg)
		if !cfg.Enabled {
			i.endAll(switchedOff)
		}
	}, nil
}

// String describes the settings in effect.
func (i *Injector) String() string { return settings.Describe(*i.cfg.Load()) }

func configErrors(problems []settings.Problem) error {
	errs := make([]error, 0, len(problems))
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

// Inject makes attempts go wrong as injections say, from now on until ttl has
// passed or stop is called, which ends them at once: also attempts that hang.
// Stop may be called more than once. Of several injections the first that strikes
// an attempt decides.
//
// Inject fails, and injects nothing, if chaos is not enabled, if something is
// wrong with the injections, if they exceed [InjectorConfig.Blast] together with
// what is injected already, or while an experiment runs.
func (i *Injector) Inject(ttl time.Duration, injections ...Injection) (stop func(), err error) {
	cfg, err := i.ready()
	if err != nil {
		return nil, err
	}
	var c checker
	if len(injections) == 0 {
		c.bad("method", "is empty: there is nothing to inject")
	}
	if ttl <= 0 {
		c.bad("ttl", "is %v: faults need a time to live", ttl)
	}
	c.tags("method", injections)
	c.injections("method", injections)
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	d, err := i.prepareDose(cfg.Seed, ttl, injections, 0, cfg.Blast)
	if err != nil {
		return nil, err
	}
	i.turn.Lock()
	defer i.turn.Unlock()
	if i.running {
		return nil, errRunning
	}
	if err := i.begin(d); err != nil {
		return nil, err
	}
	return func() { i.end(d, "stopped") }, nil
}

// ready returns the settings in effect of an injector that may inject.
func (i *Injector) ready() (*InjectorConfig, error) {
	if i.pool == nil {
		return nil, &resilience.ConfigError{Path: section, Problem: "the injector is not installed: give it to NewPool"}
	}
	cfg := i.cfg.Load()
	if !cfg.Enabled {
		return nil, &resilience.ConfigError{Path: section + ".enabled", Problem: "chaos is switched off; set it to true"}
	}
	return cfg, nil
}

var errRunning = errors.New("chaos: an experiment is running already in this pool")

// prepareDose checks injections, beside which the first so many models leave,
// against the pool and limits, the settings' first and then those of an experiment.
func (i *Injector) prepareDose(seed uint64, ttl time.Duration, injections []Injection, leave int, limits ...Blast) (*dose, error) {
	var c checker
	models := i.pool.Models()
	d := &dose{seed: seed, ttl: ttl, done: make(chan struct{}), counts: map[string]int64{}, gone: map[string]bool{}, most: len(models), share: 1}
	if leave < len(models) {
		for _, m := range models[:leave] {
			d.gone[m.ID()] = true
		}
	}
	for n, x := range injections {
		settings.Fill(&x)
		in := injected{Injection: x, key: x.id(), models: map[string]bool{}}
		in.Fault = x.Fault.complete()
		for _, id := range c.find(fmt.Sprintf("method[%d].where", n), x.Where, models) {
			in.models[id] = true
		}
		d.injections = append(d.injections, in)
	}
	for n, b := range limits {
		path := "blast"
		if n == 0 {
			path = section + ".blast"
		}
		settings.Fill(&b)
		c.blast(path, b, d, models)
		d.most, d.share = min(d.most, b.models(len(models))), min(d.share, b.Share)
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return d, nil
}

// begin makes a dose strike from now on, unless that were too much with those
// that do already.
func (i *Injector) begin(d *dose) error {
	var c checker
	i.change(func(l *live) {
		d.start = i.now()
		d.until = d.start + d.ttl
		l.doses = slices.DeleteFunc(l.doses, func(other *dose) bool { return other.over(d.start) })
		if c.together(append(slices.Clone(l.doses), d), d.start); len(c.errs) == 0 {
			l.doses = append(l.doses, d)
		}
	})
	if !i.cfg.Load().Enabled { // since it was looked at
		i.end(d, switchedOff)
	}
	return errors.Join(c.errs...)
}

// end ends a dose, once.
func (i *Injector) end(d *dose, why string) {
	d.end(why)
	i.change(func(l *live) { l.doses = slices.DeleteFunc(l.doses, func(other *dose) bool { return other == d }) })
}

func (i *Injector) endAll(why string) {
	if l := i.live.Load(); l != nil {
		for _, d := range l.doses {
			i.end(d, why)
		}
		if l.watch != nil {
			l.watch.abort(why)
		}
	}
}

func (i *Injector) change(edit func(*live)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var l live
	if old := i.live.Load(); old != nil {
		l = live{slices.Clone(old.doses), old.watch}
	}
	edit(&l)
	if len(l.doses) == 0 && l.watch == nil {
		i.live.Store(nil)
		return
	}
	i.live.Store(&l)
}

const switchedOff = "chaos was switched off"

const tooMany = "more than the allowed share of the attempts was struck"

// meet carries an attempt onward, or makes it go wrong.
func (i *Injector) meet(ctx context.Context, c *resilience.Call, m *resilience.Model, next resilience.Handler) error {
	l := i.live.Load()
	if l == nil {
		return next(ctx, c)
	}
	now := i.now()
	var s *strike
	for n, d := range l.doses {
		switch {
		case d.over(now):
			i.end(d, "its time was over")
		case s != nil:
			d.pass(m.ID())
		default:
			if s = d.meet(i, c, m, now); s != nil {
				for _, before := range l.doses[:n] {
					before.besides()
				}
			}
		}
	}
	if s != nil && s.dose.exceeded.Load() {
		i.end(s.dose, tooMany)
		s = nil
	}
	if l.watch != nil {
		if t := l.watch.begin(ctx, c, m, s); t != nil {
			return l.watch.carry(ctx, c, t, s, next)
		}
	}
	if s == nil {
		return next(ctx, c)
	}
	return s.play(ctx, c, next)
}

// Package degrade gives up the less important to keep the important working when
// the pool as a whole is in trouble.
//
// A level says how much is given up. It goes up with what is left of the models'
// capacity, with the error rate and the time of calls, and with whatever budget
// the service burns; and down again, one level at a time, when all has been well
// for a while. A level refuses low priorities, makes requests ask for less
// ([resilience.Hooks].Reduce), prefers cheaper models, gives attempts more time and
// switches optional features off ([Enabled]), as its [Step] says. An answer that is
// degraded says so: [resilience.Report] has the level, and what was given up.
//
// The throttle works at every level. It refuses, here and at no cost, calls beyond
// twice what is served, the lowest priority first and what is critical never. Where
// models' capacity is known, a reserve may be left to high priorities. A call that is
// refused fails as [resilience.Rejected], or is answered by
// [resilience.Hooks].Default.
//
// The part of the capacity that is left is the sum of weight × ramp of the models
// that nothing holds, over the weights of all that are not drained by hand; with
// all drained nothing is left, and of a pool without models all. The error rate is that
// of calls, after all their attempts, and of streams to their ends: failures that
// fallback makes good are none, nor is what is the caller's doing. Refusals by this
// package are no errors either, nor what comes of them to the call that a refused one is
// made within.
//
// Levels are assessed within [resilience.Pool.Run]. Without it the level is None, but
// for overrides; the throttle and the reserve need nothing. What a caller's
// [resilience.Hooks].Validate demands is demanded at every level.
package degrade

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"sync"
	"sync/atomic"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/internal/window"
)

// A Controller degrades the calls of a pool. It is a [resilience.Feature] and owns
// the section "degrade". A reload changes settings in place, and no level. Its
// methods may be called from any number of goroutines.
type Controller struct {
	given Config
	pool  *resilience.Pool
	now   atomic.Pointer[standing]
	gauge *gauge   // of calls that name no model, nor are pinned to one
	named sync.Map // others, by the name: a model that is gone must not cost the calls of others
	room  room
	took  window.Histogram // calls, where a step has a limit of times

	mu        sync.Mutex // of what follows; held for moments
	cfg       Config
	rules     *rules
	overrides []*override // the latest last
	ladder    ladder
	told      *standing // by the latest event
	watched   int64     // when the latest assessment was
	doubted   int64     // until when samples are not to be believed
}

// standing is what is in effect.
type standing struct {
	*rules
	level Level
	until int64 // when to look again, 0 for never
}

// New returns a controller. What is wrong with cfg is reported by
// [resilience.NewPool].
func New(cfg Config) *Controller {
	cfg.Levels = maps.Clone(cfg.Levels)
	return &Controller{given: cfg, cfg: cfg, gauge: newGauge()}
}

// Install implements [resilience.Feature].
func (d *Controller) Install(s *resilience.Setup) error {
	if d.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "this controller belongs to another pool"}
	}
	if err := d.given.check(); err != nil {
		return err
	}
	d.pool, d.rules = s.Pool(), d.given.rules()
	d.told = &standing{rules: d.rules}
	d.now.Store(d.told)
	s.Wrap(resilience.LayerAdmit, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error { return d.admit(ctx, c, next) }
	})
	s.Configure(section, d.prepare)
	s.Background(section, d.watch)
	s.Tell(resilience.Metric{
		Name: "degradation_level", Help: "1 for the level in effect, 0 for the others.", Label: "level",
		Read: func(tell func(resilience.Sample)) {
			now := d.Level()
			for level := range Level(levels) {
				one := resilience.Sample{Label: level.String()}
				if level == now {
					one.Value = 1
				}
				tell(one)
			}
		},
	})
	return nil
}

// String returns the settings in effect.
func (d *Controller) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return settings.Describe(d.cfg)
}

// Level returns the level in effect.
func (d *Controller) Level() Level {
	if s := d.current(context.Background()); s != nil {
		return s.effective()
	}
	return None
}

func (s *standing) effective() Level {
	if s.observe {
		return None
	}
	return s.level
}

// Enabled reports whether an optional feature of the service is on, outside of any
// call.
func (d *Controller) Enabled(feature string) bool {
	s := d.current(context.Background())
	return s == nil || s.steps[s.effective()].enabled(feature)
}

// current is what is in effect now, or nil without a pool.
func (d *Controller) current(ctx context.Context) *standing {
	s := d.now.Load()
	if s == nil || s.until == 0 {
		return s
	}
	return d.at(ctx, int64(d.pool.Now()))
}

// at is what is in effect at an instant. Nobody has to end an override that has run
// out: whoever notices does.
func (d *Controller) at(ctx context.Context, now int64) *standing {
	s := d.now.Load()
	if s.until == 0 || now < s.until {
		return s
	}
	d.change(ctx, d.noticed)
	return d.now.Load()
}

// noticed is why something changes that nobody changes now. The caller has d.mu.
func (d *Controller) noticed() (reason string) {
	if d.told.rules != d.rules {
		return "a reload"
	}
	return "an override ran out"
}

// change changes what is in effect, for a reason, and tells of it.
func (d *Controller) change(ctx context.Context, edit func() (reason string)) {
	d.mu.Lock()
	reason := edit()
	was, next := d.told, &standing{rules: d.rules, level: d.ladder.level}
	if o := d.prevailing(int64(d.pool.Now())); o != nil {
		next.level, next.until = o.level, o.until
	}
	d.now.Store(next)
	d.told = next
	d.mu.Unlock()
	from, to, would := was.level, next.level, next.observe
	if was.observe != next.observe {
		from, to, would = was.effective(), next.effective(), false
	}
	if from == to {
		return
	}
	d.pool.Emit(ctx, resilience.Event{Kind: resilience.EventDegrade, From: from.String(), To: to.String(), Reason: reason, Would: would})
	log, attrs := d.pool.Log().InfoContext, []any{"from", from.String(), "to", to.String(), "reason", reason}
	if to > from {
		log = d.pool.Log().WarnContext
	}
	if would {
		attrs = append(attrs, "observeOnly", true)
	}
	log(ctx, "degradation", attrs...)
}

func (d *Controller) prepare(raw json.RawMessage) (func(), error) {
	cfg := d.given
	if raw != nil {
		var err error
		if cfg, err = d.given.over(raw); err != nil {
			return nil, err
		}
	}
	return func() {
		d.mu.Lock()
		d.cfg, d.rules = cfg, cfg.rules()
		d.now.Store(&standing{rules: d.rules, level: d.now.Load().level, until: math.MinInt64}) // told by who looks: the pool is locked
		d.mu.Unlock()
		names := map[string]bool{}
		for _, m := range d.pool.Models() {
			names[m.ID()], names[m.Name()] = true, true
		}
		d.named.Range(func(name, _ any) bool {
			if !names[name.(string)] {
				d.named.Delete(name)
			}
			return true
		})
	}, nil
}

// counted returns the gauge of calls that ask for a model by name, or for none.
func (d *Controller) counted(model string) *gauge {
	if model == "" {
		return d.gauge
	}
	if g, ok := d.named.Load(model); ok {
		return g.(*gauge)
	}
	g, _ := d.named.LoadOrStore(model, newGauge())
	return g.(*gauge)
}

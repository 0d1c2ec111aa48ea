package fallback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// live is the plan in force.
type live struct{ atomic.Pointer[plan] }

// plan is a Config with each operation's overrides laid over it.
type plan struct {
	base     rules
	ops      map[string]*rules
	standIns map[string][]string
	known    sync.Once // that stand-ins were looked for among the models
	text     string
}

// rules are a Config for one operation.
type rules struct {
	Config
	picker resilience.Picker // instead of the pool's
	plain  bool              // one model at a time
}

func newPlan(cfg Config) *plan {
	p := &plan{text: settings.Describe(cfg), standIns: cfg.StandIns, ops: map[string]*rules{}}
	settings.Fill(&cfg)
	p.base = newRules(cfg)
	for op, over := range cfg.Ops {
		r := newRules(settings.Overlay(cfg, over))
		p.ops[op] = &r
	}
	return p
}

func newRules(cfg Config) rules {
	r := rules{Config: cfg}
	switch cfg.Strategy {
	case Weighted:
		r.picker = weighted{}
	case Random:
		r.picker = random{}
	}
	r.plain = cfg.ObserveOnly || cfg.Strategy != Hedged && (cfg.Strategy != Parallel || cfg.Width == 1)
	return r
}

func (p *plan) of(op string) *rules {
	if r := p.ops[op]; r != nil {
		return r
	}
	return &p.base
}

// check returns what is wrong with cfg.
func check(cfg *Config) []settings.Problem {
	list := settings.Check(section, cfg)
	for _, op := range slices.Sorted(maps.Keys(cfg.Ops)) {
		if len(cfg.Ops[op].StandIns) > 0 {
			list = append(list, settings.Problem{
				Path:    settings.Join(section+".ops", op) + ".standIns",
				Problem: "stand-ins are for all operations; set them beside ops",
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.StandIns)) {
		path := settings.Join(section+".standIns", name)
		if name == "" {
			list = append(list, settings.Problem{Path: path, Problem: "empty name"})
		}
		others := cfg.StandIns[name]
		for i, other := range others {
			var problem string
			switch first := slices.Index(others, other); {
			case other == "":
				problem = "empty name"
			case other == name:
				problem = "is a cycle: a model does not stand in for itself"
			case first < i:
				problem = fmt.Sprintf("is a cycle: %q is tried already, as standIns[%d]", other, first)
			default:
				continue
			}
			list = append(list, settings.Problem{Path: fmt.Sprintf("%s[%d]", path, i), Problem: problem})
		}
	}
	return list
}

func configErrors(list []settings.Problem) error {
	var errs []error
	for _, p := range list {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

// standIns says what stands in for a model.
func (f *Manager) standIns(model string) []string {
	p := f.live.Load()
	if len(p.standIns) == 0 {
		return nil
	}
	p.known.Do(func() { f.unknown(p) })
	return p.standIns[model]
}

// unknown warns of names that no model has, once somebody calls: only then are
// all clients there, from whose bindings a pool may learn its models.
func (f *Manager) unknown(p *plan) {
	known := map[string]bool{}
	for _, m := range f.pool.Models() {
		known[m.ID()], known[m.Name()] = true, true
	}
	warn := func(path, name string) {
		if known[name] {
			return
		}
		problem := fmt.Sprintf("no model has the ID or name %q", name)
		if near := settings.Nearest(name, slices.Sorted(maps.Keys(known))); near != "" {
			problem += fmt.Sprintf("; did you mean %q?", near)
		}
		f.warn(&resilience.ConfigError{Path: path, Problem: problem})
	}
	for _, name := range slices.Sorted(maps.Keys(p.standIns)) {
		path := settings.Join(section+".standIns", name)
		warn(path, name)
		for i, other := range p.standIns[name] {
			warn(fmt.Sprintf("%s[%d]", path, i), other)
		}
	}
}

func (f *Manager) warn(problem error) {
	f.pool.Log().Warn("a stand-in that there is not", "problem", problem.Error())
	f.pool.Emit(context.Background(), resilience.Event{Kind: resilience.EventWarning, Reason: problem.Error()})
}

package fallback

import (
	"sync/atomic"

	"github.com/cmmv-hive/resilience/internal/settings"
)

// live is the plan in force.
type live struct{ atomic.Pointer[plan] }

// plan is a Config with each operation's overrides laid over it.
type plan struct {
	base Config
	ops  map[string]*Config
	text string
}

func newPlan(cfg Config) *plan {
	p := &plan{base: cfg, text: settings.Describe(cfg)}
	settings.Fill(&p.base)
	if len(cfg.Ops) > 0 {
		p.ops = map[string]*Config{}
	}
	for op, over := range cfg.Ops {
		both := settings.Overlay(p.base, over)
		p.ops[op] = &both
	}
	return p
}

func (p *plan) of(op string) *Config {
	if len(p.ops) > 0 {
		if cfg := p.ops[op]; cfg != nil {
			return cfg
		}
	}
	return &p.base
}

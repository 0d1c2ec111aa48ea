package retry

import (
	"errors"
	"maps"
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "retry"

// Config configures a [Policy]. The zero value is ready to use: a zero field
// means the default that is named beside it.
type Config struct {
	// Attempts is how often a call may ask a model, the first time included. 1
	// and negative numbers mean that nothing is retried.
	Attempts int `json:"attempts" default:"3"`

	// Base is the longest wait before the second attempt; with each further
	// one it grows by Multiplier, up to Max. Negative Base means that nothing
	// is waited for but what servers ask, negative Max that there is no cap.
	Base       time.Duration `json:"base" default:"500ms"`
	Max        time.Duration `json:"max" default:"20s"`
	Multiplier float64       `json:"multiplier" default:"2" min:"1" off:"no"`

	// Jitter is the part of a wait that is drawn at random: 1 is full jitter,
	// uniform between zero and the longest wait, 0.5 is equal jitter, negative
	// is none.
	Jitter float64 `json:"jitter" default:"1" max:"1"`

	// Patience is the longest delay asked for by a server that is waited out.
	// After a longer one the call goes elsewhere or fails at once. Negative
	// means that none is waited out.
	Patience time.Duration `json:"patience" default:"5s"`

	// Budget is how many retries, of any call, each success pays for. See
	// [Policy]. Negative means no limit. It is one for all operations and
	// models: overrides cannot hold it.
	Budget float64 `json:"budget" default:"0.1"`

	// Pace makes the retries of all calls to a model queue, and lets one go at
	// a time, a gap apart that follows from how long attempts take. A call
	// whose turn would come later than Max, or than its time allows, is not
	// retried.
	Pace bool `json:"pace"`

	// LastModelOnly retries only calls that have no other model left.
	LastModelOnly bool `json:"lastModelOnly"`

	// ObserveOnly retries nothing, and publishes what would have been retried.
	ObserveOnly bool `json:"observeOnly"`

	// Models, by ID or name, lies over Ops, by operation, and that over the
	// fields above: what is not zero there counts.
	Ops    map[string]Config `json:"ops,omitempty"`
	Models map[string]Config `json:"models,omitempty"`
}

// plan is a configuration in effect.
type plan struct {
	Config // filled
	over   map[scope]*Config
	paced  bool // somewhere
}

// A scope is what an override is for. Empty names are for all.
type scope struct{ op, model string }

// newPlan checks and completes cfg. The errors are joined
// [*resilience.ConfigError]s.
func newPlan(cfg Config) (*plan, error) {
	problems := settings.Check(section, cfg)
	for _, overrides := range []struct {
		key     string
		configs map[string]Config
	}{{"ops", cfg.Ops}, {"models", cfg.Models}} {
		for name, over := range overrides.configs {
			if over.Budget != 0 {
				problems = append(problems, settings.Problem{
					Path:    section + "." + overrides.key + "." + name + ".budget",
					Problem: "the budget is one for all; set " + section + ".budget",
				})
			}
		}
	}
	if err := configErrors(problems); err != nil {
		return nil, err
	}
	settings.Fill(&cfg)
	if mutants.On("retry-waits-as-long-as-told") {
		cfg.Patience = math.MaxInt64
	}
	p := &plan{Config: cfg, over: map[scope]*Config{}}
	for op, byOp := range withNone(cfg.Ops) {
		for model, byModel := range withNone(cfg.Models) {
			c := settings.Overlay(settings.Overlay(cfg, byOp), byModel)
			p.over[scope{op, model}] = &c
			p.paced = p.paced || c.Pace
		}
	}
	return p, nil
}

// withNone returns overrides, and one for those that have none.
func withNone(overrides map[string]Config) map[string]Config {
	all := map[string]Config{"": {}}
	maps.Copy(all, overrides)
	return all
}

// of returns the settings for an operation at a model, which may be nil.
func (p *plan) of(op string, m *resilience.Model) *Config {
	if len(p.over) == 1 {
		return &p.Config
	}
	var s scope
	if _, ok := p.Ops[op]; ok {
		s.op = op
	}
	if m != nil {
		if _, ok := p.Models[m.ID()]; ok {
			s.model = m.ID()
		} else if _, ok := p.Models[m.Name()]; ok {
			s.model = m.Name()
		}
	}
	return p.over[s]
}

// newLaw returns the waits that c asks for.
func (c *Config) newLaw() *law {
	longest := c.Max
	if longest < 0 || mutants.On("retry-backoff-without-cap") {
		longest = math.MaxInt64
	}
	return newLaw(max(c.Base, 0), longest, c.Multiplier, c.Jitter)
}

func configErrors(problems []settings.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

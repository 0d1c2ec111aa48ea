package breaker

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "breaker"

// Config configures [Breakers]. The zero value is ready to use: a zero field
// means the default that is named beside it. Negative FailureRate and
// Consecutive mean off. No duration is longer than a year.
type Config struct {
	// FailureRate opens a breaker when so many of the calls of a Window have
	// failed, of MinCalls at least. The share itself is enough.
	FailureRate float64 `json:"failureRate" default:"0.5" max:"1"`

	// SlowRate does so when so many took longer than SlowAfter, failed or not;
	// off. Where it is set, a probe that is slow has failed.
	SlowRate  float64       `json:"slowRate" max:"1"`
	SlowAfter time.Duration `json:"slowAfter" default:"30s" max:"8760h" off:"no"`

	MinCalls int           `json:"minCalls" default:"10" off:"no"`
	Window   time.Duration `json:"window" default:"30s" min:"100ms" max:"8760h" off:"no"` // begins anew when a breaker closes

	// Consecutive opens a breaker after so many failures in a row.
	Consecutive int `json:"consecutive" default:"5"`

	// Drift opens a breaker when failures add up to so much in a cumulative
	// sum; off. A failure adds 2.3, a success takes away 0.095, down to zero.
	// With 6, 100 % of failures are noticed after 3 calls, 50 % after 6 and
	// 10 % after 41, and at 1 % there is a false alarm in 11,800 calls.
	Drift float64 `json:"drift"`

	// OpenFor is how long a breaker stays open before it probes, at least. It
	// doubles with each round of probes that fails, up to MaxOpenFor, and a
	// tenth of it at most is added at random. After an Overloaded failure it is
	// no less than the provider asked for.
	OpenFor    time.Duration `json:"openFor" default:"15s" min:"1ms" max:"8760h" off:"no"`
	MaxOpenFor time.Duration `json:"maxOpenFor" default:"5m" min:"1ms" max:"8760h" off:"no"`

	// Probes is how many probes must succeed to close a breaker, and how many
	// there are at once. One that fails opens it again. So does one that is
	// still out after two minutes, or four times SlowAfter if that is longer.
	Probes int `json:"probes" default:"2" off:"no"`

	// ObserveOnly refuses nothing and holds no model; states and events are as
	// if it did, the events with Would set.
	ObserveOnly bool `json:"observeOnly"`

	// Models, by ID or name, lies over the fields above: what is not zero
	// there counts.
	Models map[string]Config `json:"models,omitempty"`
}

// over returns c with what a section of a configuration file says lying over it.
func (c Config) over(raw json.RawMessage) (Config, error) {
	if err := configErrors(settings.Decode(section, raw, &c)); err != nil {
		return Config{}, err
	}
	return c, c.check()
}

// check returns what is wrong with cfg, as joined [*resilience.ConfigError]s.
func (c Config) check() error {
	problems := settings.Check(section, c)
	if len(problems) > 0 {
		return configErrors(problems)
	}
	if p := c.inverted(section); p != nil {
		problems = append(problems, *p)
	}
	for name, over := range c.Models {
		if p := settings.Overlay(c, over).inverted(section + ".models." + name); p != nil {
			problems = append(problems, *p)
		}
	}
	return configErrors(problems)
}

func (c Config) inverted(path string) *settings.Problem {
	settings.Fill(&c)
	if c.OpenFor <= c.MaxOpenFor {
		return nil
	}
	return &settings.Problem{
		Path: path + ".openFor", Problem: fmt.Sprintf("%v is more than maxOpenFor, %v", c.OpenFor, c.MaxOpenFor),
	}
}

// rules returns what c says for m.
func (c Config) rules(m *resilience.Model) rules {
	over, ok := c.Models[m.ID()]
	if !ok {
		over = c.Models[m.Name()]
	}
	c = settings.Overlay(c, over)
	settings.Fill(&c)
	return rules{
		failureRate: max(c.FailureRate, 0), slowRate: max(c.SlowRate, 0), drift: max(c.Drift, 0),
		slowAfter: int64(c.SlowAfter), window: int64(c.Window),
		minCalls: int64(c.MinCalls), consecutive: int64(max(c.Consecutive, 0)), probes: int64(c.Probes),
		openFor: int64(c.OpenFor), maxOpenFor: int64(c.MaxOpenFor),
		observe: c.ObserveOnly,
	}
}

func configErrors(problems []settings.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

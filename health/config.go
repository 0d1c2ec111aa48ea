package health

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "health"

// Config configures a [Checker]. The zero value is ready to use: a zero field
// means the default that is named beside it.
type Config struct {
	// Interval is the time between two checks of a model, a tenth more or less at
	// random. A check goes by the calls of so long, up to twenty seconds more, and five
	// minutes at most.
	Interval time.Duration `json:"interval" default:"30s" min:"1s" max:"1h" off:"no"`

	// Timeout bounds a probe.
	Timeout time.Duration `json:"timeout" default:"5s" min:"1ms" max:"10m" off:"no"`

	// Probes is how many probes there are a second at most, over all models. Where
	// they do not suffice, all models that need one are probed less often. Negative
	// means that nothing is probed, here or, in Models, this model.
	Probes float64 `json:"probes" default:"1" max:"10000"`

	// Rise is how many good checks in a row make a model well, and Fall how many bad
	// ones make it ill. Just after a hold one bad check is enough.
	Rise int `json:"rise" default:"2" max:"100" off:"no"`
	Fall int `json:"fall" default:"3" max:"100" off:"no"`

	// ErrorRate is the share of calls that fails in a bad check, of MinCalls at
	// least; with fewer calls a model is probed. Negative means that only models
	// that do worse than their peers are ill by their calls.
	ErrorRate float64 `json:"errorRate" default:"0.5" max:"1"`
	MinCalls  int     `json:"minCalls" default:"5" max:"100000" off:"no"`

	// SlowFirst is a time until the first chunk of streams, of which one in twenty is
	// later, and SlowToken a time a token of whole answers, that make a model degraded.
	// Both are off.
	SlowFirst time.Duration `json:"slowFirst" max:"1h"`
	SlowToken time.Duration `json:"slowToken" max:"1m"`

	// MaxEjected is the part of the pool's models that checks hold at the same time,
	// at most. One may be held in any case if there are several, and never all. A
	// provider's outage does not count.
	MaxEjected float64 `json:"maxEjected" default:"0.5" max:"1" off:"no"`

	// ObserveOnly holds nothing; states and events are as if it did, the events with
	// Would set.
	ObserveOnly bool `json:"observeOnly"`

	// Models, by ID or name, lies over the fields above: what is not zero there
	// counts. MaxEjected and a positive Probes are the pool's alone.
	Models map[string]Config `json:"models,omitempty"`
}

// over returns c with what a section of a configuration file says lying over it.
func (c Config) over(raw json.RawMessage) (Config, error) {
	if err := configErrors(settings.Decode(section, raw, &c)); err != nil {
		return Config{}, err
	}
	return c, c.check()
}

// check returns what is wrong with c, as joined [*resilience.ConfigError]s.
func (c Config) check() error {
	problems := settings.Check(section, c)
	for name, over := range c.Models {
		path := section + ".models." + name
		if over.Probes > 0 {
			problems = append(problems, settings.Problem{Path: path + ".probes", Problem: "is the pool's; here it can only be switched off"})
		}
		if over.MaxEjected != 0 {
			problems = append(problems, settings.Problem{Path: path + ".maxEjected", Problem: "is the pool's"})
		}
	}
	return configErrors(problems)
}

// rules are the settings for one model.
type rules struct {
	interval, timeout    time.Duration
	probes               bool
	rise, fall           int
	errorRate            float64
	minCalls             int64
	slowFirst, slowToken time.Duration
	observe              bool
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
		interval: c.Interval, timeout: c.Timeout, probes: c.Probes > 0, rise: c.Rise, fall: c.Fall,
		errorRate: max(c.ErrorRate, 0), minCalls: int64(c.MinCalls), slowFirst: max(c.SlowFirst, 0), slowToken: max(c.SlowToken, 0),
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

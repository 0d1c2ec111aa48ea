package balance

import (
	"errors"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "balance"

// An Algorithm is a way of choosing among models.
type Algorithm string

// The algorithms. All of them choose within the first tier that has a model
// that may be used, except for Priority. A model's latency is a peak-sensitive
// average, its load what it has in flight and queued.
const (
	// TwoChoices draws two models and takes the one whose latency × (load + 1) ÷
	// weight is less: power of two choices over peak-EWMA, as in Finagle. It
	// costs the same for 5 models and for 5,000; the others look at each model.
	TwoChoices Algorithm = "two_choices"

	// RoundRobin takes models in turn. Weighted does so in exact proportion to
	// their weights and smoothly, as nginx does; WeightedRandom draws them so.
	RoundRobin     Algorithm = "round_robin"
	Weighted       Algorithm = "weighted"
	WeightedRandom Algorithm = "weighted_random"

	// LeastInFlight takes the model with the least load per weight.
	LeastInFlight Algorithm = "least_inflight"

	// LeastLatency takes the model whose median over five minutes is the least,
	// for hosted models that have room for all calls. A load that grows out of
	// proportion to the answers that come back counts as latency, so that others
	// get what is too much for one; TwoChoices does this better. A model with
	// fewer than three attempts in that time is tried first, one call at a time.
	LeastLatency Algorithm = "least_latency"

	// Cheapest takes the model with the lowest price for three parts of input
	// and one of output. Models without a known price come last.
	Cheapest Algorithm = "cheapest"

	// Scored takes the model with the highest Config.Score.
	Scored Algorithm = "scored"

	// Regional prefers models of the call's region, or else of Config.Region.
	// Priority prefers models of lower tiers. In both, part of the calls spills
	// over once fewer than 1 in 1.4 of the preferred models can take them, as in
	// Envoy: with half of them out, 30 % do. Among the models preferred they go
	// by two choices. What is kept from the only models of a region while these
	// start slowly or are on their way back goes to others of the tier.
	Regional Algorithm = "regional"
	Priority Algorithm = "priority"
)

// Config configures a [Balancer]. The zero value is ready to use. There is no
// ObserveOnly, as a balancer that did not choose would have nothing to observe.
type Config struct {
	Algorithm Algorithm `json:"algorithm" default:"two_choices" oneof:"two_choices round_robin weighted weighted_random least_inflight least_latency cheapest scored regional priority"`

	// Region is where this process runs, for Regional. [resilience.CallOptions]
	// may say otherwise for a call.
	Region string `json:"region,omitempty"`

	// SlowStart is how long a model takes to its normal share of the calls after
	// a reload added it, its breaker closed or a hold by health, by recovery or
	// by hand ended. The share grows with the time from a tenth of it on.
	// Negative means that it is there at once.
	SlowStart time.Duration `json:"slowStart" default:"30s" max:"24h"`

	// LastResort lets calls go to held models too, as if nothing but an operator
	// could hold one, while less than this share of the models in question is
	// usable: those of a tier, or of one level of Regional or Priority. There
	// must be nothing left to spill over to. Off; Envoy's panic threshold is 0.5.
	LastResort float64 `json:"lastResort" max:"1"`

	// Score ranks models for Scored; higher is better, NaN the worst. It is
	// called for each model and call, and must be quick.
	Score func(*resilience.Model) float64 `json:"-"`
}

// check returns what is wrong with cfg, as joined [*resilience.ConfigError]s.
func (cfg Config) check() error {
	problems := settings.Check(section, cfg)
	if cfg.Algorithm == Scored && cfg.Score == nil {
		problems = append(problems, settings.Problem{
			Path: section + ".algorithm", Problem: `"scored" needs Config.Score, which only the program can set`,
		})
	}
	return configErrors(problems)
}

func configErrors(problems []settings.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

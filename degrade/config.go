package degrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "degrade"

// A Step is what a level starts at, and what it does. Any one of its limits
// suffices; those that are zero are none. The zero Step is a level that only
// [Controller.Override] leads to.
type Step struct {
	Available float64       `json:"available,omitempty" max:"1"`                                    // part of the capacity that is left, below
	ErrorRate float64       `json:"errorRate,omitempty" max:"1"`                                    // of calls that came in half a minute, above; ten at least, and three that failed
	P95       time.Duration `json:"p95,omitempty" max:"24h"`                                        // of what calls take, or streams until their first chunk, above
	Burn      float64       `json:"burn,omitempty" max:"1e6"`                                       // what Config.Burn says, above
	Admit     string        `json:"admit,omitempty" oneof:"low normal high critical" default:"low"` // lowest priority let in
	Reduce    int           `json:"reduce,omitempty" max:"100"`                                     // step for [resilience.Hooks].Reduce
	Cheaper   bool          `json:"cheaper,omitempty"`                                              // prefer cheaper models, whatever their tiers
	Disabled  []string      `json:"disabled,omitempty"`                                             // optional features that are off, "*" for all; see [Enabled]
	Timeouts  float64       `json:"timeouts,omitempty" default:"1" max:"100" off:"no"`              // of attempts, times what they are
}

// Config configures a [Controller]. The zero value is ready to use.
type Config struct {
	// Levels says what the levels are, by their names: "minimal", "moderate",
	// "severe" and "emergency". One that is named is as it says; the others are
	//
	//	level      available  errorRate  admit   reduce  disabled
	//	minimal    < 0.8      > 0.05     low
	//	moderate   < 0.6      > 0.1      low     1
	//	severe     < 0.4      > 0.2      normal  2       *
	//	emergency  < 0.1      > 0.4      normal  3       *
	//
	// Limits of a level must be beyond those of the levels before it.
	Levels map[string]Step `json:"levels,omitempty"`

	// Interval is the time between assessments, which are [resilience.Pool.Run]'s.
	Interval time.Duration `json:"interval" default:"1s" min:"10ms" max:"1m" off:"no"`

	// Calm is how long all must be well for a level before the next lower one is
	// in effect. Signals are smoothed over it.
	Calm time.Duration `json:"calm" default:"30s" min:"1s" max:"1h" off:"no"`

	// Throttle is how many calls may be made for each that is served, over two
	// minutes; what is more is refused. It is K of the adaptive throttling in
	// "Site Reliability Engineering", chapter 21. Negative means off.
	Throttle float64 `json:"throttle" default:"2" min:"1" max:"100"`

	// Reserve is the part of the room at models that normal calls leave to high and
	// critical ones, if such have come within a minute; low calls leave twice as
	// much, but none are kept out of models that are idle. It goes by what is known of models' capacity, and is off: a limiter
	// gives room by priority, and wastes none. It is for pools without one, or
	// where what is critical should not wait.
	Reserve float64 `json:"reserve" max:"0.5"`

	// Burn says how many times faster a budget, of money or of errors, is spent
	// than it may be. It is asked every Interval and must not block; what is
	// not a number counts as 0.
	Burn func() float64 `json:"-"`

	// ObserveOnly changes nothing: the level in effect is None, and what would be
	// done is told by events with Would set.
	ObserveOnly bool `json:"observeOnly"`
}

// defaults are the levels that Config.Levels does not name.
var defaults = map[string]Step{
	"minimal":   {Available: 0.8, ErrorRate: 0.05},
	"moderate":  {Available: 0.6, ErrorRate: 0.1, Reduce: 1},
	"severe":    {Available: 0.4, ErrorRate: 0.2, Admit: "normal", Reduce: 2, Disabled: []string{all}},
	"emergency": {Available: 0.1, ErrorRate: 0.4, Admit: "normal", Reduce: 3, Disabled: []string{all}},
}

// all stands for all optional features.
const all = "*"

// over returns c with what a section of a configuration file says lying over it,
// levels one by one.
func (c Config) over(raw json.RawMessage) (Config, error) {
	given := c.Levels
	if err := configErrors(settings.Decode(section, raw, &c)); err != nil {
		return Config{}, err
	}
	merged := maps.Clone(given)
	if merged == nil {
		merged = map[string]Step{}
	}
	maps.Copy(merged, c.Levels)
	c.Levels = merged
	return c, c.check()
}

// check returns what is wrong with c, as joined [*resilience.ConfigError]s.
func (c Config) check() error {
	problems := settings.Check(section, c)
	fail := func(level, key, format string, args ...any) {
		path := settings.Join(section+".levels", level)
		if key != "" {
			path += "." + key
		}
		problems = append(problems, settings.Problem{Path: path, Problem: fmt.Sprintf(format, args...)})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Levels)) {
		if !slices.Contains(levelNames[1:], name) {
			problem := "is no level; they are " + strings.Join(levelNames[1:], ", ")
			if near := settings.Nearest(name, levelNames[1:]); near != "" {
				problem += fmt.Sprintf("; did you mean %q?", near)
			}
			fail(name, "", "%s", problem)
		}
		if c.Levels[name].Burn > 0 && c.Burn == nil {
			fail(name, "burn", "has nothing to be compared with: the program sets no Config.Burn")
		}
	}
	if len(problems) > 0 {
		return configErrors(problems)
	}
	r := c.rules()
	for s := range signals {
		before := None
		for l := Minimal; int(l) < levels; l++ {
			limit := r.steps[l].limits[s]
			if limit == 0 {
				continue
			}
			if first := r.steps[before].limits[s]; before != None && !beyond(s, limit, first) {
				fail(l.String(), signalNames[s], "%s is not beyond that of %v, %s", show(s, limit), before, show(s, first))
			}
			before = l
		}
	}
	return configErrors(problems)
}

// rules are settings in force.
type rules struct {
	steps          [levels]step
	interval, calm int64
	throttle       float64 // 0 is off
	reserve        float64
	burn           func() float64
	timed          bool // some step has a limit of times
	observe        bool
}

// step is a Step in force.
type step struct {
	Step
	limits [signals]float64 // 0 for none
	admit  resilience.Priority
}

func (c Config) rules() *rules {
	named := maps.Clone(defaults)
	maps.Copy(named, c.Levels)
	c.Levels = named
	settings.Fill(&c)
	r := &rules{
		interval: int64(c.Interval), calm: int64(c.Calm), throttle: max(c.Throttle, 0), reserve: max(c.Reserve, 0),
		burn: c.Burn, observe: c.ObserveOnly,
	}
	r.steps[None].admit = resilience.Low
	for l := Minimal; int(l) < levels; l++ {
		s := step{Step: c.Levels[l.String()], admit: resilience.Low}
		for s.admit.String() != s.Admit {
			s.admit++
		}
		s.limits = [signals]float64{available: s.Available, errorRate: s.ErrorRate, p95: float64(s.P95), burn: s.Burn}
		r.timed = r.timed || s.P95 > 0
		r.steps[l] = s
	}
	return r
}

func configErrors(problems []settings.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

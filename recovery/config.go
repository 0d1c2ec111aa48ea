package recovery

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// section is the name of the feature's part of a configuration file.
const section = "recovery"

// A Strategy is how fast traffic returns: a preset of Ramp and Step.
type Strategy string

// The strategies. By time they take 24, 0, 28, 27 and 70 seconds to all of the
// traffic.
const (
	// Adaptive takes 10, 20, 35, 50, 70 and 85 % for 4 s each, or for a second once
	// ten answers were good there.
	Adaptive Strategy = "adaptive"

	Immediate    Strategy = "immediate"    // all of it at once
	Gradual      Strategy = "gradual"      // 10, 25, 50 and 75 % for 7 s each
	Progressive  Strategy = "progressive"  // 10, 20, 30 … 90 % for 3 s each
	Conservative Strategy = "conservative" // 5, 10, 20, 35, 50, 70 and 85 % for 10 s each
)

// Config configures a [Recoverer]. The zero value is ready to use: a zero field
// means the default that is named beside it.
type Config struct {
	Strategy Strategy `json:"strategy" default:"adaptive" oneof:"adaptive immediate gradual progressive conservative"`

	// Ramp is the parts of its normal traffic that a model gets on its way back,
	// each more than 0, less than 1 and more than the one before; by Strategy.
	Ramp []float64 `json:"ramp,omitempty"`

	// Step is how long it stays at each part; by Strategy.
	Step time.Duration `json:"step" max:"1h" off:"no" zero:"strategy"`

	// After is how long a model is held before it is probed. It doubles with each
	// probe that fails, up to 26 s or After if that is longer; up to a fifth is added
	// at random, or a tenth to the 26 s. A model that is held again within two minutes
	// waits twice After at first.
	After time.Duration `json:"after" default:"5s" min:"10ms" max:"24h" off:"no"`

	// Timeout bounds a probe, and each action.
	Timeout time.Duration `json:"timeout" default:"5s" min:"10ms" max:"10m" off:"no"`

	// Attempts is how many times a model is tried before it is left to people.
	// Negative means that it never is.
	Attempts int `json:"attempts" default:"10"`

	// AtOnce is how many models of the pool are tried at the same time.
	AtOnce int `json:"atOnce" default:"2" max:"1000" off:"no"`

	// ObserveOnly neither probes nor acts nor holds nor ramps. Models come back as
	// they do without the feature; history and events tell of it, the events with
	// Would set.
	ObserveOnly bool `json:"observeOnly"`

	// Models, by ID or name, lies over the fields above: what is not zero
	// there counts.
	Models map[string]Config `json:"models,omitempty"`

	// Actions are taken before the probe, by what the model failed for; those under
	// zero whatever it was, before the others.
	Actions map[resilience.Kind][]Action `json:"-"`
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
	problems := append(settings.Check(section, c), c.own(section)...)
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		over, path := c.Models[name], section+".models."+name
		problems = append(problems, over.own(path)...)
		if over.AtOnce != 0 {
			problems = append(problems, settings.Problem{Path: path + ".atOnce", Problem: "is for the whole pool; set it beside models"})
		}
	}
	return configErrors(problems)
}

// own returns what tags cannot say.
func (c Config) own(path string) (problems []settings.Problem) {
	last := 0.0
	for i, part := range c.Ramp {
		if !(part > last && part < 1) {
			problems = append(problems, settings.Problem{
				Path: fmt.Sprintf("%s.ramp[%d]", path, i), Problem: fmt.Sprintf("want more than %v and less than 1, got %v", last, part),
			})
		}
		last = part
	}
	for _, kind := range slices.Sorted(maps.Keys(c.Actions)) {
		for i, a := range c.Actions[kind] {
			if a.Run == nil || a.Name == "" {
				problems = append(problems, settings.Problem{
					Path: fmt.Sprintf("%s.actions.%s[%d]", path, kind, i), Problem: "an action needs a name and a function",
				})
			}
		}
	}
	return problems
}

func configErrors(problems []settings.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

// plan is a configuration in effect.
type plan struct {
	Config
	atOnce int
	text   string
}

func newPlan(c Config) *plan {
	p := &plan{Config: c, text: settings.Describe(c)}
	settings.Fill(&c)
	p.atOnce = c.AtOnce
	return p
}

// rules are the settings for one model.
type rules struct {
	ramp     []float64
	step     time.Duration
	least    time.Duration // at a part, however good the answers
	after    time.Duration
	timeout  time.Duration
	attempts int
	observe  bool
	actions  map[resilience.Kind][]Action
}

// rules returns what p says for m.
func (p *plan) rules(m *resilience.Model) *rules {
	over, ok := p.Models[m.ID()]
	if !ok {
		over = p.Models[m.Name()]
	}
	c := settings.Overlay(p.Config, over)
	settings.Fill(&c)
	ramp, step := c.Strategy.preset()
	if c.Ramp != nil {
		ramp = c.Ramp
	}
	step = cmp.Or(c.Step, step)
	r := &rules{
		ramp: ramp, step: step, least: step,
		after: c.After, timeout: c.Timeout, attempts: c.Attempts, observe: c.ObserveOnly, actions: c.Actions,
	}
	if c.Strategy == Adaptive {
		r.least = r.step / 4
	}
	return r
}

func (s Strategy) preset() (ramp []float64, step time.Duration) {
	switch s {
	case Immediate:
		return nil, time.Second // for a Ramp of one's own
	case Gradual:
		return []float64{.1, .25, .5, .75}, 7 * time.Second
	case Progressive:
		return []float64{.1, .2, .3, .4, .5, .6, .7, .8, .9}, 3 * time.Second
	case Conservative:
		return []float64{.05, .1, .2, .35, .5, .7, .85}, 10 * time.Second
	default:
		return []float64{.1, .2, .35, .5, .7, .85}, 4 * time.Second
	}
}

const (
	// longestGap is such that a model is back within thirty seconds of the end of an
	// outage, and that there are three probes in one of a minute: after 5, 15 and 35
	// seconds, and the next after 61.
	longestGap = 26 * time.Second

	// blindGap is between probes that succeed while calls are refused for what people
	// must mend: each such success costs a call.
	blindGap = 5 * time.Minute
)

// gap returns the time from one probe to the next, after so many that failed.
// Chance is in [0, 1).
func (r *rules) gap(failed int, chance float64) time.Duration {
	longest := max(longestGap, r.after)
	d := r.after
	for i := 0; i < failed && d < longest; i++ {
		d *= 2
	}
	return min(d+scale(d/5, chance), longest+scale(longest/10, chance))
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

package balance

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// limiterSection is the name of the limiter's part of a configuration file.
const limiterSection = "limiter"

// LimiterConfig configures a [Limiter]. The zero value is ready to use: a zero
// field means the default that is named beside it.
type LimiterConfig struct {
	// InFlight is how many attempts a model may have under way, where
	// [resilience.Limits] does not say. Zero means that it is found where there
	// is trouble, negative that there is no limit.
	InFlight int `json:"inFlight" off:"yes" zero:"adaptive"`

	// Wait is how long a call waits for room, at most; a tenth of that while it
	// can go to another model. Negative means that it is refused at once.
	Wait time.Duration `json:"wait" default:"10s" max:"1h"`

	// Queue is how many calls may wait for a model. Negative means none.
	Queue int `json:"queue" default:"100" max:"10000"`

	// Window is how long trouble is remembered: limits that were found out grow
	// freely after one without any.
	Window time.Duration `json:"window" default:"1m" min:"100ms" max:"1h" off:"no"`

	// Tenant is how many attempts of one tenant a model may have under way;
	// off.
	Tenant int `json:"tenant"`

	// ObserveOnly lets everything pass, and publishes what would have waited or
	// been refused as an [resilience.EventReject] with Would set.
	ObserveOnly bool `json:"observeOnly"`

	// Models, by ID or name, lies over the fields above: what is not zero
	// there counts.
	Models map[string]LimiterConfig `json:"models,omitempty"`
}

// over returns c with what a section of a configuration file says lying over it.
func (c LimiterConfig) over(raw json.RawMessage) (LimiterConfig, error) {
	if err := configErrors(settings.Decode(limiterSection, raw, &c)); err != nil {
		return LimiterConfig{}, err
	}
	return c, c.check()
}

// check returns what is wrong with c, as joined [*resilience.ConfigError]s.
func (c LimiterConfig) check() error {
	problems := settings.Check(limiterSection, c)
	if len(problems) > 0 {
		return configErrors(problems)
	}
	if p := c.moot(limiterSection); p != nil {
		problems = append(problems, *p)
	}
	for name, over := range c.Models {
		if p := settings.Overlay(c, over).moot(limiterSection + ".models." + name); p != nil {
			problems = append(problems, *p)
		}
	}
	return configErrors(problems)
}

// moot reports a limit of tenants that no tenant could reach.
func (c LimiterConfig) moot(path string) *settings.Problem {
	if c.InFlight <= 0 || c.Tenant <= c.InFlight {
		return nil
	}
	return &settings.Problem{
		Path: path + ".tenant", Problem: fmt.Sprintf("%d is more than inFlight, %d", c.Tenant, c.InFlight),
	}
}

// limitRules are the settings for one model.
type limitRules struct {
	inFlight int64 // 0 is adaptive, negative none
	perMin   [resources]float64
	wait     int64
	speed    float64 // of time, to make the window a minute
	queue    int
	tenant   int
	observe  bool
}

// rules returns what c and the description of m say.
func (c LimiterConfig) rules(m *resilience.Model) *limitRules {
	over, ok := c.Models[m.ID()]
	if !ok {
		over = c.Models[m.Name()]
	}
	c = settings.Overlay(c, over)
	settings.Fill(&c)
	limits := m.Info().Limits
	r := &limitRules{
		inFlight: int64(c.InFlight), wait: int64(max(c.Wait, 0)), queue: max(c.Queue, 0), tenant: max(c.Tenant, 0),
		speed:   float64(time.Minute) / float64(c.Window),
		perMin:  [resources]float64{float64(limits.RequestsPerMinute), float64(limits.TokensPerMinute)},
		observe: c.ObserveOnly,
	}
	if limits.Concurrency > 0 {
		r.inFlight = int64(limits.Concurrency)
	}
	return r
}

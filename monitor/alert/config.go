package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// section is the name of the feature's part of a configuration file.
const section = "alert"

// Config configures [Alerts]. The zero value watches by [DefaultRules] and tells
// nobody: [Alerts.Active] has what fires.
type Config struct {
	// Rules, by name, lie over [DefaultRules]: one of the same name takes its place
	// whole, and one with Off switches it off. A name is of small letters, digits
	// and _, 64 at most.
	Rules map[string]Rule `json:"rules,omitempty"`

	// Objectives, by name, are watched by how fast they spend their error budgets.
	// Without one that is named "calls", that is all calls at the zero Objective.
	Objectives map[string]Objective `json:"objectives,omitempty"`

	// Inhibit is added to what the package's documentation says of inhibition.
	Inhibit []Inhibition `json:"inhibit,omitempty"`

	// Routes say who is told, 64 at most. Each has a queue and a goroutine of its own.
	Routes []Route `json:"-"`

	// Interval is the time between two evaluations. What happens to models is seen
	// at once besides.
	Interval time.Duration `json:"interval" default:"5s" min:"100ms" max:"1m" off:"no"`

	// GroupBy is what alerts have in common that are told of together: their rule,
	// or a label, where those without it go by their rule.
	GroupBy string `json:"groupBy" default:"rule" oneof:"rule model name provider"`

	// GroupWait is how long a group waits for more alerts before it is told of,
	// GroupWaitCritical the same if one of them is critical. Each notification
	// within GroupInterval of the one before doubles it, up to GroupInterval, which
	// is also how long the end of some of a group's alerts waits.
	GroupWait         time.Duration `json:"groupWait" default:"5s" max:"10m"`
	GroupWaitCritical time.Duration `json:"groupWaitCritical" default:"1s" max:"10m"`
	GroupInterval     time.Duration `json:"groupInterval" default:"5m" min:"1s" max:"24h" off:"no"`

	// Repeat is when a group is told of again in which an alert fires that is neither
	// acknowledged nor muted.
	Repeat time.Duration `json:"repeat" default:"4h" min:"1s" max:"720h"`

	// Timeout bounds what a channel takes for a notification.
	Timeout time.Duration `json:"timeout" default:"30s" min:"1ms" max:"10m" off:"no"`

	// MaxAlerts is how many alerts are known at the same time, those that are pending
	// or have ended lately among them. What exceeds it is counted, in [Counts].Lost and
	// in Truncated of its group's notifications. History is how many that have ended are
	// remembered, and Listed how many a notification has.
	MaxAlerts int `json:"maxAlerts" default:"10000" max:"1000000" off:"no"`
	History   int `json:"history" default:"1000" max:"100000" off:"no"`
	Listed    int `json:"listed" default:"50" max:"1000" off:"no"`

	// Runbook is the URL that an alert's rule is added to, after a #.
	Runbook string `json:"runbook" default:"https://github.com/cmmv-hive/resilience/blob/main/docs/runbook.md"`
}

// A Rule says when something is wrong. It has a Metric or, in Go, a Func.
type Rule struct {
	// Metric is one of [Metrics].
	Metric string `json:"metric,omitempty"`

	// Func measures in place of a Metric. It is called every Interval for each
	// subject, within Pool.Run on a goroutine of the rule's own, must return when ctx
	// ends, and says false where there is nothing to measure. One that panics, or
	// takes more than ten seconds for all subjects, fires the rule "rule_broken".
	Func func(ctx context.Context, s Subject) (value float64, ok bool) `json:"-"`

	// Per says what is measured: each model, all models of each name or provider, or
	// the pool. A model without a provider is a provider of its own.
	Per string `json:"per" default:"model" oneof:"model name provider pool"`

	// Only restricts the rule to models, by ID, names or providers, as Per says. The
	// pool's log says which of them there is not.
	Only []string `json:"only,omitempty"`

	// Op compares what is measured with Threshold. Clear is where an alert that fires
	// has come back; 0 means Threshold. Metrics that are times are in seconds, and
	// shares from 0 to 1.
	Op        string  `json:"op" default:">" oneof:"> >= < <="`
	Threshold float64 `json:"threshold" min:"-1e18" max:"1e18"`
	Clear     float64 `json:"clear,omitempty" min:"-1e18" max:"1e18"`

	// Window is what a metric of calls or events goes by, and MinCalls how many calls
	// are enough. MinModels is how many models a subject has at least.
	Window    time.Duration `json:"window" default:"5m" min:"10s" max:"1h" off:"no"`
	MinCalls  int           `json:"minCalls" default:"20" max:"1000000000"`
	MinModels int           `json:"minModels,omitempty" max:"100000"`

	// For is how long it is wrong before an alert fires. KeepFiringFor is how long it
	// is right before one ends; each time that an alert fires again within an hour of
	// its end doubles that, up to sixteen times. Cooldown is how long after its end
	// none of the rule fires for the same subject; 0 is none.
	For           time.Duration `json:"for,omitempty" max:"24h"`
	KeepFiringFor time.Duration `json:"keepFiringFor" default:"1m" max:"24h"`
	Cooldown      time.Duration `json:"cooldown,omitempty" max:"168h"`

	Severity string `json:"severity" default:"warning" oneof:"info warning critical"`

	// EscalateAfter is after how long without an acknowledgement an alert comes to
	// the next Level of [Route]s, each time anew; 0 is never.
	EscalateAfter time.Duration `json:"escalateAfter,omitempty" max:"168h"`

	// Description is added to an alert's, of which 500 bytes are kept, and Runbook
	// takes the place of [Config].Runbook with the rule's name.
	Description string `json:"description,omitempty"`
	Runbook     string `json:"runbook,omitempty"`

	Off bool `json:"off,omitempty"`
}

// An Inhibition keeps alerts of Rules from being told of while one of By fires, or is
// about to, that has the same labels Same.
type Inhibition struct {
	By    string   `json:"by"`
	Rules []string `json:"rules"`
	Same  []string `json:"same,omitempty"`
}

// A Route is a channel and what it is told of.
type Route struct {
	Channel notify.Channel

	// Severity is what an alert has at least; Warning.
	Severity notify.Severity

	// Match are labels that an alert has, and its "rule".
	Match map[string]string

	// Level is the level of escalation from which on the channel is told; 0 is at
	// once.
	Level int
}

const maxRoutes = 64

// over returns c with what a section of a configuration file says lying over it,
// rules and objectives one by one.
func (c Config) over(raw json.RawMessage) (Config, error) {
	given := c
	if err := configErrors(settings.Decode(section, raw, &c)); err != nil {
		return Config{}, err
	}
	rules, objectives := maps.Clone(c.Rules), maps.Clone(c.Objectives)
	c.Rules, c.Objectives = map[string]Rule{}, map[string]Objective{}
	maps.Copy(c.Rules, given.Rules)
	maps.Copy(c.Rules, rules)
	maps.Copy(c.Objectives, given.Objectives)
	maps.Copy(c.Objectives, objectives)
	return c, c.check()
}

// check returns what is wrong with c, as joined [*resilience.ConfigError]s.
func (c Config) check() error {
	problems := settings.Check(section, c)
	fail := func(path, format string, args ...any) {
		problems = append(problems, settings.Problem{Path: section + "." + path, Problem: fmt.Sprintf(format, args...)})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Rules)) {
		path := settings.Join("rules", name)
		if problem := nameProblem(name); problem != "" {
			fail(path, "%s", problem)
		} else if slices.Contains(own, name) {
			fail(path, "is a name of the package's own")
		}
		c.Rules[name].check(func(key, format string, args ...any) { fail(path+key, format, args...) })
	}
	for _, name := range slices.Sorted(maps.Keys(c.Objectives)) {
		if problem := nameProblem(name); problem != "" {
			fail(settings.Join("objectives", name), "%s", problem)
		}
	}
	known := c.ruleNames()
	for i, in := range c.Inhibit {
		for _, name := range append([]string{in.By}, in.Rules...) {
			if !slices.Contains(known, name) {
				fail(fmt.Sprintf("inhibit[%d]", i), "there is no rule %q%s", bound(name), didYouMean(name, known))
			}
		}
	}
	if len(c.Routes) > maxRoutes {
		fail("routes", "are %d, more than %d", len(c.Routes), maxRoutes)
	}
	for i, r := range c.Routes {
		switch {
		case r.Channel == nil:
			fail(fmt.Sprintf("routes[%d]", i), "has no channel")
		case r.Severity > notify.Critical || r.Level < 0:
			fail(fmt.Sprintf("routes[%d]", i), "has a severity or a level that there is not")
		}
	}
	return configErrors(problems)
}

func (r Rule) check(fail func(key, format string, args ...any)) {
	m := metricOf(r.Metric)
	switch {
	case r.Off:
		return
	case r.Metric == "" && r.Func == nil:
		fail("", "measures nothing: it has neither a metric nor a function")
		return
	case r.Func != nil && r.Metric != "":
		fail(".metric", "is not used: the rule has a function")
		return
	case r.Func != nil:
		return
	case m == nil:
		fail(".metric", "%q is no metric%s", bound(r.Metric), didYouMean(r.Metric, Metrics()))
		return
	case m.per != "" && m.per != r.Per && (r.Per != "" || m.per != "model"):
		fail(".per", "%s is of the %s alone", r.Metric, m.per)
	case m.calls && r.Window > statsWindow:
		fail(".window", "is more than %v, which is what is known of calls", statsWindow)
	}
	if r.Clear != 0 && compare(r.Clear, r.op(), r.Threshold) {
		fail(".clear", "is on the wrong side of the threshold")
	}
}

func (r Rule) op() string {
	if r.Op == "" {
		return ">"
	}
	return r.Op
}

const statsWindow = 5 * time.Minute

func nameProblem(name string) string {
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, bad) {
		return "is no name: want small letters, digits and _, 64 at most"
	}
	return ""
}

func didYouMean(name string, known []string) string {
	if near := settings.Nearest(name, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// ruleNames are the names of all rules that there are with c.
func (c Config) ruleNames() []string {
	names := slices.Concat(own, slices.Collect(maps.Keys(DefaultRules())), slices.Collect(maps.Keys(c.Rules)))
	slices.Sort(names)
	return slices.Compact(names)
}

func configErrors(problems []settings.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

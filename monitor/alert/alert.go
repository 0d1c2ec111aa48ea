// Package alert says when something is wrong with a pool, once and to those whom it
// concerns.
//
// Within [resilience.Pool.Run], rules are evaluated every few seconds and at once when
// something happens to a model. A rule that has been broken for its For makes an alert,
// which fires until the rule has been kept for KeepFiringFor and is then over. An alert
// that comes again within an hour takes longer to be over each time, so that what flaps
// is one alert and not many. Where there is nothing to measure, as after too few calls,
// a rule counts as kept. A model that somebody takes out of rotation, or a reload out of
// the pool, ends its alerts; a pool that drains gets no new ones.
//
// # Who is told
//
// Alerts that have something in common are a group, and each [Route] is told of a group
// together: when it is new, when alerts join it or end, when nobody has acknowledged it
// for long, and when all of it is over. Of each alert that a channel was told of it is
// told the end, once, whoever has muted or acknowledged it meanwhile. A notification
// counts as told when [notify.Channel.Notify] has returned nil; one that fails is sent
// again after a minute, with what is known then. While a channel is slow or dead, nobody
// else waits, and what happens meanwhile becomes one notification.
//
// An alert is inhibited, and not told of, while another explains it or is about to: the loss of the
// pool, of a name or of a provider those of its models, a key that is refused what comes
// of it, and a model's being unavailable its failures. When the other is over, a minute
// passes first, or the rule's Window where it goes by calls.
//
// # What is lost when the process ends
//
// [Alerts.Snapshot] has what fires, who was told, mutes, acknowledgements and error
// budgets, and [Alerts.Restore] puts it into the next process, so that nothing is told
// twice and no end is missed. Without both, a process begins knowing nothing.
//
// # What alerts say
//
// Names are those of the configuration, and texts are the package's own and those of
// rules. Nothing of a request, an answer, a key or an error gets into them.
package alert

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/internal/window"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// Alerts evaluates rules and tells of what it finds. It is a [resilience.Feature] and
// owns the section "alert". A reload changes its rules, and keeps what fires. All of its
// methods may be called at any time from any goroutine.
type Alerts struct {
	given  Config
	pool   *resilience.Pool
	tracks resilience.PerModel[track]
	gauge  gauge
	wake   chan struct{} // has room for one
	routes []*route

	objectives atomic.Pointer[[]*objective]
	asked      atomic.Pointer[map[string]*atomic.Int64] // by name and ID of models: when a call for it failed

	subjects subjects // the run's alone, and so are these
	read     reader
	samples  []sample

	mu      sync.Mutex // of what follows; held for moments
	cfg     Config     // filled
	rules   []*rule
	byName  map[string]*rule
	inhibit []Inhibition
	entries map[key]*entry
	groups  map[string]*group
	mutes   []*muted
	numbers uint64 // of mutes
	history ring
	tally   tally
	step    uint64
	latest  time.Duration // evaluation
	calls   map[string]*functionCall
}

// New returns alerts by cfg. What is wrong with it is reported by
// [resilience.NewPool].
func New(cfg Config) *Alerts {
	a := &Alerts{
		given: cfg, wake: make(chan struct{}, 1), entries: map[key]*entry{}, groups: map[string]*group{}, calls: map[string]*functionCall{},
	}
	a.gauge.counts = window.NewCounts(int64(bucket), buckets, callCounters)
	a.asked.Store(&map[string]*atomic.Int64{})
	a.objectives.Store(&[]*objective{})
	return a
}

// Install implements [resilience.Feature].
func (a *Alerts) Install(s *resilience.Setup) error {
	if a.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "these alerts belong to another pool"}
	}
	if err := a.given.check(); err != nil {
		return err
	}
	a.pool = s.Pool()
	for _, r := range a.given.Routes {
		a.routes = append(a.routes, newRoute(r))
	}
	a.set(a.given)
	s.Configure(section, a.prepare)
	s.Wrap(resilience.LayerObserve, a.observe)
	s.Wrap(resilience.LayerTimeout, a.wrap)
	s.Background(section, a.run)
	s.Observe(a.heed, resilience.EventFallback, resilience.EventHold, resilience.EventBreaker, resilience.EventHealth, resilience.EventRecovery,
		resilience.EventConfig, resilience.EventPanic, resilience.EventDegrade, resilience.EventBudget)
	s.OnReset(a.forget)
	a.expose(s)
	return nil
}

// expose has monitors know of a.
func (a *Alerts) expose(s *resilience.Setup) {
	s.Tell(resilience.Metric{
		Name: "alerts_firing", Help: "Alerts that fire, those that are muted or inhibited among them.", Label: "severity",
		Read: func(tell func(resilience.Sample)) {
			for severity, n := range a.Counts().Firing {
				tell(resilience.Sample{Label: severity.String(), Value: float64(n)})
			}
		},
	})
	channels := func(name, help string, of func(Channel) int64) {
		s.Tell(resilience.Metric{Name: name, Help: help, Label: "channel", Read: func(tell func(resilience.Sample)) {
			told := map[string]int64{} // two routes may have one channel
			for _, c := range a.Counts().Channels {
				told[c.Name] += of(c)
			}
			for name, n := range told {
				tell(resilience.Sample{Label: name, Value: float64(n)})
			}
		}})
	}
	channels("notifications_sent_total", "Notifications that a channel has taken.", func(c Channel) int64 { return c.Sent })
	channels("notifications_failed_total", "Notifications that a channel has not taken; each is sent again.", func(c Channel) int64 { return c.Failed })
}

// String returns the settings in effect.
func (a *Alerts) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return settings.Describe(a.cfg)
}

func (a *Alerts) prepare(raw json.RawMessage) (func(), error) {
	cfg := a.given
	if raw != nil {
		var err error
		if cfg, err = a.given.over(raw); err != nil {
			return nil, err
		}
	}
	return func() {
		a.mu.Lock()
		a.set(cfg)
		a.mu.Unlock()
		a.stir()
	}, nil
}

// A rule is a Rule in force.
type rule struct {
	Rule

	name     string
	metric   *metric // nil of a function, and of the package's own rules
	severity notify.Severity
	keep     time.Duration
	lost     int // alerts that there was no room for, at the latest evaluation
}

// least is how many calls are enough.
func (r *rule) least() int64 { return int64(max(r.MinCalls, 1)) }

// set makes cfg the settings. The caller has a.mu, or is alone.
func (a *Alerts) set(cfg Config) {
	named := DefaultRules()
	maps.Copy(named, cfg.Rules)
	for _, name := range own {
		named[name] = Rule{Per: "pool", KeepFiringFor: 5 * time.Minute, Window: longestShort(name)}
	}
	burn := named[budgetBurn]
	burn.Severity = "critical"
	burn.Description = "Calls fail faster than the objective allows for."
	named[budgetBurn] = burn
	objectives := map[string]Objective{"calls": {}}
	maps.Copy(objectives, cfg.Objectives)
	cfg.Rules, cfg.Objectives = named, objectives
	settings.Fill(&cfg)
	a.cfg = cfg
	a.rules, a.byName = nil, map[string]*rule{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Rules)) {
		r := &rule{Rule: cfg.Rules[name], name: name}
		if r.Off {
			continue
		}
		r.metric, r.severity, r.keep = metricOf(r.Metric), severityOf(r.Severity), max(r.KeepFiringFor, 0)
		if r.Runbook == "" {
			r.Runbook = cfg.Runbook + "#" + name
		}
		a.rules = append(a.rules, r)
		a.byName[name] = r
	}
	a.inhibit = slices.Concat(inhibitions, cfg.Inhibit)
	a.setObjectives(cfg.Objectives)
}

func (a *Alerts) setObjectives(given map[string]Objective) {
	var list []*objective
	old := *a.objectives.Load()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name].Off {
			continue
		}
		o := &objective{name: name, at: a.pool.Now(), began: a.pool.Now()}
		for _, was := range old { // what it counted goes on if it means the same
			if was.name == name && was.Target == given[name].Target && was.Op == given[name].Op && was.Within == given[name].Within {
				o = was
			}
		}
		if o.Objective != given[name] {
			if o.Objective == (Objective{}) {
				o.Objective = given[name]
			} else { // calls read it
				o = o.with(given[name])
			}
		}
		list = append(list, o)
	}
	a.objectives.Store(&list)
}

func severityOf(name string) notify.Severity {
	for s := notify.Info; s < notify.Critical; s++ {
		if s.String() == name {
			return s
		}
	}
	return notify.Critical
}

// stir wakes the evaluation.
func (a *Alerts) stir() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// forget is for [resilience.Pool.Reset].
func (a *Alerts) forget(m *resilience.Model) {
	t := a.tracks.Of(m)
	t.row.Store(0)
	t.refused.Store(0)
	t.spent.Store(0)
	t.failed.Store(int64(a.pool.Now()))
	a.stir()
}

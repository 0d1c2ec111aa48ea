// Package monitor tells Prometheus how a pool and its models are doing.
//
// A [Monitor] is a feature of a pool and a [prometheus.Collector]:
//
//	registry := prometheus.NewRegistry()
//	pool, err := resilience.NewPool(stack.New(stack.Config{}), monitor.New(monitor.Config{Registerer: registry}))
//	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
//
// Calls that go well cost nothing more for it: their numbers come from what the
// models count anyway, when somebody asks. What happens now and then, as a retry or a
// hold, is counted when it does. A scrape takes less than a millisecond a model, and
// stops no call.
//
// # Names
//
// Metrics begin with resilience_ and have base units. Those of a model have the labels
// model, its ID, name and provider; all label values are of the configuration or of
// closed sets, but for two: op of resilience_troubled_calls_total, and group of
// resilience_group_cost_dollars_total, which Config.TenantGroup makes of tenants. Of
// each there are Config.Names at most; what comes after is counted as "other", and how
// often that was by resilience_series_dropped_total. A feature's own numbers are among
// them: see [resilience.Setup.Tell].
//
// A model that leaves the pool takes its series with it. Totals begin with the process,
// and grow only.
//
// # Histograms
//
// Durations have the buckets of the OpenTelemetry conventions, up to 655.36 s, and those
// of a native histogram of schema 3, in one. Models keep eight buckets an octave, so a
// duration may be told as one up to a fifteenth longer or shorter, also in sums. One of
// a model that has nothing to tell is not there.
//
// With Config.GenAI the metrics of these conventions are there too, under the names that
// Prometheus gives them, so that dashboards made for them work.
package monitor

import (
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/monitor/calllog"
)

// section is the name of the feature's part of a configuration file.
const section = "monitor"

// Config configures a [Monitor]. The zero value is ready to use: a zero field means the
// default that is named beside it.
type Config struct {
	// Names is how many operations are told apart, and how many groups of
	// tenants.
	Names int `json:"names" default:"100" max:"10000" off:"no"`

	// Models is how many models have series of their own. What there are beyond has
	// none, and resilience_models_dropped says how many that are.
	Models int `json:"models" default:"10000" max:"1000000" off:"no"`

	// GenAI tells the metrics of the OpenTelemetry conventions for generative AI
	// as well.
	GenAI bool `json:"genAi"`

	// Registerer is where the monitor registers itself; nil means nowhere, as
	// for one that is registered by hand. In a registry that has several, each needs
	// a label of its own, which prometheus.WrapRegistererWith gives it. When the pool
	// is not used any more the monitor stays there, with its last numbers, until
	// Unregister.
	Registerer prometheus.Registerer `json:"-"`

	// TenantGroup returns the group that a tenant's costs are counted in. Nil means
	// that costs are not told by tenants. It is called at the end of attempts of
	// which the usage is known.
	TenantGroup func(tenant string) string `json:"-"`

	// Log is for the line of log that a call has which did not go as it should. See
	// package calllog; a feature of that package, given to the pool, takes its place.
	Log calllog.Config `json:"-"`
}

// A Monitor is the feature. It owns the section "monitor". All its methods may be
// called at any time from any goroutine.
type Monitor struct {
	given  Config
	pool   *resilience.Pool
	config atomic.Pointer[Config]

	counts   resilience.PerModel[happened]
	ops      names[trouble]
	groups   names[money]
	failures [resilience.Unknown + 1]atomic.Int64 // of calls
	applied  atomic.Int64
	refused  atomic.Int64
	panics   atomic.Int64
	budgets  atomic.Int64
	warnings atomic.Int64
	rounds   steps
	divided  atomic.Uint64 // bits of how much the ballots of the latest vote disagreed
	families []family
	genAI    []convention // nil if they are not told
	own      []owned      // features' own; complete when the pool is

	mu       sync.Mutex // of answered
	answered int64      // that was told
}

// New returns a monitor. What is wrong with cfg is reported by [resilience.NewPool].
func New(cfg Config) *Monitor { return &Monitor{given: cfg} }

// Install implements [resilience.Feature].
func (m *Monitor) Install(s *resilience.Setup) error {
	if m.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "this monitor belongs to another pool"}
	}
	first, err := m.given.over(nil)
	if err != nil {
		return err
	}
	m.pool = s.Pool()
	m.config.Store(&first)
	m.families = m.table()
	if first.GenAI {
		m.genAI = conventions()
	}
	s.Configure(section, func(raw json.RawMessage) (func(), error) {
		next, err := m.given.over(raw)
		if err == nil && next.GenAI != first.GenAI {
			err = &resilience.ConfigError{Path: section + ".genAi", Problem: "cannot be changed while the pool is in use"}
		}
		return func() { m.config.Store(&next) }, err
	})
	s.Totals()
	s.Reports(m.read)
	s.Observe(m.heed, heeded...)
	if m.given.TenantGroup != nil {
		s.Bills(m.bill)
	}
	s.Default("calllog", calllog.New(m.given.Log))
	s.Ready(m.ready)
	return nil
}

// ready completes m when all features are installed.
func (m *Monitor) ready() error {
	for _, of := range m.pool.Metrics() {
		m.own = append(m.own, newOwned(of))
	}
	if r := m.given.Registerer; r != nil {
		if err := r.Register(m); err != nil {
			return &resilience.ConfigError{Path: section + ".registerer", Problem: problem(err)}
		}
	}
	return nil
}

func problem(err error) string {
	if _, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return "has a monitor already: give each a label of its own, by prometheus.WrapRegistererWith"
	}
	return err.Error()
}

// String returns the settings in effect.
func (m *Monitor) String() string { return settings.Describe(*m.config.Load()) }

// over returns c with what a section of a configuration file says lying over it, and
// defaults filled in.
func (c Config) over(raw json.RawMessage) (Config, error) {
	c, problems := settings.Over(section, raw, c)
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = &resilience.ConfigError{Path: p.Path, Problem: p.Problem}
	}
	return c, errors.Join(errs...)
}

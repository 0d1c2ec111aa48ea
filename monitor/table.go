package monitor

import (
	"math"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cmmv-hive/resilience"
)

// prefix begins all names but those of the conventions.
const prefix = "resilience_"

// A tell makes a series of a number and the values of its labels.
type tell func(v float64, labels ...string)

// family is a metric, and where its numbers come from: the pool, or each model.
type family struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	pool  func(tell)
	model func(*reading, tell)

	spread func(*reading) *resilience.Distribution // of a histogram, instead of model
	bounds []float64
}

// reading is a model at a scrape.
type reading struct {
	*happened
	resilience.Totals
	of *resilience.Model
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

var modelLabels = []string{"model", "name", "provider"}

func ofPool(kind prometheus.ValueType, name, help string, read func(tell), labels ...string) family {
	return family{desc: prometheus.NewDesc(prefix+name, help, labels, nil), kind: kind, pool: read}
}

func ofModel(kind prometheus.ValueType, name, help string, read func(*reading, tell), labels ...string) family {
	return family{desc: prometheus.NewDesc(prefix+name, help, append(modelLabels[:3:3], labels...), nil), kind: kind, model: read}
}

func spreadOf(name, help string, bounds []float64, read func(*reading) *resilience.Distribution) family {
	return family{desc: prometheus.NewDesc(prefix+name, help, modelLabels, nil), spread: read, bounds: bounds}
}

// table is all that a monitor tells, but for features' own numbers and the conventions'.
func (m *Monitor) table() []family {
	list := []family{
		ofPool(counter, "calls_total", "Calls that ended, by kind of failure, or ok.", m.calls, "outcome"),
		ofPool(counter, "troubled_calls_total", "Calls that did not go as they should, by operation and how they ended.", m.troubled, "op", "outcome"),
		ofPool(gauge, "calls_in_flight", "Calls that are open.", func(t tell) { t(float64(m.pool.InFlight())) }),
		ofPool(gauge, "draining", "1 if new calls are refused for good.", func(t tell) { t(yes(m.pool.Draining())) }),
		ofPool(gauge, "config_generation", "The number of the configuration in effect.", func(t tell) { t(float64(m.pool.Generation())) }),
		ofPool(counter, "config_reloads_total", "Configurations that came while the pool was in use.", func(t tell) {
			t(float64(m.applied.Load()), "applied")
			t(float64(m.refused.Load()), "refused")
		}, "outcome"),
		ofPool(counter, "panics_total", "Panics in the background.", func(t tell) { t(float64(m.panics.Load())) }),
		ofPool(counter, "budget_events_total", "Times that a budget has passed its soft or its hard limit.", func(t tell) { t(float64(m.budgets.Load())) }),
		ofPool(counter, "warnings_total", "Warnings that something is set up badly.", func(t tell) { t(float64(m.warnings.Load())) }),
		ofPool(counter, "series_dropped_total", "Times that something was told as other, by the label that had no room.", func(t tell) {
			t(float64(m.ops.dropped.Load()), "op")
			t(float64(m.groups.dropped.Load()), "group")
		}, "label"),
		ofPool(counter, "rounds_total", "Steps of votes, by where they lead.", func(t tell) { m.rounds.tell(t) }, "to"),
		ofPool(gauge, "round_disagreement_ratio", "How much the ballots of the latest vote disagreed, from 0 to 1.", func(t tell) {
			t(math.Float64frombits(m.divided.Load()))
		}),
		ofPool(gauge, "models_dropped", "Models without series of their own.", func(t tell) {
			t(float64(max(len(m.pool.Models())-m.config.Load().Models, 0)))
		}),
		ofPool(gauge, "build_info", "1, for the versions of the module and of Go.", func(t tell) { t(1, version(), runtime.Version()) }, "version", "go"),

		ofModel(counter, "attempts_total", "Attempts that ended, by kind of failure, or ok.", attempts, "kind"),
		spreadOf("attempt_duration_seconds", "How long attempts took, of streams to their end.", durations[:],
			func(r *reading) *resilience.Distribution { return &r.Took }),
		spreadOf("time_to_first_token_seconds", "How long it took to the first meaningful chunk of streams.", firsts[:],
			func(r *reading) *resilience.Distribution { return &r.First }),
		spreadOf("time_per_output_token_seconds", "How long streams took for a token, after the first.", tokenTimes[:],
			func(r *reading) *resilience.Distribution { return &r.PerToken }),
		ofModel(counter, "tokens_total", "Tokens of attempts, where they are known.", tokens, "type"),
		ofModel(counter, "cost_dollars_total", "What attempts have cost, where that is known.", func(r *reading, t tell) { t(r.Cost) }),
		ofModel(counter, "streams_total", "Streams that began.", func(r *reading, t tell) { t(float64(r.Streams)) }),
		ofModel(gauge, "streams_open", "Streams that go on.", func(r *reading, t tell) { t(float64(r.Open)) }),
		ofModel(counter, "streams_broken_total", "Streams that failed after they had begun.", func(r *reading, t tell) { t(float64(r.Broken)) }),

		ofModel(counter, "retries_total", "Attempts made again by the same model.", func(r *reading, t tell) { t(float64(r.retries.Load())) }),
		ofModel(counter, "fallbacks_total", "Calls that came from another model.", func(r *reading, t tell) { t(float64(r.fallbacks.Load())) }),
		ofModel(counter, "hedges_started_total", "Attempts made beside one that was slow.", func(r *reading, t tell) { t(float64(r.hedges.Load())) }),
		ofModel(counter, "rescues_total", "Streams that broke and went on here.", func(r *reading, t tell) { t(float64(r.rescues.Load())) }),
		ofModel(counter, "rejections_total", "Attempts that were refused before they were made.", func(r *reading, t tell) { t(float64(r.rejections.Load())) }),
		ofModel(counter, "breaker_transitions_total", "Changes of a breaker's state, by the new one.", func(r *reading, t tell) { r.breaker.tell(t) }, "to"),
		ofModel(counter, "health_changes_total", "Changes of a model's health, by the new one.", func(r *reading, t tell) { r.health.tell(t) }, "to"),
		ofModel(counter, "recoveries_total", "Steps of recoveries, by where they lead.", func(r *reading, t tell) { r.recovery.tell(t) }, "to"),

		ofModel(gauge, "model_status", "1 for the status of the model, 0 for the others.", status, "status"),
		ofModel(gauge, "held", "1 for each reason why the model is out of rotation.", func(r *reading, t tell) { held(r.of, false, t) }, "by"),
		ofModel(counter, "holds_total", "Times that the model was held, or for longer, by reason.", func(r *reading, t tell) { r.holds.tell(t) }, "by"),
		ofModel(gauge, "keys", "Keys that the model has by name.", func(r *reading, t tell) { t(float64(len(r.of.Info().Keys))) }),
		ofModel(gauge, "keys_held", "Keys of the model that are not used, by reason.", func(r *reading, t tell) { held(r.of, true, t) }, "by"),
		ofModel(gauge, "attempts_in_flight", "Attempts under way, open streams too.", func(r *reading, t tell) { t(float64(r.of.InFlight())) }),
		ofModel(gauge, "attempts_queued", "Calls that wait for room at the model.", func(r *reading, t tell) { t(float64(r.of.Queued())) }),
		ofModel(gauge, "capacity", "Attempts that may be under way, where that is known.", func(r *reading, t tell) {
			if n := r.of.Capacity(); n > 0 {
				t(float64(n))
			}
		}),
		ofModel(gauge, "traffic_ratio", "The part of its traffic that a model gets on its way back.", func(r *reading, t tell) { t(r.of.Ramp()) }),
	}
	if m.given.TenantGroup != nil {
		list = append(list, ofPool(counter, "group_cost_dollars_total", "What attempts have cost, by group of tenants.", m.costs, "group"))
	}
	return list
}

func (m *Monitor) calls(t tell) {
	answered := m.pool.Ended() // before what is taken away, so that the difference is never too large
	for k := range m.failures {
		if n := m.failures[k].Load(); n > 0 {
			answered -= n
			t(float64(n), resilience.Kind(k).String())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answered = max(m.answered, answered)
	t(float64(m.answered), "ok")
}

func (m *Monitor) troubled(t tell) {
	m.ops.each(func(op string, of *trouble) {
		t(float64(of.failed.Load()), op, "failed")
		t(float64(of.canceled.Load()), op, "canceled")
		t(float64(of.rescued.Load()), op, "rescued")
		t(float64(of.degraded.Load()), op, "degraded")
	})
}

func (m *Monitor) costs(t tell) {
	m.groups.each(func(group string, of *money) { t(float64(of.spent.Load())/1e9, group) })
}

func attempts(r *reading, t tell) {
	ok := r.Calls
	for kind, n := range r.Failures {
		t(float64(n), kind.String())
		if kind != resilience.Canceled {
			ok -= n
		}
	}
	t(float64(r.succeeded(ok)), "ok")
}

func tokens(r *reading, t tell) {
	t(float64(r.Usage.Input), "input")
	t(float64(r.Usage.CachedInput), "cached_input")
	t(float64(r.Usage.CacheWrite), "cache_write")
	t(float64(r.Usage.Output), "output")
	t(float64(r.Usage.Reasoning), "reasoning")
}

func status(r *reading, t tell) {
	now := r.of.Status()
	for s := resilience.Available; s <= resilience.Maintenance; s++ {
		t(yes(s == now), s.String())
	}
}

// held tells what holds a model, or keys of it.
func held(of *resilience.Model, keys bool, t tell) {
	counts := map[resilience.HoldBy]float64{}
	for _, h := range of.Holds() {
		if (h.Key != "") != keys {
			continue
		}
		if counts[h.By]++; !keys {
			counts[h.By] = 1
		}
	}
	for by, n := range counts {
		t(n, by.String())
	}
}

func (s *steps) tell(t tell) { s.each(func(to string, n int64) { t(float64(n), to) }) }

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// version is the module's, as far as the program knows it.
func version() string {
	const module = "github.com/cmmv-hive/resilience"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range append(info.Deps, &info.Main) {
			if dep.Path == module {
				return dep.Version
			}
		}
	}
	return "unknown"
}

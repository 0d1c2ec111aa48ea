// Package history remembers how the models of a pool and the pool itself have been
// doing: in steps of ten seconds for an hour, of a minute for a day and of an hour
// for thirty days.
//
// A [Row] of a model has its attempts, of the pool its calls, by the kind of their
// failure; times, tokens and cost of attempts; how long what held the model, the most
// that were in flight and queued, and the level of degradation. Calls that go well cost
// nothing more for it: each ten seconds a row takes in by how much
// [resilience.Model.Totals] have grown. So what is in flight and queued is what was so
// at these moments, and what happened since the latest of them, ten seconds at most, is
// in no row yet. Only a call to a sole model that is held is refused less quickly, as it
// has to be reported.
//
// Times are kept as counts in buckets, which add up, so that a percentile of an hour is
// that of its attempts; it is off by an eighth or 0.13 ms at most, and by 2 % as a rule,
// and none is over 20.6 minutes. Of streams they are times to their end. What went wrong
// or well while the process slept has no time.
//
// History is recorded within [resilience.Pool.Run] and not without it: attempts and
// calls that end outside of it are in no row. A time in which it does not run, in
// which the process sleeps or, of one model, in which that is not in the pool, is a
// gap: there are no rows of it, or a row has observed less than its step. A model that
// comes back under its ID goes on with its history, and one that has left keeps it for
// thirty days if its room is not needed. Attempts that are under way when it leaves are
// in its rows when they end. Of models that are older than the history, as where one is
// wrapped that is already, no attempts are known.
//
// Rows begin at multiples of their step of UTC. If the wall clock is set forward
// there is a gap; if it is set back by up to an hour what happens until it is where it
// was is part of one row, and if by more, rows of what is the future now are
// forgotten.
//
// # Anomalies
//
// Each minute of a model is compared with what is usual for it, as package
// [github.com/cmmv-hive/resilience/monitor/anomaly] does: the share of its attempts that
// failed, their p95, and how many there were in the time that nothing held it. What is
// unusual is told if it is also worth telling, beside the mean of some hour before: a
// share that is 5 points higher, a p95 that is a quarter and 50 ms higher, or a quarter
// and ten calls per minute more or fewer. Shares and percentiles of fewer than ten
// attempts say nothing. It takes 100 minutes to know what is usual, and half an hour
// without anything unusual to end; what goes on for an hour becomes usual, or is told
// again.
//
// How likely a model is to fail soon is told by [History.FailureProbability], from signs of
// one that becomes slow and full. It is a hint and no more: failures without such signs
// are not foreseen, and signs pass without a failure.
//
// # Memory
//
// A model takes 8 KiB when it is idle; after a month of one call a minute 50 KiB, of
// one each second 115 KiB, and of ten each second 170 KiB: nearly all of it are times.
// All takes [Config].Models times that at most: models beyond share one series. For each
// of [Config].Watched models that are in use what is usual takes 24 KiB, also in the file,
// and what is expected 8; totals, and what of them is in rows, 6.5 KiB a model of the pool.
package history

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/cmmv-hive/resilience"
)

// A History is the feature. It owns the section "history". Its methods may be called
// from any number of goroutines, and do not keep calls waiting.
type History struct {
	given   Config
	pool    *resilience.Pool
	config  atomic.Pointer[Config]
	watches resilience.PerModel[watch]
	running atomic.Bool
	level   level
	failed  [kinds]atomic.Int64 // of the pool's calls

	mu      sync.Mutex          // of what follows, and of all series
	at      int64               // the latest sample, on the pool's clock
	slot    int64               // start of the record since then, in seconds since 1970
	members []*resilience.Model // of the pool at the latest sample, and those that have left and are not done
	whole   series              // of the pool,
	done    done                // and its calls
	models  map[string]*series
	order   []string // of them
	crowded bool     // there is no room for another, as far as is known
	watched int      // series
	saving  saving

	incidents incidents
}

// New returns a history. What is wrong with cfg is reported by [resilience.NewPool].
func New(cfg Config) *History { return &History{given: cfg, models: map[string]*series{}} }

// Install implements [resilience.Feature]. It reads the file, if there is one; see
// [Config].
func (h *History) Install(s *resilience.Setup) error {
	if h.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "this history belongs to another pool"}
	}
	first, err := h.given.over(nil)
	if err != nil {
		return err
	}
	h.config.Store(&first)
	if err := h.restore(s.Pool().At(s.Pool().Now())); err != nil {
		return err
	}
	h.pool = s.Pool()
	s.Configure(section, func(raw json.RawMessage) (func(), error) {
		next, err := h.given.over(raw)
		return func() { h.config.Store(&next) }, err
	})
	s.Totals()
	s.Reports(h.fails)
	s.Observe(h.observe, resilience.EventHold, resilience.EventRelease, resilience.EventDegrade)
	for _, m := range h.metrics() {
		s.Tell(m)
	}
	s.Background(section, h.run)
	if first.File != "" {
		s.Background(section+" file", h.save)
	}
	return nil
}

// String returns the settings in effect.
func (h *History) String() string { return h.config.Load().String() }

func (h *History) observe(_ context.Context, e resilience.Event) {
	if !h.running.Load() {
		return
	}
	switch e.Kind {
	case resilience.EventHold:
		h.held(&e)
	case resilience.EventRelease:
		h.released(&e)
	case resilience.EventDegrade:
		if !e.Would {
			h.level.change(int64(h.pool.Now()), e.To)
		}
	}
}

// fails counts a call that failed or was canceled.
func (h *History) fails(_ context.Context, _ resilience.Report, err error) {
	if err != nil {
		h.failed[resilience.KindOf(err)].Add(1)
	}
}

// metrics are the history's own.
func (h *History) metrics() []resilience.Metric {
	return []resilience.Metric{{
		Name: "history_saves_total", Help: "Times that the history's file was written, or could not be.", Label: "result",
		Read: func(tell func(resilience.Sample)) {
			if h.given.File == "" {
				return
			}
			tell(resilience.Sample{Label: "ok", Value: float64(h.saving.ok.Load())})
			tell(resilience.Sample{Label: "failed", Value: float64(h.saving.failed.Load())})
		},
	}, {
		Name: "anomalies", Help: "1 for what is unusual of a model at present.", Model: true, Label: "what",
		Read: func(tell func(resilience.Sample)) {
			for _, in := range h.Anomalies() {
				tell(resilience.Sample{Model: h.pool.Model(in.Model), Label: in.What, Value: 1})
			}
		},
	}, {
		Name: "failure_probability_ratio", Help: "How likely the model is to fail within five minutes.", Model: true,
		Read: func(tell func(resilience.Sample)) {
			for _, m := range h.pool.Models() {
				tell(resilience.Sample{Model: m, Value: h.FailureProbability(m)})
			}
		},
	}}
}

// seriesOf returns the series of m's ID, which is made if there is room for it. The
// caller has h.mu.
func (h *History) seriesOf(m *resilience.Model) *series {
	id := m.ID()
	s := h.models[id]
	if s == nil && h.room() {
		s = &series{id: id}
		h.models[id] = s
		h.order = append(h.order, id)
	}
	if s == nil {
		if s = h.models[Others]; s == nil {
			s = &series{id: Others, name: Others}
			h.models[Others] = s
		}
		return s
	}
	s.name = m.Name()
	return s
}

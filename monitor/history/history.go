// Package history remembers how the models of a pool and the pool itself have been
// doing: in steps of ten seconds for an hour, of a minute for a day and of an hour
// for thirty days.
//
// A [Row] of a model has its attempts, of the pool its calls, by the kind of their
// failure, their times, tokens and cost, how long what held the model, the most that
// were in flight and queued, and the level of degradation. Times are kept as counts
// in buckets, which add up, so that a percentile of an hour is that of its attempts;
// it is off by 12 % or a quarter of a millisecond at most, and by 2 % as a rule. Of streams they are times
// to their end. What went wrong or well while the process slept has no time.
//
// History is recorded within [resilience.Pool.Run] and not without it: attempts and
// calls that end outside of it are in no row. A time in which it does not run, in
// which the process sleeps or, of one model, in which that is not in the pool, is a
// gap: there are no rows of it, or a row has observed less than its step. A model that
// comes back under its ID goes on with its history, and one that has left keeps it for
// thirty days if its room is not needed.
//
// Rows begin at multiples of their step of UTC. If the wall clock is set forward
// there is a gap; if it is set back by up to an hour what happens until it is where it
// was is part of one row, and if by more, rows of what is the future now are
// forgotten.
//
// A model takes 9 KiB when it is idle; after a month of one call a minute 50 KiB, of
// one each second 115 KiB, and of ten each second 170 KiB: nearly all of it are times.
// All takes [Config].Models times that at most: models beyond share one series.
package history

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

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
	whole   series // of the pool
	level   level

	mu      sync.Mutex // of what follows, and of series' tiers
	at      int64      // the latest sample, on the pool's clock
	slot    int64      // start of the records since then, in seconds since 1970
	models  map[string]*series
	order   []string // of them
	crowded bool     // there is no room for another, as far as is known
	saving  saving
	scratch record

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
	s.Observe(h.observe, resilience.EventAttempt, resilience.EventCall, resilience.EventHold, resilience.EventRelease, resilience.EventDegrade)
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
	case resilience.EventAttempt:
		h.seriesFor(e.Model).end(h.outcome(&e, e.Model.InFlight(), e.Model.Queued()))
	case resilience.EventCall:
		h.whole.end(h.outcome(&e, h.pool.InFlight(), 0))
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

// outcome is what to count of an attempt or a call. Its time says nothing, and is
// negative, if it was refused or canceled, or the process slept.
func (h *History) outcome(e *resilience.Event, inFlight, queued int64) (resilience.Kind, time.Duration, *resilience.Event, int64, int64) {
	kind := resilience.KindOf(e.Err)
	if kind == resilience.Canceled || kind == resilience.Rejected || h.pool.Asleep(h.pool.Now()-e.Duration) > 0 {
		return kind, -1, e, inFlight, queued
	}
	return kind, e.Duration, e, inFlight, queued
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

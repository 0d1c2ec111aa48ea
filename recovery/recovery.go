// Package recovery brings held models back: it acts on what they failed for,
// probes them, and lets traffic return step by step.
//
// A model is taken care of while its breaker, its health, a refused key or a spent
// quota holds it. One that an operator drained or opened by hand is theirs, and a
// provider's limit ends by itself. A [Recoverer] works within
// [resilience.Pool.Run]; nothing is held, and no traffic cut down, without it.
//
// Where the pool has a [resilience.Probe], a model is probed some seconds after
// the hold began, and then less and less often: three times within an outage of
// a minute, and so that it is back within thirty seconds of the end. Until then
// the recoverer holds it, so that no user's call is spent to find out; the hold
// ends five seconds after the next probe is due, in case nobody makes that. After
// a probe that succeeded the model is reset ([resilience.Pool.Reset]), which gives
// keys of it that are limited or refused another chance as well, and gets its
// traffic back by [Strategy]: it falls back a part when answers fail in a burst,
// and is held again when its breaker opens or anything else holds it.
//
// Probes that others have made in vain within the minute before the hold count among
// these: after three of them its first comes about half a minute later, and a model whose
// outage ended just then is back as much later.
//
// Without a probe, models come back as their breakers and holds have it, and
// the recoverer ramps and remembers. The parts are [resilience.Model.Ramp]: a
// picker honours them while there is another model to go to.
//
// What does not come back in Config.Attempts is left to people, with one line in
// the log; so is, as soon as a probe fails for it too, what only they can mend: a
// refused key, a spent quota without a reset, a model that is gone. Without a
// probe the second refusal counts. It is still probed as often as before, or every
// five minutes where probes succeed and calls are refused, and [Outcome], events and
// the log say if it came back.
package recovery

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/cmmv-hive/resilience"
)

// actor is who recovers, in the audit.
const actor = "recovery"

// A Recoverer is the recovery feature. It owns the section "recovery"; a reload
// changes its settings and keeps what is under way.
type Recoverer struct {
	given   Config
	pool    *resilience.Pool
	plan    atomic.Pointer[plan]
	watches resilience.PerModel[watch]
	inbox   inbox
	history history

	mu   sync.Mutex
	busy map[*resilience.Model]chan struct{} // being tried; closed after that
}

// New returns a recoverer. What is wrong with cfg is reported by
// [resilience.NewPool].
func New(cfg Config) *Recoverer {
	return &Recoverer{given: cfg, busy: map[*resilience.Model]chan struct{}{}}
}

// Install implements [resilience.Feature].
func (r *Recoverer) Install(s *resilience.Setup) error {
	if r.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "this recoverer belongs to another pool"}
	}
	if err := r.given.check(); err != nil {
		return err
	}
	r.pool = s.Pool()
	r.inbox.wake = make(chan struct{}, 1)
	r.plan.Store(newPlan(r.given))
	s.Configure(section, r.prepare)
	s.Wrap(resilience.LayerTimeout, r.wrap)
	s.Observe(r.hear, resilience.EventHold, resilience.EventRelease, resilience.EventBreaker, resilience.EventControl, resilience.EventConfig)
	s.OnReset(func(m *resilience.Model) {
		if w := r.watches.Of(m); w.keep.Load() == 0 {
			w.anew.Store(int64(r.pool.Now()))
			r.inbox.put(m, w, renewed)
		}
	})
	s.Background(section, r.run)
	return nil
}

// String returns the settings in effect.
func (r *Recoverer) String() string { return r.plan.Load().text }

func (r *Recoverer) prepare(raw json.RawMessage) (func(), error) {
	cfg := r.given
	if raw != nil {
		var err error
		if cfg, err = r.given.over(raw); err != nil {
			return nil, err
		}
	}
	next := newPlan(cfg)
	return func() {
		r.plan.Store(next)
		r.inbox.ring()
	}, nil
}

// tried reports whether somebody tries m now.
func (r *Recoverer) tried(m *resilience.Model) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy[m] != nil
}

// claim makes m the caller's to try. It waits for whoever tries it now, unless wait
// is false.
func (r *Recoverer) claim(ctx context.Context, m *resilience.Model, wait bool) (release func(), err error) {
	for {
		r.mu.Lock()
		under := r.busy[m]
		if under == nil {
			mine := make(chan struct{})
			r.busy[m] = mine
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				delete(r.busy, m)
				r.mu.Unlock()
				close(mine)
				r.inbox.put(m, r.watches.Of(m), changed) // nobody looked meanwhile
			}, nil
		}
		r.mu.Unlock()
		if !wait {
			return nil, errBusy
		}
		select {
		case <-under:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

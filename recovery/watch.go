package recovery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A watch is what calls and events tell of a model. While it is well, nothing is
// written there.
type watch struct {
	first atomic.Int64          // when the failures under way began, 0 without any
	tally atomic.Pointer[tally] // of an incident that goes by answers, or nil

	last  atomic.Int64  // failure
	kind  atomic.Uint32 // of it
	reset atomic.Int64  // the instant until which its provider asked to be left alone
	hand  atomic.Bool   // somebody opened its breaker by hand
	keep  atomic.Int64  // while it is being reset: until when to hold it again
	anew  atomic.Int64  // when others reset it, which lifts what is older
	entry atomic.Uint64 // bits of the first part of its ramp, while there is an incident

	back time.Duration // when its latest incident ended; run's
}

// A tally counts answers at one step.
type tally struct {
	good, bad atomic.Int64
	want      int64 // good ones to wake for
}

const (
	enough = 10 // good answers at a step
	burst  = 3  // bad ones there are a burst, if they are a burstShare of all
	// burstShare is more than what balancing bears, and less than what opens a
	// breaker.
	burstShare = 0.3

	// forgotten is how long after a failure the next one begins anew.
	forgotten = 5 * time.Minute
	// wellAgain is the share of errors below which failures are over.
	wellAgain = 0.05
)

func (t *tally) burst() bool {
	good, bad := t.good.Load(), t.bad.Load()
	return bad >= burst && float64(bad) >= burstShare*float64(good+bad)
}

// well reports whether the answers are good enough to give more at once.
func (t *tally) well() bool {
	good := t.good.Load()
	return good >= enough && 10*t.bad.Load() <= good
}

// wrap watches attempts within the breaker.
func (r *Recoverer) wrap(m *resilience.Model, next resilience.Handler) resilience.Handler {
	w := r.watches.Of(m)
	return func(ctx context.Context, c *resilience.Call) error {
		err := next(ctx, c)
		switch {
		case err == nil && c.Running():
			c.OnEnd(func(err error) { r.note(w, m, c, err) })
			return nil
		case err == nil && w.first.Load() == 0 && w.tally.Load() == nil: // as nearly always
			return nil
		}
		r.note(w, m, c, err)
		return err
	}
}

// note takes in an attempt's outcome.
func (r *Recoverer) note(w *watch, m *resilience.Model, c *resilience.Call, err error) {
	t := w.tally.Load()
	if err == nil {
		if w.first.Load() != 0 && m.ErrorsAt(c.Clock()) < wellAgain {
			w.first.Store(0)
		}
		if t != nil && t.good.Add(1) == t.want {
			r.inbox.put(m, w, changed)
		}
		return
	}
	holder := c.Hold(err)
	if !c.Against(err) && (holder == 0 || holder == resilience.HoldLimit) {
		return
	}
	now := max(int64(r.pool.Now()), 1)
	if w.first.Load() == 0 || now-w.last.Load() > int64(forgotten) {
		w.first.Store(now)
	}
	w.last.Store(now)
	w.kind.Store(uint32(resilience.KindOf(err)))
	w.reset.Store(0)
	if asked := resilience.RetryAfter(err); asked > 0 {
		w.reset.Store(now + int64(asked))
	}
	if t != nil && t.bad.Add(1) >= burst {
		r.inbox.put(m, w, changed)
	}
}

// hear takes in an event: it remembers what only the event tells, and wakes.
func (r *Recoverer) hear(ctx context.Context, e resilience.Event) {
	if e.Kind == resilience.EventConfig { // it may have taken models away
		r.inbox.ring()
		return
	}
	if e.Model == nil || e.Key != "" || e.Would {
		return
	}
	w, what := r.watches.Of(e.Model), changed
	switch e.Kind {
	case resilience.EventControl:
		if e.To == "open" || e.To == "isolated" {
			w.hand.Store(true)
		}
		return
	case resilience.EventRelease:
		if until := w.keep.Load(); until != 0 && e.From == resilience.HoldRecovery.String() && !mutants.On("recovery-floods-at-a-reset") {
			e.Model.Hold(ctx, resilience.Hold{By: resilience.HoldRecovery, Reason: "is being reset", Until: r.pool.At(time.Duration(until))})
		}
	case resilience.EventBreaker:
		w.hand.CompareAndSwap(true, e.To == "open" || e.To == "isolated")
		if e.To == "closed" && w.keep.Load() == 0 {
			what = closed
		}
	}
	r.inbox.put(e.Model, w, what)
}

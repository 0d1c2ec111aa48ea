package recovery

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
)

// An attempt is one try to bring a model back.
type attempt struct {
	model *resilience.Model
	cause resilience.Kind
	rules *rules
	by    resilience.Control
	hand  bool // somebody asked for it
	start time.Duration
	seen  time.Duration // the latest probe of the attempt before
}

// A report is what came of an attempt.
type report struct {
	model  *resilience.Model
	number uint64 // of the incident's attempt, 0 if it was by hand
	start  time.Duration
	tried  []string
	back   bool   // it is in rotation again
	err    error  // why not
	why    string // so, for events
	late   bool   // err says nothing of the model
}

var (
	errBusy     = errors.New("is being tried")
	errHand     = errors.New("an operator holds it; see Model.Restore")
	errPanicked = errors.New("panicked")
	errLimit    = errors.New("its provider asked to be left alone")
)

// grace is how long a hold outlives the instant at which it should be lifted.
const grace = 5 * time.Second

// longest is how long an attempt may take.
func (a *attempt) longest() time.Duration {
	n := len(a.rules.actions[0]) + len(a.rules.actions[a.cause]) + 1 + len(a.model.Info().Keys)
	return time.Duration(n) * a.rules.timeout
}

// try makes the attempt.
func (r *Recoverer) try(ctx context.Context, a *attempt) (rep report) {
	m := a.model
	rep = report{model: m, start: a.start}
	note := func(what string, err error) {
		if err != nil {
			what += " failed"
			if k := resilience.KindOf(err); k != resilience.Unknown {
				what += " (" + k.String() + ")"
			}
		}
		rep.tried = append(rep.tried, what)
	}
	for _, action := range slices.Concat(a.rules.actions[0], a.rules.actions[a.cause]) {
		if ctx.Err() != nil { // people have it, or nobody waits for it
			rep.err, rep.late = context.Cause(ctx), true
			rep.why = rep.err.Error()
			return rep
		}
		note(action.Name, action.run(ctx, r, m, a.rules))
	}
	if r.pool.Probes() {
		got := r.probe(ctx, a)
		note("probe", got.Err)
		if rep.err = got.Err; got.Err != nil {
			rep.why = "a probe failed (" + resilience.KindOf(got.Err).String() + ")"
			rep.late = ctx.Err() != nil || got.Took > 2*a.rules.timeout
			return rep
		}
	}
	part := 1.0
	if len(a.rules.ramp) > 0 && !a.rules.observe {
		part = a.rules.ramp[0]
	}
	switch s := r.look(m, r.watches.Of(m)); {
	case s.hand:
		rep.err, rep.late = errHand, true
	case s.limit > r.pool.Now() && !a.hand:
		rep.err, rep.late = errLimit, true
	default:
		rep.err = guarded(func() error { return r.reset(ctx, m, a.by, part) }, func(v any) {
			r.pool.Log().ErrorContext(ctx, "a reset panicked", "model", m.ID(), "panic", v, "stack", string(debug.Stack()))
		})
		rep.back = rep.err == nil
		note("reset", rep.err)
	}
	if rep.err != nil {
		rep.why = rep.err.Error()
		return rep
	}
	if rep.why = "a probe succeeded"; a.hand {
		rep.why = a.by.Actor + ": " + a.by.Reason
	}
	m.Release(ctx, resilience.HoldRecovery)
	return rep
}

// probe probes by the model's next key, and by each other one where it fails by its
// key. What somebody else has found out just now counts.
func (r *Recoverer) probe(ctx context.Context, a *attempt) (got resilience.Probed) {
	if last, known := a.model.Probed(); known && !a.hand && last.At > a.seen && last.At <= a.start {
		fresh := a.rules.after / 2
		if last.Err != nil {
			fresh = a.rules.after // it may have been under way when the hold began
		}
		if a.start-last.At < fresh {
			return last
		}
	}
	for range max(len(a.model.Info().Keys), 1) {
		got = a.model.Probe(ctx, a.rules.timeout)
		switch resilience.KindOf(got.Err) {
		case resilience.Unauthorized, resilience.QuotaSpent, resilience.RateLimited:
		default:
			return got
		}
	}
	return got
}

// reset resets m, holding it by recovery all the while, and then gives it a part of
// its traffic. Pool.Reset lifts that hold and gives it all of its traffic, so that
// it is held again the moment it is not (hear), until the part is set. The part is
// in force before, so that of two calls at that very moment no more than it gets
// through.
func (r *Recoverer) reset(ctx context.Context, m *resilience.Model, by resilience.Control, part float64) error {
	w := r.watches.Of(m)
	held := r.look(m, w).mine
	until := max(r.pool.Now()+grace, held)
	w.keep.Store(int64(until))
	defer w.keep.Store(0) // before anybody releases the hold for good
	m.Hold(ctx, resilience.Hold{By: resilience.HoldRecovery, Reason: "is being reset", Until: r.pool.At(until)})
	r.inbox.ramp(m, part)
	err := r.pool.Reset(ctx, m, by)
	if err != nil {
		r.inbox.ramp(m, 1)
		if w.keep.Store(0); held == 0 {
			m.Release(ctx, resilience.HoldRecovery)
		}
		return fmt.Errorf("reset: %w", err)
	}
	r.inbox.ramp(m, part)
	return nil
}

// Recover tries to bring m back now: actions, a probe if the pool has one, a
// reset; without a probe it takes by at its word. What comes of it is the outcome
// so far, as traffic returns little by little while Pool.Run is running, and at
// once otherwise. It fails if m is not held or held by an operator, if by lacks an
// Actor or a Reason, if the audit refuses, or with what the probe failed with;
// then m stays held as it was. It waits for an attempt that is under way.
func (r *Recoverer) Recover(ctx context.Context, m *resilience.Model, by resilience.Control) (Outcome, error) {
	if r.pool == nil || m == nil || r.pool.Model(m.ID()) != m {
		return Outcome{}, &resilience.ConfigError{Path: "model", Problem: "is nil, gone, or of another pool"}
	}
	w := r.watches.Of(m)
	s := r.look(m, w)
	switch {
	case s.hand:
		return Outcome{}, fmt.Errorf("recovery of %s: %w", m, errHand)
	case !s.ill && m.Available():
		return Outcome{}, &resilience.ConfigError{Path: "model", Problem: m.ID() + " is in rotation: nothing is to be recovered"}
	}
	if err := r.pool.Audit(ctx, resilience.Change{Control: by, What: "recover", Model: m, From: m.Status().String()}); err != nil {
		return Outcome{}, err
	}
	release, err := r.claim(ctx, m, true)
	if err != nil {
		return Outcome{}, fmt.Errorf("recovery of %s: %w", m, err)
	}
	defer release()
	now := r.pool.Now()
	if !s.ill {
		s.since = now
	}
	a := &attempt{m, r.cause(m, w, s), r.plan.Load().rules(m), by, true, now, 0}
	rep := report{model: m, back: true}
	waited := m.Available() // and somebody else has brought it back
	if !waited {
		rep = r.try(ctx, a)
	}
	o := Outcome{
		Model: m, Cause: a.cause, Recovered: rep.back, Actions: rep.tried,
		Start: r.pool.At(s.since), Detected: w.detected(s.since), Duration: r.pool.Now() - s.since, Reason: by.Actor + ": " + by.Reason,
	}
	if waited {
		return o, nil
	}
	if !r.inbox.post(rep) && rep.back {
		r.inbox.ramp(m, 1)
		r.history.add(new(Outcome), o)
	}
	if rep.err != nil {
		return o, fmt.Errorf("recovery of %s: %w", m, rep.err)
	}
	return o, nil
}

// detected returns how long before a hold the failures began.
func (w *watch) detected(since time.Duration) time.Duration {
	first := time.Duration(w.first.Load())
	if first == 0 || first > since || since-time.Duration(w.last.Load()) > forgotten {
		return 0
	}
	return since - first
}

// enter sets the part with which a model comes back by itself.
func (w *watch) enter(ramp []float64) {
	if len(ramp) == 0 {
		w.entry.Store(0)
		return
	}
	w.entry.Store(math.Float64bits(ramp[0]))
}

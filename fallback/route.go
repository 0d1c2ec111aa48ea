package fallback

import (
	"context"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// way is a call on its way through models. Lanes of a race share it, under the
// race's lock.
type way struct {
	f       *Manager
	rules   *rules
	r       *resilience.Route
	next    resilience.Handler
	first   error // what the call fails with
	tried   int
	unknown bool // a failure was
	final   bool // no model is to get the call
	again   bool // the call goes on after the race
}

// route goes through models until one answers.
func (f *Manager) route(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
	w := way{f: f, rules: f.live.Load().of(r.Call().Op()), r: r, next: next, tried: r.Tried()}
	if broke := r.Broke(); broke != nil { // decides the call's kind; see moves
		if !w.rules.moves(broke, resilience.KindOf(broke), false) {
			return broke
		}
		w.first = broke
	}
	switch {
	case w.rules.plain || w.first != nil:
		return w.inTurn(ctx)
	case w.rules.Strategy == Parallel:
		return parallel(ctx, w)
	default:
		return w.hedged(ctx)
	}
}

// inTurn tries one model at a time.
func (w *way) inTurn(ctx context.Context) error {
	for w.pick(ctx) {
		err := w.next(ctx, w.r.Call())
		if err == nil {
			return nil
		}
		if !w.moves(ctx, err, w.tried == 1) {
			break
		}
	}
	return w.first
}

// parallel tries several at a time.
func parallel(ctx context.Context, w way) error {
	for w.pick(ctx) {
		err := w.r.Race(ctx, w.next, func(x *resilience.Race) error {
			if w.r.Others() {
				for range w.rules.Width - 1 {
					x.Go(func(x *resilience.Race) error { return w.beside(ctx, x) })
				}
			}
			return w.lane(ctx, x, w.tried == 1)
		})
		if err == nil {
			return nil
		}
		if !w.goesOn(ctx) {
			return err
		}
	}
	return w.first
}

// beside is a further lane.
func (w *way) beside(ctx context.Context, x *resilience.Race) error {
	if x.Over() || w.last() || !w.r.Others() || !w.r.Beside(false) || w.move(x) == nil {
		return nil
	}
	return w.lane(ctx, x, false)
}

// lane tries models in turn, beside other lanes. First is whether the first of
// them is the call's first.
func (w *way) lane(ctx context.Context, x *resilience.Race, first bool) error {
	for ; ; first = false {
		err := x.Try(false)
		if err == nil || x.Over() {
			return err
		}
		if !w.moves(ctx, err, first) {
			if w.final {
				x.Fail(w.first)
			}
			return w.first
		}
		from := w.r.Call().Model()
		to := w.move(x)
		if to == nil {
			w.again = true
			return w.first
		}
		w.tell(ctx, resilience.Event{Kind: resilience.EventFallback, From: from.ID(), To: to.ID(), Model: to})
	}
}

// pick makes another model the call's, if there is one.
func (w *way) pick(ctx context.Context) bool {
	var m *resilience.Model
	if w.rules.picker == nil {
		m = w.r.Next(ctx, false)
	} else {
		m = w.r.NextBy(ctx, w.rules.picker, false)
	}
	if m == nil && w.lastResort() {
		m = w.r.Next(ctx, true)
	}
	if m == nil {
		if w.first == nil {
			w.first = w.r.None()
		}
		return false
	}
	w.count()
	return true
}

// move is pick for an attempt beside others.
func (w *way) move(x *resilience.Race) *resilience.Model {
	m := x.Next()
	if m != nil {
		w.count()
	}
	return m
}

func (w *way) count() {
	w.tried++
	if w.last() {
		w.r.Last()
	}
}

// last reports whether no further model is to be tried.
func (w *way) last() bool {
	return w.rules.ObserveOnly || w.rules.Limit > 0 && !mutants.On("fallback-beyond-its-limit") && w.tried >= w.rules.Limit
}

func (w *way) lastResort() bool {
	return mutants.On("fallback-asks-held-models") || w.rules.LastResort || w.r.Call().Options().Priority == resilience.Critical
}

// moves takes in why a model failed, and reports whether another gets the call;
// that is paid for then. First says that it was the call's first model; one that
// comes after refusals of ours is, too.
func (w *way) moves(ctx context.Context, err error, first bool) bool {
	c := w.r.Call()
	first = first || w.first != nil && resilience.KindOf(w.first) == resilience.Rejected // nobody has looked at the request yet
	kind := w.failed(err)
	switch {
	case ctx.Err() != nil || c.Left() <= 0:
		w.first = err
		return mutants.On("fallback-goes-on-for-nobody")
	case !w.rules.moves(err, kind, first):
		w.final = true
		return false
	case kind == resilience.Unknown:
		if w.unknown {
			return false
		}
		w.unknown = true
	}
	if !w.last() && (c.Remaining() > 0 || w.lastResort()) && w.r.Extra(err) {
		return true
	}
	if w.rules.ObserveOnly && w.r.Others() {
		id := c.Model().ID()
		w.tell(ctx, resilience.Event{Kind: resilience.EventFallback, Model: c.Model(), From: id, Err: err, Would: true})
	}
	return false
}

// failed takes in why a model failed.
func (w *way) failed(err error) resilience.Kind {
	if w.first == nil || says(w.first) == 0 {
		w.first = err
	}
	w.f.quiet.heed(w.f.pool.Now(), w.r.Call(), err)
	kind := resilience.KindOf(err)
	if kind == resilience.TooLong {
		w.r.Larger()
	}
	return kind
}

// goesOn reports whether the call goes on after a race that it has lost.
func (w *way) goesOn(ctx context.Context) bool {
	again := w.again && !w.final && !w.last() && ctx.Err() == nil && w.r.Call().Left() > 0
	w.again = false
	return again
}

func (w *way) tell(ctx context.Context, e resilience.Event) { w.r.Call().Pool().Emit(ctx, e) }

// says returns 0 for kinds that say nothing about what to do next.
func says(err error) resilience.Kind {
	switch k := resilience.KindOf(err); k {
	case resilience.Rejected, resilience.Unknown:
		return 0
	default:
		return k
	}
}

// moves reports whether another model should get the call.
func (cfg *Config) moves(err error, kind resilience.Kind, first bool) bool {
	switch {
	case kind == resilience.Canceled:
		return false
	case cfg.On != nil:
		return cfg.On(err)
	case kind == resilience.Invalid:
		return mutants.On("fallback-spreads-bad-requests") || !first // the request suited the first model, so it is this one's parameters
	case kind == resilience.Filtered:
		return cfg.Filtered
	default:
		return kind.Elsewhere()
	}
}

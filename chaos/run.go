package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Run runs e with calls of load, each with a context that ends after the load's
// Patience, and reports how it went. Load calls a client of the injector's pool;
// what it returns is the call's outcome: of a stream that of its reading.
//
// First come calls without faults. If they do not keep what e.Steady promises,
// the result is [VerdictInvalid] and nothing is injected. So it is if nothing was
// struck: an experiment that breaks nothing shows nothing. A broken Abort
// promise ends the calls and the faults at once, as the end of ctx does, and a
// configuration that switches chaos off.
//
// Faults and drift are gone when Run returns, whatever happened; if the pool
// refuses the configuration to go back to, that is Run's error. A panic of load
// ends the experiment and then passes through. Run waits for the calls that it
// has made.
//
// It fails, and calls nothing, if e is wrong, if it exceeds e.Blast or
// [InjectorConfig.Blast], if chaos is not enabled, or if faults are injected
// already.
func (i *Injector) Run(ctx context.Context, e Experiment, load func(ctx context.Context) error) (res Result, err error) {
	cfg, err := i.ready()
	if err != nil {
		return Result{}, err
	}
	if err := errors.Join(e.problems()...); err != nil {
		return Result{}, err
	}
	settings.Fill(&e)
	if e.Steady == (Promises{}) {
		e.Steady.Success = .99
	}
	if err := i.enter(); err != nil {
		return Result{}, err
	}
	defer i.leave()
	r := &run{i: i, e: e, load: load}
	if err := r.prepare(cfg); err != nil {
		return Result{}, err
	}
	defer r.rethrow()
	defer func() {
		r.rollback(ctx, "the experiment is over")
		err = errors.Join(err, r.stuck)
	}()

	res = Result{Name: e.Name, About: e.About, Seed: e.Seed, Weight: e.Weight}
	control := r.play(ctx, e.Control, 0)
	res.Control = control.measure(0, e.Control)
	if why := unsteady(e, control, res.Control); why != "" {
		res.Verdict, res.Why = VerdictInvalid, why
		return res, context.Cause(ctx)
	}
	seen := r.play(ctx, e.For, e.after())
	r.judge(&res, seen)
	return res, context.Cause(ctx)
}

// enter makes sure that nothing is injected beside an experiment.
func (i *Injector) enter() error {
	i.turn.Lock()
	defer i.turn.Unlock()
	switch l := i.live.Load(); {
	case i.running:
		return errRunning
	case l != nil && slices.ContainsFunc(l.doses, func(d *dose) bool { return !d.over(i.now()) }):
		return errors.New("chaos: faults are injected already: stop them first")
	}
	i.running = true
	return nil
}

func (i *Injector) leave() {
	i.turn.Lock()
	defer i.turn.Unlock()
	i.running = false
}

// A run is an experiment under way.
type run struct {
	i             *Injector
	e             Experiment
	load          func(context.Context) error
	dose          *dose
	drifted, base []byte // configurations, nil without a drift
	applied       uint64 // the pool's configuration that is the drift
	stuck         error  // the pool did not go back

	mu     sync.Mutex
	thrown any
}

// prepare checks the experiment against the pool and the limits. Models that
// leave are hit as well.
func (r *run) prepare(cfg *InjectorConfig) error {
	var wrong [2]error
	r.dose, wrong[0] = r.i.prepareDose(r.e.Seed, r.e.For, r.e.Method, r.e.Drift.Drop, cfg.Blast, r.e.Blast)
	r.drifted, r.base, wrong[1] = r.i.drift(cfg, r.e.Drift)
	return errors.Join(wrong[:]...)
}

// drift returns the configuration to drift to, and that to go back to.
func (i *Injector) drift(cfg *InjectorConfig, d Drift) (drifted, base []byte, err error) {
	if d.zero() {
		return nil, nil, nil
	}
	base = []byte("{}")
	switch now := i.pool.Generation(); {
	case cfg.Config != nil:
		base = cfg.Config()
	case now != 1 && now != i.settled:
		return nil, nil, &resilience.ConfigError{Path: "drift", Problem: "the pool was reloaded, and nobody says what to go back to; set InjectorConfig.Config"}
	}
	sections, problems := settings.Sections(base)
	if len(problems) > 0 {
		return nil, nil, fmt.Errorf("chaos: the configuration to go back to is wrong: %w", configErrors(problems))
	}
	if len(d.Config) > 0 {
		over, problems := settings.Sections(d.Config)
		if len(problems) > 0 {
			return nil, nil, configErrors(problems)
		}
		maps.Copy(sections, over)
	}
	if d.Drop > 0 {
		models := i.pool.Models()
		if d.Drop >= len(models) {
			return nil, nil, &resilience.ConfigError{Path: "drift.drop", Problem: fmt.Sprintf("of %d models %d cannot leave", len(models), d.Drop)}
		}
		var left []resilience.ModelInfo
		for _, m := range models[d.Drop:] {
			left = append(left, m.Info())
		}
		if sections["models"], err = json.Marshal(left); err != nil {
			return nil, nil, err
		}
	}
	drifted, err = json.Marshal(sections)
	return drifted, base, err
}

func (r *run) reload(ctx context.Context, config []byte, what string) error {
	by := resilience.Control{Actor: "chaos", Reason: what + " of experiment " + r.e.Name}
	return r.i.pool.Reload(context.WithoutCancel(ctx), config, by)
}

// rollback ends what the experiment does, once. A configuration that took
// effect since the drift has ended that, and stays.
func (r *run) rollback(ctx context.Context, why string) {
	r.i.end(r.dose, why)
	mine := r.applied != 0 && r.applied == r.i.pool.Generation()
	r.applied = 0
	if !mine {
		return
	}
	if err := r.reload(ctx, r.base, "end of the drift"); err != nil {
		r.stuck = fmt.Errorf("chaos: the pool does not go back to its configuration: %w", err)
	} else if r.i.cfg.Load().Config == nil {
		r.i.settled = r.i.pool.Generation()
	}
}

// rethrow lets a panic of load pass through.
func (r *run) rethrow() {
	if r.thrown != nil {
		panic(r.thrown)
	}
}

// play makes calls for d, with faults and for as long as after without them if
// that is not 0, and returns what it saw.
func (r *run) play(ctx context.Context, d, after time.Duration) *watch {
	w := newWatch(r.i)
	r.i.change(func(l *live) { l.watch = w })
	defer r.i.change(func(l *live) { l.watch = nil })
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var calls sync.WaitGroup
	defer func() {
		calls.Wait()
		w.look()
	}()

	faulty := after > 0
	if faulty {
		if len(r.dose.injections) > 0 {
			if err := r.i.begin(r.dose); err != nil {
				w.abort(err.Error())
			}
		}
		if r.drifted != nil {
			if err := r.reload(ctx, r.drifted, "drift"); err != nil {
				w.abort("the pool refuses the drift: " + err.Error())
			} else {
				r.applied = r.i.pool.Generation()
			}
		}
	}
	room := make(chan struct{}, r.e.Load.AtOnce)
	draw := rand.New(rand.NewPCG(r.e.Seed, 0))
	gap := func() time.Duration { return seconds(draw.ExpFloat64() / r.e.Load.PerSecond) }
	next, tick, end := gap(), r.tick(), d+after
	for look := tick; ; {
		until := min(next, look, end)
		if faulty {
			until = min(until, d)
		}
		switch err := r.wait(ctx, w, until); {
		case err != nil:
			cancel(err)
			w.abort(err.Error())
			r.rollback(ctx, err.Error())
			return w
		case until == end && !(faulty && until == d):
			return w
		case faulty && until == d:
			faulty = false
			r.rollback(ctx, "the faults are over")
		case until == next:
			next += gap()
			r.call(ctx, w, room, &calls)
		default:
			look += tick
			w.look()
			if after > 0 {
				if why := r.broken(w, until); why != "" {
					w.abort(why)
				}
			}
		}
	}
}

// tick is how often the models are looked at.
func (r *run) tick() time.Duration {
	return max(min(100*time.Millisecond, r.e.For/200), r.i.world(5*time.Millisecond))
}

// wait waits until a time of w's, and returns why there is nothing to wait for.
func (r *run) wait(ctx context.Context, w *watch, until time.Duration) error {
	t := time.NewTimer(r.i.clock(until - w.now()))
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.stopped:
	case <-ctx.Done():
	}
	select {
	case <-w.stopped:
		return errors.New(w.aborted())
	default:
	}
	if r.dose.exceeded.Load() {
		return errors.New(tooMany)
	}
	return context.Cause(ctx)
}

// call makes one call of the load's.
func (r *run) call(ctx context.Context, w *watch, room chan struct{}, calls *sync.WaitGroup) {
	c := &seenCall{at: w.now()}
	n := w.called(c)
	select {
	case room <- struct{}{}:
	default:
		c.done, c.shed, c.kind = true, true, resilience.Rejected
		return
	}
	calls.Go(func() {
		defer func() { <-room }()
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, loadKey{}, loadCall{w, n}), r.i.clock(r.e.Load.Patience))
		defer cancel()
		returned := false
		defer func() {
			if returned {
				return
			}
			thrown := recover()
			if thrown == nil {
				thrown = "chaos: the load has ended its goroutine"
			}
			r.mu.Lock()
			r.thrown = thrown
			r.mu.Unlock()
			w.abort("the load panicked")
		}()
		err := r.load(ctx)
		returned = true
		w.returned(c, err)
	})
}

// broken says which Abort promise is broken at t, if one is.
func (r *run) broken(w *watch, t time.Duration) string {
	if r.e.Abort == (Promises{}) {
		return ""
	}
	m := w.measureEnded(max(t-r.e.For/6, 0), t)
	if m.Calls < 10 {
		return ""
	}
	if broken := slices.DeleteFunc(r.e.Abort.checks(m), func(c Check) bool { return c.Outcome != CheckFailed }); len(broken) > 0 {
		c := broken[0]
		return fmt.Sprintf("abort: %s is %s, want %s", c.Name, c.Got, c.Want)
	}
	return ""
}

// unsteady says why the control run shows that an experiment would show nothing.
func unsteady(e Experiment, w *watch, m Measures) string {
	switch {
	case w.aborted() != "":
		return w.aborted()
	case m.Calls == 0:
		return "no calls were made without faults"
	case m.Attempts == 0:
		return "the load made no attempt at a model of the injector's pool"
	}
	for _, c := range e.Steady.checks(m) {
		if c.Outcome == CheckFailed {
			return fmt.Sprintf("without faults %s is %s, want %s", c.Name, c.Got, c.Want)
		}
	}
	return ""
}

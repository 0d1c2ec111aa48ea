package recovery

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/internal/queue"
)

// A keeper is one run of the background work.
type keeper struct {
	*Recoverer
	ctx   context.Context //nolint:containedctx // of the run
	of    map[*resilience.Model]*incident
	queue queue.Queue[*incident]
	ready []*incident   // in line for an attempt; who is not ready any more, too
	under []*incident   // attempts
	now   time.Duration // of the latest pass
	wg    sync.WaitGroup

	seen       *plan  // by all incidents
	generation uint64 // of the pool, the same
}

func (r *Recoverer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	k := &keeper{Recoverer: r, ctx: ctx, of: map[*resilience.Model]*incident{}, now: r.pool.Now()}
	defer k.end()
	defer cancel()
	r.inbox.begin()
	for _, m := range r.pool.Models() {
		k.visit(m, changed)
		k.place(k.of[m])
	}
	for ctx.Err() == nil {
		k.pass()
		k.sleep()
	}
	return nil
}

// sleep waits until there is something to do.
func (k *keeper) sleep() {
	wait := time.NewTimer(k.wait())
	defer wait.Stop()
	select {
	case <-k.inbox.wake:
	case <-wait.C:
	case <-k.ctx.Done():
	}
}

// end waits for what is under way, and lets go of all models: nobody is there to
// give them their traffic step by step.
func (k *keeper) end() {
	k.wg.Wait()
	var models []*resilience.Model
	for _, i := range k.of {
		i.watch.tally.Store(nil)
		i.watch.entry.Store(0)
		if !i.rules.observe {
			models = append(models, i.model)
		}
	}
	k.inbox.end(models)
	for _, m := range models {
		m.Release(k.ctx, resilience.HoldRecovery)
	}
}

// pass does what there is to do.
func (k *keeper) pass() {
	order, what, reports := k.inbox.take()
	k.now = k.pool.Now()
	for _, rep := range reports {
		k.settle(rep)
		k.place(k.of[rep.model])
	}
	for _, m := range order {
		k.visit(m, what[m])
		k.resume(k.of[m])
	}
	plan := k.plan.Load()
	if generation := k.pool.Generation(); plan != k.seen || generation != k.generation {
		k.seen, k.generation = plan, generation
		k.sweep(plan)
	}
	for len(k.queue) > 0 && k.queue[0].at <= k.now {
		k.resume(k.queue[0])
	}
	for busy := k.busy(); busy < plan.atOnce || mutants.On("recovery-tries-all-at-once"); {
		i := k.first()
		if i == nil {
			return
		}
		if k.begin(i, k.now) {
			k.under = append(k.under, i)
			busy++
		}
		k.place(i)
	}
}

// resume goes on with i, which may be nil.
func (k *keeper) resume(i *incident) {
	if i == nil {
		return
	}
	k.advance(i, k.now)
	k.place(k.of[i.model])
}

// sweep looks at all incidents after a reload.
func (k *keeper) sweep(plan *plan) {
	for m, i := range maps.Clone(k.of) { // a visit may open one
		switch {
		case k.pool.Model(m.ID()) != m:
			k.drop(i, "a reload took the model away")
		case i.plan != plan:
			k.reload(i, plan)
			k.place(k.of[m])
		}
	}
}

// reload puts other settings into effect.
func (k *keeper) reload(i *incident, to *plan) {
	rules := to.rules(i.model)
	if rules.observe != i.rules.observe {
		k.drop(i, "observe only was switched")
		k.visit(i.model, changed)
		return
	}
	i.plan, i.rules = to, rules
	i.watch.enter(k.entry(i))
	if i.phase == ramping && i.step >= len(i.rules.ramp) {
		i.step = max(len(i.rules.ramp)-1, 0)
	}
}

// entry is the ramp with which a model comes back by itself.
func (k *keeper) entry(i *incident) []float64 {
	if i.rules.observe {
		return nil
	}
	return i.rules.ramp
}

// visit looks at a model that something has happened to.
func (k *keeper) visit(m *resilience.Model, what news) {
	i, w := k.of[m], k.watches.Of(m)
	if k.pool.Model(m.ID()) != m {
		if i != nil {
			k.drop(i, "a reload took the model away")
		}
		return
	}
	if (i == nil || i.phase != probing) && k.tried(m) {
		return // by hand, or what an incident that is over has left
	}
	if what&renewed != 0 {
		if i != nil {
			k.drop(i, "somebody has reset it")
		}
		return // what is left of the holds is being lifted, and wakes
	}
	s := k.look(m, w)
	if what&closed != 0 && i != nil && i.phase != ramping && !s.ill && !s.hand {
		k.ramp(i, "its breaker closed") // by answers to calls
		return
	}
	if what&closed != 0 && w.entry.Load() != 0 { // it was cut down when that closed
		part := 1.0
		if i != nil && i.phase == ramping {
			part = i.rules.ramp[i.step]
		}
		k.inbox.ramp(m, part)
	}
	switch {
	case s.hand:
		if i != nil {
			k.drop(i, "an operator holds it")
		}
	case i == nil:
		if s.ill {
			k.open(m, w, s)
		}
	case i.phase == ramping:
		if s.ill {
			k.relapse(i, s)
		}
	case i.phase == trial:
		k.follow(i, s)
	case i.phase == held:
		i.due = max(i.turn, s.limit) // a limit may have come or gone
		if last, known := m.Probed(); known && last.Err == nil && last.At > max(i.seen, i.start) && !s.ill && i.by == resilience.HoldHealth {
			i.due = k.pool.Now() // somebody else has probed it
		}
	}
}

// open begins an incident.
func (k *keeper) open(m *resilience.Model, w *watch, s state) {
	now := k.pool.Now()
	plan := k.plan.Load()
	i := &incident{
		model: m, watch: w, plan: plan, rules: plan.rules(m), cause: k.cause(m, w, s),
		start: s.since, detected: w.detected(s.since), by: s.by,
	}
	const soon = 2 * time.Minute
	if w.back != 0 && now-w.back < soon { // it flaps
		i.failed = 1
	}
	k.of[m] = i
	w.enter(k.entry(i))
	from := now
	if last, known := m.Probed(); known && last.Err != nil && last.At > max(w.back, now-time.Minute) {
		from += i.gap(k.pool.Rand()) // somebody else has made the first probes
		i.failed += min(last.Row, 3)
	}
	i.hold(k, s, from)
	k.tell(i, "held", s.by.String()+": "+s.why, nil)
}

// hold makes an incident wait for its next attempt from now on, or for calls to try
// the model where nobody else does.
func (i *incident) hold(k *keeper, s state, from time.Duration) {
	if !k.pool.Probes() || i.rules.observe {
		i.phase, i.by, i.free = trial, cmp.Or(s.by, i.by), false
		i.due = s.until
		i.watch.tally.Store(nil)
		return
	}
	i.phase = held
	i.watch.tally.Store(nil)
	i.turn = from + i.gap(k.pool.Rand())
	if lasting(i.cause) {
		i.turn = max(i.turn, time.Duration(i.watch.reset.Load()))
	}
	i.due = max(i.turn, s.limit)
	k.keep(i, i.due)
}

// keep holds the model until then, and a little longer.
func (k *keeper) keep(i *incident, until time.Duration) {
	const longest = 24 * time.Hour // who needs more has a hold of his own
	until = min(until, k.pool.Now()+longest) + grace
	i.model.Hold(k.ctx, resilience.Hold{By: resilience.HoldRecovery, Reason: "is being brought back", Until: k.pool.At(until)})
}

// begin begins an attempt, and reports whether there is one.
func (k *keeper) begin(i *incident, now time.Duration) bool {
	release, err := k.claim(k.ctx, i.model, false)
	if err != nil { // by hand
		i.due = now + time.Second
		return false
	}
	a := &attempt{i.model, i.cause, i.rules, resilience.Control{Actor: actor, Reason: "a probe succeeded"}, false, now, i.seen}
	ctx, cancel := context.WithCancel(k.ctx)
	i.phase, i.stop, i.number, i.ends = probing, cancel, i.number+1, now+a.longest()+time.Second
	k.keep(i, i.ends)
	k.tell(i, "probing", "held for "+ago(now-i.start), nil)
	number := i.number
	k.wg.Go(func() {
		defer cancel()
		rep := report{model: a.model, start: a.start, err: errPanicked, why: errPanicked.Error()}
		defer func() {
			if v := recover(); v != nil {
				k.pool.Log().ErrorContext(ctx, "a recovery panicked", "model", a.model.ID(), "panic", v, "stack", string(debug.Stack()))
			}
			rep.number = number
			k.inbox.post(rep)
			release()
		}()
		rep = k.try(ctx, a)
	})
	return true
}

// settle takes in what came of an attempt.
func (k *keeper) settle(rep report) {
	i := k.of[rep.model]
	switch {
	case i == nil:
		if rep.back {
			k.inbox.ramp(rep.model, 1)
		}
		return
	case rep.number != 0 && (rep.number != i.number || i.phase != probing):
		return
	}
	if rep.number != 0 {
		i.stop = nil
	}
	i.note(rep.tried...)
	if last, known := i.model.Probed(); known {
		i.seen = last.At
	}
	if rep.back {
		k.ramp(i, rep.why)
		return
	}
	if rep.number == 0 {
		return // by hand, and it goes on as before
	}
	s := k.look(i.model, i.watch)
	if s.hand {
		k.drop(i, "an operator holds it")
		return
	}
	if i.late = rep.late && !i.late; !i.late { // once: a probe that is always late is none
		i.err = rep.err
		i.tries++
		i.failed++
		k.despair(i, resilience.KindOf(rep.err))
	}
	i.hold(k, s, max(rep.start, k.pool.Now()-i.rules.after))
	k.tell(i, "held", rep.why+"; next try in "+ago(i.due-k.pool.Now()), rep.err)
}

// follow follows a model that calls try, as there is no probe.
func (k *keeper) follow(i *incident, s state) {
	if s.ill {
		if i.free {
			i.tries++
			i.note("calls")
			i.cause = k.cause(i.model, i.watch, s)
			k.despair(i, i.cause)
		}
		i.by, i.free, i.due = s.by, false, s.until
		i.watch.tally.Store(nil)
		return
	}
	if i.free {
		return
	}
	i.free = true
	if i.by == resilience.HoldHealth {
		k.ramp(i, "what held it has let go")
		return
	}
	t := &tally{want: 1}
	if i.by == resilience.HoldBreaker {
		t.want = burst
	}
	i.watch.tally.Store(t)
}

// despair leaves a model to people, if it is time.
func (k *keeper) despair(i *incident, kind resilience.Kind) {
	reason, ok := i.hopeless(kind)
	if !ok {
		return
	}
	i.told = true
	if len(i.tried) > 0 {
		reason += "; tried " + strings.Join(i.tried, ", ")
	}
	k.conclude(i, false, reason)
	k.tell(i, "manual", reason, i.err)
	if !i.rules.observe {
		k.pool.Log().ErrorContext(k.ctx, "a model needs a person", "model", i.model.ID(), "cause", i.cause.String(), "reason", reason, "held", ago(k.pool.Now()-i.start))
	}
}

// conclude puts the incident into the history, or changes it there.
func (k *keeper) conclude(i *incident, recovered bool, reason string) {
	if i.outcome == nil {
		i.outcome = new(Outcome)
	}
	k.history.add(i.outcome, Outcome{
		Model: i.model, Cause: i.cause, Recovered: recovered, Actions: slices.Clone(i.tried),
		Start: k.pool.At(i.start), Detected: i.detected, Duration: k.pool.Now() - i.start, Reason: reason,
	})
}

// drop ends an incident that others have taken in hand. Whatever it was, the model
// has all of its traffic once they let it go.
func (k *keeper) drop(i *incident, reason string) {
	k.forget(i)
	if !i.rules.observe {
		i.model.Release(k.ctx, resilience.HoldRecovery)
	}
	k.tell(i, "left", reason, nil)
}

func (k *keeper) forget(i *incident) {
	if i.stop != nil {
		i.stop()
	}
	i.watch.entry.Store(0)
	i.watch.tally.Store(nil)
	if !i.rules.observe {
		k.inbox.ramp(i.model, 1)
	}
	delete(k.of, i.model)
	k.queue.Remove(i)
}

// tell publishes a step.
func (k *keeper) tell(i *incident, to, reason string, err error) {
	from := i.name
	i.name = to
	k.pool.Emit(k.ctx, resilience.Event{
		Kind: resilience.EventRecovery, Model: i.model, From: from, To: to, Reason: reason, Err: err,
		Duration: k.pool.Now() - i.start, Would: i.rules.observe,
	})
}

func ago(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func counted(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

package health

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/internal/queue"
)

// A state is what is known of a model. The checker's mu guards it, but for noted;
// the work in the background alone changes what is above the line.
type state struct {
	queue.Place

	verdict           resilience.Status // Available, Degraded or Unavailable
	reason            string
	since             time.Duration // of verdict
	bad, good         int           // marks in a row
	badSince          time.Duration // the first of them
	slow              bool
	slowBad, slowGood int
	until             time.Duration // end of the hold that the checker set, or 0
	holds             bool          // it did set it, and not only observe
	heldIn            uint64        // the step in which it did
	byCalls           bool          // it did so for what calls showed
	repeats           int           // holds, less what went well since
	trial             bool          // between a hold and the verdict after it
	from              time.Duration // when the hold began or ended
	turned            time.Duration // when the model went out, or was about to; 0 if it did not
	success           time.Duration // the latest that is known, or 0
	outage            *outage       // that it is part of
	byGroup           bool          // the hold is the outage's

	due      time.Duration // of the next check
	next     time.Duration // the same, while one is under way
	probeAt  time.Duration // from when on it may be probed
	provider string        // of its description
	region   string
	enrolled bool // among the models that are checked
	underWay bool
	probing  bool // its latest check wanted a probe
	beat     accrual
	heard    time.Duration // the latest good answer seen,
	looked   time.Duration // and the latest of all
	errors   float64       // as of the latest look

	_ struct{} // below: every check

	model     *resilience.Model
	rules     rules
	noted     atomic.Int64 // when another feature took it out
	peers     *peers
	counted   peers // its part of them
	checked   bool
	last      finding
	countedAt time.Duration
	pace      pace

	successes, failures, malformed float64 // decayed, as of countedAt
}

// Before implements [queue.Item].
func (st *state) Before(o *state) bool { return st.due < o.due }

// peers sum up the latest checks of models that are compared.
type peers struct{ n, failed float64 }

// An act is what follows from a check, done once the lock is free.
type act func(ctx context.Context)

// settle draws the conclusions from a finding. The caller has c.mu, and does what is
// returned.
func (c *Checker) settle(st *state, f finding) {
	st.note(f)
	if f.asked && f.err == nil {
		c.succeed(st, f.at)
	}
	now := f.at
	if f.mark == bad && c.work.doubtUntil > now {
		f.mark = none
	}
	c.lapse(st, now)
	switch f.mark {
	case bad:
		c.worse(st, f)
	case good:
		c.better(st, f)
	case none:
		if st.trial && !f.asked && !st.mending() { // nobody asks it
			c.better(st, f)
		}
	}
	c.slow(st, f)
}

func (c *Checker) worse(st *state, f finding) {
	now, r := f.at, &st.rules
	if st.bad == 0 {
		st.badSince = now
	}
	st.bad, st.good = st.bad+1, 0
	fall := r.fall
	if st.trial {
		fall = 1
	}
	if st.turned == 0 && st.bad >= min(2, fall) {
		st.turned = now
		c.work.turned = true
	}
	switch {
	case st.until > now:
		if f.asked {
			c.hold(st, now, max(st.until, now+c.spell(st)), f.reason)
		}
	case st.bad >= fall && st.outage == nil:
		c.eject(st, f)
	}
}

// eject holds a model that has fallen ill, if it may be.
func (c *Checker) eject(st *state, f finding) {
	now := f.at
	if why := c.doubts(st, now); why != "" {
		c.change(st, now, resilience.Degraded, f.reason+"; not held: "+why)
		return
	}
	if why := c.crowded(st); why != "" {
		c.change(st, now, resilience.Degraded, f.reason+"; not held: "+why)
		return
	}
	st.repeats++
	st.byCalls, st.trial = f.calls, false
	until := now + c.spell(st)
	c.hold(st, now, until, f.reason)
	c.change(st, now, resilience.Unavailable, f.reason)
}

// spell is how long a model is held: two intervals, doubled with each repeat up to
// ten, and a tenth more at random.
func (c *Checker) spell(st *state) time.Duration {
	times := math.Min(math.Exp2(float64(max(st.repeats, 1))), longestSpell)
	return time.Duration(float64(st.rules.interval) * times * (1 + c.pool.Rand()/10))
}

const longestSpell = 10 // intervals

func (c *Checker) better(st *state, f finding) {
	now, r := f.at, &st.rules
	st.bad, st.turned = 0, 0
	st.good = min(st.good+1, r.rise)
	if st.good < r.rise {
		return
	}
	_, held := st.model.HeldSince(resilience.HoldHealth)
	switch own := st.until > now; {
	case own && st.byCalls, !own && held && !f.asked:
		return
	case own || held:
		c.release(st)
	default:
		st.trial = false
		st.repeats = max(st.repeats-1, 0)
	}
	if st.slow {
		c.change(st, now, resilience.Degraded, "slow")
		return
	}
	c.change(st, now, resilience.Available, "good checks")
}

// lapse notes that a hold of the checker's is over, or that somebody lifted it.
func (c *Checker) lapse(st *state, now time.Duration) {
	if st.until == 0 {
		return
	}
	_, held := st.model.HeldSince(resilience.HoldHealth)
	held = held || st.rules.observe || st.heldIn == c.work.steps                     // which is yet to be done
	if now < st.until && held || now >= st.until && st.byGroup && st.outage != nil { // the outage's end is near
		return
	}
	st.until, st.holds, st.trial, st.from, st.good, st.bad, st.turned = 0, false, true, now, 0, 0, 0
	if st.byGroup {
		st.byGroup, st.trial = false, false
		return
	}
	c.change(st, now, resilience.Degraded, "tried again after a hold")
}

func (c *Checker) slow(st *state, f finding) {
	r := &st.rules
	if f.slow {
		st.slowBad, st.slowGood = st.slowBad+1, 0
		if !st.slow && st.slowBad >= r.fall {
			st.slow = true
			if st.verdict == resilience.Available {
				c.change(st, f.at, resilience.Degraded, f.slowWhy)
			}
		}
		return
	}
	if st.slowBad = 0; f.pace == (pace{}) && !f.asked {
		return
	}
	if st.slowGood++; st.slow && st.slowGood >= r.rise {
		st.slow = false
		if st.verdict == resilience.Degraded && st.bad == 0 && !st.trial {
			c.change(st, f.at, resilience.Available, "fast again")
		}
	}
}

// hold holds a model until then.
func (c *Checker) hold(st *state, now, until time.Duration, reason string) {
	if st.until == 0 {
		st.from = now
	}
	st.until = until
	if st.turned == 0 {
		st.turned = now
	}
	if st.rules.observe {
		return
	}
	st.holds, st.heldIn = true, c.work.steps
	m, h := st.model, resilience.Hold{By: resilience.HoldHealth, Reason: reason, Until: c.pool.At(until)}
	c.then(func(ctx context.Context) { m.Hold(ctx, h) })
}

// release lifts the hold by health, whoever set it.
func (c *Checker) release(st *state) {
	st.until, st.byGroup, st.trial = 0, false, false
	if !st.rules.observe {
		c.lift(st)
	}
}

func (c *Checker) lift(st *state) {
	st.holds = false
	m := st.model
	c.then(func(ctx context.Context) { m.Release(ctx, resilience.HoldHealth) })
}

// change publishes a change of health, if it is one.
func (c *Checker) change(st *state, now time.Duration, to resilience.Status, reason string) {
	from := st.verdict
	if from == to {
		return
	}
	st.verdict, st.reason, st.since = to, reason, now
	e := resilience.Event{
		Kind: resilience.EventHealth, Model: st.model, From: from.String(), To: to.String(), Reason: reason, Would: st.rules.observe,
	}
	if to != resilience.Available {
		e.Err = st.last.err
	}
	c.then(func(ctx context.Context) { c.pool.Emit(ctx, e) })
}

// then does something when the lock is free.
func (c *Checker) then(do act) { c.work.acts = append(c.work.acts, do) }

// crowded says why no more models may be held, or "".
func (c *Checker) crowded(st *state) string {
	ours, free := 0, 0
	for _, o := range c.work.states {
		if o.until != 0 && !o.byGroup {
			ours++
		}
		if o != st && o.until == 0 && o.model.Available() {
			free++
		}
	}
	most := max(int(c.work.ejected*float64(len(c.work.states))), 1)
	switch {
	case free == 0 && !mutants.On("health-holds-the-last-model"):
		return "it is the last one"
	case ours >= most:
		return fmt.Sprintf("%d of %d models are, which is the most", ours, len(c.work.states))
	}
	return ""
}

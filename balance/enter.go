package balance

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// enter admits an attempt when there is room, or returns the error to refuse it
// with.
func (r *room) enter(ctx context.Context, c *resilience.Call, p *permit) error {
	opts := c.Options()
	p.tenant = opts.Tenant
	if r.counts.Load() {
		p.tokens = float64(c.Tokens())
	}
	p.lastResort = c.LastResort()
	if r.pass(p) {
		return nil
	}
	left := int64(c.Left())
	rules := r.rules.Load()
	patience := rules.wait
	if patience > 0 && c.Remaining() > 0 {
		patience /= 10
	}
	w := &waiter{permit: *p, priority: opts.Priority, deadline: math.MaxInt64, ready: make(chan struct{}, 1)}
	if refused := r.line(w, min(patience, left), left); refused != "" {
		if err := r.refuse(ctx, c, refused, w.until, w.fate == admitted); err != nil {
			return err
		}
	} else if w.line != nil {
		if err := r.await(ctx, c, w); err != nil {
			return err
		}
	}
	*p = w.permit
	return nil
}

// pass is enter for an attempt that need not wait.
func (r *room) pass(p *permit) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := p.start
	if again := r.pace.mark(now, r.admitted()); again != r.markAt.Swap(again) && r.adaptive() {
		r.most.Store(r.inFlight())
		r.bound(r.adapt.inForce(r.at(now), r.inFlight()))
	}
	r.pace.advance(now)
	r.narrow.Store(r.rules.Load().tenant > 0 || r.pace.on(now))
	if r.queue.n > 0 && r.queue.next(r.mayEnter) != nil {
		return false
	}
	ok, _ := r.take(p, now)
	return ok
}

func (r *room) mayEnter(tenant string) bool {
	most := r.rules.Load().tenant
	return most <= 0 || r.tenants[tenant] < most
}

// line makes w wait if it must, or says why it may not, and sets w.until to how
// long what stands in the way will last, if that is known.
func (r *room) line(w *waiter, patience, left int64) (refused string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := int64(r.pool.Now())
	rules := r.rules.Load()
	r.pace.advance(now)
	var wait int64
	if r.queue.next(r.mayEnter) == nil {
		var ok bool
		if ok, wait = r.take(&w.permit, now); ok {
			w.fate = admitted
			return ""
		}
	} else if wait = r.pace.wait(now, w.tokens, w.lastResort); wait > 0 {
		wait += int64(float64(r.queue.ahead(w.priority, w.tenant)) * r.pace.gap())
	}
	w.until = wait
	if rules.observe {
		refused = r.describe(wait)
		r.force(w, now)
		return refused
	}
	if patience <= 0 || wait > patience {
		return r.describe(wait)
	}
	if r.queue.n >= rules.queue && !mutants.On("limiter-queue-without-bound") {
		v := r.queue.victim(w.priority, w.tenant)
		if v == nil {
			return r.describe(wait) + ", and no more may wait"
		}
		v.fate = evicted
		r.drop(v)
	}
	if left < math.MaxInt64-now {
		w.deadline = now + left
	}
	w.since, w.until = now, now+patience
	r.queue.push(w)
	r.waiting.Add(1)
	r.model.Queue(1)
	r.serve(now, w)
	return ""
}

// force admits w whether there is room or not.
func (r *room) force(w *waiter, now int64) {
	r.grab(&w.permit, unlimited)
	r.account(&w.permit, now)
	w.fate = admitted
}

// drop takes w out of the queue.
func (r *room) drop(w *waiter) {
	r.queue.remove(w, w.fate == admitted)
	r.waiting.Add(-1)
	r.model.Queue(-1)
	if r.keeper == w {
		r.keeper, r.alarm = nil, 0
	}
	w.nudge()
}

// await waits until w is admitted, or returns why it is not.
func (r *room) await(ctx context.Context, c *resilience.Call, w *waiter) error {
	for {
		_, ended := c.Wait(ctx, w.ready, time.Duration(r.patience(w)))
		fate, refused := r.look(w, ended != nil)
		switch {
		case ended != nil:
			if fate == admitted && !mutants.On("limiter-loses-places-of-those-who-left") {
				r.unsent(&w.permit)
				r.leave(&w.permit)
			}
			return ended
		case fate == admitted:
			return nil
		case fate == evicted:
			return r.refuse(ctx, c, "the queue is full, and a call that goes first took its place", 0, false)
		case fate == late:
			waited := int64(r.pool.Now()) - w.since
			return r.refuse(ctx, c, fmt.Sprintf("no room within %s, %s", brief(waited), refused), 0, false)
		}
	}
}

// patience is how long w may sleep.
func (r *room) patience(w *waiter) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := int64(r.pool.Now())
	until := w.until
	if r.keeper == w {
		until = min(until, r.alarm)
	}
	return until - now
}

// look sees what has become of w, which gives up if it has ended or waited for
// long enough; stands is then what stood in its way.
func (r *room) look(w *waiter, ended bool) (f fate, stands string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := int64(r.pool.Now())
	if r.keeper == w {
		r.keeper, r.alarm = nil, 0
	}
	if !ended {
		r.serve(now, w)
	}
	if w.fate == waits && (ended || now >= w.until) {
		w.fate = late
		r.drop(w)
		r.serve(now, nil)
	}
	if w.fate == late {
		stands = r.describe(r.pace.wait(now, w.tokens, w.lastResort))
	}
	return w.fate, stands
}

// serve admits those who wait, as far as there is room, and sees to it that one
// of them wakes when the next may go; by may be awake already. The caller has
// mu.
func (r *room) serve(now int64, by *waiter) {
	blocked := false
	for r.queue.n > 0 {
		w := r.queue.next(r.mayEnter)
		if w == nil {
			break
		}
		r.pace.advance(now)
		if now > w.until {
			w.fate = late
		} else if r.rules.Load().observe {
			r.force(w, now)
		} else if ok, wait := r.take(&w.permit, now); ok {
			w.fate = admitted
		} else {
			if blocked = wait > 0; blocked {
				r.wake(w, now+wait, by)
			}
			break
		}
		r.drop(w)
	}
	if r.blocked.Swap(blocked) != blocked {
		r.flag()
	}
}

// wake makes w wake at an instant, unless somebody wakes no later than that.
func (r *room) wake(w *waiter, at int64, by *waiter) {
	if r.keeper != nil && r.alarm <= at {
		return
	}
	r.keeper, r.alarm = w, at
	if w != by {
		w.nudge()
	}
}

// refuse publishes that an attempt is turned away, or would be, and returns the
// error for it.
func (r *room) refuse(ctx context.Context, c *resilience.Call, reason string, wait int64, would bool) error {
	err := resilience.Reject(reason, time.Duration(wait))
	if r.pool.Wants(resilience.EventReject) {
		r.pool.Emit(ctx, resilience.Event{
			Kind: resilience.EventReject, Model: r.model, Attempt: c.Attempt(), Err: err, Reason: reason, Would: would,
		})
	}
	if would {
		return nil
	}
	return err
}

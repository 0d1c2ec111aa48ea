package balance

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

const (
	inFlightBits = 24
	inFlightMask = 1<<inFlightBits - 1
)

// A room is what one model has place for.
type room struct {
	pool  *resilience.Pool
	model *resilience.Model
	rules atomic.Pointer[limitRules]

	_       [64]byte      // what every call writes, apart from the rest
	state   atomic.Uint64 // attempts admitted so far, and under way in the lowest bits
	limit   atomic.Int64
	most    atomic.Int64 // under way, since the latest mark
	waiting atomic.Int32
	narrow  atomic.Bool  // requests are paced or tenants counted
	markAt  atomic.Int64 // when the next mark is due
	_       [64]byte

	blocked atomic.Bool // the next call waits for its turn by pace
	counts  atomic.Bool // tokens are paced

	mu      sync.Mutex
	queue   waiters
	tenants map[string]int // attempts under way, if they are counted
	pace    pace
	adapt   adapt
	keeper  *waiter // wakes at alarm, for all
	alarm   int64
}

// A permit is for one attempt.
type permit struct {
	start   int64
	number  uint64 // of the attempts admitted
	under   int64  // way, itself included
	tenant  string
	counted bool // by tenant
	spent   bool // what follows was reserved
	tokens  float64
	sights  sights

	lastResort bool
}

func (r *room) made() bool { return r.rules.Load() != nil }

// apply puts rules into effect.
func (r *room) apply(rules *limitRules) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := int64(r.pool.Now())
	if old := r.rules.Swap(rules); old == nil || old.speed != rules.speed {
		r.adapt.reset()
		r.pace.tried = trial{speed: rules.speed}
	}
	r.pace.describe(now, rules.perMin)
	r.settle(now)
}

// reset forgets what was learnt.
func (r *room) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := int64(r.pool.Now())
	r.adapt.reset()
	r.pace.forget()
	r.settle(now)
}

// run carries a call through.
func (r *room) run(ctx context.Context, c *resilience.Call, next resilience.Handler) (err error) {
	p := permit{start: int64(c.Clock())}
	if !r.quick(&p) {
		if err = r.enter(ctx, c, &p); err != nil {
			return err
		}
	}
	returned := false
	attempts := c.Attempt()
	defer func() {
		if !returned && !mutants.On("limiter-panic-keeps-the-place") { // a panic or Goexit
			r.leave(&p)
		}
	}()
	err = next(ctx, c)
	returned = true
	switch asked := c.Attempt() != attempts; {
	case !asked: // refused further in
		r.unsent(&p)
	case err == nil && c.Running():
		r.begun(c, p)
		return nil
	default:
		r.done(c, &p, err, int64(c.Clock()))
	}
	r.leave(&p)
	return err
}

// begun holds the permit of an answer that goes on until its end. What came
// with its first chunk is news by now.
func (r *room) begun(c *resilience.Call, p permit) {
	now := int64(c.Clock())
	rq, tk := c.Quotas()
	r.mu.Lock()
	r.hear(&p, now, [resources]resilience.Quota{rq, tk})
	if r.adaptive() {
		r.adapt.chunk(r.at(p.start), r.at(now), r.inFlight())
	}
	r.settle(now)
	r.mu.Unlock()
	c.OnEnd(func(err error) {
		defer r.leave(&p)
		r.ended(c, &p, err, int64(r.pool.Now()))
	})
}

// quick admits an attempt where there is plenty of room and nothing else to
// think of.
func (r *room) quick(p *permit) bool {
	if r.waiting.Load() != 0 || r.narrow.Load() || p.start >= r.markAt.Load() {
		return false
	}
	return r.grab(p, r.limit.Load())
}

// grab takes a place, if fewer than limit are taken.
func (r *room) grab(p *permit, limit int64) bool {
	for {
		s := r.state.Load()
		n := int64(s & inFlightMask)
		if n >= limit && !mutants.On("limiter-lets-all-in") {
			return false
		}
		if r.state.CompareAndSwap(s, s+1<<inFlightBits+1) {
			p.number, p.under = s>>inFlightBits+1, n+1
			if n >= r.most.Load() {
				r.most.Store(n + 1)
			}
			if n+1 == limit {
				r.flag()
			}
			return true
		}
	}
}

func (r *room) inFlight() int64  { return int64(r.state.Load() & inFlightMask) }
func (r *room) admitted() uint64 { return r.state.Load() >> inFlightBits }

// leave gives a place back.
func (r *room) leave(p *permit) {
	if p.counted {
		r.mu.Lock()
		if n := r.tenants[p.tenant]; n > 1 {
			r.tenants[p.tenant] = n - 1
		} else {
			delete(r.tenants, p.tenant)
		}
		r.mu.Unlock()
	}
	n := int64(r.state.Add(^uint64(0)) & inFlightMask)
	if r.waiting.Load() != 0 {
		r.mu.Lock()
		r.serve(int64(r.pool.Now()), nil)
		r.mu.Unlock()
	}
	if n+1 == r.limit.Load() {
		r.flag()
	}
}

// flag tells the model whether it is full. Of several at once the last one to
// write has looked again since.
func (r *room) flag() {
	for {
		full := r.full()
		r.model.SetFull(full)
		if r.full() == full {
			return
		}
	}
}

func (r *room) full() bool {
	return !r.rules.Load().observe && (r.inFlight() >= r.limit.Load() || r.blocked.Load())
}

// remaining tells what is left of the limits that the provider told of.
func (r *room) remaining(tell func(of string, left float64)) {
	r.mu.Lock()
	heard, now := r.pace.heard, r.at(int64(r.pool.Now()))
	r.mu.Unlock()
	for i, of := range [resources]string{requests: "requests", tokens: "tokens"} {
		if b := heard[i]; b.on() {
			b.advance(now)
			tell(of, max(b.level, 0))
		}
	}
}

// used reports whether the adaptive limit is in use.
func (r *room) used() bool { return float64(2*r.inFlight()) >= r.adapt.limit }

// unsent takes in that the attempt came to nothing before it was sent.
func (r *room) unsent(p *permit) {
	if !p.spent {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pace.giveBack(p.tokens)
}

// done takes in the outcome of an attempt.
func (r *room) done(c *resilience.Call, p *permit, err error, now int64) {
	rq, tk := c.Quotas()
	if err == nil && rq.Limit == 0 && tk.Limit == 0 && !r.curious(p) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	said := [resources]resilience.Quota{rq, tk}
	r.hear(p, now, said)
	r.judge(c, p, err, now, said)
}

// ended takes in the outcome of a stream, whose headers have been heard.
func (r *room) ended(c *resilience.Call, p *permit, err error, now int64) {
	if err == nil && !r.curious(p) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judge(c, p, err, now, [resources]resilience.Quota{})
}

// at is an instant of the pool's clock, or a time, in the measure of the window:
// a minute is one.
func (r *room) at(t int64) int64 {
	if speed := r.rules.Load().speed; speed != 1 {
		return int64(speed * float64(t))
	}
	return t
}

// crowd is how many were under way with an attempt.
func (r *room) crowd(p *permit) int64 { return max(p.under, r.most.Load()) }

// curious reports whether a success is news: of tokens that were reserved, of a
// pause that did not hold, or of a model that is busy.
func (r *room) curious(p *permit) bool {
	return p.spent && (r.counts.Load() || p.lastResort) || r.inFlight() >= leastLimit && r.adaptive()
}

func (r *room) adaptive() bool { return r.rules.Load().inFlight == 0 }

func (r *room) judge(c *resilience.Call, p *permit, err error, now int64, said [resources]resilience.Quota) {
	if u := c.Usage(); p.spent && u.Input+u.Output > 0 {
		r.pace.own[tokens].spend(float64(u.Input+u.Output) - p.tokens)
	}
	switch kind := resilience.KindOf(err); {
	case err == nil:
		r.pace.answered(p.start)
		if r.adaptive() {
			r.adapt.success = r.at(now)
			if r.used() {
				r.adapt.grow(r.at(now))
			}
		}
	case kind == resilience.RateLimited && c.Hold(err) == 0: // a key's
		r.refund(p)
	case kind == resilience.RateLimited:
		r.throttled(p, now, resilience.RetryAfter(err), said)
	case kind == resilience.Overloaded:
		r.adapt.drop(r.at(p.start), r.at(now), r.crowd(p), r.admitted(), false)
	case kind == resilience.TimedOut && c.Against(err) && float64(2*r.crowd(p)) >= r.adapt.limit:
		r.adapt.drop(r.at(p.start), r.at(now), r.crowd(p), r.admitted(), true)
	}
	r.settle(now)
}

// hear takes in what the provider said of its limits.
func (r *room) hear(p *permit, now int64, said [resources]resilience.Quota) {
	since := [resources]float64{float64(r.admitted() - p.number)}
	for i, q := range said {
		r.pace.heard[i].hear(answer{p.start, now, p.sights[i], since[i], q})
	}
}

// long is how long calls last that are limited by how many there are at once;
// what is quicker is limited by how often.
const long = 10 * second

// refund gives back the tokens of an attempt that was refused.
func (r *room) refund(p *permit) {
	if p.spent {
		r.pace.own[tokens].spend(-p.tokens)
	}
}

// throttled takes in a rate limit.
func (r *room) throttled(p *permit, now int64, after time.Duration, said [resources]resilience.Quota) {
	r.refund(p)
	if !r.pace.refused(p.start, now, after, said) {
		return
	}
	sent, others := r.pace.sent(now, r.admitted()), r.inFlight()-1
	if !r.pace.tried.owes(r.admitted()) && sent*second > r.pace.tried.speed {
		return
	}
	if r.adaptive() && float64(others) > sent*long/r.pace.tried.speed {
		r.adapt.crowded(r.at(p.start), r.at(now), others)
		return
	}
	r.pace.tried.cut(now, sent)
}

// settle puts what has changed into effect. The caller has mu.
func (r *room) settle(now int64) {
	rules := r.rules.Load()
	switch {
	case rules.inFlight > 0:
		r.bound(rules.inFlight)
	case rules.inFlight < 0:
		r.bound(unlimited)
	default:
		r.bound(r.adapt.inForce(r.at(now), r.inFlight()))
	}
	r.pace.advance(now)
	r.counts.Store(r.pace.counts())
	r.narrow.Store(rules.tenant > 0 || r.pace.on(now))
	r.serve(now, nil)
	r.flag()
}

// bound puts a limit into force.
func (r *room) bound(limit int64) {
	if r.limit.Swap(limit) == limit {
		return
	}
	if limit == unlimited {
		limit = 0
	}
	r.model.SetCapacity(limit)
}

// take admits an attempt if there is room for it now, and returns otherwise how
// long it must wait for its turn, 0 if that is not what it lacks. The caller has
// mu and has advanced the pace.
func (r *room) take(p *permit, now int64) (ok bool, wait int64) {
	rules := r.rules.Load()
	if r.inFlight() >= r.limit.Load() || rules.tenant > 0 && r.tenants[p.tenant] >= rules.tenant {
		return false, 0
	}
	if wait = r.pace.wait(now, p.tokens, p.lastResort); wait > 0 || !r.grab(p, r.limit.Load()) {
		return false, wait
	}
	r.account(p, now)
	return true, 0
}

// account books an attempt that is admitted.
func (r *room) account(p *permit, now int64) {
	p.start = now
	if r.narrow.Load() {
		p.sights, p.spent = r.pace.spend(p.tokens), true
	}
	if r.rules.Load().tenant > 0 {
		if r.tenants == nil {
			r.tenants = map[string]int{}
		}
		r.tenants[p.tenant]++
		p.counted = true
	}
}

// explain says why a call would have to wait, "" if it would not.
func (r *room) explain() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules.Load().observe {
		return ""
	}
	now := int64(r.pool.Now())
	r.pace.advance(now)
	wait := r.pace.wait(now, 0, false)
	if wait > 0 || r.inFlight() >= r.limit.Load() {
		return r.describe(wait)
	}
	return ""
}

// describe says what there is no room for. The caller has mu.
func (r *room) describe(wait int64) string {
	if wait > 0 {
		return "pacing: " + brief(wait) + " until the next request"
	}
	n, limit := r.inFlight(), r.limit.Load()
	switch tenant := r.rules.Load().tenant; {
	case n >= limit:
		return fmt.Sprintf("full: %d of %d under way, %d waiting", n, limit, r.queue.n)
	case tenant > 0:
		return fmt.Sprintf("its tenant is full: %d under way, %d waiting", tenant, r.queue.n)
	}
	return fmt.Sprintf("others go first: %d of %d under way, %d waiting", n, limit, r.queue.n)
}

// brief prints a wait with two digits or so.
func brief(wait int64) string {
	d := time.Duration(wait)
	unit := time.Millisecond
	if d >= time.Second {
		unit = 100 * time.Millisecond
	}
	return time.Duration(math.Ceil(float64(d)/float64(unit)) * float64(unit)).String()
}

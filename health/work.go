package health

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/queue"
)

// work is what the checks in the background know of all models. The checker's mu
// guards it, and one goroutine alone changes it; probes hand their outcomes in.
type work struct {
	interval  time.Duration
	perSecond float64 // probes
	ejected   float64
	stale     bool // the settings are new

	rand       *rand.Rand
	models     []*resilience.Model
	states     []*state // of them
	generation uint64
	steps      uint64
	queue      queue.Queue[*state]
	waiting    []asked // for their probe's turn
	turnAt     time.Duration
	lookAt     time.Duration
	probing    int // models that want probes
	found      []found
	asking     map[uint64]asked // by number
	deafAt     time.Duration    // the first of them is given up then, or later
	asks       uint64
	acts       []act

	doubtUntil time.Duration
	warned     bool
	turned     bool // since the latest look
	outages    map[group]*outage
}

// asked is a model whose probe waits for its turn; found is what came of it.
type asked struct {
	st      *state
	f       finding
	outage  *outage // that it is for, or nil
	timeout time.Duration
	number  uint64
	ends    time.Duration // at the latest, if it heeds its context
}

type found struct {
	asked
	p resilience.Probed
}

// run checks models until ctx ends, and waits for its probes.
func (c *Checker) run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer probes.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.begin()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-c.wake:
		}
		start, acts, wait := c.step()
		for _, do := range acts {
			do(ctx)
		}
		for _, a := range start {
			probes.Go(func() {
				p := resilience.Probed{Err: resilience.Unknown, At: c.pool.Now()} // of a Goexit
				defer func() { c.hand(found{a, p}) }()
				p = a.st.model.Probe(ctx, a.timeout)
			})
		}
		timer.Reset(wait)
	}
}

// hand hands in the outcome of a probe.
func (c *Checker) hand(f found) {
	c.mu.Lock()
	c.work.found = append(c.work.found, f)
	c.mu.Unlock()
	c.stir()
}

// begin makes the schedule anew.
func (c *Checker) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.work
	for _, st := range w.states {
		w.queue.Remove(st)
		st.outage, st.peers, st.counted, st.underWay = nil, nil, peers{}, false
	}
	*w = work{
		interval: w.interval, perSecond: w.perSecond, ejected: w.ejected, stale: true, steps: w.steps, rand: c.source(), outages: map[group]*outage{}, asking: map[uint64]asked{},
		lookAt: c.pool.Now(),
	}
}

// period is the time between two probes of a model.
func (c *Checker) period() time.Duration {
	w := &c.work
	if w.perSecond <= 0 {
		return w.interval
	}
	return max(w.interval, time.Duration(float64(w.probing)/w.perSecond*float64(time.Second)))
}

// step does what is to be done now. It returns the probes to start, what to do when
// the lock is free, and how long there is nothing else.
func (c *Checker) step() (start []asked, acts []act, wait time.Duration) {
	c.enrol()
	c.mu.Lock()
	defer c.mu.Unlock()
	now, w := c.pool.Now(), &c.work
	w.steps++
	if now >= w.lookAt {
		c.late(now, now-w.lookAt)
		c.look(now)
		w.lookAt = now + lookFor(w.interval)
	}
	for _, f := range w.found {
		if _, awaited := w.asking[f.number]; awaited {
			delete(w.asking, f.number)
			c.learn(f)
		}
	}
	w.found = w.found[:0]
	c.giveUp(now)
	for len(w.queue) > 0 && w.queue[0].due <= now {
		c.check(w.queue[0], now)
	}
	for len(w.waiting) > 0 && w.turnAt <= now {
		a := w.waiting[0]
		w.waiting = w.waiting[1:]
		if a.st.mending() {
			c.back(a.st, a.outage)
			continue
		}
		w.turnAt = max(w.turnAt, now-time.Millisecond) + time.Duration(float64(time.Second)/w.perSecond)
		w.asks++
		a.number, a.ends = w.asks, now+a.timeout+lookFor(w.interval)
		w.asking[a.number] = a
		w.deafAt = min(w.deafAt, a.ends)
		start = append(start, a)
	}
	at := w.lookAt
	if len(w.queue) > 0 {
		at = min(at, w.queue[0].due)
	}
	if len(w.waiting) > 0 {
		at = min(at, w.turnAt)
	}
	acts, w.acts = w.acts, nil
	return start, acts, at - now
}

// enrol makes models those that are checked. Their first checks are spread over an
// interval, and their first probes over the time that all of these take.
func (c *Checker) enrol() {
	c.mu.Lock()
	now, w := c.pool.Now(), &c.work
	stale := w.stale
	c.mu.Unlock()
	if !stale && now < w.lookAt {
		return
	}
	generation, models := c.pool.Generation(), c.pool.Models()
	if !stale && generation == w.generation && slices.Equal(models, w.models) {
		return
	}
	states := make([]*state, len(models))
	for i, m := range models {
		states[i] = c.of(m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := make(map[*state]bool, len(w.states))
	for _, st := range w.states {
		st.enrolled = false
		w.queue.Remove(st)
		known[st] = !w.stale
	}
	w.stale, w.generation, w.models = false, generation, models
	w.states, w.probing = states, 0
	for _, st := range states {
		st.enrolled = true
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(a asked) bool {
		gone := !a.st.enrolled
		if gone && a.outage != nil {
			a.outage.asking = false
		}
		return gone
	})
	of := peersOf(models)
	sums := map[peer]*peers{}
	fresh := 0
	for i, m := range models {
		st, info := states[i], m.Info()
		st.provider, st.region = info.Provider, info.Region
		if st.peers = sums[of(m)]; st.peers == nil {
			st.peers = &peers{}
			sums[of(m)] = st.peers
		}
		st.peers.n += st.counted.n
		st.peers.failed += st.counted.failed
		if !known[st] {
			st.probing = st.rules.probes && c.pool.Probes()
			fresh++
		}
		if st.probing {
			w.probing++
		}
	}
	places := w.rand.Perm(fresh)
	for _, st := range w.states {
		if !known[st] {
			phase := (float64(places[0]) + w.rand.Float64()) / float64(fresh)
			places = places[1:]
			st.due = now + time.Duration(phase*float64(st.rules.interval))
			st.probeAt = now + time.Duration(phase*float64(max(c.period(), st.rules.interval)))
		}
		if !st.underWay {
			w.queue.Put(st)
		}
	}
}

// check checks st, whose time has come, or lets it wait for a probe.
func (c *Checker) check(st *state, now time.Duration) {
	w := &c.work
	w.queue.Remove(st)
	phi := st.phi(now)
	f := st.judge(now, phi)
	part := .9 + .2*w.rand.Float64()
	st.next = now + time.Duration(part*float64(st.rules.interval))
	mending := st.mending()
	if mending {
		c.share(st, &f, now)
	}
	wants := f.ask && st.rules.probes && w.perSecond > 0 && c.pool.Probes() && !mending
	if wants != st.probing {
		st.probing = wants
		w.probing--
		if wants {
			w.probing += 2
		}
	}
	asks := wants && st.outage == nil && (now >= st.probeAt || phi >= suspicious)
	if asks {
		period := max(c.period(), st.rules.interval)
		st.probeAt = now + time.Duration(part*float64(period))
	}
	if wants && st.probeAt > now {
		st.next = min(st.next, st.probeAt)
	}
	if asks {
		st.underWay = true
		w.waiting = append(w.waiting, asked{st: st, f: f, timeout: st.rules.timeout})
		return
	}
	c.settle(st, f)
	c.again(st, st.next)
}

// again puts st in the queue.
func (c *Checker) again(st *state, due time.Duration) {
	st.due, st.underWay = due, false
	c.work.queue.Put(st)
}

// share takes in what recovery's probe of a model has brought since the latest check.
func (c *Checker) share(st *state, f *finding, now time.Duration) {
	p, known := st.model.Probed()
	if !known || p.At <= st.countedAt {
		return
	}
	f.probed(p)
	if o := st.outage; o != nil && p.Err != nil && p.At > o.began && o.until-now < c.work.interval {
		c.proven(o, st, false, now)
	}
}

var errDeaf = fmt.Errorf("%w: the probe does not end", resilience.TimedOut)

// giveUp no longer waits for probes that heed no context.
func (c *Checker) giveUp(now time.Duration) {
	w := &c.work
	if now < w.deafAt {
		return
	}
	var late []uint64
	w.deafAt = math.MaxInt64
	for number, a := range w.asking {
		if a.ends <= now {
			late = append(late, number)
		} else {
			w.deafAt = min(w.deafAt, a.ends)
		}
	}
	slices.Sort(late)
	for _, number := range late {
		a := w.asking[number]
		delete(w.asking, number)
		c.learn(found{a, resilience.Probed{At: now, Took: a.timeout, Err: errDeaf}})
	}
}

// learn takes in what a probe brought.
func (c *Checker) learn(f found) {
	st, now := f.st, f.p.At
	if f.outage != nil {
		c.proven(f.outage, st, f.p.Err == nil, now)
	}
	if st.enrolled && resilience.KindOf(f.p.Err) != resilience.Canceled {
		f.f.probed(f.p)
		c.settle(st, f.f)
	}
	c.back(st, f.outage)
}

// back ends that a probe is under way.
func (c *Checker) back(st *state, o *outage) {
	if o != nil {
		o.asking = false
	}
	if st.underWay && st.enrolled {
		c.again(st, max(st.next, c.pool.Now()))
	}
}

// look sees what cannot wait for a check: successes, silence, holds that are over,
// and outages.
func (c *Checker) look(now time.Duration) {
	w := &c.work
	for _, st := range w.states {
		if at := time.Duration(st.noted.Swap(0)); at != 0 && (st.turned == 0 || st.success > st.turned) {
			st.turned, w.turned = at, true
		}
		if st.listen(now) {
			c.succeed(st, st.heard)
		}
		c.lapse(st, now)
		if st.rules.observe && st.holds { // it was switched on meanwhile
			c.lift(st)
		}
		if st.underWay || st.outage != nil {
			continue
		}
		if sooner := st.countedAt + st.rules.interval/time.Duration(max(st.rules.fall, 2)); sooner < st.due && st.phi(now) >= suspicious {
			st.due = max(sooner, now)
			w.queue.Put(st)
		}
	}
	c.outages(now)
}

package fallback

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/window"
)

// key is of calls whose latencies are learnt together.
type key struct {
	model, op string
	streams   bool
}

// maxClasses bounds what is learnt, at 4 KiB each: operations are the caller's.
const maxClasses = 1000

// classes finds the class of a call.
type classes struct {
	list atomic.Pointer[map[key]*class]
	mu   sync.Mutex // of those who add one
}

func (cs *classes) of(c *resilience.Call, m *resilience.Model) *class {
	at := key{m.Name(), c.Op(), c.Streams()}
	if list := cs.list.Load(); list != nil {
		if k := (*list)[at]; k != nil {
			return k
		}
	}
	return cs.add(at)
}

func (cs *classes) add(at key) *class {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	next := map[key]*class{}
	if list := cs.list.Load(); list != nil {
		if len(*list) >= maxClasses {
			at = key{streams: at.streams} // all others
		}
		if k := (*list)[at]; k != nil {
			return k
		}
		next = maps.Clone(*list)
	}
	k := new(class)
	next[at] = k
	cs.list.Store(&next)
	return k
}

// class is what is learnt of a kind of call.
type class struct {
	spread    window.Histogram
	load      load
	allowance allowance
	worth     worth

	delay atomic.Int64  // learnt
	share atomic.Uint64 // bits of what it was learnt for
	due   atomic.Int64  // when it is to be learnt again
}

const (
	recent   = 5 * time.Minute
	warm     = 100 // calls
	beyond   = 5   // of them beyond the delay, at least
	least    = time.Millisecond
	longest  = 20 * time.Minute // that the histogram tells apart
	aim      = 0.97             // of the share, to keep below it
	maturing = 1000             // calls; until then the delay is learnt each second
)

// record takes in how long a model took that was asked alone.
func (k *class) record(now, took time.Duration) { k.spread.Add(int64(now), int64(took)) }

// learnt is the delay that was learnt, 0 if none was.
func (k *class) learnt() time.Duration { return time.Duration(k.delay.Load()) }

// after is the delay before a hedge, 0 if there is none.
func (k *class) after(now time.Duration, r *rules) time.Duration {
	if r.HedgeAfter > 0 {
		return r.HedgeAfter
	}
	share := math.Float64bits(r.HedgeShare)
	if due := k.due.Load(); (int64(now) >= due || k.share.Load() != share) && k.due.CompareAndSwap(due, math.MaxInt64) {
		k.share.Store(share)
		k.due.Store(int64(now + k.learn(now, r.HedgeShare)))
	}
	return k.learnt()
}

// learn learns the delay, and returns when to do so again.
func (k *class) learn(now time.Duration, share float64) time.Duration {
	n := k.spread.Count(int64(now), int64(recent))
	d := int64(0)
	if float64(n) >= max(warm, beyond/share) {
		d = k.spread.Quantiles(int64(now), int64(recent), 1-aim*share/k.worth.perCall())[0]
		if d = max(d, int64(least)); d >= int64(longest) {
			d = 0
		}
	}
	k.delay.Store(d)
	if n < maturing {
		return time.Second
	}
	return 10 * time.Second
}

// What became of a hedge.
type outcome uint8

const (
	useful outcome = iota // it answered first, as quickly as is normal
	idle                  // the other one answered within a further delay
	slow                  // neither was that quick
)

// worth is what hedges were worth lately. A call is hedged because its model is
// slow, because the request is, or for no reason: a model that is well has a
// tail. In the first case the other model answers soon, in the second neither
// does, in the third the same one does, mostly.
//
// So useful outcomes are set against slow ones. They are not weighted by the
// time that they saved: of two answers to a request that is slow by nature one
// comes much sooner by chance, and that would count most. In simulations of a
// lognormal latency (σ = 0.5) with 2 % of stalls, of which a part is the
// request's, hedged at its 95th percentile, useful ones are 0.96, 0.74, 0.45
// and 0.23 of both where that part is 0, 0.3, 0.7 and 1. Hedges stop below 0.3:
// with the memory of about a hundred such outcomes that is three deviations
// from the third and nearly two from the last, which comes there anyway, and
// three deviations more to be hedged again.
//
// Where a latency has a light tail (σ ≤ 0.3), hedges win 1 time in 50; with σ =
// 0.5, 1 in 5. They stop below 1 in 20, too.
type worth struct {
	off   atomic.Bool
	calls atomic.Uint64 // while off

	mu                        sync.Mutex
	fired, won, missed, extra float64 // calls hedged, useful and slow ones, all hedges
}

const (
	memory = 0.99 // of an outcome, after one more
	enough = 20   // outcomes

	stopBelow, resumeAbove         = 0.30, 0.36  // useful of useful and slow ones
	stopBelowOfAll, resumeAboveAll = 0.05, 0.065 // of all
	probeEvery                     = 20
)

// asks reports whether a call may be hedged.
func (w *worth) asks() bool { return !w.off.Load() || w.calls.Add(1)%probeEvery == 0 }

// learn takes in a call that had so many hedges.
func (w *worth) learn(o outcome, hedges int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range []*float64{&w.fired, &w.won, &w.missed, &w.extra} {
		*x *= memory
	}
	w.fired++
	w.extra += float64(hedges)
	switch o {
	case useful:
		w.won++
	case slow:
		w.missed++
	}
	if w.fired < enough {
		return
	}
	share := 1.0
	if w.won+w.missed > 0 {
		share = w.won / (w.won + w.missed)
	}
	if w.off.Load() {
		w.off.Store(share < resumeAbove || w.won < resumeAboveAll*w.fired)
	} else {
		w.off.Store(share < stopBelow || w.won < stopBelowOfAll*w.fired)
	}
}

// perCall is how many hedges there are for a call that is hedged.
func (w *worth) perCall() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fired < enough {
		return 1
	}
	return w.extra / w.fired
}

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

func (cs *classes) forget(model string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if list := cs.list.Load(); list != nil {
		rest := maps.Clone(*list)
		maps.DeleteFunc(rest, func(at key, _ *class) bool { return at.model == model })
		cs.list.Store(&rest)
	}
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

// record takes in how long a model took: a failure only if it ran out of time,
// for others say nothing of that.
func (k *class) record(now, took time.Duration, err error) {
	if err == nil || resilience.KindOf(err) == resilience.TimedOut {
		k.spread.Add(int64(now), int64(took))
	}
}

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

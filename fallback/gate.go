package fallback

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

const (
	// busiest is the load above which there are no hedges. With exponential
	// service, asking two instead of one shortens the mean below a load of a
	// third, and lengthens it above: 1/(2(1−2ρ)) < 1/(1−ρ) for ρ < 1/3.
	busiest = 1. / 3

	loadMemory = 10 * time.Second
	loadEvery  = 50 * time.Millisecond
)

// load is how busy models are, averaged over ten seconds as calls find them
// when they arrive.
type load struct {
	due  atomic.Int64  // the next sample
	bits atomic.Uint64 // of the average

	mu          sync.Mutex
	at          time.Duration // the latest sample
	sum, weight float64
}

func (l *load) value() float64 { return math.Float64frombits(l.bits.Load()) }

// sample returns the load, and looks at the models if it has not for a while.
func (l *load) sample(now time.Duration, r *resilience.Route) float64 {
	if due := l.due.Load(); int64(now) >= due && l.due.CompareAndSwap(due, int64(now+loadEvery)) {
		busy, room := r.Load()
		l.add(now, float64(busy)/float64(max(room, 1)))
	}
	return l.value()
}

func (l *load) add(now time.Duration, x float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since := loadEvery
	if l.weight > 0 {
		since = max(now-l.at, 0)
	}
	old := math.Exp(-float64(since) / float64(loadMemory))
	l.sum, l.weight = l.sum*old+x*(1-old), l.weight*old+1-old
	l.at = max(l.at, now)
	l.bits.Store(math.Float64bits(l.sum / l.weight))
}

const (
	quietFor  = 10 * time.Second
	quietMost = time.Minute
)

// quiet is until when there are no hedges because a provider asked for less.
type quiet struct{ until atomic.Int64 }

func (q *quiet) at(now time.Duration) bool {
	return int64(now) < q.until.Load() && !mutants.On("fallback-hedges-while-throttled")
}

func (q *quiet) heed(now time.Duration, c *resilience.Call, err error) {
	switch resilience.KindOf(err) {
	case resilience.Overloaded:
	case resilience.RateLimited:
		if c != nil && c.Hold(err) == 0 { // a key's
			return
		}
	default:
		return
	}
	until := int64(now + min(max(resilience.RetryAfter(err), quietFor), quietMost))
	for {
		old := q.until.Load()
		if old >= until || q.until.CompareAndSwap(old, until) {
			return
		}
	}
}

// allowance bounds hedges whose delay is learnt, for when all becomes slow at
// once: to twice their share of the calls, and so many that were saved up.
type allowance struct{ spent atomic.Int64 } // less what was earned, in millionths

const (
	oneHedge = 1_000_000
	savings  = 20 * oneHedge
)

func (a *allowance) earn(share float64) {
	n := int64(2 * share * oneHedge)
	if a.spent.Load() >= n {
		a.spent.Add(-n)
	}
}

func (a *allowance) take() bool {
	for {
		old := a.spent.Load()
		if old+oneHedge > savings && !mutants.On("fallback-hedges-without-bound") {
			return false
		}
		if a.spent.CompareAndSwap(old, old+oneHedge) {
			return true
		}
	}
}

package degrade

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/window"
)

// classes are the priorities.
const classes = int(resilience.Critical-resilience.Low) + 1

const critical = classes - 1

func classOf(p resilience.Priority) int {
	return int(min(max(p, resilience.Low), resilience.Critical) - resilience.Low)
}

func priority(class int) resilience.Priority { return resilience.Low + resilience.Priority(class) }

// What a gauge counts.
const (
	countFailed  = classes + iota // calls that could not be served
	countShed                     // refused by the throttle
	countNeutral                  // that say nothing
	countBroken                   // streams that were served until they broke
	counters
)

const (
	gaugeBucket = 5 * time.Second
	gaugeWindow = 2 * time.Minute

	errorWindow = 30 * time.Second
	errorCalls  = 10 // at least,
	errorFails  = 3  // of which so many failed

	weighEvery    = int64(100 * time.Millisecond)
	throttleCalls = 20 // at least
	trickle       = int64(time.Second)
	restartAfter  = int64(5 * time.Second)
	restartCalls  = 5
)

// A gauge counts calls, and says how many of them to shed. A call counts when it
// comes, as one that is served until it is known not to be: calls of models last
// longer than the window has buckets, and those under way are no failures.
type gauge struct {
	counts *window.Counts

	came    [classes]atomic.Int64 // since the latest flush: one addition a call is all
	flushed atomic.Int64          // when that was

	next     atomic.Int64           // when the shares are due
	shares   [classes]atomic.Uint64 // that are shed, bits of a float64
	shedding atomic.Bool
	top      atomic.Int32 // the highest priority that comes
	begun    atomic.Int64 // when the throttle's window did
	let      atomic.Int64 // the latest call let in while others are shed
	failed   atomic.Int64 // the latest call that was not served
	served   atomic.Int64 // since then, while others are shed
}

func newGauge() *gauge {
	return &gauge{counts: window.NewCounts(int64(gaugeBucket), int(gaugeWindow/gaugeBucket), counters)}
}

// count counts a call that comes while all is well and nothing is due.
func (g *gauge) count(now int64, class int) bool {
	if now >= g.next.Load() || g.shedding.Load() {
		return false
	}
	g.came[class].Add(1)
	return true
}

// flush counts those that came.
func (g *gauge) flush(now int64) {
	at := g.flushed.Swap(now)
	for i := range g.came {
		if g.came[i].Load() != 0 {
			g.counts.Add(at, i, g.came[i].Swap(0))
		}
	}
}

// sums are calls of a window.
type sums struct {
	class                         [classes]int64
	failed, shed, neutral, broken int64
}

func (g *gauge) sum(now int64, over time.Duration) (s sums) {
	g.flush(now)
	n := g.counts.Sum(now, int64(over), countFailed, countShed, countNeutral, countBroken, 0, 1, 2, 3)
	s.failed, s.shed, s.neutral, s.broken = n[0], n[1], n[2], n[3]
	copy(s.class[:], n[4:])
	return s
}

// asked is how many calls came that say something.
func (s *sums) asked() int64 {
	n := -s.neutral
	for _, c := range s.class {
		n += c
	}
	return max(n, 0)
}

// weigh finds out how much of each priority to shed, if it is time to.
func (g *gauge) weigh(now int64, k float64) {
	next := g.next.Load()
	if now < next || !g.next.CompareAndSwap(next, now+weighEvery) {
		return
	}
	if k == 0 {
		g.shedding.Store(false)
		return
	}
	if g.shedding.Load() && now-g.failed.Load() >= restartAfter && g.served.Load() >= restartCalls {
		g.begun.Store(now) // what was overloaded or gone is well
	}
	over := time.Duration(min(int64(gaugeWindow), now-g.begun.Load()))
	s := g.sum(now, over)
	asked := s.asked()
	served := float64(max(asked-s.failed-s.shed, 0))
	excess := 0.0
	if asked >= throttleCalls {
		excess = max(0, (float64(asked)-k*served)/float64(asked+1)) * float64(asked)
	}
	g.shedding.Store(excess > 0)
	for i, n := range s.class {
		if n > 0 {
			g.top.Store(int32(i))
		}
	}
	for i := range critical {
		share := 0.0
		if n := float64(s.class[i]); excess > 0 && n > 0 {
			share = min(1, excess/n)
			excess -= n
		} else if excess > 0 {
			share = 1 // one that has not come yet is lower than what is shed
		}
		g.shares[i].Store(math.Float64bits(share))
	}
}

// sheds reports whether to refuse a call, and the share of its priority that is.
// However many there are, one a second is let in; where higher priorities come, it is
// theirs to take first.
func (g *gauge) sheds(now int64, class int, draw func() float64) (share float64, yes bool) {
	if !g.shedding.Load() {
		return 0, false
	}
	share = math.Float64frombits(g.shares[class].Load()) // 0 of what is critical
	if share == 0 || draw() >= share {
		g.let.Store(now)
		return share, false
	}
	last := g.let.Load()
	if now-last >= trickle*int64(1+max(int(g.top.Load())-class, 0)) && g.let.CompareAndSwap(last, now) {
		return share, false
	}
	return share, true
}

// fail takes in that a call could not be served.
func (g *gauge) fail(now int64) {
	g.counts.Add(now, countFailed, 1)
	g.failed.Store(now)
	g.served.Store(0)
}

// errors returns the part of the latest calls that was not served, since an
// instant, and of how many that is.
func (g *gauge) errors(now, since int64) (failed, asked int64) {
	s := g.sum(now, time.Duration(min(int64(errorWindow), now-since)))
	asked = max(s.asked()-s.shed, 0)
	return min(s.failed+s.broken, asked), asked
}

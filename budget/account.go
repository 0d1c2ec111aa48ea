package budget

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// An account is what one name has of one limit. What is limited is what was
// spent in the window and what is reserved by attempts under way.
type account struct {
	until   atomic.Int64 // when the window, or its bucket, ends
	waiting atomic.Int32 // calls, for what is reserved
	gauges  [resources]gauge

	scope  Scope
	name   string
	key    string // of its limit
	window Window
	tight  *atomic.Int64 // accounts that have something to tell

	mu    sync.Mutex // of what follows, and of what begins a window
	limit Limit
	span  span
	ring  *ring // of a sliding window
	queue []*waiter
	soft  atomic.Bool // was told of in this window; written under mu
	hard  bool        // likewise
}

// A gauge is an account's amount of one resource. A max of 0 is no limit: there
// was one when an attempt looked.
type gauge struct {
	max, soft       atomic.Int64
	spent, reserved atomic.Int64
}

// over reports whether amount is more than the limit allows.
func (g *gauge) over(amount int64) bool {
	limit := g.max.Load()
	return amount > limit && limit != 0
}

// closed is what is reserved in an account that nobody has any more.
const closed = 1 << 62

func newAccount(l Limit, name string, tight *atomic.Int64) *account {
	a := &account{scope: l.Scope, name: name, key: l.key(), window: l.Window, tight: tight}
	if l.Window.kind == sliding {
		a.ring = newRing(l.Window.d)
	}
	a.allow(l)
	return a
}

// allow changes the amounts.
func (a *account) allow(l Limit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.limit; old.limits() == l.limits() && old.Soft == l.Soft {
		return
	}
	a.limit = l
	for i, n := range l.limits() {
		a.gauges[i].max.Store(n)
		a.gauges[i].soft.Store(max(int64(math.Ceil(float64(n)*l.Soft-1e-6)), 1))
	}
	a.tell(false, false) // what is so by other amounts is news
	for _, w := range a.queue {
		w.nudge()
	}
}

// nudge makes all who wait look again.
func (a *account) nudge() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.queue {
		w.nudge()
	}
}

// fits reports whether amount fits beside what was spent and is reserved.
func (g *gauge) fits(amount int64) bool {
	return !g.over(g.spent.Load() + g.reserved.Load() + amount)
}

// reserve takes amount if it fits. Of two that would not fit together both may
// fail; who fails wakes those who saw it.
func (g *gauge) reserve(amount int64) bool {
	if !g.fits(amount) {
		return false
	}
	after := g.reserved.Add(amount)
	if g.over(g.spent.Load() + after) { // something came between
		g.reserved.Add(-amount)
		return false
	}
	return true
}

// force takes amount whether it fits or not, unless the account is closed.
func (g *gauge) force(amount int64) bool {
	if g.reserved.Add(amount) >= closed/2 {
		g.reserved.Add(-amount)
		return false
	}
	return true
}

// roll begins the window that now is in, if it is not the present one.
func (a *account) roll(now int64, wall func(int64) time.Time) {
	if now < a.until.Load() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now < a.until.Load() {
		return
	}
	if a.ring != nil {
		a.slide(now)
		return
	}
	a.span = a.span.after(a.window, now, wall)
	for i := range a.gauges {
		a.gauges[i].spent.Store(0)
	}
	a.tell(false, false)
	a.until.Store(a.span.until)
}

// slide lets time pass in a sliding window. The caller has mu.
func (a *account) slide(now int64) {
	for i, n := range a.ring.advance(now) {
		a.gauges[i].spent.Add(-n)
	}
	if !a.past(func(g *gauge) int64 { return g.soft.Load() }) {
		a.tell(false, false)
	}
	a.until.Store(a.ring.ends())
}

// past reports whether anything that is limited has reached a bound.
func (a *account) past(bound func(*gauge) int64) bool {
	for i := range a.gauges {
		if g := &a.gauges[i]; g.max.Load() > 0 && g.spent.Load() >= bound(g) {
			return true
		}
	}
	return false
}

// tell sets what was told of in this window. The caller has mu.
func (a *account) tell(soft, hard bool) {
	was, is := a.soft.Load() || a.hard, soft || hard
	a.soft.Store(soft)
	a.hard = hard
	if is && !was {
		a.tight.Add(1)
	}
	if was && !is {
		a.tight.Add(-1)
	}
}

// tellSoft notes that the soft limit has been passed, and returns by what, false
// if that was told of.
func (a *account) tellSoft() (resource int, news bool) {
	if a.soft.Load() {
		return 0, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.gauges {
		if g := &a.gauges[i]; g.max.Load() > 0 && g.spent.Load() >= g.soft.Load() && !a.soft.Load() {
			a.tell(true, a.hard)
			return i, true
		}
	}
	return 0, false
}

// tellHard notes that something was refused, and reports whether that is news.
func (a *account) tellHard() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	news := !a.hard
	a.tell(a.soft.Load(), true)
	return news
}

// spend adds to what was spent, and returns what that is then.
func (a *account) spend(g *gauge, resource int, n int64) int64 {
	if a.ring != nil {
		a.note(resource, n)
	}
	return g.spent.Add(n)
}

// note is spend for the ring.
func (a *account) note(resource int, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ring.add(resource, n)
}

// frees is how long it takes until amount fits beside what was spent alone; 0 if
// it never does, and negative if it does now.
func (a *account) frees(now int64, resource int, amount int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := &a.gauges[resource]
	switch over := g.spent.Load() + amount - g.max.Load(); {
	case !g.over(g.spent.Load() + amount):
		return -1
	case g.over(amount):
		return 0
	case a.ring != nil:
		return a.ring.frees(resource, over) - now
	default:
		return max(a.until.Load()-now, 1)
	}
}

// empty reports whether nothing was spent and nobody waits.
func (a *account) empty(now int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ring != nil {
		a.slide(now)
	} else if now >= a.until.Load() {
		return len(a.queue) == 0
	}
	return len(a.queue) == 0 && !a.past(func(*gauge) int64 { return 1 })
}

// forget is for accounts that are closed, or of no limit any more.
func (a *account) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell(false, false)
	a.tight = new(atomic.Int64)
}

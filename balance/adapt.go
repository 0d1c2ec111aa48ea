package balance

import (
	"math"
	"time"
)

const (
	unlimited = math.MaxInt64

	leastLimit = 4 // that failures lead to
	plenty     = 8 // that a model which answers nothing gets
	mostLimit  = 10000

	shrink    = 0.7 // after failures
	shrinkFor = 0.9 // for late first chunks
	calm      = int64(time.Minute)

	// A failure weighs as much as so many attempts that go well, and the limit
	// is cut when failures outweigh them by dropDebt: one in twenty may have other
	// reasons.
	dropWeight = 20
	dropDebt   = 40

	muchToo = 2.0 // times late: first chunks that are the model's own doing
)

// adapt finds how many attempts a model bears. It refuses nothing until the
// model fails for want of room: no number to begin with fits both one of eight
// slots and one of thousands, and that answers are slow may be their length, or
// the model's own trouble, which fewer attempts would not mend. When attempts
// time out or are answered as overloaded, the limit is a part of what was under
// way, and goes when it has been calm for a minute and the limit is not in use.
//
// Its minute is LimiterConfig.Window: it is told the time in that measure.
type adapt struct {
	limit   float64
	bound   bool   // the limit is in force
	cutAt   int64  // attempts that began before have been answered for; 0 if there was no cut
	success int64  // when the latest came
	debt    int64  // failures by weight, less the attempts since
	seen    uint64 // of the attempts
	chunks  trend  // of the time to first chunks
}

func (a *adapt) reset() { *a = adapt{limit: plenty, success: -1} }

// inForce is the limit with n attempts under way.
func (a *adapt) inForce(now, n int64) int64 {
	if a.bound && now-a.cutAt > calm && float64(2*n) < a.limit {
		a.bound = false
	}
	if !a.bound {
		return unlimited
	}
	return int64(a.limit)
}

// grow takes in a success while the limit was in use.
func (a *adapt) grow(now int64) {
	if now-a.cutAt > calm {
		a.limit++
	} else {
		a.limit += 1 / a.limit
	}
	a.limit = min(a.limit, mostLimit)
}

// drop takes in that an attempt, of all so many, was too much for the model, with
// n under way: it was overloaded or, hung, did not answer in time.
func (a *adapt) drop(start, now, n int64, admitted uint64, hung bool) {
	if start < a.cutAt {
		return
	}
	a.debt = max(a.debt-int64(admitted-a.seen), 0) + dropWeight
	a.seen = admitted
	switch {
	case a.debt <= max(dropDebt, n): // those of a burst end together
	case hung && a.success < start: // it answers nothing
		a.cut(min(a.from(n), plenty)*shrink, now)
	default:
		a.cut(a.from(n)*shrink, now)
	}
}

// from is what a cut begins with.
func (a *adapt) from(n int64) float64 {
	if a.bound {
		return min(a.limit, float64(n))
	}
	return float64(n)
}

// crowded takes in that an attempt was one too many while n others went on.
func (a *adapt) crowded(start, now, n int64) {
	if start < a.cutAt || a.bound && float64(n) >= a.limit {
		return
	}
	a.cut(float64(n), now)
	a.cutAt = start // each of a burst shows the limit better
}

// chunk takes in the time to a stream's first chunk while n are under way.
func (a *adapt) chunk(start, now, n int64) {
	a.success = now
	a.chunks.add(now, float64(now-start))
	if a.chunks.over(muchToo) && start >= a.cutAt && n > plenty {
		a.cut(max(a.from(n)*shrinkFor, plenty), now)
	}
}

func (a *adapt) cut(limit float64, now int64) {
	a.limit = max(limit, leastLimit)
	a.cutAt, a.bound, a.debt = now, true, 0
}

// A trend compares times of late with the best of the latest minute or two.
type trend struct {
	n    int
	fast float64    // moving average
	best [2]float64 // of the minute before this one, and of this one
	at   int64      // when this one began
}

const (
	trendWindow = int64(time.Minute)
	warm        = 20 // times seen before they are judged
)

func (t *trend) add(now int64, v float64) {
	t.n++
	if t.n == 1 {
		t.fast, t.best, t.at = v, [2]float64{v, v}, now
	}
	t.fast += (v - t.fast) / 10
	if now-t.at >= trendWindow {
		t.best, t.at = [2]float64{t.best[1], t.fast}, now
	}
	t.best[1] = min(t.best[1], t.fast)
}

func (t *trend) over(ratio float64) bool {
	return t.n >= warm && t.fast > ratio*min(t.best[0], t.best[1])
}

package balance

import (
	"math"
	"time"
)

const (
	unlimited = math.MaxInt64

	firstLimit = 20 // that an adaptive limit begins with
	leastLimit = 2
	mostLimit  = 1000

	shrink    = 0.7 // after failures
	shrinkFor = 0.9 // for late first chunks

	// A failure weighs as much as so many attempts that go well, and the limit
	// is cut when failures outweigh them by dropDebt.
	busyWeight = 15 // overloaded
	hungWeight = 30 // out of time, which cost more
	dropDebt   = 40

	calm = int64(time.Minute) // without a cut, before the limit may grow quickly again

	warm    = 20   // times seen before they are judged
	longer  = 1.25 // than usual: not the time to grow quickly
	muchToo = 2.0  // long: the model is overloaded
)

// adapt finds how many attempts a model bears, by additive increase and
// multiplicative decrease.
type adapt struct {
	limit float64
	cutAt int64 // attempts that began before have been answered for; 0 if there was no cut
	debt  int64 // failures by weight, less the attempts since
	seen  uint64

	chunks  trend // of the time to first chunks
	answers trend // of the time to answers, whose length is not the model's doing
}

func (a *adapt) reset() { *a = adapt{limit: firstLimit} }

// grow takes in a success that began at start, while the limit was in use, with
// or without calls waiting. A whole answer tells how long it took; as long as
// these are not longer than they were, a limit that calls wait for grows by half
// in a round trip.
func (a *adapt) grow(start, now int64, whole, waiting bool) {
	if whole {
		a.answers.add(now, float64(now-start))
	}
	switch {
	case a.chunks.over(muchToo):
		return
	case waiting && (a.cutAt == 0 || now-a.cutAt > calm) && !a.answers.over(longer) && !a.chunks.over(longer) &&
		max(a.answers.n, a.chunks.n) >= warm:
		a.limit += 0.5
	default:
		a.limit += 1 / a.limit
	}
	a.limit = min(a.limit, mostLimit)
}

// drop takes in that an attempt, of all so many, was too much for the model.
func (a *adapt) drop(start, now int64, admitted uint64, weight int64) {
	if start < a.cutAt {
		return
	}
	a.debt = max(a.debt-int64(admitted-a.seen), 0) + weight
	a.seen = admitted
	if a.debt > dropDebt {
		a.cut(a.limit*shrink, now)
	}
}

// crowded takes in that an attempt was one too many while n others went on.
func (a *adapt) crowded(start, now, n int64) {
	if start < a.cutAt || float64(n) >= a.limit {
		return
	}
	a.cut(float64(n), now)
	a.cutAt = start // each of a burst shows the limit better
}

// chunk takes in the time to a stream's first chunk.
func (a *adapt) chunk(start, now int64, used bool) {
	a.chunks.add(now, float64(now-start))
	if used && a.chunks.over(muchToo) && start >= a.cutAt && a.limit > firstLimit {
		a.cut(max(a.limit*shrinkFor, firstLimit), now)
	}
}

func (a *adapt) cut(limit float64, now int64) {
	a.limit = max(limit, leastLimit)
	a.cutAt, a.debt = now, 0
}

// A trend compares times of late with the best of the latest minute or two.
type trend struct {
	n    int
	fast float64    // moving average
	best [2]float64 // of the minute before this one, and of this one
	at   int64      // when this one began
}

const trendWindow = int64(time.Minute)

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

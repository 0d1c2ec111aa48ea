package balance

import (
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
)

const (
	unlimited = math.MaxInt64

	leastLimit = 4 // that failures lead to
	plenty     = 8 // may be under way at any model that does not fail
	mostLimit  = 10000

	shrink    = 0.7 // after failures
	shrinkFor = 0.9 // for late first chunks
	calm      = int64(time.Minute)

	// A failure weighs as much as so many attempts that go well, and the limit
	// is cut when failures outweigh them by dropDebt.
	busyWeight = 15 // overloaded
	hungWeight = 30 // out of time, which cost more
	dropDebt   = 40

	sluggish = 1.5 // times as long as the best minute of the last half hour
	mute     = 10  // times that without any answer
	headroom = 1.5 // times what the throughput needs
	muchToo  = 2.0 // times late: first chunks that are the model's own doing
)

// adapt finds how many attempts a model bears. Without a sign of trouble it
// refuses nothing: no number fits both a model of eight slots and one of
// thousands. With one, the limit is at first what is known to go well: twice what
// was under way while it did. Trouble is that answers take much longer than they
// did, or do not come at all, or that attempts time out or are answered as
// overloaded.
type adapt struct {
	limit float64 // where one is in force
	cutAt int64   // attempts that began before have been answered for; 0 if there was no cut
	bound bool    // by a cut, until it is calm and the limit is not in use
	debt  int64   // failures by weight, less the attempts since
	seen  uint64

	tempo    float64 // moving average of the time of answers
	answered int64   // when the latest came, or the model began to be busy
	success  int64   // when the latest came
	looked   int64

	minute     int64 // began then
	peak, past int64 // most under way while all was well, in it and in the one before
	rate       float64
	best       [30]float64 // medians of minutes, 0 for none
	minutes    int

	chunks trend // of the time to first chunks
}

func (a *adapt) reset() { *a = adapt{limit: plenty, success: -1} }

// look brings a up to date, with n attempts under way and up to most of them
// since it looked last, and returns the limit. It is called about once a second
// while there are calls.
func (a *adapt) look(now, n, most int64, stats func(time.Duration) resilience.CallStats) int64 {
	if n < plenty || now-a.looked > 5*int64(time.Second) {
		a.answered = now
	}
	a.looked = now
	if a.well() {
		a.peak = max(a.peak, n, most)
	}
	if now-a.minute >= int64(time.Minute) {
		a.turn(now, stats(time.Minute))
	}
	if a.bound && now-a.cutAt > calm && float64(2*n) < a.limit {
		a.bound = false
	}
	return a.inForce(now)
}

// turn begins a minute.
func (a *adapt) turn(now int64, s resilience.CallStats) {
	answers := s.Calls - s.Failures - s.Throttled
	if a.well() {
		a.rate = max(float64(answers)/time.Minute.Seconds(), 0.8*a.rate)
	}
	if answers >= 10 {
		a.best[a.minutes%len(a.best)] = float64(s.P50)
		a.minutes++
		if a.tempo == 0 {
			a.tempo = float64(s.P50)
		}
	}
	if a.cutAt == 0 || now-a.cutAt > 5*calm {
		a.limit = max(0.9*a.limit, a.known())
	}
	a.minute, a.past, a.peak = now, a.peak, 0
}

// usual is the time of answers in the best minute, infinite if there was none.
func (a *adapt) usual() float64 {
	best := math.Inf(1)
	for _, median := range a.best {
		if median > 0 {
			best = min(best, median)
		}
	}
	return best
}

// known is how many are known to go well, and as many again.
func (a *adapt) known() float64 { return max(plenty, 2*float64(max(a.peak, a.past))) }

func (a *adapt) well() bool { return a.tempo <= sluggish*a.usual() }

// inForce is the limit now. While the model is merely slow it is no less than
// what its throughput needs by Little's law: that tells answers that have become
// longer from ones that wait in a line.
func (a *adapt) inForce(now int64) int64 {
	n := max(a.limit, a.known())
	switch {
	case a.bound:
		n = a.limit
	case !a.well():
		n = max(n, headroom*a.rate*a.tempo/float64(time.Second))
	case float64(now-a.answered) > mute*a.usual():
	default:
		return unlimited
	}
	return int64(min(n, mostLimit))
}

// answer takes in a success, or the first chunk of one, that took so long.
func (a *adapt) answer(now int64, took float64) {
	a.answered, a.success = now, now
	if a.tempo == 0 {
		a.tempo = took
	}
	a.tempo += (took - a.tempo) / 10
}

// grow takes in a success while the limit was in use.
func (a *adapt) grow(now int64) {
	if a.well() && now-a.cutAt > calm {
		a.limit++
	} else {
		a.limit += 1 / a.limit
	}
	a.limit = min(a.limit, mostLimit)
}

// drop takes in that an attempt, of all so many, was too much for the model, with
// n under way.
func (a *adapt) drop(start, now, n int64, admitted uint64, weight int64) {
	if start < a.cutAt {
		return
	}
	a.debt = max(a.debt-int64(admitted-a.seen), 0) + weight
	a.seen = admitted
	switch {
	case a.debt <= max(dropDebt, n): // those of a burst end together
	case weight == hungWeight && a.success < start: // it answers nothing
		a.cut(min(a.from(n), plenty)*shrink, now)
	default:
		a.cut(a.from(n)*shrink, now)
	}
}

// from is what a cut begins with: what is under way, as far as that was known to
// go well.
func (a *adapt) from(n int64) float64 {
	switch {
	case a.bound:
		return min(a.limit, float64(n))
	case a.minutes > 0:
		return min(max(a.limit, a.known()), float64(n))
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

package balance

import (
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// What a provider limits by the minute.
const (
	requests = iota
	tokens
	resources
)

const second = float64(time.Second)

// reserve is the part of a limit that is left alone, since clocks differ and
// headers are rounded.
const reserve = 0.02

// A bucket holds what may be spent now, and fills up to its limit. The zero
// bucket is off.
//
// One that a provider tells of may fill evenly or at the end of a window, all at
// once: until it is seen to be the former, nothing counts on what comes before
// the instant at which it is said to be full.
type bucket struct {
	limit, level float64
	rate         float64 // a nanosecond
	at           int64   // of level

	heard  bool    // of from a provider
	toldAt int64   // the latest time
	life   uint32  // counts limits that were told
	moved  float64 // by corrections, in all

	drift float64 // of rate, a nanosecond: what others spend
	flows bool    // it is known to fill evenly
	full  int64   // when it is full again, as was told, or else by a guess:
	span  int64   // so long after the last time,
	comes float64 // with so much more
	guess bool
	newer float64 // spent since the provider told
}

// staleAfter is for how long what a provider said counts.
const staleAfter = int64(time.Minute)

// leastSpan bounds how often a guess is made.
const leastSpan = int64(100 * time.Millisecond)

// driftTime is over what corrections are taken for the doing of others.
const driftTime = 20 * second

func (b *bucket) on() bool { return b.limit > 0 }

// set makes b one that fills at rate a nanosecond, in steps of at most limit.
func (b *bucket) set(now int64, limit, rate float64) {
	if !b.on() {
		b.level, b.at = limit, now
	}
	b.advance(now)
	b.limit, b.rate = limit, rate
	b.level = min(b.level, limit)
}

func (b *bucket) advance(now int64) {
	if now <= b.at {
		return
	}
	passed := float64(now - b.at)
	b.at = now
	switch {
	case !b.heard || b.flows:
		b.level = min(b.limit, b.level+b.net()*passed)
	case now >= b.full:
		if !b.guess { // what was told is surer than the sum of corrections
			b.level = b.limit - b.comes - b.newer
		}
		n := (now-b.full)/b.span + 1
		b.level = min(b.limit, b.level+float64(n)*b.comes)
		b.full, b.guess = b.full+n*b.span, true
	}
	if b.heard && now-b.toldAt > staleAfter && (b.flows || b.guess) {
		b.limit = 0
	}
}

// wait returns how long it is until cost may be spent. What is more than the
// limit may be spent when the bucket is full. The caller has advanced b.
func (b *bucket) wait(cost float64) int64 {
	if !b.on() {
		return 0
	}
	if b.heard {
		cost += b.limit * reserve
	}
	need := min(cost, b.limit)
	switch {
	case b.level >= need:
		return 0
	case b.even():
		return int64(math.Ceil((need - b.level) / b.net()))
	}
	return b.full - b.at
}

// even reports whether b fills evenly, as far as is known.
func (b *bucket) even() bool { return b.on() && b.rate > 0 && (!b.heard || b.flows) }

// net is the rate that others leave.
func (b *bucket) net() float64 { return max(b.rate+b.drift, b.rate/20) }

// A sight is what was known of a bucket when a request set out.
type sight struct {
	level float64 // after it, less what corrections had moved
	life  uint32  // 0 if nothing was known
}

// spend takes cost, which may be negative.
func (b *bucket) spend(cost float64) sight {
	if !b.on() {
		return sight{}
	}
	b.level = min(b.level-cost, b.limit)
	b.newer += cost
	return sight{b.level - b.moved, b.life}
}

// An answer is what of a request's answer matters to a bucket.
type answer struct {
	start, now int64
	seen       sight
	since      float64 // spent after the request had set out
	quota      resilience.Quota
}

// hear takes in what the provider said. It may have looked at its bucket when
// the request came or when the answer went, with others in between: less than
// was expected of the former is believed, and more only if the latter agrees.
func (b *bucket) hear(a answer) {
	q := a.quota
	if q.Limit <= 0 || mutants.On("limiter-deaf-to-headers") {
		return
	}
	if !b.on() || b.limit != q.Limit {
		*b = bucket{
			limit: q.Limit, level: max(q.Remaining-a.since, -q.Limit), at: a.now,
			heard: true, flows: b.flows, life: b.life + 1,
		}
	}
	if b.toldAt = a.now; b.full != 0 || b.flows {
		b.advance(a.now)
		if !b.flows && q.Reset > 0 && a.start+int64(q.Reset) <= a.now {
			return // of a window that is over
		}
	}
	b.learn(a)
	by := q.Remaining - b.level
	if a.seen.life == b.life {
		asked := q.Remaining - (a.seen.level + b.moved)
		by = min(asked, max(by, 0))
	} else {
		by = min(by, 0)
	}
	b.level += by
	b.moved += by
	if b.flows {
		b.drift = min(max(b.drift+by/driftTime, -b.rate), 0)
	}
}

// learn takes in how the bucket fills.
func (b *bucket) learn(a answer) {
	q := a.quota
	if q.Reset <= 0 {
		b.flows, b.rate = true, q.Limit/float64(time.Minute) // as most do
		return
	}
	used, soonest, latest := q.Limit-q.Remaining, a.start+int64(q.Reset), a.now+int64(q.Reset)
	switch {
	case b.flows:
	case b.full == 0 || b.guess:
		b.full, b.span, b.guess = latest, max(int64(q.Reset), leastSpan), false
	case soonest > b.full+slack(q.Reset):
		b.flows = true // no window ends later than it did
	default:
		b.full = min(b.full, latest)
	}
	b.comes, b.newer = max(used, q.Limit*float64(b.span)/float64(time.Minute)), 0
	if used <= 0 {
		return
	}
	rate, weight := used/float64(q.Reset), used/q.Limit
	if b.rate == 0 {
		weight = 1
	}
	b.rate += (rate - b.rate) * weight
}

// slack is by how much the end of a window may seem to move: by the time that
// answers take, and by a second where whole seconds are told.
func slack(reset time.Duration) int64 {
	s := max(50*time.Millisecond, reset/10)
	if reset%time.Second == 0 {
		s += time.Second
	}
	return int64(s)
}

// refused takes in that the provider had less than b knew of, and is not asked
// until an instant. What comes by then is for the answers to tell.
func (b *bucket) refused(until int64) {
	b.moved -= max(b.level, 0)
	b.level = min(b.level, 0)
	if b.flows {
		b.at = max(b.at, until)
	}
}

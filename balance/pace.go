package balance

import (
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A pace says when the next request may go.
type pace struct {
	own   [resources]bucket // as the model is described
	heard [resources]bucket // as the provider says
	tried trial
	marks [2]mark

	paused, pausedAt int64 // the provider asked not to be asked until then, and when
}

// A mark says how many attempts there had been at an instant.
type mark struct {
	at       int64
	admitted uint64
}

// sights are what was known when a request set out.
type sights [resources]sight

// on reports whether there is anything to obey.
func (p *pace) on(now int64) bool {
	return p.paused > now || p.tried.on() || p.own[requests].on() || p.own[tokens].on() ||
		p.heard[requests].on() || p.heard[tokens].on()
}

// counts reports whether tokens matter.
func (p *pace) counts() bool { return p.own[tokens].on() || p.heard[tokens].on() }

func (p *pace) describe(now int64, perMin [resources]float64) {
	for i, limit := range perMin {
		if limit <= 0 {
			p.own[i] = bucket{}
			continue
		}
		p.own[i].set(now, max(limit/10, 1), limit/float64(time.Minute))
	}
}

func (p *pace) advance(now int64) {
	for i := range resources {
		p.own[i].advance(now)
		p.heard[i].advance(now)
	}
	p.tried.advance(now)
}

// wait returns how long it is until a request of so many tokens may go. The
// caller has advanced p.
func (p *pace) wait(now int64, size float64, lastResort bool) int64 {
	wait := p.tried.wait(1)
	if !lastResort {
		wait = max(wait, p.paused-now)
	}
	for i, cost := range [resources]float64{1, size} {
		wait = max(wait, p.own[i].wait(cost), p.heard[i].wait(cost))
	}
	return wait
}

// gap returns the time between two requests that wait.
func (p *pace) gap() (d float64) {
	for _, b := range []*bucket{&p.own[requests], &p.heard[requests], &p.tried.bucket} {
		if b.even() {
			d = max(d, 1/b.net())
		}
	}
	return d
}

// spend takes what a request of so many tokens costs.
func (p *pace) spend(size float64) (s sights) {
	for i, cost := range [resources]float64{1, size} {
		p.own[i].spend(cost)
		s[i] = p.heard[i].spend(cost)
	}
	p.tried.spend(1)
	return s
}

// giveBack undoes spend for a request that was not sent.
func (p *pace) giveBack(size float64) {
	for i, cost := range [resources]float64{1, size} {
		p.own[i].spend(-cost)
		p.heard[i].spend(-cost)
	}
	p.tried.spend(-1)
}

// mark notes how many attempts there have been, and returns when to do so again.
func (p *pace) mark(now int64, admitted uint64) (again int64) {
	every := p.markEvery()
	if now >= p.marks[1].at+every || p.marks[1].at == 0 {
		p.marks[0], p.marks[1] = p.marks[1], mark{now, admitted}
	}
	return p.marks[1].at + every
}

// markEvery is a second, as time goes.
func (p *pace) markEvery() int64 { return int64(second / p.tried.speed) }

// sent returns at what rate attempts were made of late, a nanosecond.
func (p *pace) sent(now int64, admitted uint64) float64 {
	from, every := p.marks[0], p.markEvery()
	if from.at == 0 || now-from.at > 3*every {
		from = p.marks[1]
	}
	return float64(max(admitted-from.admitted, 1)) / float64(max(now-from.at, every/4))
}

// refused takes in that the provider refused a request for want of any of what
// it limits. It reports whether that was news: not so if headers tell, or if a
// request of before the latest news is concerned.
func (p *pace) refused(start, now int64, after time.Duration, said [resources]resilience.Quota) (news bool) {
	if after > 0 {
		p.paused, p.pausedAt = max(p.paused, now+int64(after)), now
	}
	told := false
	for i, q := range said {
		if q.Limit > 0 && q.Remaining < max(1, q.Limit*reserve) {
			p.heard[i].refused(p.paused)
			told = true
		}
	}
	return !told && start >= p.tried.cutAt
}

// answered takes in an answer to a request that went through a pause.
func (p *pace) answered(start int64) {
	if start > p.pausedAt {
		p.paused = 0
	}
}

// forget forgets what was learnt.
func (p *pace) forget() {
	for i := range p.heard {
		p.heard[i].limit = 0
	}
	p.tried, p.paused = trial{speed: p.tried.speed}, 0
}

// trial is the rate that proves to go through, where the provider says nothing.
type trial struct {
	bucket

	speed float64 // of time, 1 where a minute is one
	debt  int64   // refusals by weight, less the requests since
	seen  uint64

	cutAt int64 // requests that set out before have been answered for
	last  int64 // that the rate has grown
	held  bool  // requests have waited since
}

const (
	slower      = 0.9  // after a refusal
	growth      = 0.02 // a second; doubles every ten seconds without a refusal
	burst       = second / 5
	forgetAfter = float64(time.Minute)
)

// A refusal weighs as much as so many requests that are not, and the rate is cut
// when refusals outweigh them by refusalDebt: one in thirty may be anything, and
// at a hundred requests a second the rate would not come back from that.
const (
	refusalWeight = 30
	refusalDebt   = 105
)

// owes takes in a refusal, of all so many requests, and reports whether that is
// too much.
func (t *trial) owes(admitted uint64) bool {
	t.debt = max(t.debt-int64(admitted-t.seen), 0) + refusalWeight
	t.seen = admitted
	return t.debt > refusalDebt
}

// cut slows down; sent is the rate of requests of late.
func (t *trial) cut(now int64, sent float64) {
	rate := sent
	if t.on() {
		rate = min(t.rate, max(sent, t.rate/2))
	}
	rate *= slower
	t.set(now, max(rate*burst/t.speed, 1), rate)
	t.level = min(t.level, 0)
	t.cutAt, t.last, t.held, t.debt = now, now, false, refusalDebt-refusalWeight/2
}

// advance lets time pass: a rate that requests had to wait for grows, and one
// that has been well for a minute is forgotten.
func (t *trial) advance(now int64) {
	t.bucket.advance(now)
	since := now - t.last
	if !t.on() || since <= 0 {
		return
	}
	if t.speed*float64(now-t.cutAt) > forgetAfter {
		t.bucket = bucket{}
		return
	}
	if t.held {
		passed := min(t.speed*float64(since)/second, 1)
		t.rate *= 1 + passed*growth*math.Exp2(t.speed*float64(now-t.cutAt)/(10*second))
		t.limit = max(t.rate*burst/t.speed, 1)
	}
	t.last, t.held = now, false
}

// wait is that of the bucket, and notes that there was one.
func (t *trial) wait(cost float64) int64 {
	d := t.bucket.wait(cost)
	t.held = t.held || d > 0
	return d
}

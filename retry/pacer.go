package retry

import (
	"sync"
	"time"
)

// pacer spaces out the retries of all calls of a model: they queue, and one is
// let go every gap. Callers in one process need no dice to keep out of each
// other's way.
//
// The gap follows the time that an attempt takes, which is how long attempts
// can collide: half of it plus its deviation (both smoothed as TCP does, RFC
// 6298), so at most two retries are under way. It does not react to failures:
// a gap that grows with each diverges, because while retries queue most of
// them fail.
//
// A place in the queue is an instant given out at once, so there is nothing to
// wake, to leak or to wait for that does not fit the caller's time.
type pacer struct {
	mu              sync.Mutex
	mean, deviation time.Duration
	measured        bool          // by a success
	next            time.Duration // instant of the first place that is free
}

// observe takes in how long an attempt took. Failures much quicker than work
// say nothing, except while there has been no success to compare with.
func (p *pacer) observe(took time.Duration, success bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mean == 0 || success && !p.measured:
		p.mean, p.deviation = max(took, 1), took/2
	case success || took > p.mean/2:
		p.deviation += ((took - p.mean).Abs() - p.deviation) / 4
		p.mean = max(p.mean+(took-p.mean)/8, 1)
	}
	p.measured = p.measured || success
}

// gap returns the time between two retries. The caller holds mu.
func (p *pacer) gap() time.Duration {
	return min(p.mean/2+p.deviation, p.mean)
}

// reserve returns how long to wait for the next place. If that is longer than
// within, no place is taken.
func (p *pacer) reserve(now, within time.Duration) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := max(now, p.next)
	if at-now > within {
		return 0, false
	}
	p.next = at + p.gap()
	return at - now, true
}

// cancel gives back a place whose caller left before its turn. The queue
// shortens at its end.
func (p *pacer) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next -= p.gap()
}

// reset forgets the queue and what was measured.
func (p *pacer) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mean, p.deviation, p.measured, p.next = 0, 0, false, 0
}

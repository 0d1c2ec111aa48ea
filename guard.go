package resilience

import (
	"math"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// wait bounds an attempt that streams, until its first meaningful chunk.
func (a *attempt) wait(t *timeouts) {
	d, cause := time.Duration(0), (*timeoutError)(nil)
	if t != nil {
		d, cause = t.firstChunk(a.call)
		d, cause = a.share(t, d, cause)
	}
	a.within(t, a.start, d, cause)
}

// within cancels the attempt, which is under way at now, once it has taken d or
// what else bounds a stream until its first chunk.
func (a *attempt) within(t *timeouts, now int64, d time.Duration, cause *timeoutError) {
	rec := a.call.record()
	if rec.limit != 0 {
		if left := time.Duration(rec.limit - a.start); d <= 0 || left < d {
			d, cause = max(left, 1), rec.limitCause
		}
	}
	if t != nil && !t.observe {
		if b := t.of(a.call); b.forTotal > 0 {
			if left := a.totalLeft(b) + time.Duration(now-a.start); d <= 0 || left < d {
				d, cause = max(left, 1), b.totalCause
			}
		}
	}
	rec.timer = nil
	if cause != nil && d > 0 {
		rec.timer = time.AfterFunc(d-time.Duration(now-a.start), func() { a.expire(cause) })
	}
}

// rebound makes the attempt wait no longer than bound says, instead of for a
// first chunk.
func (a *attempt) rebound(bound func(*timeouts, *Call) (time.Duration, *timeoutError)) {
	t, rec := a.pool.timeouts.Load(), a.call.record()
	if t == nil || rec.timer != nil && !rec.timer.Stop() {
		return
	}
	d, cause := bound(t, a.call)
	d, cause = a.share(t, d, cause)
	a.within(t, a.pool.now(), d, cause)
}

// holdBack is how long a stream that has begun is held back, and how much time
// there is for it.
func (a *attempt) holdBack() (d, left time.Duration) {
	t := a.pool.timeouts.Load()
	if t == nil || t.observe {
		return 0, 0
	}
	d, left = t.of(a.call).holdBack, math.MaxInt64
	if limit := a.call.record().limit; limit != 0 {
		if left = time.Duration(limit - a.pool.now()); left < d {
			d = 0
		}
	}
	return d, left
}

// endHoldBack makes the attempt fail when the call's time is over while its stream
// is held back.
func (a *attempt) endHoldBack(left time.Duration) *time.Timer {
	rec := a.call.record()
	if rec.limit == 0 {
		return nil
	}
	return time.AfterFunc(left, func() { a.expire(rec.limitCause) })
}

// guard starts what watches over an attempt while its stream is read.
func (l *life) guard(a *attempt) {
	t := a.pool.timeouts.Load()
	if t == nil || t.observe {
		return
	}
	b := t.of(a.call)
	if b.minRate > 0 {
		l.paces = append(l.paces, &pace{attempt: a, bounds: b})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.forGap > 0 && !mutants.On("stream-stalls-unnoticed") {
		var timer *time.Timer
		timer = time.AfterFunc(b.forGap, func() {
			left := b.forGap
			if since := l.waiting.Load(); since != 0 {
				left -= time.Since(l.base) - time.Duration(since)
			}
			if left <= 0 {
				a.expire(b.gapCause)
				return
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if !l.over {
				timer.Reset(left)
			}
		})
		l.timers = append(l.timers, timer)
	}
	if b.forTotal > 0 {
		l.timers = append(l.timers, time.AfterFunc(a.totalLeft(b), func() { a.expire(b.totalCause) }))
	}
}

// totalLeft is how long the stream may go on. It began with the attempt that
// brought its first chunk, whatever has rescued it since.
func (a *attempt) totalLeft(b *bounds) time.Duration {
	since := a.start
	if t := a.call.record(); t.life != nil {
		since = t.began
	}
	return b.forTotal - time.Duration(a.pool.now()-since)
}

// pace is how fast the chunks of an attempt come.
type pace struct {
	*bounds
	attempt *attempt
	waited  time.Duration // for chunks, since the count began
	chunks  int
}

// keepsPace notes a chunk that the reader has waited for, and returns an error
// if too few come in that time.
func (l *life) keepsPace(waited time.Duration, meaningful bool) error {
	for _, p := range l.paces {
		p.waited += waited
		if meaningful {
			p.chunks++
		}
		if p.waited < p.forPace {
			continue
		}
		if float64(p.chunks) < p.minRate*p.waited.Seconds() {
			p.attempt.expire(p.paceCause)
			return p.paceCause
		}
		p.waited, p.chunks = 0, 0
	}
	return nil
}

// expire cancels the context of an attempt that streams.
func (a *attempt) expire(cause error) {
	if armed := a.arm(); armed.cause != nil {
		armed.cause(cause)
	}
}

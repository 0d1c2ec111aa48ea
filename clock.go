package resilience

import (
	"math"
	"sync/atomic"
	"time"
)

// A clock tells the time since it started, which never jumps, and what that is by
// the wall clock, which people and providers set, and which goes on while the
// machine sleeps.
type clock struct {
	base time.Time
	seen atomic.Pointer[time.Time] // both clocks, read lately
}

const recent = time.Second

func (c *clock) start() {
	c.base = time.Now()
	c.seen.Store(&c.base)
}

func (c *clock) now() int64 { return int64(time.Since(c.base)) }

// wall returns the wall-clock time of an instant, by the wall clock as it is now.
func (c *clock) wall(at int64) time.Time {
	if at == math.MaxInt64 {
		return time.Time{}
	}
	t := time.Now()
	return t.Add(time.Duration(at) - t.Sub(c.base))
}

// wallish is wall for an instant of about now; it knows of a clock that was set
// within a second.
func (c *clock) wallish(at int64) time.Time {
	t := c.seen.Load()
	since := time.Duration(at) - t.Sub(c.base)
	if since > recent {
		now := time.Now()
		c.seen.Store(&now)
		since, t = time.Duration(at)-now.Sub(c.base), &now
	}
	return t.Add(since)
}

// instant returns when t is on this clock.
func (c *clock) instant(t time.Time) int64 { return int64(t.Sub(c.wall(0))) }

// Now reads the pool's clock, which started with the pool and never jumps. For
// feature authors.
func (p *Pool) Now() time.Duration { return time.Duration(p.now()) }

// At returns the wall-clock time of an instant of the pool's clock, by the wall
// clock as it is set now. For feature authors.
func (p *Pool) At(now time.Duration) time.Time { return p.wall(int64(now)) }

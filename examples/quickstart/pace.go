package main

import (
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

// A pace is how much faster than the wall clock time passes. All that waits is
// set to the library's default divided by it.
type pace float64

// patience is how long a call is waited for, in every row: the library's
// default, and as long again as one of its attempts may take.
const patience = 2 * time.Minute

func (p pace) stack() stack.Config {
	return stack.Config{
		Timeouts: resilience.Timeouts{Call: p.of(patience), Attempt: p.of(time.Minute)},
		Fallback: fallback.Config{LastResort: true},
		Balance:  balance.Config{SlowStart: p.of(30 * time.Second)},
		Limiter:  balance.LimiterConfig{Wait: p.of(10 * time.Second), Window: p.of(time.Minute)},
		Retry:    p.retry(),
		Breaker: breaker.Config{
			Window: p.of(30 * time.Second), SlowAfter: p.of(30 * time.Second),
			OpenFor: p.of(15 * time.Second), MaxOpenFor: p.of(30 * time.Second),
		},
	}
}

func (p pace) retry() retry.Config {
	return retry.Config{Base: p.of(500 * time.Millisecond), Max: p.of(20 * time.Second), Patience: p.of(5 * time.Second)}
}

// of is how long d takes on the wall clock.
func (p pace) of(d time.Duration) time.Duration { return time.Duration(float64(d) / float64(p)) }

// A Clock is the time of a trace, which passes at a pace. It stands still
// while the machine has no time for this program: what is late by a tenth of a
// second would else be late by many in the trace.
type Clock struct {
	pace    pace
	start   time.Time
	grace   time.Duration // lateness that is normal
	stopped atomic.Int64  // nanoseconds of the wall clock
}

// Now is the time of the trace, negative before it starts.
func (c *Clock) Now() time.Duration {
	return time.Duration(float64(time.Since(c.start)-c.Stopped()) * float64(c.pace))
}

// Until is the time on the wall clock until t of the trace.
func (c *Clock) Until(t time.Duration) time.Duration {
	return time.Until(c.start.Add(c.Stopped() + c.pace.of(t)))
}

// Stopped is how long c has stood still.
func (c *Clock) Stopped() time.Duration { return time.Duration(c.stopped.Load()) }

// Due is told that now is when what was due at t happens. If that is late, c
// has stood still.
func (c *Clock) Due(t time.Duration) {
	for {
		stopped := c.stopped.Load()
		late := -c.Until(t)
		if late <= c.grace || c.stopped.CompareAndSwap(stopped, stopped+int64(late)) {
			return
		}
	}
}

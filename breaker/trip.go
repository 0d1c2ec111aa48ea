package breaker

import (
	"fmt"
	"math"

	"github.com/cmmv-hive/resilience/internal/window"
)

// rules are a Config in effect; what is off is zero.
type rules struct {
	failureRate, slowRate, drift  float64
	slowAfter, window             int64
	minCalls, consecutive, probes int64
	openFor, maxOpenFor           int64
	observe                       bool

	counts *window.Counts // of one engine
}

// buckets is how finely the window rolls.
const buckets = 16

func (r *rules) ring() *window.Counts { return window.NewCounts(r.window/buckets+1, buckets, slows+1) }

// The Bernoulli CUSUM (Page 1954, Reynolds and Stoumbos 1999) adds up the log
// likelihood ratio of "one call in ten fails" against "one in a hundred does".
var (
	driftUp   = math.Log(0.10 / 0.01) // by a failure
	driftDown = math.Log(0.99 / 0.90) // by a success
)

// accumulate takes a failure, or none, into the counts that a success resets or
// lowers. As these stop at zero, the successes since the last time may be taken
// together. The caller has mu.
func (e *engine) accumulate(harm int64) {
	goods := e.goods.Swap(0)
	if goods > 0 {
		e.streak = 0
	}
	e.streak += harm
	if e.rules.Load().drift > 0 {
		e.drift = max(0, e.drift-driftDown*float64(goods)) + driftUp*float64(harm)/whole
	}
}

// trips says why the breaker opens now, or "" if it stays closed. The window
// begins at the last close; thresholds are met at their own value. The caller
// has mu.
func (e *engine) trips() string {
	r := e.rules.Load()
	if r.consecutive > 0 && e.streak >= r.consecutive*whole {
		return fmt.Sprintf("%d failures in a row", r.consecutive)
	}
	if r.drift > 0 && e.drift >= r.drift {
		return fmt.Sprintf("failures drifted to %.1f", e.drift)
	}
	sums := r.counts.Sum(e.asked, r.window, slows, fails, calls)
	n := sums[2]
	if n < r.minCalls {
		return ""
	}
	failed := float64(sums[1]) / float64(n*whole)
	if r.failureRate > 0 && failed >= r.failureRate {
		return fmt.Sprintf("%.0f%% of %d calls failed", 100*failed, n)
	}
	slow := float64(sums[0]) / float64(n)
	if r.slowRate > 0 && slow >= r.slowRate {
		return fmt.Sprintf("%.0f%% of %d calls were slow", 100*slow, n)
	}
	return ""
}

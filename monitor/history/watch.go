package history

import (
	"math"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

const holders = int(resilience.HoldRecovery) + 1

// observed is for how many milliseconds what held a model.
type observed struct {
	held   int64
	heldBy [holders]int64
}

// A watch follows a model and what holds it. It is as old as the [resilience.Model].
type watch struct {
	series *series // under History.mu, as the next two are
	done   done
	idle   bool // at the latest sample, after it has left

	mu      sync.Mutex // of what follows
	at      int64      // until when times are in total
	held    int64      // nanoseconds since the latest sample
	heldBy  [holders]int64
	holds   [holders]spell
	started bool
}

// spell is a time for which one holder holds the model; without an end none does.
type spell struct{ from, until int64 }

// advance brings totals up to now. The caller has w.mu.
func (w *watch) advance(now int64) {
	var most int64
	for by, s := range w.holds {
		d := max(min(s.until, now)-max(s.from, w.at), 0)
		w.heldBy[by] += d
		most = max(most, d)
	}
	w.held += most
	w.at = max(w.at, now)
}

// begin takes up what holds the model at now, which is at by the wall clock, from when
// on it is observed.
func (w *watch) begin(now int64, holds []resilience.Hold, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.held, w.heldBy, w.holds, w.started = now, 0, [holders]int64{}, [holders]spell{}, true
	for _, h := range holds {
		if h.Key == "" {
			w.holds[h.By] = spell{now, until(now, &h, at)}
		}
	}
}

// hold notes that h was set, or extended.
func (w *watch) hold(now int64, h *resilience.Hold, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.started {
		return
	}
	w.advance(now)
	s := &w.holds[h.By]
	if s.until <= now {
		s.from = now
	}
	s.until = until(now, h, at)
}

// release notes that a hold is over, and returns for how long it has been.
func (w *watch) release(now int64, by resilience.HoldBy) (since time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance(now)
	if s := w.holds[by]; s.until > 0 {
		since = time.Duration(max(now-s.until, 0))
	}
	w.holds[by] = spell{}
	return since
}

// take returns the totals since it was called last, of which the process slept for a
// while.
func (w *watch) take(now, slept int64) (o observed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance(now)
	awake := func(d int64) int64 { return max(d-slept, 0) / int64(time.Millisecond) }
	o.held = awake(w.held)
	for by, d := range w.heldBy {
		o.heldBy[by] = awake(d)
	}
	w.held, w.heldBy = 0, [holders]int64{}
	return o
}

// until returns the instant at which a hold ends, where now is at by the wall clock.
func until(now int64, h *resilience.Hold, at time.Time) int64 {
	if h.Until.IsZero() {
		return math.MaxInt64
	}
	return now + int64(h.Until.Sub(at))
}

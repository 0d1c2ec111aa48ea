package balance

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// least is the part of its traffic that a model starts with.
const least = 0.1

// starts are the models that start slowly. They do not change.
type starts struct {
	window time.Duration
	until  map[*resilience.Model]time.Duration // when each is done
	end    time.Duration                       // when the last is
}

// share grows as in Envoy's slow start with an aggression of 1.
func (s *starts) share(now time.Duration, m *resilience.Model) float64 {
	until, ok := s.until[m]
	if !ok || now >= until || mutants.On("balance-floods-the-recovered") {
		return 1
	}
	return max(least, 1-float64(until-now)/float64(s.window))
}

// ramps are the starts in force, nil while there are none.
type ramps struct {
	live atomic.Pointer[starts]
	mu   sync.Mutex // of writers
}

func (r *ramps) share(now time.Duration, m *resilience.Model) float64 {
	s := r.live.Load()
	if s == nil {
		return 1
	}
	if now >= s.end {
		r.live.CompareAndSwap(s, nil)
		return 1
	}
	return s.share(now, m)
}

// begin makes models start slowly. A window of zero or less ends all starts.
func (r *ramps) begin(now, window time.Duration, models ...*resilience.Model) {
	r.change(func(s *starts) {
		if window <= 0 {
			clear(s.until)
			return
		}
		for m := range s.until {
			s.until[m] = now + time.Duration(float64(window)*(1-s.share(now, m))) // as far as it was
		}
		s.window = window
		for _, m := range models {
			s.until[m] = now + window
		}
		maps.DeleteFunc(s.until, func(_ *resilience.Model, until time.Duration) bool { return until <= now })
	})
}

func (r *ramps) forget(m *resilience.Model) {
	r.change(func(s *starts) { delete(s.until, m) })
}

func (r *ramps) keep(present map[*resilience.Model]bool) {
	r.change(func(s *starts) {
		maps.DeleteFunc(s.until, func(m *resilience.Model, _ time.Duration) bool { return !present[m] })
	})
}

func (r *ramps) change(edit func(*starts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := &starts{until: map[*resilience.Model]time.Duration{}}
	if old := r.live.Load(); old != nil {
		next.window = old.window
		maps.Copy(next.until, old.until)
	}
	edit(next)
	for _, until := range next.until {
		next.end = max(next.end, until)
	}
	if len(next.until) == 0 {
		next = nil
	}
	r.live.Store(next)
}

// recovered reports whether calls may come again to a model that they were kept
// from because it was not well.
func recovered(e resilience.Event) bool {
	if e.Would {
		return false
	}
	if e.Kind == resilience.EventBreaker {
		return e.To == "closed" && e.From != e.To
	}
	switch e.From {
	case resilience.HoldHealth.String(), resilience.HoldRecovery.String(), resilience.HoldManual.String():
		return true
	}
	return false
}

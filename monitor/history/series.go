package history

import (
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

// Others is the ID under which models beyond [Config].Models have their history.
const Others = "(others)"

// A series is the history of a model, of several or of the pool.
type series struct {
	id, name string // both empty of the pool

	mu  sync.Mutex // of now; held for moments
	now record     // since the latest sample

	tiers [tiers]tier // under History.mu
}

// end counts an attempt or a call.
func (s *series) end(kind resilience.Kind, took time.Duration, e *resilience.Event, inFlight, queued int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.end(kind, took, &e.Usage, e.Cost)
	s.now.n[atInFlight] = max(s.now.n[atInFlight], inFlight)
	s.now.n[atQueued] = max(s.now.n[atQueued], queued)
}

// sample adds what was observed.
func (s *series) sample(o *observed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.n[atSpan] += o.span
	s.now.n[atHeld] += o.held
	for by, ms := range o.heldBy {
		s.now.n[atHeldBy+by] += ms
	}
	s.now.n[atInFlight] = max(s.now.n[atInFlight], o.inFlight)
	s.now.n[atQueued] = max(s.now.n[atQueued], o.queued)
}

// roll makes what is there since the latest sample a record of the time from start
// on.
func (s *series) roll(start int64, scratch *record) {
	s.mu.Lock()
	*scratch = s.now
	s.now.reset(0)
	s.mu.Unlock()
	if scratch.empty() {
		return
	}
	scratch.start = start
	for kind := range s.tiers {
		s.tiers[kind].add(scratch, kind)
	}
}

// expire drops what is too old at now, and reports whether anything is left.
func (s *series) expire(now int64) (left bool) {
	for kind := range s.tiers {
		t := &s.tiers[kind]
		if !t.open.empty() && t.open.start+shapes[kind].step <= now-shapes[kind].step {
			t.seal(kind)
		}
		t.expire(now, kind)
		left = left || t.latest() != 0
	}
	return left
}

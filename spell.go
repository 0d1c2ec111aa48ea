package resilience

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// spell is a time for which a key is not used, and how often it came to that.
// The zero spell is over.
type spell struct {
	until atomic.Int64 // 0 for over
	at    atomic.Int64 // one more than the instant of the latest failure; 0 if there was none since the latest answer

	mu      sync.Mutex // of what follows, and of writers
	since   int64
	by      HoldBy
	reason  string
	strikes int // failures of this sort since the latest answer
}

// term is how long a spell is: twice as long each time, unless the provider
// says. One without a first has no end.
type term struct{ first, most time.Duration }

// termOf is the term of a key's failure. Keys of the pool's own that are refused
// stay away, and come back by an answer; nobody would ask with a caller's again.
func termOf(by HoldBy, own bool) term {
	switch {
	case by == HoldLimit:
		return term{time.Second, time.Minute}
	case by == HoldQuota:
		return term{time.Minute, time.Hour}
	case own:
		return term{5 * time.Minute, time.Hour}
	default:
		return term{}
	}
}

// failure is what a spell takes in.
type failure struct {
	start, end int64 // of the attempt
	by         HoldBy
	reason     string
	asked      time.Duration // by the provider
	own        bool
}

// until is when the spell ends that the failure begins, the strikes-th of its
// sort.
func (f *failure) until(strikes int) int64 {
	t := termOf(f.by, f.own)
	switch {
	case t.first == 0:
		return openEnded
	case f.asked > 0 && f.by != HoldCredential:
		return f.end + int64(f.asked)
	}
	d := t.most
	if strikes <= 16 {
		d = min(t.first<<(strikes-1), t.most)
	}
	return f.end + int64(d)
}

// add takes in a failure. It reports whether that began a hold, and whether it
// is the first of its sort since the latest answer. Failures of attempts that
// were under way together count as one.
func (s *spell) add(f failure) (began, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.until.Load()
	held := old > f.end
	if together := f.start < s.at.Load(); !together {
		s.at.Store(f.end + 1)
		if f.by != s.by {
			s.strikes = 0
		}
		s.strikes++
	} else if held && f.until(s.strikes) <= old {
		return false, false
	}
	began = !held || f.by != s.by
	if began {
		s.since = f.end
	}
	s.by, s.reason = f.by, f.reason
	s.until.Store(f.until(s.strikes))
	return began, began && s.strikes == 1
}

// clear ends the spell, unless something failed after start, and returns by whom
// the key was held.
func (s *spell) clear(start int64) (by HoldBy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.at.Load(); at == 0 || start < math.MaxInt64 && start+1 < at {
		return 0
	}
	if s.until.Load() != 0 {
		by = s.by
	}
	s.at.Store(0)
	s.until.Store(0)
	s.by, s.strikes = 0, 0
	return by
}

// lapse notes that the spell has run out, and returns by whom the key was held,
// once.
func (s *spell) lapse(now int64) HoldBy {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := s.until.Load(); until == 0 || until > now {
		return 0
	}
	s.until.Store(0)
	return s.by
}

// holder returns by whom the key was held last.
func (s *spell) holder() HoldBy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by
}

// hold returns what holds the key now, if anything does.
func (s *spell) hold(now int64) (h hold, by HoldBy) {
	if s.until.Load() <= now {
		return hold{}, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return hold{s.since, s.until.Load(), s.reason}, s.by
}

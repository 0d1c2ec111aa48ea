package history

// Others is the ID under which models beyond [Config].Models have their history.
const Others = "(others)"

// A series is the history of a model, of several or of the pool. It is under
// History.mu.
type series struct {
	id, name string // both empty of the pool
	tiers    [tiers]tier
	watcher  *watcher // nil if nobody looks for what is unusual
}

// add adds what happened in a while, and returns the minute that is over by that, or
// nil.
func (s *series) add(r *record) (minute *record) {
	if open := &s.tiers[minutes].open; !open.empty() && open.start+shapes[minutes].step <= r.start {
		over := *open
		minute = &over
	}
	for kind := range s.tiers {
		s.tiers[kind].add(r, kind)
	}
	return minute
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

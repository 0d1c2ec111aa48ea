package alert

import (
	"time"

	"github.com/cmmv-hive/resilience"
)

// A reader measures at one instant. It remembers what it has read.
type reader struct {
	a   *Alerts
	now time.Duration

	read map[*resilience.Model]*reading
	slab []reading
}

// A reading is what was read of a model.
type reading struct {
	track   *track
	known   bool // the row is
	well    bool // a probe succeeded since the latest failure
	row     float64
	began   time.Duration // when it did
	down    bool
	out     bool // by hand
	judged  bool
	windows [2]time.Duration
	stats   [2]resilience.CallStats
	n       int
}

// reader returns a reader for now. The one before is of no more use.
func (a *Alerts) reader(now time.Duration) *reader {
	r := &a.read
	r.a, r.now = a, now
	if n := len(a.subjects.models); r.read == nil || cap(r.slab) != n {
		r.read, r.slab = make(map[*resilience.Model]*reading, n), make([]reading, 0, n)
	}
	clear(r.read)
	clear(r.slab)
	r.slab = r.slab[:0]
	return r
}

func (r *reader) of(m *resilience.Model) *reading {
	if got := r.read[m]; got != nil {
		return got
	}
	var got *reading
	if n := len(r.slab); n < cap(r.slab) {
		r.slab = r.slab[:n+1]
		got = &r.slab[n]
	} else {
		got = new(reading)
	}
	got.track = r.a.tracks.Of(m)
	r.read[m] = got
	return got
}

func (r *reader) track(m *resilience.Model) *track { return r.of(m).track }

// stats returns m's statistics.
func (r *reader) stats(m *resilience.Model, window time.Duration) resilience.CallStats {
	got := r.of(m)
	for i := range got.n {
		if got.windows[i] == window {
			return got.stats[i]
		}
	}
	c := m.Stats(window)
	if got.n < len(got.windows) {
		got.windows[got.n], got.stats[got.n] = window, c
		got.n++
	}
	return c
}

// within reports whether an instant lies in a rule's window.
func (r *reader) within(at int64, rule *rule) bool {
	return at != 0 && at > int64(r.now-rule.Window)
}

// judge looks at m, once.
func (r *reader) judge(m *resilience.Model) *reading {
	got := r.of(m)
	if got.judged {
		return got
	}
	got.judged = true
	got.row, got.known = float64(got.track.row.Load()), got.track.seen.Load()
	if got.row > 0 {
		got.began = time.Duration(got.track.began.Load())
	}
	if p, asked := m.Probed(); asked {
		switch {
		case p.Err == nil && int64(p.At) > got.track.failed.Load():
			got.row, got.well = 0, true
		case p.Err == nil || ownKind(p.Err):
		case got.row > 0 && int64(p.At) > got.track.began.Load():
			got.row += float64(p.Row)
		case got.row == 0 && !answers(m):
			got.row = float64(p.Row)
		}
		got.known = true
	}
	if m.Available() {
		got.down = got.row >= lostRow
		return got
	}
	_, got.out = m.HeldSince(resilience.HoldManual)
	got.down = got.row >= lostRow
	for _, by := range [...]resilience.HoldBy{resilience.HoldHealth, resilience.HoldBreaker, resilience.HoldQuota, resilience.HoldCredential, resilience.HoldRecovery} {
		_, held := m.HeldSince(by)
		got.down = got.down || held
	}
	return got
}

// answers reports whether m does to calls, which say more than probes.
func answers(m *resilience.Model) bool {
	c := m.Stats(time.Minute)
	return c.Calls > c.Failures+c.Throttled
}

// ownKind reports whether a probe failed for what says nothing of the model.
func ownKind(err error) bool {
	switch resilience.KindOf(err) {
	case resilience.RateLimited, resilience.Unauthorized, resilience.QuotaSpent, resilience.Canceled:
		return true
	default:
		return false
	}
}

// row returns how many attempts, or probes, of m failed in a row, and whether any is
// known of.
func (r *reader) row(m *resilience.Model) (float64, bool) {
	got := r.judge(m)
	return got.row, got.known && !got.out
}

// down returns the part of a subject's models that are.
func (r *reader) down(s Subject) (float64, bool) {
	var down, all int
	for _, m := range s.Models {
		switch got := r.judge(m); {
		case got.out:
		case got.down:
			down, all = down+1, all+1
		default:
			all++
		}
	}
	return float64(down) / float64(max(all, 1)), all > 0
}

// lasting is how long a key is held before it counts, where another is used
// meanwhile.
const lasting = 20 * time.Second

// keys counts a subject's keys that are held, and its models that are without keys.
func (r *reader) keys(s Subject, by resilience.HoldBy) (float64, bool) {
	n := 0
	var names map[string]bool
	for _, m := range s.Models {
		t := r.track(m)
		row, kind := t.refused.Load(), resilience.Unauthorized
		if by == resilience.HoldQuota {
			row, kind = t.spent.Load(), resilience.QuotaSpent
		}
		if p, _ := m.Probed(); r.judge(m).well {
			row = 0
		} else if resilience.KindOf(p.Err) == kind && (row > 0 && int64(p.At) > t.failed.Load() || p.Row >= twice && !answers(m)) {
			row = twice
		}
		held := false
		if t.keys.Load() {
			some := false
			for _, h := range m.Holds() {
				if h.Key == "" {
					continue
				}
				some = true
				if h.By != by || r.a.pool.At(r.now).Sub(h.Since) < lasting {
					continue
				}
				held = true
				if !names[h.Key] {
					if names == nil {
						names = map[string]bool{}
					}
					names[h.Key] = true
					n++
				}
			}
			if !some {
				t.keys.Store(false)
			}
		}
		if !held && row >= twice {
			n++
		}
	}
	return float64(n), true
}

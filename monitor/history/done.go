package history

import (
	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/window"
)

// counted is how many of a record's numbers are differences of totals: those from
// atKind on.
const counted = atInFlight - atKind

// done is how much of what a model or the pool has done is in records. What is new has
// done nothing.
type done struct {
	n    [counted]int64
	took [window.Buckets]uint32
}

// of takes in what has been done besides, and adds it to r. Totals that are read while
// attempts end may be short; what is missing comes with the next.
func (d *done) of(t *resilience.Totals, r *record) {
	now := [counted]int64{t.Calls}
	for k, n := range t.Failures {
		now[k] = n
		if k != resilience.Canceled {
			now[0] -= n
		}
	}
	u := &t.Usage
	for i, v := range [...]int64{u.Input, u.CachedInput, u.CacheWrite, u.Output, u.Reasoning, int64(t.Cost*1e9 + 0.5)} {
		now[kinds+i] = v
	}
	d.to(&now, r)
	for middle, n := range t.Took.All() {
		i := window.BucketOf(int64(middle))
		r.took.put(i, uint32(n)-d.took[i])
		d.took[i] = uint32(n)
	}
}

// to adds to r what is new in numbers.
func (d *done) to(now *[counted]int64, r *record) {
	for i, n := range now {
		r.n[atKind+i] += max(n-d.n[i], 0)
		d.n[i] = max(d.n[i], n)
	}
}

// calls adds to r the pool's calls. One that fails is counted a moment before it has
// ended.
func (h *History) calls(r *record) {
	now := [counted]int64{h.pool.Ended()}
	for k := range h.failed {
		n := h.failed[k].Load()
		now[k] += n
		now[0] -= n
	}
	h.done.to(&now, r)
}

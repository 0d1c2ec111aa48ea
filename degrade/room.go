package degrade

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A room is what all models of a pool together have place for, as it was a moment
// ago.
type room struct {
	seen [classes]atomic.Int64 // when each priority came last, to a second
	next atomic.Int64          // when to look again
	busy atomic.Int64          // attempts under way then, and calls let in since
	size atomic.Int64          // 0 if there is no bound
}

const (
	lookEvery = int64(10 * time.Millisecond)
	lookPer   = int64(10 * time.Microsecond) // and model
	seenFor   = int64(time.Minute)
	seenSharp = int64(time.Second)
)

// crowded reports whether a call has to leave what room there is to higher
// priorities.
func (r *room) crowded(p *resilience.Pool, now int64, class int, reserve float64) bool {
	if seen := r.seen[class].Load(); seen == 0 || now-seen > seenSharp {
		r.seen[class].Store(max(now, 1))
	}
	share := float64(int(resilience.High-resilience.Low) - class)
	if share <= 0 || !r.above(now) {
		if now < r.next.Load() {
			r.busy.Add(1)
		}
		return false
	}
	if next := r.next.Load(); now >= next && r.next.CompareAndSwap(next, math.MaxInt64) {
		r.next.Store(now + r.look(p))
	}
	size := r.size.Load()
	if size == 0 {
		return false
	}
	kept := min(int64(math.Ceil(reserve*float64(size)*share)), size-1) // nobody is kept out of what is empty
	if r.busy.Load() >= size-kept {
		return true
	}
	r.busy.Add(1)
	return false
}

// above reports whether high or critical calls have come lately.
func (r *room) above(now int64) bool {
	for i := classOf(resilience.High); i < classes; i++ {
		if seen := r.seen[i].Load(); seen != 0 && now-seen < seenFor {
			return true
		}
	}
	return false
}

// look counts, and returns how long that is good for.
func (r *room) look(p *resilience.Pool) (good int64) {
	var busy, size int64
	models := p.Models()
	good = max(lookEvery, lookPer*int64(len(models)))
	for _, m := range models {
		if !m.Available() {
			continue
		}
		n := m.Capacity()
		if n <= 0 && !m.Full() {
			r.size.Store(0)
			return good
		}
		busy += min(m.InFlight()+m.Queued(), n)
		size += n
	}
	r.busy.Store(busy)
	r.size.Store(size)
	return good
}

package balance

import (
	"container/list"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/internal/queue"
)

// A waiter is a call that waits for room.
type waiter struct {
	queue.Place // in its line
	permit
	priority resilience.Priority
	deadline int64  // of the call
	since    int64  // it waits
	until    int64  // and not longer
	number   uint64 // of those who wait

	line  *line
	ready chan struct{} // has a value when something has changed
	fate  fate
}

// fate is what has become of a waiter.
type fate uint8

const (
	waits fate = iota
	admitted
	evicted
	late
)

// nudge wakes w, without blocking.
func (w *waiter) nudge() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

const priorities = int(resilience.Critical-resilience.Low) + 1

// level returns the place of a priority among all, from the lowest.
func level(p resilience.Priority) int {
	return int(min(max(p, resilience.Low), resilience.Critical) - resilience.Low)
}

// waiters are the calls that wait for one model. Lines of a priority take turns.
type waiters struct {
	n     int
	last  uint64 // number given
	lines [priorities]struct {
		by   map[string]*line
		turn list.List // of *line
	}
}

// A line is what a tenant has waiting at one priority, a heap by deadline.
type line struct {
	tenant string
	level  int
	turn   *list.Element
	calls  queue.Queue[*waiter]
}

// Before implements [queue.Item].
func (w *waiter) Before(v *waiter) bool {
	if w.deadline != v.deadline {
		return w.deadline < v.deadline
	}
	return w.number < v.number
}

func (q *waiters) push(w *waiter) {
	at := level(w.priority)
	lines := &q.lines[at]
	l := lines.by[w.tenant]
	if l == nil {
		l = &line{tenant: w.tenant, level: at}
		l.turn = lines.turn.PushBack(l)
		if lines.by == nil {
			lines.by = map[string]*line{}
		}
		lines.by[w.tenant] = l
	}
	q.last++
	q.n++
	w.line, w.number = l, q.last
	l.calls.Put(w)
}

// remove takes w out. A line that was served is the last to be served again.
func (q *waiters) remove(w *waiter, served bool) {
	l := w.line
	lines := &q.lines[l.level]
	l.calls.Remove(w)
	q.n--
	switch {
	case len(l.calls) == 0:
		lines.turn.Remove(l.turn)
		delete(lines.by, l.tenant)
	case served && !mutants.On("limiter-one-tenant-takes-all"):
		lines.turn.MoveToBack(l.turn)
	}
}

// next returns the call that is to go next, of tenants that may, or nil.
func (q *waiters) next(may func(tenant string) bool) *waiter {
	for at := priorities - 1; q.n > 0 && at >= 0; at-- {
		for e := q.lines[at].turn.Front(); e != nil; e = e.Next() {
			if l := e.Value.(*line); may(l.tenant) {
				return l.calls[0]
			}
		}
	}
	return nil
}

// ahead counts the calls that go before another one of that priority and tenant.
func (q *waiters) ahead(p resilience.Priority, tenant string) (n int) {
	at := level(p)
	for i := at; i < priorities; i++ {
		own := q.lines[at].by[tenant].len()
		for e := q.lines[i].turn.Front(); e != nil; e = e.Next() {
			waiting := e.Value.(*line).len()
			if i == at {
				waiting = min(waiting, own+1)
			}
			n += waiting
		}
	}
	return n
}

// victim returns the call whose place one of that priority and tenant may take,
// or nil.
func (q *waiters) victim(p resilience.Priority, tenant string) *waiter {
	for at := range level(p) + 1 {
		lines := &q.lines[at]
		var longest *line
		for e := lines.turn.Front(); e != nil; e = e.Next() {
			if l := e.Value.(*line); longest == nil || len(l.calls) > len(longest.calls) {
				longest = l
			}
		}
		if longest == nil {
			continue
		}
		if own := lines.by[tenant]; at == level(p) && len(longest.calls) <= own.len()+1 {
			return nil
		}
		worst := longest.calls[0]
		for _, w := range longest.calls {
			if worst.Before(w) {
				worst = w
			}
		}
		return worst
	}
	return nil
}

// len counts them, of none too.
func (l *line) len() int {
	if l == nil {
		return 0
	}
	return len(l.calls)
}

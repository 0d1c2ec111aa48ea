package notify

import (
	"slices"
	"time"
)

// An outcome is waited for. A notification that takes the place of another takes
// over its outcome.
type outcome struct {
	done chan struct{}
	err  error
	gone error // why nobody does any more
}

func (e *outcome) close(err error) {
	e.err = err
	close(e.done)
}

// A letter is a notification that is to be delivered. Times are the pool's.
type letter struct {
	n        Notification
	ends     []*outcome
	taken    time.Duration
	due      time.Duration
	tries    int
	backoffs int  // of its group
	unheard  bool // the group is new, and nobody can have been told of it
	err      error
}

// place is where the letter of a group waits, or -1. The caller has l.mu.
func (l *lane) place(group string) int {
	return slices.IndexFunc(l.waiting, func(w *letter) bool { return w.n.Group == group })
}

// room reports whether a letter of a group may come: a group that waits already,
// or is being told of, has its room. The caller has l.mu.
func (l *lane) room(group string) bool {
	held := len(l.waiting)
	if l.out != nil {
		if l.out.n.Group == group {
			return true
		}
		if l.place(l.out.n.Group) < 0 {
			held++
		}
	}
	return held < l.o.config().Queue || l.place(group) >= 0
}

// take puts a notification into the lane.
func (l *lane) take(n Notification, now time.Duration) (*outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
		l.count.Refused++
		return nil, ErrStopped
	case !l.room(n.Group):
		l.count.Refused++
		return nil, ErrFull
	}
	l.count.Taken++
	end := &outcome{done: make(chan struct{})}
	fresh := &letter{n: n, ends: []*outcome{end}, taken: now, due: now, unheard: n.Reason == New}
	if i := l.place(n.Group); i >= 0 {
		old := l.waiting[i]
		l.waiting = slices.Delete(l.waiting, i, i+1)
		fresh = l.merge(old, fresh, now)
	}
	if fresh != nil {
		l.waiting = append(l.waiting, fresh)
	}
	l.stir()
	return end, nil
}

// leave is for who waits no longer: what nobody else wants is taken back. What is
// out is not cut, and end will say what came of it.
func (l *lane) leave(end *outcome, cause error, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end.gone = cause
	for i, t := range l.waiting {
		if t.desert() {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			l.end(t, Abandoned, cause, now)
			return
		}
	}
}

// desert lets those go who wait no longer, and reports whether nobody is left.
func (t *letter) desert() bool {
	t.ends = slices.DeleteFunc(t.ends, func(e *outcome) bool {
		if e.gone != nil {
			e.close(e.gone)
		}
		return e.gone != nil
	})
	return len(t.ends) == 0
}

// merge makes one of two letters of a group, or none if it has ended unheard. The
// caller has l.mu.
func (l *lane) merge(old, fresh *letter, now time.Duration) *letter {
	fresh.ends = append(fresh.ends, old.ends...)
	old.ends = nil
	fresh.unheard, fresh.backoffs, fresh.due = old.unheard, old.backoffs, max(fresh.due, old.due)
	if old.unheard && fresh.n.Reason == Resolved {
		l.end(old, Moot, nil, now)
		l.end(fresh, Moot, nil, now)
		return nil
	}
	l.end(old, Replaced, old.err, now)
	return fresh
}

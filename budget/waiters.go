package budget

import "slices"

// A waiter is a call that waits for what others have reserved.
type waiter struct {
	ticket  uint64 // of those who came earlier is less
	account *account
	ready   chan struct{} // has a value when something has changed
}

// nudge makes w look again, without blocking.
func (w *waiter) nudge() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// queueAt makes w wait at a, in the order of tickets, and no longer elsewhere. It
// reports false if too many do already.
func (w *waiter) queueAt(a *account, most int) bool {
	w.leave()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) >= most {
		return false
	}
	i, _ := slices.BinarySearchFunc(a.queue, w.ticket, func(v *waiter, ticket uint64) int {
		if v.ticket < ticket {
			return -1
		}
		return 1
	})
	a.queue = slices.Insert(a.queue, i, w)
	a.waiting.Add(1)
	w.account = a
	return true
}

// leave makes w wait nowhere, and the first of those who go on waiting look.
func (w *waiter) leave() {
	a := w.account
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.queue, w); i >= 0 {
		a.queue = slices.Delete(a.queue, i, i+1)
		a.waiting.Add(-1)
	}
	w.account = nil
	a.first()
}

// wake makes the first who waits look whether there is room.
func (a *account) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first()
}

func (a *account) first() {
	if len(a.queue) > 0 {
		a.queue[0].nudge()
	}
}

// ahead reports whether somebody waits here who came before w; one
// without a ticket is the latest.
func (a *account) ahead(w *waiter) bool {
	if a.waiting.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.queue) > 0 && a.queue[0] != w && (w.ticket == 0 || a.queue[0].ticket < w.ticket)
}

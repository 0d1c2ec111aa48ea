package recovery

import (
	"slices"
	"time"
)

// Before implements [queue.Item].
func (i *incident) Before(o *incident) bool { return i.at < o.at }

// place puts i, which may be nil, where it belongs: into the queue, or in line for an
// attempt.
func (k *keeper) place(i *incident) {
	if i == nil {
		return
	}
	at := i.next()
	ready := i.phase == held && at <= k.now
	if ready && !i.ready {
		k.ready = append(k.ready, i)
	}
	if i.ready = ready; ready {
		k.queue.Remove(i)
		return
	}
	if i.at = at; at <= k.now { // it waits for somebody, who wakes
		i.at = k.now + time.Second
	}
	k.queue.Put(i)
}

// busy counts the attempts under way. One that hangs keeps nobody else.
func (k *keeper) busy() int {
	k.under = slices.DeleteFunc(k.under, func(i *incident) bool {
		return i.phase != probing || i.ends <= k.now || k.of[i.model] != i
	})
	return len(k.under)
}

// first takes who is first in line, or nil.
func (k *keeper) first() *incident {
	for len(k.ready) > 0 {
		i := k.ready[0]
		k.ready[0] = nil
		k.ready = k.ready[1:]
		if i.ready && k.of[i.model] == i {
			i.ready = false
			return i
		}
	}
	return nil
}

// wait is how long there is nothing to do, unless something happens.
func (k *keeper) wait() time.Duration {
	const nothing = time.Hour
	if len(k.queue) == 0 {
		return nothing
	}
	return min(max(k.queue[0].at-k.pool.Now(), 0), nothing)
}

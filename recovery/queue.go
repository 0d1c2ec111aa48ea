package recovery

import (
	"container/heap"
	"slices"
	"time"
)

// A queue is a heap of incidents by when there is something to do.
type queue []*incident

// Len implements [heap.Interface].
func (q *queue) Len() int { return len(*q) }

// Less implements [heap.Interface].
func (q *queue) Less(i, j int) bool { return (*q)[i].at < (*q)[j].at }

// Swap implements [heap.Interface].
func (q *queue) Swap(i, j int) {
	l := *q
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	i := x.(*incident)
	i.place = len(*q)
	*q = append(*q, i)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	old := *q
	i := old[len(old)-1]
	i.place = nowhere
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return i
}

const nowhere = -1 // in the queue

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
		k.remove(i)
		return
	}
	if i.at = at; at <= k.now { // it waits for somebody, who wakes
		i.at = k.now + time.Second
	}
	if i.place == nowhere {
		heap.Push(&k.queue, i)
	} else {
		heap.Fix(&k.queue, i.place)
	}
}

func (k *keeper) remove(i *incident) {
	if i.place != nowhere {
		heap.Remove(&k.queue, i.place)
	}
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

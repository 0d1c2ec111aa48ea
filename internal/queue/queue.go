// Package queue is a heap whose items know their place in it.
package queue

// A Queue has the item that goes before all others at 0.
type Queue[T Item[T]] []T

// An Item embeds a [Place], and is in one queue at a time.
type Item[T any] interface {
	Before(other T) bool
	place() *Place
}

// A Place is an item's in its queue, from 1, or 0 outside of any.
type Place int

func (p *Place) place() *Place { return p }

// Put puts x where it belongs, whether it is new or has changed.
func (q *Queue[T]) Put(x T) {
	place := x.place()
	if *place == 0 {
		*q = append(*q, x)
		*place = Place(len(*q))
	}
	l, i := *q, int(*place)-1
	for i > 0 && x.Before(l[(i-1)/2]) {
		l[i] = l[(i-1)/2]
		*l[i].place() = Place(i + 1)
		i = (i - 1) / 2
	}
	for next := 2*i + 1; next < len(l); next = 2*i + 1 {
		if next+1 < len(l) && l[next+1].Before(l[next]) {
			next++
		}
		if !l[next].Before(x) {
			break
		}
		l[i] = l[next]
		*l[i].place() = Place(i + 1)
		i = next
	}
	l[i], *place = x, Place(i+1)
}

// Remove takes x out, if it is in.
func (q *Queue[T]) Remove(x T) {
	place, end := x.place(), len(*q)-1
	if *place == 0 {
		return
	}
	last := (*q)[end]
	clear((*q)[end:])
	*q = (*q)[:end]
	if int(*place) <= end {
		*last.place() = *place
		q.Put(last)
	}
	*place = 0
}

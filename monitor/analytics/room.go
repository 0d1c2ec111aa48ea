package analytics

import (
	"math"
	"time"
)

// A Load is how much is asked for.
type Load struct {
	PerSecond float64       // calls
	Took      time.Duration // each, in the mean
}

// Erlangs is how many calls are under way in the mean, by Little's law.
// What is below 0 counts as 0, and what is not a number as a load without an end.
func (l Load) Erlangs() float64 {
	a := max(l.PerSecond, 0) * max(l.Took, 0).Seconds()
	if math.IsNaN(a) {
		return math.Inf(1)
	}
	return a
}

// A Room is what a load meets where so many calls may be under way at once, by Erlang's
// formula for calls that come at random and wait for each other (M/M/c). Answers of
// models vary less than it takes them to; then waits are shorter, down to a half.
type Room struct {
	Servers int
	Busy    float64       // part of the room in use; above 1 the queue grows for ever
	Waits   float64       // part of the calls that wait
	Wait    time.Duration // of all calls, in the mean; the longest duration where the queue grows
	Queue   float64       // calls that wait, in the mean
}

// forever is a wait without an end.
const forever = time.Duration(math.MaxInt64)

// RoomFor returns what l meets in a room for servers calls.
func RoomFor(l Load, servers int) Room {
	a, c := l.Erlangs(), float64(max(servers, 0))
	r := Room{Servers: max(servers, 0), Busy: a / c}
	switch {
	case a == 0:
		r.Busy = 0
		return r
	case a >= c:
		r.Waits, r.Wait, r.Queue = 1, forever, math.Inf(1)
		return r
	}
	b := 1. // Erlang's B, by a recursion that neither overflows nor loses digits
	for n := 1.; n <= c && b > 0; n++ {
		b = a * b / (n + a*b)
	}
	r.Waits = b / (1 - r.Busy*(1-b))
	r.Queue = r.Waits * r.Busy / (1 - r.Busy)
	r.Wait = forever
	if wait := r.Waits / (c - a) * float64(l.Took); wait < float64(forever) {
		r.Wait = time.Duration(wait)
	}
	return r
}

// maxServers bounds the search for room.
const maxServers = 1 << 20

// RoomThatKeeps returns the smallest room in which l waits for no longer than wait in the
// mean, and false if that has more than a million places.
func RoomThatKeeps(l Load, wait time.Duration) (Room, bool) {
	a := l.Erlangs()
	if !(a < maxServers) {
		return Room{}, false
	}
	if a == 0 {
		return RoomFor(l, 0), true
	}
	b, c := 1., 0.
	for {
		c++
		if b = a * b / (c + a*b); c <= a {
			continue
		}
		waits := b / (1 - a/c*(1-b))
		if waits/(c-a)*float64(l.Took) <= float64(max(wait, 0)) || waits == 0 {
			return RoomFor(l, int(c)), true
		}
		if c >= maxServers {
			return Room{}, false
		}
	}
}

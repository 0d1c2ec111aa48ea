// Package window keeps rolling statistics of a model's calls: [Counts],
// a latency [Histogram] and a peak [EWMA]. Every method may be called from any
// number of goroutines, takes no lock, never waits and never reads a clock.
//
// An instant is a number of nanoseconds, 0 or more, on one monotonic clock that
// the caller reads. Writers may be a little late; a reader's instant decides
// what it sees.
//
// Rings are recycled without a moment at which old counts could show. Each
// word of a ring holds the lap, the number of times that the clock has been
// round the ring, beside the count, and one compare-and-swap changes both. A
// reader takes a word for empty unless its lap is the one it asks for.
package window

import (
	"math"
	"math/bits"
	"sync/atomic"
)

const minBucket = 1_000_000 // 1 ms; keeps 19 bits or more for the count

// Counts is a ring of time buckets with several counters each.
//
// An Add that has returned is in each later Sum whose window reaches back to
// its bucket, exactly once, also when it raced with others to be the first in a
// recycled bucket. The exception is an Add so late that another, a whole ring
// ahead of it, has taken its bucket: it is dropped, having left every window.
//
// A Sum does not stop writers. It reads the counters in the order given, so
// where writers add to the whole before the part, with one instant, and readers
// ask for the part before the whole, the part is never the larger, unless Begin
// comes between the two Adds.
//
// A counter stops at its limit instead of overflowing: 2^38−1 a bucket with 30
// buckets of 10 s, 2^35−1 with 10 of 3 s, 2^19−1 at the least.
type Counts struct {
	bucket   int64
	buckets  int64
	counters int64
	mask     int64 // ring size − 1; the ring is a power of two
	lapShift uint  // of a bucket's number
	tagAt    uint  // where the lap stands in a cell

	left  []atomic.Int64 // by counter: what has left the ring; nil if nobody wants to know
	since atomic.Int64   // the instant of the last Begin
	skip  atomic.Int64   // laps skipped by Begin
	cells []atomic.Uint64
}

// NewCounts makes a ring of buckets, each bucket nanoseconds long, with so many
// counters. A length below 1 ms is taken as 1 ms, a number below 1 as 1. The
// ring takes 8 bytes a counter and bucket, with the buckets rounded up to a
// power of two.
func NewCounts(bucket int64, buckets, counters int) *Counts {
	c := &Counts{bucket: max(bucket, minBucket), buckets: int64(max(buckets, 1)), counters: int64(max(counters, 1))}
	c.lapShift = uint(bits.Len64(uint64(c.buckets - 1)))
	c.mask = 1<<c.lapShift - 1
	// Wide enough for the lap of the last instant that an int64 holds, and as
	// many laps again (four million at the least) for Begin to skip.
	lap := bits.Len64(uint64(math.MaxInt64/c.bucket) >> c.lapShift)
	c.tagAt = uint(64 - max(lap+1, 24))
	c.cells = make([]atomic.Uint64, (c.mask+1)*c.counters)
	return c
}

// Keep has Totals know of all that is added from now on. It is called before the
// first Add.
func (c *Counts) Keep() { c.left = make([]atomic.Int64, c.counters) }

// Totals returns all that was ever added to each counter, but for what a bucket had
// no room for, or nil without [Counts.Keep]. It takes 8 bytes a counter. While a
// bucket is recycled, what it held may be missing; it is never there twice.
func (c *Counts) Totals() []int64 {
	if c.left == nil {
		return nil
	}
	sums := make([]int64, c.counters)
	for i := range sums {
		sums[i] = c.left[i].Load() // before the ring: what leaves it meanwhile is missing
	}
	for i := range c.cells {
		sums[int64(i)%c.counters] += int64(c.cells[i].Load() & (1<<c.tagAt - 1))
	}
	return sums
}

// Add adds n to a counter. An n below 1 adds nothing. It panics if there is no
// such counter.
func (c *Counts) Add(now int64, counter int, n int64) {
	if n <= 0 || now < c.since.Load() {
		return
	}
	number := now / c.bucket
	cell := &c.row(number)[counter]
	left := add(cell, c.lap(number), c.tagAt, 0, 1<<c.tagAt-1, uint64(n))
	if left > 0 && c.left != nil {
		c.left[counter].Add(int64(left))
	}
}

// Sum returns what was added to each of the counters within the window that
// ends at now, in the order given. It counts whole buckets, the current one and
// those before it, as many as cover the window and at most all: never anything
// older than the window, and up to one bucket's length less. A window below 1
// is empty.
func (c *Counts) Sum(now, window int64, counters ...int) []int64 {
	sums := make([]int64, len(counters)) // inlined: on the caller's stack
	c.sum(sums, now, window, counters)
	return sums
}

func (c *Counts) sum(sums []int64, now, window int64, counters []int) {
	n := window / c.bucket
	if n*c.bucket < window {
		n++
	}
	last := now / c.bucket
	for number := max(last-min(n, c.buckets)+1, 0); number <= last; number++ {
		row, lap := c.row(number), c.lap(number)
		for i, counter := range counters {
			sums[i] += int64(get(&row[counter], lap, c.tagAt))
		}
	}
}

// Begin starts the window anew at now: all that was added before is invisible
// to every Sum that starts after Begin returns, and does not come back. An Add
// that runs meanwhile lands on either side; one that comes later with an
// instant before now is dropped. Concurrent Begins act as one, at the instant of
// any of them. There is room for four million Begins.
func (c *Counts) Begin(now int64) {
	c.since.Store(now)
	// With two laps skipped, a bucket filled before is out of every window even
	// if its writer's clock reading was a whole ring ahead of the reader's.
	c.skip.Add(2)
}

func (c *Counts) row(number int64) []atomic.Uint64 {
	return c.cells[(number&c.mask)*c.counters:][:c.counters]
}

func (c *Counts) lap(number int64) uint64 {
	return uint64(number>>c.lapShift + c.skip.Load())
}

// add adds n to the field of cell that starts at bit at, up to limit. A cell of
// an earlier lap is emptied by the same swap, and one of a later lap stays. It
// returns the fields of what the cell did not keep: what it held, or n.
func add(cell *atomic.Uint64, lap uint64, tagAt, at uint, limit, n uint64) (left uint64) {
	for {
		old := cell.Load()
		next := old
		left = 0
		if tag := old >> tagAt; tag > lap {
			return n << at
		} else if tag < lap {
			next, left = lap<<tagAt, old&(1<<tagAt-1)
		}
		next += min(n, limit-next>>at&limit) << at
		if cell.CompareAndSwap(old, next) {
			return left
		}
	}
}

// get returns the fields of a cell, all 0 if it is of another lap.
func get(cell *atomic.Uint64, lap uint64, tagAt uint) uint64 {
	v := cell.Load()
	if v>>tagAt != lap {
		return 0
	}
	return v & (1<<tagAt - 1)
}

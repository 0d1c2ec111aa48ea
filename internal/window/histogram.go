package window

import (
	"iter"
	"math/bits"
	"sync/atomic"
)

const (
	slot     = 60_000_000_000 // ns
	slots    = 6              // five minutes and the one that has begun
	subBits  = 3              // 8 buckets an octave
	baseBits = 17             // octaves begin at 2^(baseBits+subBits) ns
	nBuckets = Buckets
	octave   = 1 << subBits // buckets
	octaves  = (nBuckets + octave - 1) / octave
	countMax = 1<<20 - 1
	tagAt    = 40 // two counts of 20 bits, then the lap
)

// Buckets is how many buckets a [Histogram] has.
const Buckets = 170

// Histogram counts durations in nanoseconds, in slots of one minute, to tell
// the quantiles of the last five. The zero value is ready to use.
//
// Buckets are log-linear: 8 equal ones in each octave from 2^20 ns (1.05 ms) to
// 20.6 min, so that each is between 1/15 and 1/8 of its values wide, 9 % on
// average; below are 8 of 131 µs each, above is one. A quantile lies in the
// bucket of the sample of that rank and is interpolated in it: from 1.05 ms
// to 20.6 min it is off by less than 12.5 %, on lognormal data by less than 2 %;
// below, by less than 131 µs; above, it reads 20.6 min.
//
// A bucket stops at 2^20−1 samples a minute. A sample is counted once, in the
// slot of its own instant, or dropped if the slot has been taken by a later lap
// six minutes or more ahead. Readers do not stop writers: a sample added
// meanwhile may be counted or not. Instants reach to 191 years.
//
// It takes 184 bytes, and 192 for each octave in which there ever was a sample.
type Histogram struct {
	cells [octaves]atomic.Pointer[cells]
	left  *Tally // what has left the slots; nil if nobody wants to know
}

// cells are those of an octave: a slot's four pairs of buckets, and so on.
type cells [slots][octave / 2]atomic.Uint64

// Keep has Totals know of all that is added from now on. It is called before the
// first Add.
func (h *Histogram) Keep() { h.left = new(Tally) }

// Totals returns how many samples each bucket ever had, but for what a slot had no
// room for; all 0 without [Histogram.Keep]. It takes a [Tally]. While a slot is
// recycled, what it held may be missing; it is never there twice.
func (h *Histogram) Totals() (counts [Buckets]int64) {
	if h.left == nil {
		return counts
	}
	counts = h.left.Counts() // before the slots: what leaves them meanwhile is missing
	for first, own := range h.kept() {
		for slot := range own {
			for i := range min(octave, Buckets-first) / 2 {
				even, odd := pair(own[slot][i].Load())
				counts[first+2*i] += even
				counts[first+2*i+1] += odd
			}
		}
	}
	return counts
}

// kept are the octaves that have cells, each with its first bucket.
func (h *Histogram) kept() iter.Seq2[int, *cells] {
	return func(yield func(int, *cells) bool) {
		for o := range h.cells {
			if own := h.cells[o].Load(); own != nil && !yield(o*octave, own) {
				return
			}
		}
	}
}

func pair(cell uint64) (even, odd int64) {
	return int64(cell & countMax), int64(cell >> fieldAt(1) & countMax)
}

// Add counts a sample. A negative d counts as 0.
func (h *Histogram) Add(now, d int64) {
	number, i := uint64(now)/slot, BucketOf(d)
	own := grown(&h.cells[i/octave])
	left := add(&own[number%slots][i%octave/2], number/slots, tagAt, fieldAt(i), countMax, 1)
	if left > 0 && h.left != nil {
		even, odd := pair(left)
		h.left.add(i&^1, even)
		h.left.add(i|1, odd)
	}
}

// Count returns how many samples Quantiles would take.
func (h *Histogram) Count(now, window int64) int64 {
	var counts [nBuckets]int64
	return h.merge(&counts, now, window)
}

// Quantiles returns, for each q, the duration that a share q of the samples
// does not exceed: 0 if there are none. A q outside 0 to 1 is taken as the
// nearer of the two. It takes the samples of the window that ends at now, and
// those up to one minute older that share a slot with them. A window beyond
// five minutes is taken as five.
func (h *Histogram) Quantiles(now, window int64, qs ...float64) []int64 {
	ds := make([]int64, len(qs)) // inlined: on the caller's stack
	h.quantiles(ds, now, window, qs)
	return ds
}

func (h *Histogram) quantiles(ds []int64, now, window int64, qs []float64) {
	var counts [nBuckets]int64
	n := h.merge(&counts, now, window)
	if n == 0 {
		return
	}
	for i, q := range qs {
		rank := min(max(q, 0), 1) * float64(n)
		below := 0.0
		for b, count := range counts {
			if count > 0 && below+float64(count) >= rank {
				low, high := Bounds(b)
				ds[i] = low + int64((rank-below)/float64(count)*float64(high-low))
				break
			}
			below += float64(count)
		}
	}
}

func (h *Histogram) merge(counts *[nBuckets]int64, now, window int64) (n int64) {
	last := now / slot
	for first, own := range h.kept() {
		for number := max((now-max(window, 0))/slot, last-slots+1, 0); number <= last; number++ {
			of := &own[number%slots]
			for i := range min(octave, Buckets-first) / 2 {
				even, odd := pair(get(&of[i], uint64(number)/slots, tagAt))
				counts[first+2*i] += even
				counts[first+2*i+1] += odd
				n += even + odd
			}
		}
	}
	return n
}

func fieldAt(bucket int) uint { return uint(bucket%2) * 20 }

// BucketOf returns the bucket of a duration. It keeps the first four binary digits,
// and from 2^20 ns down those above 2^17.
func BucketOf(d int64) int {
	d = max(d, 0)
	shift := max(bits.Len64(uint64(d))-subBits-1, baseBits)
	return min((shift-baseBits)<<subBits+int(d>>shift), nBuckets-1)
}

// Middle returns the middle of a bucket.
func Middle(bucket int) int64 {
	low, high := Bounds(bucket)
	return (low + high) / 2
}

// Bounds returns the first duration of a bucket and the first beyond it. The
// last bucket has no end; its bounds are equal.
func Bounds(bucket int) (low, high int64) {
	octave := max(bucket>>subBits-1, 0)
	low = int64(bucket-octave<<subBits) << (octave + baseBits)
	if bucket == nBuckets-1 {
		return low, low
	}
	return low, low + 1<<(octave+baseBits)
}

package window

import "sync/atomic"

// A Tally counts durations for good, in the buckets of a [Histogram]. The zero value is
// ready to use. It takes 176 bytes, and 64 for each octave in which there is one.
type Tally struct {
	counts [octaves]atomic.Pointer[[octave]atomic.Int64]
}

// Add counts a duration. A negative d counts as 0.
func (t *Tally) Add(d int64) { t.add(BucketOf(d), 1) }

func (t *Tally) add(bucket int, n int64) {
	if n != 0 {
		grown(&t.counts[bucket/octave])[bucket%octave].Add(n)
	}
}

// Counts returns how many durations each bucket has.
func (t *Tally) Counts() (counts [Buckets]int64) {
	for o := range t.counts {
		if own := t.counts[o].Load(); own != nil {
			for i := range min(octave, Buckets-o*octave) {
				counts[o*octave+i] = own[i].Load()
			}
		}
	}
	return counts
}

// Raise makes each count of either as large as the other's. Raises must not run at the
// same time as anything else that changes t.
func (t *Tally) Raise(counts *[Buckets]int64) {
	for i, n := range t.Counts() {
		t.add(i, max(counts[i]-n, 0))
		counts[i] = max(counts[i], n)
	}
}

// grown returns what p points to, which is made if there is none.
func grown[T any](p *atomic.Pointer[T]) *T {
	if v := p.Load(); v != nil {
		return v
	}
	p.CompareAndSwap(nil, new(T))
	return p.Load()
}

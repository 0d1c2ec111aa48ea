package history

import (
	"time"

	"github.com/cmmv-hive/resilience/internal/window"
)

// A spread counts times by their length, in the buckets of a
// [resilience.Distribution], but in a third of its room and so that it can be written.
// Spreads add up.
type spread struct {
	lo, hi int // of buckets that may hold something; empty if hi is lo
	counts [window.Buckets]uint32
}

func (s *spread) put(bucket int, n uint32) {
	if n == 0 {
		return
	}
	if s.hi == s.lo {
		s.lo, s.hi = bucket, bucket+1
	}
	s.lo, s.hi = min(s.lo, bucket), max(s.hi, bucket+1)
	s.counts[bucket] += min(n, ^uint32(0)-s.counts[bucket])
}

func (s *spread) add(o *spread) {
	for i := o.lo; i < o.hi; i++ {
		s.put(i, o.counts[i])
	}
}

func (s *spread) reset() {
	clear(s.counts[s.lo:s.hi])
	s.lo, s.hi = 0, 0
}

func (s *spread) total() (n int64) {
	for _, c := range s.counts[s.lo:s.hi] {
		n += int64(c)
	}
	return n
}

// quantiles returns the times that so large parts of all do not exceed, in
// ascending order of the parts; zeros of none.
func (s *spread) quantiles(parts ...float64) []time.Duration {
	out := make([]time.Duration, len(parts))
	total := s.total()
	if total == 0 {
		return out
	}
	i, below := s.lo, int64(0)
	for k, q := range parts {
		rank := q * float64(total-1)
		for i < s.hi-1 && float64(below+int64(s.counts[i])) <= rank {
			below += int64(s.counts[i])
			i++
		}
		inside := (rank - float64(below) + 0.5) / float64(max(s.counts[i], 1))
		from, to := window.Bounds(i)
		out[k] = time.Duration(float64(from) + min(max(inside, 0), 1)*float64(to-from))
	}
	return out
}

func (s *spread) write(w *writer) {
	w.number(int64(s.hi - s.lo))
	if s.hi == s.lo {
		return
	}
	w.number(int64(s.lo))
	for _, c := range s.counts[s.lo:s.hi] {
		w.number(int64(c))
	}
}

func (s *spread) read(r *reader) {
	s.reset()
	n := r.number()
	if n == 0 {
		return
	}
	lo := r.number()
	if n > window.Buckets || lo > window.Buckets-n {
		r.err = errMalformed
		return
	}
	s.lo, s.hi = int(lo), int(lo+n)
	for i := s.lo; i < s.hi && r.err == nil; i++ {
		c := r.number()
		if c > 1<<32-1 {
			r.err = errMalformed
		}
		s.counts[i] = uint32(c)
	}
}

package history

import (
	"errors"
	"math/bits"
)

// Numbers are written as their length and their digits (Elias's delta code), so that
// a zero takes one bit and a million 28.

// writer appends bits to bytes, the highest first.
type writer struct {
	data []byte
	free uint // bits of the last byte
}

func (w *writer) bits(v uint64, n int) {
	for n > 0 {
		if w.free == 0 {
			w.data = append(w.data, 0)
			w.free = 8
		}
		take := min(n, int(w.free))
		n -= take
		w.free -= uint(take)
		w.data[len(w.data)-1] |= byte(v>>n&(1<<take-1)) << w.free
	}
}

func (w *writer) bool(b bool) {
	if b {
		w.bits(1, 1)
		return
	}
	w.bits(0, 1)
}

// number writes v, which is not negative.
func (w *writer) number(v int64) {
	u := uint64(v) + 1
	length := bits.Len64(u)
	w.bits(uint64(length), 2*bits.Len(uint(length))-1)
	w.bits(u, length-1)
}

// signed writes v, near zero in few bits.
func (w *writer) signed(v int64) { w.number(int64(uint64(v)<<1 ^ uint64(v>>63))) }

var errMalformed = errors.New("is malformed")

// reader reads what a writer has written. What is wrong is in err.
type reader struct {
	data []byte
	at   int // bit
	err  error
}

func (r *reader) bits(n int) (v uint64) {
	if r.at+n > 8*len(r.data) {
		r.at, r.err = 8*len(r.data), errMalformed
		return 0
	}
	for n > 0 {
		have := 8 - r.at%8
		take := min(n, have)
		v = v<<take | uint64(r.data[r.at/8])>>(have-take)&(1<<take-1)
		r.at += take
		n -= take
	}
	return v
}

func (r *reader) bool() bool { return r.bits(1) != 0 }

func (r *reader) number() int64 {
	zeros := 0
	for r.err == nil && r.bits(1) == 0 {
		zeros++
	}
	if zeros > 5 {
		r.err = errMalformed
	}
	if r.err != nil {
		return 0
	}
	length := int(1<<zeros | r.bits(zeros))
	if length == 0 || length > 63 {
		r.err = errMalformed
		return 0
	}
	return int64(1<<(length-1)|r.bits(length-1)) - 1
}

func (r *reader) signed() int64 {
	u := uint64(r.number())
	return int64(u>>1) ^ -int64(u&1)
}

// align goes on to the next whole byte, which the writer does by starting anew.
func (r *reader) align() { r.at = (r.at + 7) / 8 * 8 }

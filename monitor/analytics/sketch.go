// Package analytics has the statistics that monitoring needs: quantiles of many
// values in little memory ([Sketch]), trends ([FindTrend]), small counts of errors
// ([SPRT]), forecasts with intervals ([Predict]), the failures that announce themselves
// ([Predictor]), and how much room a load needs ([Room]).
//
// Nothing here reads a clock or knows of models: callers say what there was, and when.
// No type is safe for concurrent use. Values that are not numbers are left out; that
// includes infinities.
package analytics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	parts   = 32  // of an octave
	octaves = 31  // from 2^lowest
	lowest  = -14 // 61 millionths
	cells   = parts * octaves
)

// A Sketch tells quantiles of values between 2^-14 and 2^17: of seconds, from 61 µs to
// 36 hours. Each octave has 32 equal cells, so a quantile is off by 1.6 % at most: it is
// the middle of the cell that has the value of that rank. Smaller values, and those below
// zero, are told as 0, larger ones as 2^17. The count is exact, and the sum but for
// rounding. What is full stops: a cell at 4.29 billions, the count and the sum at the
// largest number of their type.
//
// The zero Sketch is empty. It takes 4,000 bytes.
type Sketch struct {
	cells [cells]uint32
	under uint32
	over  uint32
	count uint64
	sum   float64
}

// Add takes in a value.
func (s *Sketch) Add(v float64) { s.AddN(v, 1) }

// AddN takes in a value n times.
func (s *Sketch) AddN(v float64, n uint32) {
	if math.IsNaN(v) || math.IsInf(v, 0) || n == 0 {
		return
	}
	s.count += min(uint64(n), math.MaxUint64-s.count)
	s.sum = finite(s.sum + v*float64(n))
	cell := s.cell(v)
	*cell += min(n, math.MaxUint32-*cell)
}

// finite stops at the largest number instead of overflowing.
func finite(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.Copysign(math.MaxFloat64, v)
	}
	return v
}

// cell keeps of v the exponent and five binary digits.
func (s *Sketch) cell(v float64) *uint32 {
	const least = (1023 + lowest) * parts
	switch at := int(int64(math.Float64bits(max(v, 0))) >> (52 - 5)); {
	case at < least:
		return &s.under
	case at >= least+cells:
		return &s.over
	default:
		return &s.cells[at-least]
	}
}

// middle is the middle of a cell.
func middle(cell int) float64 {
	octave, part := cell/parts, cell%parts
	return math.Ldexp(1+(float64(part)+.5)/parts, lowest+octave)
}

// Count returns how many values there are.
func (s *Sketch) Count() uint64 { return s.count }

// Sum returns what they add up to.
func (s *Sketch) Sum() float64 { return s.sum }

// Mean returns their mean, 0 if there are none.
func (s *Sketch) Mean() float64 {
	if s.count == 0 {
		return 0
	}
	return s.sum / float64(s.count)
}

// Quantile returns the value that a share q of them does not exceed, 0 if there are
// none. A q outside of 0 to 1 is taken for the nearer one.
func (s *Sketch) Quantile(q float64) float64 {
	kept := s.kept()
	if kept == 0 || math.IsNaN(q) {
		return 0
	}
	rank := max(uint64(math.Ceil(min(max(q, 0), 1)*float64(kept))), 1)
	if rank <= uint64(s.under) {
		return 0
	}
	before := uint64(s.under)
	for i, n := range s.cells {
		if before += uint64(n); before >= rank {
			return middle(i)
		}
	}
	return math.Ldexp(1, lowest+octaves)
}

// kept is how many values the cells have: less than the count where one is full.
func (s *Sketch) kept() uint64 {
	kept := uint64(s.under) + uint64(s.over)
	for _, n := range s.cells {
		kept += uint64(n)
	}
	return kept
}

// Merge adds what is in other.
func (s *Sketch) Merge(other *Sketch) {
	for i, n := range other.cells {
		s.cells[i] += min(n, math.MaxUint32-s.cells[i])
	}
	s.under += min(other.under, math.MaxUint32-s.under)
	s.over += min(other.over, math.MaxUint32-s.over)
	s.count += min(other.count, math.MaxUint64-s.count)
	s.sum = finite(s.sum + other.sum)
}

// Sub takes away what is in other, which must have been merged or be a part of what was
// added. What is not there is not taken away.
func (s *Sketch) Sub(other *Sketch) {
	for i, n := range other.cells {
		s.cells[i] -= min(n, s.cells[i])
	}
	s.under -= min(other.under, s.under)
	s.over -= min(other.over, s.over)
	s.count = max(s.count-min(other.count, s.count), s.kept())
	if s.sum = finite(s.sum - other.sum); s.count == 0 {
		s.sum = 0
	}
}

// version is that of the encoding.
const version = 1

// MarshalBinary implements [encoding.BinaryMarshaler]: two bytes or more for each cell
// that is not empty.
func (s *Sketch) MarshalBinary() ([]byte, error) {
	b := []byte{version}
	b = binary.AppendUvarint(b, s.count)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(s.sum))
	b = binary.AppendUvarint(b, uint64(s.under))
	b = binary.AppendUvarint(b, uint64(s.over))
	last := -1
	for i, n := range s.cells {
		if n > 0 {
			b = binary.AppendUvarint(b, uint64(i-last))
			b = binary.AppendUvarint(b, uint64(n))
			last = i
		}
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)), nil
}

// UnmarshalBinary implements [encoding.BinaryUnmarshaler]. It refuses whatever
// MarshalBinary did not write, and leaves s as it is then.
func (s *Sketch) UnmarshalBinary(data []byte) error {
	if len(data) < 5 || data[0] != version {
		return errors.New("sketch: not of this version")
	}
	body := data[:len(data)-4]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(data[len(body):]) {
		return errors.New("sketch: damaged: the checksum is wrong")
	}
	d := decoder{rest: body[1:]}
	var got Sketch
	got.count = d.uvarint(math.MaxUint64)
	got.sum = d.float()
	got.under, got.over = uint32(d.uvarint(math.MaxUint32)), uint32(d.uvarint(math.MaxUint32))
	for at := -1; len(d.rest) > 0 && d.err == nil; {
		step, n := d.uvarint(cells), d.uvarint(math.MaxUint32)
		if at += int(step); step == 0 || n == 0 || at >= cells {
			return errors.New("sketch: damaged: cells are not in order")
		}
		got.cells[at] = uint32(n)
	}
	switch {
	case d.err != nil:
		return d.err
	case got.kept() > got.count || math.IsNaN(got.sum) || math.IsInf(got.sum, 0) || got.count == 0 && got.sum != 0:
		return errors.New("sketch: damaged: counts do not add up")
	}
	*s = got
	return nil
}

// decoder reads numbers, none of them longer than it need be.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > most || n > 1 && d.rest[n-1] == 0 {
		d.err = fmt.Errorf("sketch: damaged: no number of at most %d", most)
		d.rest = nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) float() float64 {
	if len(d.rest) < 8 {
		d.err, d.rest = errors.New("sketch: damaged: it is too short"), nil
		return 0
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(d.rest))
	d.rest = d.rest[8:]
	return v
}

package anomaly

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// version is the first byte of a snapshot.
const version = 1

// MarshalBinary returns what the detector has learned, about 7.7 KB. The
// configuration is not part of it.
func (d *Detector) MarshalBinary() ([]byte, error) {
	data, err := binary.Append([]byte{version}, binary.LittleEndian, &d.state)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data)), nil
}

// UnmarshalBinary goes on where the detector was that data is from. d is one
// that [New] has made; its configuration stays, and so does what it has learned
// where there is an error. Data of another version, cut short, damaged, or
// with numbers that no detector comes to is an error.
func (d *Detector) UnmarshalBinary(data []byte) error {
	const sum = crc32.Size
	var s state
	size := 1 + binary.Size(&s) + sum
	switch {
	case len(data) > 0 && data[0] != version:
		return fmt.Errorf("anomaly: a snapshot of version %d, not %d; begin without it", data[0], version)
	case len(data) != size:
		return fmt.Errorf("anomaly: a snapshot of %d bytes, not %d; begin without it", len(data), size)
	case crc32.ChecksumIEEE(data[:size-sum]) != binary.LittleEndian.Uint32(data[size-sum:]):
		return errors.New("anomaly: a snapshot whose checksum is wrong; begin without it")
	}
	if _, err := binary.Decode(data[1:size-sum], binary.LittleEndian, &s); err != nil {
		return fmt.Errorf("anomaly: a snapshot that cannot be read: %w", err)
	}
	if problem := s.check(); problem != "" {
		return fmt.Errorf("anomaly: a snapshot with %s; begin without it", problem)
	}
	d.state = s
	return nil
}

// check returns what is wrong with a state, or "".
func (s *state) check() string {
	if s.N < 0 || s.Age < 0 || s.Age > s.N || s.Quiet < 0 || s.Quiet > s.N || s.Profile.Rows < 0 || s.Profile.Rows > s.N || s.Incidents > uint64(s.N) {
		return "a count of rows that is out of bounds"
	}
	for _, row := range s.Early {
		if !within(row.Value, huge) {
			return "a first value that is out of bounds"
		}
	}
	for _, u := range []*usual{&s.Level, &s.Fast, &s.Excess, &s.Bent} {
		if u.N < 0 || u.N > s.N || !within(u.Mean, far) || !(u.Var >= 0 && u.Var <= far*far) {
			return "a mean or a variance that is out of bounds"
		}
	}
	numbers := []float64{s.Sums.Up, s.Sums.Down, s.Profile.Flat, s.Profile.Daily, s.Profile.Weekly, s.Profile.Interval, s.Shape.Last}
	for _, x := range append(numbers, s.Peaks[:]...) {
		if !(x >= 0 && x <= far) {
			return "a sum that is out of bounds"
		}
	}
	if !within(s.Recent, far) {
		return "a mean that is out of bounds"
	}
	for _, x := range s.Profile.Mean {
		if !within(x, far) {
			return "an hour that is out of bounds"
		}
	}
	return s.Shape.check()
}

func (s *shape) check() string {
	if s.N < 0 || s.Filled < 0 || s.Filled > min(ring, s.N) {
		return "a count of shapes that is out of bounds"
	}
	for _, x := range s.Rows {
		if !within(x, huge) {
			return "a value that is out of bounds"
		}
	}
	for i := range s.Leaders {
		for _, x := range s.Leaders[i] {
			if !within(x, far) {
				return "a shape that is out of bounds"
			}
		}
		if s.Used[i] < 0 || s.Used[i] > s.N || i > 0 && s.Used[i] > 0 && s.Used[i-1] == 0 {
			return "a shape that was used out of order"
		}
	}
	return ""
}

// far is beyond all that comes of values that are cut at huge. Its square does
// not overflow.
const far = 1e104

// within is false for NaN.
func within(x, limit float64) bool { return math.Abs(x) <= limit }

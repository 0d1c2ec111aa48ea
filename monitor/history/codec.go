package history

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// A file is a line that says so, with the version, the time at which it was written,
// all series, the pool's first, incidents, and a checksum of what is before it.
const (
	magic   = "resilience history "
	version = '1'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// state is what a file holds.
type state struct {
	written   int64 // seconds since 1970
	series    []*series
	incidents []Incident
}

func encode(s *state) ([]byte, error) {
	b := append([]byte(magic), version, '\n')
	b = binary.AppendUvarint(b, uint64(s.written))
	b = binary.AppendUvarint(b, uint64(len(s.series)))
	for _, one := range s.series {
		b = appendBytes(b, []byte(one.id))
		b = appendBytes(b, []byte(one.name))
		for kind := range one.tiers {
			b = one.tiers[kind].append(b, kind)
		}
		b = one.watcher.append(b)
	}
	text, err := json.Marshal(s.incidents)
	if err != nil {
		return nil, err
	}
	b = appendBytes(b, text)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

func appendBytes(b, what []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(what))), what...)
}

func (t *tier) append(b []byte, kind int) []byte {
	var w writer
	t.open.write(&w, lengthOf(kind))
	b = binary.AppendUvarint(b, uint64(t.open.start))
	b = appendBytes(b, w.data)
	b = binary.AppendUvarint(b, uint64(len(t.chunks)))
	for _, c := range t.chunks {
		b = binary.AppendUvarint(b, uint64(c.first))
		b = binary.AppendUvarint(b, uint64(c.last))
		b = binary.AppendUvarint(b, uint64(c.n))
		b = appendBytes(b, c.data)
	}
	return b
}

// decoder reads a file's bytes. What is wrong is in err.
type decoder struct {
	data []byte
	err  error
}

// decode returns what a file holds that is read at now. Nothing of it is kept that is
// not as a history writes it.
func decode(data []byte, now time.Time) (*state, error) {
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	switch {
	case !ok || len(rest) < 2 || rest[1] != '\n':
		return nil, errors.New("is not a history")
	case rest[0] != version:
		return nil, fmt.Errorf("is of version %q, and this program reads %q", rest[:1], string(rune(version)))
	case len(rest) < 2+4:
		return nil, errors.New("ends too early")
	}
	body, sum := data[:len(data)-4], binary.BigEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errors.New("is damaged: its checksum is wrong")
	}
	d := decoder{data: body[len(magic)+2:]}
	s := &state{written: d.number(1 << 40)}
	if s.written > now.Unix()+setBack {
		return nil, fmt.Errorf("is from the future: it was written at %s, and it is %s",
			time.Unix(s.written, 0).UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	seen := map[string]bool{}
	for range d.number(1 << 20) {
		one := d.series(s.written)
		if d.err != nil || seen[one.id] {
			d.fail()
			break
		}
		seen[one.id] = true
		s.series = append(s.series, one)
	}
	if text := d.bytes(); d.err == nil {
		in := json.NewDecoder(bytes.NewReader(text))
		in.DisallowUnknownFields()
		if in.Decode(&s.incidents) != nil || len(s.incidents) > maxIncidents {
			d.fail()
		}
	}
	if len(d.data) > 0 || len(s.series) == 0 || s.series[0].id != "" {
		d.fail()
	}
	return s, d.err
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errMalformed
	}
	d.data = nil
}

// number reads one of at most so much.
func (d *decoder) number(most uint64) int64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 || v > most {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return int64(v)
}

func (d *decoder) bytes() []byte {
	n := d.number(uint64(len(d.data)))
	if d.err != nil || n > int64(len(d.data)) {
		d.fail()
		return nil
	}
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) series(written int64) *series {
	s := &series{id: string(d.bytes()), name: string(d.bytes())}
	for kind := range s.tiers {
		d.tier(&s.tiers[kind], kind, written)
	}
	s.watcher = d.watcher()
	return s
}

func (d *decoder) tier(t *tier, kind int, written int64) {
	shape := shapes[kind]
	latest := uint64(written + setBack + shape.step)
	t.open.start = d.number(latest)
	in := reader{data: d.bytes()}
	t.open.read(&in, lengthOf(kind))
	last := int64(-1)
	for range d.number(uint64(shape.keep/shape.step + 2)) {
		c := chunk{first: d.number(latest), last: d.number(latest), n: int(d.number(uint64(shape.chunk))), data: bytes.Clone(d.bytes())}
		if d.err != nil || c.first <= last || c.last < c.first || c.n < 1 || c.first%shape.step != 0 {
			d.fail()
			return
		}
		for _, err := range c.records(kind) {
			if err != nil {
				d.fail()
				return
			}
		}
		last = c.last
		t.chunks = append(t.chunks, c)
	}
	in.align()
	if in.err != nil || in.at != 8*len(in.data) || t.open.start%shape.step != 0 || !t.open.empty() && t.open.start <= last {
		d.fail()
	}
}

package history

import (
	"iter"
	"slices"
	"time"
)

// Tiers, the finest first.
const (
	fine = iota
	minutes
	hours
	tiers
)

// shapes says how long a tier's records are, in seconds, how long they are kept, and
// how many make a chunk, with which they go.
var shapes = [tiers]struct{ step, keep, chunk int64 }{
	fine:    {10, 3600, 60},
	minutes: {60, 24 * 3600, 60},
	hours:   {3600, 30 * 24 * 3600, 24},
}

// A tier is a series' records of one length. Chunks but the last do not change, and
// bytes of the last do not either: there come more.
type tier struct {
	open   record // not in chunks yet
	chunks []chunk
}

// A chunk is several records, in ascending order of their starts.
type chunk struct {
	first, last int64
	n           int
	data        []byte
}

func lengthOf(tier int) time.Duration { return time.Duration(shapes[tier].step) * time.Second }

// add makes r, that is of a finer tier or of the present, part of the tier's record
// of that time.
func (t *tier) add(r *record, kind int) {
	start := r.start - r.start%shapes[kind].step
	if t.open.start != start {
		t.seal(kind)
		t.open.reset(start)
	}
	t.open.add(r)
}

// seal puts the open record into a chunk.
func (t *tier) seal(kind int) {
	shape := shapes[kind]
	r := &t.open
	if r.empty() {
		return
	}
	defer r.reset(r.start)
	last := len(t.chunks) - 1
	switch {
	case last >= 0 && r.start <= t.chunks[last].last:
		return // of a time that is told already: the clock was set back
	case last < 0 || int64(t.chunks[last].n) >= shape.chunk:
		if last >= 0 {
			t.chunks[last].data = slices.Clip(slices.Clone(t.chunks[last].data))
		}
		t.chunks = append(t.chunks, chunk{first: r.start, last: r.start - shape.step})
		last++
	}
	c := &t.chunks[last]
	w := writer{data: c.data}
	w.number((r.start-c.last)/shape.step - 1)
	r.write(&w, lengthOf(kind))
	c.data, c.last, c.n = w.data, r.start, c.n+1
}

// expire drops chunks that are over at now.
func (t *tier) expire(now int64, kind int) {
	n := 0
	for n < len(t.chunks) && t.chunks[n].last+shapes[kind].step <= now-shapes[kind].keep {
		n++
	}
	if n > 0 {
		t.chunks = slices.Clone(t.chunks[n:])
	}
}

// latest returns the start of the latest record, 0 without any.
func (t *tier) latest() int64 {
	if !t.open.empty() {
		return t.open.start
	}
	if n := len(t.chunks); n > 0 {
		return t.chunks[n-1].last
	}
	return 0
}

// forget drops what begins after now.
func (t *tier) forget(now int64, kind int) {
	if t.open.start > now {
		t.open.reset(0)
	}
	for n := len(t.chunks); n > 0 && t.chunks[n-1].last > now; n-- {
		c := t.chunks[n-1]
		t.chunks = t.chunks[: n-1 : n-1]
		if c.first > now {
			continue
		}
		for r, err := range c.records(kind) {
			if err == nil && r.start <= now {
				t.add(r, kind)
			}
		}
		return
	}
}

// records yields a chunk's records, all in the same place.
func (c *chunk) records(kind int) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		var r record
		in := reader{data: c.data}
		at := c.first - shapes[kind].step
		for range c.n {
			steps := in.number()
			if steps > (c.last-at)/shapes[kind].step {
				in.err = errMalformed
			}
			at += (steps + 1) * shapes[kind].step
			r.start = at
			r.read(&in, lengthOf(kind))
			in.align()
			if !yield(&r, in.err) || in.err != nil {
				return
			}
		}
		if at != c.last || in.at != 8*len(in.data) {
			yield(&r, errMalformed)
		}
	}
}

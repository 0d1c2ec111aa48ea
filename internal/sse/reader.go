// Package sse reads server-sent events, the format in which AI providers stream
// their answers, from a peer that may send anything.
//
// It follows the event stream format of the HTML Living Standard, section 9.2
// (https://html.spec.whatwg.org/multipage/server-sent-events.html), and bounds
// what the standard leaves open. Bytes that are not UTF-8 pass through.
package sse

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"time"
)

const (
	chunk         = 4 << 10
	maxEmptyReads = 100
	maxNames      = 64 // event names that are kept, so that they cost nothing when they come again
	maxName       = 64
	mark          = "\ufeff" // of byte order
)

// Config bounds what a stream may send. 0 means the default, negative no limit.
type Config struct {
	// MaxEvent is the bytes that the lines of an event may have, without their
	// ends; default 1 MiB. Comments do not add up, but each must fit into what
	// its event leaves. A Reader keeps at most about three times as much.
	MaxEvent int

	// MaxBody is the bytes of the stream, after decompression; default 32 MiB.
	MaxBody int64

	// MaxEvents is the number of events; default 100,000.
	MaxEvents int

	// KeepAlive is called during Next for everything that [Stats.KeepAlives]
	// counts, as soon as its line has ended: a sign of life, not of progress.
	// Anthropic's pings have data, and so are events.
	KeepAlive func()
}

// An Event is a block of lines with data.
type Event struct {
	Name string // empty where the stream names none, which browsers call "message"
	ID   string // the last that the stream has given, with this event or before

	// Data is the lines of data joined by \n. It is valid until the next call of
	// Next.
	Data []byte

	// Retry is the last reconnection time that the stream has given, 0 if none.
	Retry time.Duration
}

// Stats counts what a Reader has read so far.
type Stats struct {
	Bytes  int64 // taken from the source
	Events int

	// KeepAlives is the number of comments, and of blank lines that end a block
	// with neither data nor comment.
	KeepAlives int
}

// A Reader reads events. It is not safe for concurrent use.
type Reader struct {
	src       io.Reader
	maxEvent  int
	maxBody   int64
	maxEvents int
	keepAlive func()
	stats     Stats

	buf     [chunk]byte
	pos     int // buf[pos:end] is still to read
	end     int
	lf      int    // the next \n in buf, or end; to look for again once below pos
	part    []byte // a line's beginning, from chunks before
	afterCR bool   // a \n that comes next belongs to that line's end
	begun   bool   // past the byte order mark

	size      int // of the block's lines; 0 is between events
	name      string
	data      []byte
	hasData   bool
	commented bool

	id    string
	retry time.Duration
	names map[string]string

	srcErr error // came with the last bytes
	err    error // ended the stream
}

// NewReader returns a Reader of the events of src. Cancelling, and closing src,
// is up to the caller.
func NewReader(src io.Reader, cfg Config) *Reader {
	r := &Reader{
		src:       src,
		maxEvent:  orDefault(cfg.MaxEvent, 1<<20, math.MaxInt),
		maxBody:   orDefault(cfg.MaxBody, 32<<20, math.MaxInt64),
		maxEvents: orDefault(cfg.MaxEvents, 100_000, math.MaxInt),
		keepAlive: cfg.KeepAlive,
		names:     make(map[string]string),
	}
	if r.keepAlive == nil {
		r.keepAlive = func() {}
	}
	return r
}

func orDefault[N int | int64](n, def, off N) N {
	switch {
	case n == 0:
		return def
	case n < 0:
		return off
	}
	return n
}

// Stats returns the counts so far. Like Next it belongs to one goroutine.
func (r *Reader) Stats() Stats { return r.stats }

// Next returns the next event, as soon as the blank line that ends it has come.
//
// It returns io.EOF if the stream ends between events, io.ErrUnexpectedEOF if it
// ends inside one, whose rest is dropped as the standard says, a [*LimitError]
// if it exceeds a limit, and other errors as the source gives them. Every error
// ends the stream: further calls return the same.
func (r *Reader) Next() (Event, error) {
	if !r.hasData { // else a Scanner goes on within an event
		r.data = r.data[:0]
	}
	for r.err == nil {
		line, whole := r.line()
		if r.size+max(len(line), len(r.part)) > r.maxEvent {
			r.err = &LimitError{EventBytes, int64(r.maxEvent)}
			break
		}
		if !whole {
			r.err = r.fill()
			continue
		}
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, []byte(mark))
		}
		switch {
		case len(line) == 0:
			if r.hasData {
				return r.dispatch()
			}
			if !r.commented {
				r.alive()
			}
			r.reset()
		case line[0] == ':':
			r.commented = true
			r.alive()
		default:
			r.size += len(line)
			r.field(line)
		}
	}
	return Event{}, r.err
}

// line returns the next line without its end, valid until the next call, or
// moves all there is of it to part.
func (r *Reader) line() (line []byte, whole bool) {
	if r.afterCR && r.pos < r.end {
		r.afterCR = false
		if r.buf[r.pos] == '\n' {
			r.pos++
		}
	}
	if r.lf < r.pos {
		// Looked for once a line feed, not once a line: lines may end with \r.
		r.lf = r.end
		if i := bytes.IndexByte(r.buf[r.pos:r.end], '\n'); i >= 0 {
			r.lf = r.pos + i
		}
	}
	stop := r.lf
	if i := bytes.IndexByte(r.buf[r.pos:stop], '\r'); i >= 0 {
		stop = r.pos + i
	}
	line = r.buf[r.pos:stop]
	if stop == r.end {
		r.part = append(r.part, line...)
		r.pos = r.end
		return nil, false
	}
	r.afterCR = r.buf[stop] == '\r'
	r.pos = stop + 1
	if len(r.part) > 0 {
		line = append(r.part, line...)
		r.part = line[:0]
	}
	return line, true
}

// fill reads a chunk, once the last one is used up.
func (r *Reader) fill() error {
	if r.srcErr != nil {
		return r.ended(r.srcErr)
	}
	room := int(min(chunk, r.maxBody-r.stats.Bytes))
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[:max(room, 1)]) // at the limit: is this the end?
		if n > room {
			return &LimitError{BodyBytes, r.maxBody}
		}
		if n > 0 {
			r.stats.Bytes += int64(n)
			r.pos, r.end, r.lf = 0, n, -1
			r.srcErr = err
			return nil
		}
		if err != nil {
			return r.ended(err)
		}
	}
	return io.ErrNoProgress
}

func (r *Reader) ended(err error) error {
	part := r.part
	if !r.begun {
		part = bytes.TrimPrefix(part, []byte(mark))
	}
	comment := len(part) > 0 && part[0] == ':'
	if errors.Is(err, io.EOF) && (r.size > 0 || len(part) > 0 && !comment) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *Reader) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if r.hasData {
			r.data = append(r.data, '\n')
		}
		r.data = append(r.data, value...)
		r.hasData = true
	case "event":
		r.name = r.intern(value)
	case "id":
		if r.id != string(value) && bytes.IndexByte(value, 0) < 0 {
			r.id = string(value)
		}
	case "retry":
		ms, err := strconv.ParseUint(string(value), 10, 64)
		if err == nil && ms <= uint64(math.MaxInt64/time.Millisecond) {
			r.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

// intern returns b as a string, the same one for a name that comes often.
func (r *Reader) intern(b []byte) string {
	if s, ok := r.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(r.names) < maxNames && len(s) <= maxName {
		r.names[s] = s
	}
	return s
}

func (r *Reader) dispatch() (Event, error) {
	if r.stats.Events >= r.maxEvents {
		r.err = &LimitError{Events, int64(r.maxEvents)}
		return Event{}, r.err
	}
	r.stats.Events++
	ev := Event{Name: r.name, ID: r.id, Data: r.data, Retry: r.retry}
	r.reset()
	return ev, nil
}

// reset begins a block. The data of the last one is with the caller.
func (r *Reader) reset() {
	r.size, r.name, r.hasData, r.commented = 0, "", false, false
}

func (r *Reader) alive() {
	r.stats.KeepAlives++
	r.keepAlive()
}

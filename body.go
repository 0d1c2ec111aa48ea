package resilience

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience/internal/sse"
)

// body is the Body of a response whose attempt lasts as long as it is read.
// Bytes pass as they come; what they tell is noted beside.
type body struct {
	life     *life
	resp     *http.Response // that it is the body of
	original *http.Response // of the base, where trailers arrive
	src      io.ReadCloser
	head     []byte // read before it was handed out
	tail     error  // that came with the head

	scan    *sse.Scanner // nil if it is no event stream, or can be followed no more
	outline sse.Outline
	failed  error // the failure that an event has reported
	pieces  int   // events, or reads

	mu      sync.Mutex
	reading bool
	closed  bool
	err     error // with which it has ended
}

// maxPrelude is how much may come before an answer: more than what an event may
// have that can be followed.
const maxPrelude = 2 << 20

func newBody(resp, original *http.Response, events bool) *body {
	b := &body{resp: resp, original: original, src: resp.Body}
	if events {
		b.scan = sse.NewScanner()
	}
	return b
}

// open reads up to the first event of an answer or, where there are none, the
// first byte.
func (b *body) open() error {
	events := b.scan != nil
	buf := make([]byte, 4<<10)
	for b.tail == nil && b.failed == nil && !b.outline.Began() && (events || len(b.head) == 0) {
		if len(b.head) > maxPrelude && b.outline.Opened() {
			return nil // what opens an answer may repeat a large request
		}
		if len(b.head) > maxPrelude {
			return &flawed{Malformed, io.ErrNoProgress, strconv.Itoa(maxPrelude>>20) + " MiB without an answer"}
		}
		n, err := b.src.Read(buf)
		b.head, b.tail = append(b.head, buf[:n]...), err
		b.see(buf[:n], err)
	}
	switch {
	case b.failed != nil, b.outline.Began(), len(b.head) > 0 && !events:
		return nil //nolint:nilerr // a failure that was reported is something to judge
	case b.tail != io.EOF:
		return b.tail
	case events:
		return &flawed{Truncated, errEmpty, errEmpty.Error()}
	}
	return nil // nothing is a whole body
}

// see notes what bytes tell that pass, and err if they were the last.
func (b *body) see(p []byte, err error) {
	if b.scan == nil {
		if len(p) > 0 {
			b.pieces++
		}
		return
	}
	if b.scan.Scan(p, b.event) != nil {
		b.outline.Blind()
		b.scan = nil
		return
	}
	if err == io.EOF {
		b.scan.End(b.event)
	}
}

func (b *body) event(ev sse.Event) {
	b.pieces++
	if b.failed != nil || b.outline.Complete() {
		return
	}
	if b.failed = sse.Failure(ev); b.failed == nil {
		b.outline.See(ev)
	}
}

// outcome is what the end of the body means, where err is what ended it.
func (b *body) outcome(err error) error {
	switch {
	case b.failed != nil:
		return b.failed
	case b.outline.Complete():
		return nil
	case err == io.EOF && b.outline.Cut():
		return errNoEnd
	case err == io.EOF:
		return nil
	default:
		return err
	}
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (n int, err error) {
	if err := b.enter(); err != nil {
		return 0, err
	}
	why := errPanicked // whoever runs while it stands is to blame
	defer func() {
		if ended := b.leave(why); ended != nil {
			err = ended
		}
	}()
	n, err = b.next(p)
	why = err
	return n, err
}

func (b *body) next(p []byte) (int, error) {
	if len(b.head) > 0 {
		n := copy(p, b.head)
		b.head = b.head[n:]
		return n, nil
	}
	b.head = nil
	if b.tail != nil {
		return 0, b.tail
	}
	b.life.waiting.Store(int64(time.Since(b.life.base)) + 1)
	n, err := b.src.Read(p)
	b.life.waiting.Store(0)
	b.see(p[:n], err)
	return n, err
}

func (b *body) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return http.ErrBodyReadAfterClose
	case b.err != nil:
		return b.err
	case b.reading:
		return errTwice
	}
	b.reading = true
	return nil
}

var errTwice = errors.New("resilience: a response's body is read by two goroutines at once")

// leave ends a read, and the body with it if why is not nil. It returns the
// error that the reader gets.
func (b *body) leave(why error) error {
	b.mu.Lock()
	if why == nil && b.closed {
		why = errAbandoned
	}
	b.reading = why != nil // nobody else settles it meanwhile
	b.mu.Unlock()
	if why == nil {
		return nil
	}
	return b.end(why)
}

// end settles the body, once, and returns what its reader gets.
func (b *body) end(why error) error {
	b.mu.Lock()
	if err := b.err; err != nil {
		b.mu.Unlock()
		return err
	}
	b.err = errTwice // until it is known
	b.mu.Unlock()
	b.resp.Trailer = b.original.Trailer
	if why == errAbandoned && b.tail != nil { // all had come
		why = b.tail
	}
	err := b.life.explain(b.outcome(why), max(b.pieces, 1))
	defer b.life.end(err)
	b.life.stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err = io.EOF; err != nil && (why != io.EOF || b.failed == nil) { // what it reported, its reader has read
		b.err = err
	}
	return b.err
}

// Close implements [io.Closer]: it abandons what was not read. While another
// goroutine reads, it ends that, and the other one settles the body.
func (b *body) Close() error {
	b.mu.Lock()
	reading := b.reading
	b.closed = true
	b.mu.Unlock()
	if reading {
		b.life.cancel(errAbandoned)
		_ = b.src.Close() // a source need not heed its context
	} else {
		_ = b.end(errAbandoned)
	}
	return nil
}

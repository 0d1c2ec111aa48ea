package resilience

import (
	"context"
	"errors"
	"io"
	"iter"
	"runtime"
	"strconv"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// feed is what a stream's chunks come from: one response of one model.
type feed[Chunk any] struct {
	marks[Chunk]
	life     *life
	next     func() (Chunk, error, bool)
	head     []Chunk // read ahead
	complete bool    // its end marker was seen
	spoil    func(ctx context.Context, chunks int) error
	meant    int // meaningful chunks so far, if spoil is there
}

// maxHead is how many chunks are read ahead.
const maxHead = 1 << 14

// start reads a source up to its first meaningful chunk.
func start[Chunk any](ctx context.Context, m marks[Chunk], open func(context.Context) iter.Seq2[Chunk, error]) (*Stream[Chunk], error) {
	l := &life{base: time.Now()}
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if ok {
		l.usage = func(u Usage) { a.jot(func(n *note) { n.Usage, n.reckoned = n.latest(u), false }) }
	}
	if ok && a.call.streams {
		l.ctx, l.cancel = ctx, a.expire
	} else { // nobody else ends this context
		l.ctx, l.cancel = context.WithCancelCause(ctx)
		l.onEnd(func(error) { l.cancel(context.Canceled) })
	}
	next, stop := iter.Pull2(open(l.ctx))
	l.stop = stop
	f := &feed[Chunk]{marks: m, life: l, next: next}
	if ok {
		f.spoil = a.spoiled()
	}
	rest := ok && a.call.root.used.Load()&goesOn != 0 // then the end may be all that is left
	started := false
	defer func() {
		if !started { // also on a panic of the source
			stop()
			if ctx != l.ctx {
				l.cancel(context.Canceled)
			}
		}
	}()
	for {
		more, err := f.ahead()
		switch {
		case err != nil:
			return nil, err
		case !more:
			return nil, &flawed{Malformed, io.ErrUnexpectedEOF, "a stream without an answer"}
		case len(f.head) > maxHead:
			return nil, &flawed{Malformed, io.ErrNoProgress, strconv.Itoa(maxHead) + " chunks without an answer"}
		}
		if m.meaningful(f.head[len(f.head)-1]) || f.complete && rest {
			break
		}
	}
	started = true
	s := &Stream[Chunk]{}
	s.feed.Store(f)
	l.lost = runtime.AddCleanup(s, (*life).leak, l)
	return s, nil
}

// ahead reads a chunk before the reader asks for it, and reports whether there
// was one, or what broke the answer.
func (f *feed[Chunk]) ahead() (bool, error) {
	chunk, err, ok := f.pull()
	if err == nil && !ok {
		if err = f.short(); errors.Is(err, errNoEnd) {
			err = &flawed{Truncated, errNoEnd, errNoEnd.Error()}
		}
	}
	if err != nil || !ok {
		return false, err
	}
	f.head = append(f.head, chunk)
	return true, nil
}

// short says why an answer is not whole whose source has ended without an
// error, nil if it is.
func (f *feed[Chunk]) short() error {
	switch {
	case f.life.ctx.Err() != nil:
		return context.Cause(f.life.ctx)
	case f.terminal != nil && !f.complete && !mutants.On("stream-cut-is-a-success"):
		return errNoEnd
	default:
		return nil
	}
}

// readAhead reads until d has passed or the answer is whole, or until the next
// chunk, if it takes as long as the slowest so far, would not come within left.
func (s *Stream[Chunk]) readAhead(d, left time.Duration) error {
	f := s.feed.Load()
	var slowest time.Duration
	for start := time.Now(); !f.complete && len(f.head) < maxHead; {
		passed := time.Since(start)
		if passed >= d || passed+slowest > left {
			return nil
		}
		if more, err := f.ahead(); !more {
			return err
		}
		slowest = max(slowest, time.Since(start)-passed)
	}
	return nil
}

// read returns the next chunk.
func (f *feed[Chunk]) read() (chunk Chunk, err error, ok bool) { //nolint:revive // as iter.Pull2 has it
	if len(f.head) > 0 {
		chunk, f.head = f.head[0], f.head[1:]
		return chunk, nil, true
	}
	return f.pull()
}

// pull takes a chunk from the source, with a note of since when it waits, and
// notes what the chunk tells beside the answer.
func (f *feed[Chunk]) pull() (chunk Chunk, err error, ok bool) { //nolint:revive // likewise
	l := f.life
	began := time.Since(l.base)
	l.waiting.Store(int64(began) + 1)
	if e, over := f.spoils(); over {
		l.waiting.Store(0)
		return chunk, e, e != nil
	}
	chunk, err, ok = f.next()
	l.waiting.Store(0)
	if !ok || err != nil {
		return chunk, err, ok
	}
	if f.terminal != nil {
		f.complete = f.complete || f.terminal(chunk)
	}
	if f.spoil != nil && f.meaningful(chunk) {
		f.meant++
	}
	if f.usage != nil && l.usage != nil {
		if u, told := f.usage(chunk); told {
			l.usage(u)
		}
	}
	if len(l.paces) > 0 && !f.complete {
		err = l.keepsPace(time.Since(l.base)-began, f.meaningful(chunk))
	}
	return chunk, err, ok
}

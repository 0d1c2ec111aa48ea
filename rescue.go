package resilience

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// kept is what a stream remembers of what it delivered, so that it can go on
// with another response.
type kept[Chunk any] struct {
	chunks []Chunk
	text   strings.Builder
	noList bool // not all chunks are there
	noText bool // the text is not all that was delivered
}

// maxText is how much text is kept.
const maxText = 1 << 20

func (k *kept[Chunk]) add(m *marks[Chunk], chunk Chunk) {
	switch {
	case k.noList:
	case m.resume == nil || len(k.chunks) == maxHead:
		k.noList, k.chunks = true, nil
	default:
		k.chunks = append(k.chunks, chunk)
	}
	if k.noText {
		return
	}
	if m.text != nil {
		_, text := m.textOf(chunk)
		if (*text != "" || !m.meaningful(chunk)) && k.text.Len()+len(*text) <= maxText {
			k.text.WriteString(*text)
			return
		}
	}
	k.noText = true
	k.text.Reset()
}

// textOf returns a copy of chunk and where it has its text, or an empty one.
func (m *marks[Chunk]) textOf(chunk Chunk) (*Chunk, *string) {
	own := &chunk
	if text := m.text(own); text != nil {
		return own, text
	}
	return own, new(string)
}

// rescue goes on with another response after err broke this one, and reports
// whether there is one. Of nested calls the innermost that can sees to it; the
// outer ones notice nothing. Those within it have ended when it returns.
func (s *Stream[Chunk]) rescue(err error) bool {
	f := s.feed.Load()
	l := f.life
	if f.resume == nil && f.text == nil || s.kept.noList && s.kept.noText || len(l.holds) != len(l.followers) {
		return false
	}
	for i := range l.holds {
		broke, ok := mendable(l.explainTo(i, err, s.delivered))
		if !ok || s.closed.Load() || l.holds[i].call.verbatim() {
			continue
		}
		l.stop()
		l.settle(l.holds[i].at, broke)
		l.holds[i].call.record().others = slices.ContainsFunc(l.holds[i+1:], func(h held) bool { return h.call.mayMove() })
		l.waiting.Store(int64(time.Since(l.base)) + 1) // the gap of an outer attempt goes on
		next := s.again(l.holds[i].call, &f.marks, broke)
		l.waiting.Store(0)
		if next != nil {
			next.life.adopt(l, i)
			s.feed.Store(next)
			if s.closed.Load() {
				next.life.cancel(errAbandoned)
			}
			return true
		}
	}
	return false
}

// mendable reports whether another response may serve where err ended one.
func mendable(err error) (*Error, bool) {
	e, ok := err.(*Error)
	if !ok || e.Kind != Truncated || e.overall {
		return e, false
	}
	switch KindOf(e.Err) {
	case Invalid, TooLong, Filtered, Canceled:
		return e, false
	default:
		return e, true
	}
}

// again makes attempts of c, first for the rest of the answer, then for all of
// it, until one can take the place of what broke, and returns that.
func (s *Stream[Chunk]) again(c *Call, m *marks[Chunk], broke *Error) (next *feed[Chunk]) {
	t := c.record()
	ctx, halt := context.WithCancelCause(t.routed)
	s.halting(func() { halt(errAbandoned) })
	from := c.model
	defer func() {
		s.halting(nil)
		if next == nil {
			halt(nil)
			return
		}
		next.life.onEnd(func(error) { halt(nil) })
		c.rescued(from, broke)
	}()
	tried, req := c.triedSoFar(), c.typed.request()
	if m.resume != nil && !s.kept.noList {
		if rest, ok := m.resume(req, s.kept.chunks); ok && ctx.Err() == nil {
			if next = s.resend(ctx, c, rest, broke, continued); next != nil || !c.refused() {
				return next
			}
			c.forget(tried)
		}
	}
	for m.text != nil && !s.kept.noText && ctx.Err() == nil {
		next := s.resend(ctx, c, req, broke, "asked again")
		if next == nil {
			return nil
		}
		same, err := next.skip(s.kept.text.String())
		switch {
		case same:
			return next
		case errors.As(err, new(unfit)):
			next.life.drop(err)
			return nil
		case !KindOf(next.life.fail(err)).Elsewhere():
			return nil
		}
	}
	return nil
}

// continued says how an attempt for the rest of an answer comes about.
const continued = "continued"

// unfit is why a repeated answer cannot take the place of what broke.
type unfit string

func (u unfit) Error() string { return string(u) }

const (
	errOtherText unfit = "began with another text"
	errTextCopy  unfit = "StreamHooks.Text points into a copy of the chunk"
)

// halting says how Close ends a rescue.
func (s *Stream[Chunk]) halting(halt func()) {
	s.mu.Lock()
	s.halt = halt
	s.mu.Unlock()
	if halt != nil && s.closed.Load() {
		halt()
	}
}

// resend makes an attempt of c and returns what it brought.
func (s *Stream[Chunk]) resend(ctx context.Context, c *Call, req any, broke *Error, how string) *feed[Chunk] {
	t := c.record()
	t.how, t.broke = how, broke
	if how == continued {
		c.root.used.Or(goesOn)
	}
	defer func() {
		t.how, t.broke = "", nil
		c.root.used.And(^goesOn)
	}()
	r, ok := c.typed.resend(ctx, req, broke)
	if !ok {
		return nil
	}
	next, ok := r.self().(*Stream[Chunk])
	if !ok {
		r.alive().abandon()
		return nil
	}
	f := next.feed.Load()
	f.life.lost.Stop() // whoever reads s ends it
	return f
}

// skip reads a text that is known, and reports whether it was the same, or what
// ended the response before that was clear.
func (f *feed[Chunk]) skip(known string) (same bool, err error) {
	returned := false
	defer func() {
		if !returned {
			_ = f.life.fail(errPanicked)
		}
	}()
	same, err = f.compare(known)
	returned = true
	return same, err
}

func (f *feed[Chunk]) compare(known string) (bool, error) {
	for {
		chunk, err, ok := f.read()
		if err == nil && !ok {
			err = cmp.Or(f.short(), error(errOtherText)) // it is shorter
		}
		if err != nil {
			return false, err
		}
		last := f.terminal != nil && f.terminal(chunk)
		rest, text := f.textOf(chunk)
		n := min(len(*text), len(known))
		if (*text)[:n] != known[:n] && !mutants.On("rescue-mixes-two-answers") || *text == "" && f.meaningful(chunk) {
			return false, errOtherText
		}
		if known = known[n:]; known != "" {
			continue
		}
		if !mutants.On("rescue-repeats-what-was-delivered") {
			*text = (*text)[n:]
		}
		if now := f.text(rest); now != nil && *now != *text {
			return false, errTextCopy
		}
		if *text != "" || last {
			f.head = append([]Chunk{*rest}, f.head...)
		}
		return true, nil
	}
}

package resilience

import (
	"context"
	"strings"
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
// outer ones notice nothing. Those that cannot have ended when it returns.
func (s *Stream[Chunk]) rescue(err error) bool {
	f := s.feed.Load()
	l := f.life
	if f.resume == nil && f.text == nil || s.kept.noList && s.kept.noText || len(l.holds) != len(l.followers) {
		return false
	}
	for i := range l.holds {
		broke := l.explainTo(i, err, s.delivered)
		if !mendable(broke) {
			return false
		}
		l.stop()
		l.settle(l.holds[i].at, broke)
		if next := s.again(l.holds[i].call, &f.marks, broke); next != nil {
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
func mendable(err error) bool {
	e, ok := err.(*Error)
	if !ok || e.Kind != Truncated || e.overall {
		return false
	}
	switch KindOf(e.Err) {
	case Invalid, TooLong, Filtered, Canceled:
		return false
	default:
		return true
	}
}

// again makes attempts of c, first for the rest of the answer, then for all of
// it, until one can take the place of what broke, and returns that.
func (s *Stream[Chunk]) again(c *Call, m *marks[Chunk], broke error) (next *feed[Chunk]) {
	ctx, halt := context.WithCancelCause(c)
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
	tried := c.triedSoFar()
	req := c.typed.request()
	if m.resume != nil && !s.kept.noList {
		if rest, ok := m.resume(req, s.kept.chunks); ok {
			next, err := s.resend(ctx, c, rest, broke, "continued")
			if next != nil {
				return next
			}
			switch KindOf(err) {
			case Invalid, TooLong, Filtered: // what was refused is the continuation
				c.forget(tried)
			}
		}
	}
	for m.text != nil && !s.kept.noText {
		next, _ := s.resend(ctx, c, req, broke, "asked again")
		if next == nil {
			return nil
		}
		same, err := next.skip(s.kept.text.String())
		switch {
		case same:
			return next
		case err == nil:
			next.life.abandon()
			return nil
		case !KindOf(next.life.fail(err)).Elsewhere():
			return nil
		}
	}
	return nil
}

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
func (s *Stream[Chunk]) resend(ctx context.Context, c *Call, req any, broke error, how string) (*feed[Chunk], error) {
	c.record().how = how
	resp, err := c.typed.resend(ctx, req, broke)
	if err != nil {
		return nil, err
	}
	next, ok := resp.(*Stream[Chunk])
	if !ok {
		return nil, broke
	}
	next.lost.Stop() // whoever reads s ends it
	return next.feed.Load(), nil
}

// skip reads a text that is known, and reports whether it was the same, or what
// ended the response before that was clear.
func (f *feed[Chunk]) skip(known string) (bool, error) {
	for {
		chunk, err, ok := f.read()
		switch {
		case err != nil:
			return false, err
		case !ok && f.life.ctx.Err() != nil:
			return false, context.Cause(f.life.ctx)
		case !ok && f.marked && !f.complete:
			return false, errNoEnd
		case !ok:
			return false, nil
		}
		rest, text := f.textOf(chunk)
		n := min(len(*text), len(known))
		if (*text)[:n] != known[:n] || *text == "" && f.meaningful(chunk) {
			return false, nil
		}
		if known = known[n:]; known != "" {
			continue
		}
		if *text = (*text)[n:]; *text != "" {
			f.head = append([]Chunk{*rest}, f.head...)
		}
		return true, nil
	}
}

// resend sends a call that a stream holds on its way again: to another model if
// it may go there, else to the same one.
func (c *Call) resend(ctx context.Context, broke error) error {
	t := c.record()
	if t.limit != 0 {
		t.limit = c.pool.now() + t.span
	}
	elsewhere := c.pool.router != nil && c.Remaining() > 0
	if !elsewhere && !c.model.free(c.pool.now()) || !c.extra(broke, elsewhere) {
		return broke
	}
	if elsewhere {
		return c.pool.router(ctx, (*Route)(c), dispatch)
	}
	return dispatch(ctx, c)
}

// rescued notes that another response took the place of the one from a model.
func (c *Call) rescued(from *Model, broke error) {
	t := c.record()
	t.rescued, t.answered = true, c.model
	if c.pool.Wants(EventRescue) {
		c.pool.Emit(c, Event{
			Kind: EventRescue, From: from.id, To: c.model.id, Model: c.model, Attempt: int(c.attempts), Err: broke,
		})
	}
}

// before is which models a call had tried.
type before struct{ inline, more, window int }

func (c *Call) triedSoFar() before {
	t := c.record()
	return before{int(c.ntried), len(t.tried), t.window}
}

// forget lets the call try again what it has tried since.
func (c *Call) forget(b before) {
	t := c.record()
	c.ntried, t.tried, t.window = uint8(b.inline), t.tried[:b.more], b.window
}

package resilience

import (
	"context"
	"errors"
	"time"
)

// resend sends a call that a stream holds on its way again: to another model if
// it may go there, else to the same one.
func (c *Call) resend(ctx context.Context, broke *Error) error {
	t := c.record()
	if t.limit != 0 {
		t.limit = c.pool.now() + t.span
	}
	present := c.skipRemoved()
	if c.mayMove() {
		if !c.extra(broke, true) {
			return broke
		}
		return c.pool.router(ctx, (*Route)(c), dispatch)
	}
	if !present || t.others || !c.stay(ctx, broke) {
		return broke
	}
	return dispatch(ctx, c)
}

// mayMove reports whether the call may go to another model.
func (c *Call) mayMove() bool { return c.pool.router != nil && c.Remaining() > 0 }

// stayPause is how long a model is left alone, at most, before a stream of its
// own goes on there, where that needs a pause. It doubles each time.
const stayPause = time.Second

// stay reports whether the same model may be asked again, after a pause.
func (c *Call) stay(ctx context.Context, broke *Error) bool {
	t := c.record()
	wait, pauses := broke.RetryAfter, t.stays
	switch k := KindOf(broke.Err); {
	case c.GaveUp(broke.Err) || wait > holdPatience:
		return false
	case k == RateLimited && wait == 0:
		return false
	case k == RateLimited, k == TimedOut, k == Unreachable, errors.Is(broke.Err, errNoEnd):
	case k == Overloaded:
		pauses++
	default:
		return false
	}
	if pauses > 0 {
		pause := stayPause << (pauses - 1)
		wait = max(wait, pause/2+time.Duration(c.pool.Rand()*float64(pause/2)))
	}
	if wait >= c.Left() || !c.extra(broke, false) || c.Sleep(ctx, wait) != nil || !c.free(c.model, c.pool.now()) {
		return false
	}
	t.stays++
	return true
}

// skipRemoved keeps the call from models that a reload has taken away since it
// began, and reports whether the one that it was at is still there.
func (c *Call) skipRemoved() bool {
	present := c.pool.roster.Load().byID
	for _, e := range c.table.entries {
		if present[e.model.id] != e.model && !c.has(e.pos) {
			c.pass(e)
		}
	}
	return present[c.model.id] == c.model
}

// refused reports whether the latest attempt failed for what it asked.
func (c *Call) refused() bool {
	t := c.record()
	switch t.attempts[len(t.attempts)-1].Kind {
	case Invalid, TooLong, Filtered:
		return true
	default:
		return false
	}
}

// rescued notes that another response took the place of the one from a model.
func (c *Call) rescued(from *Model, broke error) {
	t := c.record()
	t.answered = c.model
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

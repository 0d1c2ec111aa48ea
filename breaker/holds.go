package breaker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
)

// holds are what keeps calls away from a model for other reasons than failing:
// the column "holds" of the table of kinds. Each kind of hold begins short and
// doubles while the model answers nothing, since the verdict may be wrong and
// nobody else is there to take it back.
type holds struct {
	refused   strikes // the key, the quota or the model itself
	throttled strikes // a limit whose end the provider did not name
}

// longestHold is for what people must mend, however soon an outage is probed: a
// key, a plan, a model that is gone.
const longestHold = 5 * time.Minute

// strikes count failures of one sort since the latest answer. Those of calls
// that were under way together count as one.
type strikes struct {
	n       atomic.Int32
	until   atomic.Int64  // the end of the hold that the latest one set
	holders atomic.Uint32 // a bit for each resilience.HoldBy that they set
}

// clear forgets the strikes seen, unless there are others by now, and returns
// whose holds they set.
func (s *strikes) clear(seen int32) (holders uint32) {
	if seen == 0 || !s.n.CompareAndSwap(seen, 0) {
		return 0
	}
	s.until.Store(0)
	return s.holders.Swap(0)
}

// limitPart is the part of OpenFor for which a limit holds at first whose end is
// not known: limits pass sooner than outages.
const limitPart = 15

// before is what was known when a call set out, so that its outcome is not
// taken for news about what has happened since.
type before struct{ refused, throttled int32 }

func (h *holds) look() before { return before{h.refused.n.Load(), h.throttled.n.Load()} }

// answer takes in that the model answered: it refutes what was held against it
// when the call set out, if anything was.
func (g *guard) answer(ctx context.Context, b before) {
	g.holds.throttled.clear(b.throttled) // its hold stays: the provider may have named its end by now
	holders := g.holds.refused.clear(b.refused)
	for by := range resilience.HoldRecovery + 1 {
		if holders&(1<<by) != 0 {
			g.model.Release(ctx, by)
		}
	}
}

// heed sets the hold that a failure calls for.
func (g *guard) heed(ctx context.Context, c *resilience.Call, now int64, b before, err error) {
	kind, by := resilience.KindOf(err), c.Hold(err)
	if by == 0 {
		return
	}
	r := g.rules.Load()
	asked := int64(resilience.RetryAfter(err))
	s, seen, first, longest := &g.holds.refused, b.refused, r.openFor, max(r.maxOpenFor, int64(longestHold))
	if by == resilience.HoldLimit {
		s, seen, first, longest = &g.holds.throttled, b.throttled, r.openFor/limitPart, r.maxOpenFor
		if asked > 0 {
			g.holdFor(ctx, by, now+asked, kind.String(), r.observe)
			return
		}
	}
	if now < s.until.Load() && !g.lifted(by, r.observe) || !s.n.CompareAndSwap(seen, seen+1) {
		return
	}
	d := first
	for i := int32(0); i < seen && d < longest; i++ {
		d *= 2
	}
	until := now + max(min(d, longest), asked)
	s.until.Store(until)
	s.holders.Or(1 << by)
	g.holdFor(ctx, by, until, kind.String(), r.observe)
}

// lifted reports whether somebody else has lifted a hold that is not over yet.
func (g *guard) lifted(by resilience.HoldBy, observe bool) bool {
	_, held := g.model.HeldSince(by)
	return !held && !observe
}

func (g *guard) holdFor(ctx context.Context, by resilience.HoldBy, until int64, reason string, observe bool) {
	if observe {
		g.pool.Emit(ctx, resilience.Event{Kind: resilience.EventHold, Model: g.model, To: by.String(), Reason: reason, Would: true})
		return
	}
	g.model.Hold(ctx, resilience.Hold{By: by, Reason: reason, Until: g.pool.At(time.Duration(until))})
}

// forget forgets all of it.
func (h *holds) forget() {
	for _, s := range []*strikes{&h.refused, &h.throttled} {
		s.clear(s.n.Load())
	}
}

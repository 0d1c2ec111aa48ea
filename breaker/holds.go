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
	answered  atomic.Bool
}

// strikes count failures of one sort since the latest answer. Those of calls
// that were under way together count as one.
type strikes struct {
	n     atomic.Int32
	until atomic.Int64 // the end of the hold that the latest one set
}

// firstLimit is the first hold for a limit whose end is not known.
const firstLimit = time.Second

// before is what was known when a call set out, so that its outcome is not
// taken for news about what has happened since.
type before struct{ refused, throttled int32 }

func (h *holds) look() before { return before{h.refused.n.Load(), h.throttled.n.Load()} }

// answer takes in that the model answered: it refutes what was held against it
// when the call set out.
func (g *guard) answer(ctx context.Context, b before) {
	if !g.holds.answered.Load() {
		g.holds.answered.Store(true)
	}
	if b.refused != 0 && g.holds.refused.n.CompareAndSwap(b.refused, 0) {
		for _, by := range []resilience.HoldBy{resilience.HoldCredential, resilience.HoldQuota, resilience.HoldHealth} {
			g.model.Release(ctx, by)
		}
	}
	if b.throttled != 0 {
		g.holds.throttled.n.CompareAndSwap(b.throttled, 0)
	}
}

// heed sets the hold that a failure calls for.
func (g *guard) heed(ctx context.Context, now int64, b before, err error) {
	kind := resilience.KindOf(err)
	by := kind.Hold()
	if by == 0 {
		return
	}
	r := g.rules.Load()
	asked := int64(resilience.RetryAfter(err))
	s, seen, first := &g.holds.refused, b.refused, r.openFor
	if by == resilience.HoldLimit {
		s, seen, first = &g.holds.throttled, b.throttled, min(int64(firstLimit), r.maxOpenFor)
		if asked > 0 {
			g.holdFor(ctx, by, now+asked, kind.String(), r.observe)
			return
		}
	}
	if now < s.until.Load() || !s.n.CompareAndSwap(seen, seen+1) {
		return
	}
	d := first
	for i := int32(0); i < seen && d < r.maxOpenFor; i++ {
		d *= 2
	}
	until := now + max(min(d, r.maxOpenFor), asked)
	s.until.Store(until)
	g.holdFor(ctx, by, until, kind.String(), r.observe)
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
		s.n.Store(0)
		s.until.Store(0)
	}
	h.answered.Store(false)
}

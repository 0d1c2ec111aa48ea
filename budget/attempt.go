package budget

import (
	"context"
	"sync/atomic"

	"github.com/cmmv-hive/resilience"
)

// A place is the layer of one model.
type place struct {
	budgets *Budgets
	model   *resilience.Model
	last    atomic.Pointer[class]
}

// run carries an attempt through.
func (p *place) run(ctx context.Context, c *resilience.Call, next resilience.Handler) (err error) {
	r := p.budgets.rules.Load()
	if r.idle {
		return next(ctx, c)
	}
	var h permit
	if now := int64(c.Clock()); !h.look(r, c, p.model.Name(), now) || !p.guess(c, &h) || !h.quick(now) {
		if err = p.enter(ctx, c, &h); err != nil {
			return err
		}
	}
	before, returned := c.Attempt(), false
	defer func() {
		if !returned { // a panic or Goexit
			p.ended(ctx, c, &h, resilience.Unknown, before)
		}
	}()
	err = next(ctx, c)
	returned = true
	if err == nil && c.Running() {
		p.begun(ctx, c, h)
		return nil
	}
	p.ended(ctx, c, &h, err, before)
	return err
}

// begun leaves what is reserved to the end of a stream.
func (p *place) begun(ctx context.Context, c *resilience.Call, h permit) {
	c.OnEnd(func(err error) { p.settle(ctx, c, &h, err, int64(p.budgets.pool.Now())) })
}

// ended settles an attempt, if there was one.
func (p *place) ended(ctx context.Context, c *resilience.Call, h *permit, err error, before int) {
	if c.Attempt() == before { // refused further in
		h.cancel()
		return
	}
	p.settle(ctx, c, h, err, int64(c.Clock()))
}

// settle charges what an attempt took, by how it ended.
func (p *place) settle(ctx context.Context, c *resilience.Call, h *permit, err error, now int64) {
	var took amounts
	bill := c.Billed(err)
	switch {
	case !bill.Accepted:
	case !bill.Known:
		took = h.guess
	default:
		took[cost] = p.dollars(h, &bill)
		took[tokens] = min(min(bill.Usage.Input, most)+min(bill.Usage.Output, most), most)
		took[requests] = 1
		h.class.learn(&took)
	}
	if h.settle(p.budgets, now, &took) {
		p.budgets.passed(ctx, p.model, h)
	}
}

// dollars is what a bill comes to.
func (p *place) dollars(h *permit, bill *resilience.Bill) int64 {
	switch {
	case bill.Priced:
		return nanos(bill.Cost)
	case h.rules.unpriced == Ignore:
		return 0
	default:
		dollars, _ := p.budgets.prices.dearest(bill.Usage)
		return nanos(dollars)
	}
}

// guess sees what the attempt may take, and reports whether anybody knows what
// that costs.
func (p *place) guess(c *resilience.Call, h *permit) bool {
	name, op := p.model.Name(), c.Op()
	k := p.last.Load()
	if k == nil || k.model != name || k.op != op {
		k = p.budgets.classes.of(name, op)
		p.last.Store(k)
	}
	e := c.Estimate()
	h.class, h.free, h.blind = k, e.Free, e.Tokens <= 0
	h.guess = amounts{0, k.bound(tokens, min(e.Tokens, most)), 1}
	if !e.Priced && h.costs() {
		switch h.rules.unpriced {
		case Ignore:
			h.free = true
			return true
		case Assume:
			var known bool
			e.Cost, known = p.budgets.prices.dearest(resilience.Usage{Input: e.Tokens}, resilience.Usage{Output: e.Tokens})
			if !known {
				return false
			}
		default:
			return false
		}
	}
	if !h.free {
		h.guess[cost] = k.bound(cost, nanos(e.Cost))
	}
	return true
}

package resilience

import (
	"context"
	"math"
	"slices"
	"sync"
)

// A purse is what is left of a [Budget]. Purses lie within each other.
type purse struct {
	of    string // a run or a call
	max   Budget
	outer *purse

	mu          sync.Mutex
	spent, held amounts
	extra       int // attempts
	total       Step
	steps       []Step
	pools       []*Pool // of steps: each numbers its own calls
}

// amounts are exact, so that what was set aside comes back to nothing.
type amounts struct{ nanos, tokens int64 }

func (a *amounts) add(b amounts, times int64) {
	a.nanos += b.nanos * times
	a.tokens += b.tokens * times
}

// most is what an amount is at most, in billionths of a dollar or in tokens: more
// is a mistake, and sums must not overflow.
const most = 1 << 50

// nanos are billionths of a dollar.
func nanos(dollars float64) int64 {
	if !(dollars > 0) { // or not a number
		return 0
	}
	return int64(min(math.Round(dollars*1e9), most))
}

// tokens are those of both ways.
func (u Usage) tokens() int64 {
	return min(max(u.Input, 0), most) + min(max(u.Output, 0), most)
}

const maxSteps = 64

// purseOf returns the innermost purse that a call made with ctx would have.
func purseOf(ctx context.Context) *purse {
	var outer *Call
	switch from := ctx.Value(callKey{}).(type) {
	case *Call:
		outer = from
	case *ambient:
		if from.opts != nil && from.opts.purse != nil {
			return from.opts.purse
		}
		outer = from.call
	}
	if outer == nil || outer.opts == nil {
		return nil
	}
	return outer.opts.purse
}

// A draw is what an attempt has set aside in a purse, and in those around it.
type draw struct {
	purse  *purse
	amount amounts
	within bool // calls within the attempt draw instead; under purse.mu
}

// draw sets aside what an attempt may take.
func (c *Call) draw(ctx context.Context) (*draw, error) {
	e := c.Estimate()
	d := &draw{purse: c.opts.purse, amount: amounts{nanos(e.Cost), e.Tokens}}
	for p := d.purse; p != nil; p = p.outer {
		if err := p.hold(c, e, d.amount); err != nil {
			for q := d.purse; q != p; q = q.outer {
				q.release(d.amount)
			}
			return nil, c.Refuse(ctx, err, false)
		}
	}
	return d, nil
}

// hold sets amount aside, or says why it does not fit.
func (p *purse) hold(c *Call, e Estimate, amount amounts) *BudgetError {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.max.Cost != 0 && !e.Priced:
		return p.refuse(c, "price", 0)
	case p.max.Cost != 0 && !e.Free && !fits(p.spent.nanos+p.held.nanos, amount.nanos, nanos(p.max.Cost)):
		return p.refuse(c, "cost", e.Cost)
	case p.max.Tokens != 0 && !fits(p.spent.tokens+p.held.tokens, amount.tokens, p.max.Tokens):
		return p.refuse(c, "tokens", float64(e.Tokens))
	}
	p.held.add(amount, 1)
	return nil
}

// fits reports whether there is room for more, of which nothing may be known.
func fits(used, more, most int64) bool { return used < most && more <= most-used }

func (p *purse) release(amount amounts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held.add(amount, -1)
}

// refuse makes the error of an attempt or a call. The caller has p.mu.
func (p *purse) refuse(c *Call, resource string, next float64) *BudgetError {
	e := &BudgetError{
		Budget: p.of, Resource: resource, Call: c.ID(), Op: c.Op(), Next: next, Steps: slices.Clone(p.steps),
	}
	if c.model != nil {
		e.Model = c.model.id
	}
	switch resource {
	case "tokens":
		e.Spent, e.Reserved, e.Max = float64(p.spent.tokens), float64(p.held.tokens), float64(max(p.max.Tokens, 0))
	case "cost", "price":
		e.Spent, e.Reserved, e.Max = float64(p.spent.nanos)/1e9, float64(p.held.nanos)/1e9, max(p.max.Cost, 0)
	}
	return e
}

// settle replaces what was set aside by what the attempt took.
func (d *draw) settle(a *attempt, err error) {
	var b Bill
	a.billed(&b, err)
	took := amounts{nanos(b.Cost), b.Usage.tokens()}
	d.purse.mu.Lock()
	held := d.amount
	switch {
	case !b.Accepted:
		took = amounts{}
	case !b.Known:
		took = held
	}
	if d.within && !a.notes().told {
		took, b.Usage = amounts{}, Usage{} // the same as the calls within have told
	}
	d.amount = amounts{}
	d.purse.mu.Unlock()
	step := Step{Call: a.call.ID(), Op: a.call.Op(), Cost: float64(took.nanos) / 1e9, Usage: b.Usage}
	if b.Accepted && !b.Known {
		step.Usage.Input = took.tokens
	}
	for p := d.purse; p != nil; p = p.outer {
		p.mu.Lock()
		p.held.add(held, -1)
		p.spent.add(took, 1)
		if took != (amounts{}) {
			p.note(a.pool, step)
		}
		p.mu.Unlock()
	}
}

// note adds to the step that a call is. The caller has p.mu.
func (p *purse) note(pool *Pool, s Step) {
	p.total.Cost += s.Cost
	p.total.Usage = p.total.Usage.add(s.Usage)
	for i := range slices.Backward(p.steps) {
		if p.steps[i].Call == s.Call && p.pools[i] == pool {
			p.steps[i].Cost += s.Cost
			p.steps[i].Usage = p.steps[i].Usage.add(s.Usage)
			return
		}
	}
	if len(p.steps) == maxSteps {
		p.steps, p.pools = slices.Delete(p.steps, 0, 1), slices.Delete(p.pools, 0, 1)
	}
	p.steps, p.pools = append(p.steps, s), append(p.pools, pool)
}

func (p *purse) report() (total Step, steps []Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total, slices.Clone(p.steps)
}

// leave makes the attempt that ctx belongs to, within which a call begins, draw
// nothing any more: that call does.
func leave(ctx context.Context) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return
	}
	d := a.notes().draw
	if d == nil {
		return
	}
	d.purse.mu.Lock()
	amount := d.amount
	d.amount, d.within = amounts{}, true
	d.purse.mu.Unlock()
	for p := d.purse; p != nil; p = p.outer {
		p.release(amount)
	}
}

// afford refuses a call for which nothing is left, and bounds it in time.
func (c *Call) afford() error {
	if c.opts == nil {
		return nil
	}
	for p := c.opts.purse; p != nil; p = p.outer {
		if err := p.admit(c); err != nil {
			return c.Refuse(c, err, false)
		}
	}
	return nil
}

// admit refuses a call if its time is over, or nothing is left that some model
// could do with.
func (p *purse) admit(c *Call) *BudgetError {
	free := p.gone() && c.MayBeFree() // which asks hooks, without the lock
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.max.Deadline.IsZero() {
		left := p.max.Deadline.Sub(c.pool.wall(c.start))
		if left <= 0 {
			return p.refuse(c, "deadline", 0)
		}
		c.limitTo(left)
	}
	switch {
	case p.max.Tokens != 0 && p.spent.tokens >= p.max.Tokens:
		return p.refuse(c, "tokens", 0)
	case p.max.Cost != 0 && p.spent.nanos >= nanos(p.max.Cost) && !free:
		return p.refuse(c, "cost", 0)
	}
	return nil
}

// gone reports whether all dollars are spent.
func (p *purse) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.max.Cost != 0 && p.spent.nanos >= nanos(p.max.Cost)
}

// extraAttempt takes one of the attempts beyond a call's first, or gives it back.
func (p *purse) extraAttempt(n int) bool {
	for q := p; q != nil; q = q.outer {
		if !q.count(n) {
			for r := p; r != q; r = r.outer {
				r.count(-n)
			}
			return false
		}
	}
	return true
}

func (p *purse) count(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.max.Attempts != 0 && p.extra+n > max(p.max.Attempts, 0) {
		return false
	}
	p.extra += n
	return true
}

// has reports whether p is outer, or within it.
func (p *purse) has(outer *purse) bool {
	for ; p != nil; p = p.outer {
		if p == outer {
			return true
		}
	}
	return false
}

// MayBeFree reports whether one of the call's models costs nothing. With
// [Hooks].Cost it must have a Price that is Free as well. For feature authors.
func (c *Call) MayBeFree() bool {
	_, _, fees := c.typed.size()
	return slices.ContainsFunc(c.table.entries, func(e entry) bool {
		if fees && !e.model.info.Load().Price.Free {
			return false
		}
		cost, priced := c.typed.price(e.model, Usage{Input: 1000, Output: 1000}, false)
		return priced && cost == 0
	})
}

package resilience

import (
	"cmp"
	"context"
	"errors"
)

// An Estimate is what an attempt may take, at most. For feature authors.
type Estimate struct {
	Tokens int64   // 0 if nobody can tell
	Cost   float64 // US dollars, of Tokens
	Priced bool    // the model's price is known
	Free   bool    // whatever it takes
}

// Estimate returns what an attempt at the call's model may take at most: the
// tokens are [Call.Tokens], and all of them count as the dearer of input and
// output, but for what [Hooks].Output tells apart. For feature authors.
func (c *Call) Estimate() Estimate {
	tokens, answer, fees := c.size()
	n, out := int64(tokens), int64(answer)
	e := Estimate{Tokens: n}
	if n == 0 {
		n = 1000 // to see whether there is a price
	}
	if price := &c.model.info.Load().Price; !fees && flat(price) {
		e.Cost, e.Priced = atMost(price, n, out), true
	} else {
		e.Cost, e.Priced = c.dearest(n, out)
	}
	e.Free = e.Priced && e.Cost == 0 && (!fees || c.model.info.Load().Price.Free)
	if e.Tokens == 0 {
		e.Cost = 0
	}
	return e
}

// atMost is what n tokens cost at a flat price, of which out are the answer's, or
// any if that is 0.
func atMost(price *Price, n, out int64) float64 {
	if out == 0 {
		dearer := price.Input
		if price.Output > dearer {
			dearer = price.Output
		}
		return float64(n) * dearer / 1e6
	}
	return (float64(n-out)*price.Input + float64(out)*price.Output) / 1e6
}

// dearest is atMost at whatever price.
func (c *Call) dearest(n, out int64) (dollars float64, ok bool) {
	asks, answers := Usage{Input: n - out, Output: out}, Usage{Input: n - out, Output: out}
	if out == 0 {
		answers = Usage{Output: n}
	}
	asked, ok := c.typed.price(c.model, asks, false)
	answered, _ := c.typed.price(c.model, answers, false)
	return max(asked, answered), ok
}

// A Bill is what a provider charges for an attempt, as far as it is known. For
// feature authors.
type Bill struct {
	Usage  Usage
	Cost   float64 // US dollars
	Known  bool    // Usage is
	Priced bool    // Usage has a price

	// Accepted is false if the provider surely charges nothing: it did not
	// accept the attempt, or answered with the status of an error.
	Accepted bool
}

// Billed returns the bill of the latest attempt, which ended with err. That of a
// stream is complete at its end. For feature authors.
func (c *Call) Billed(err error) (b Bill) {
	c.billed(&b, err) // so that this is inlined, and b not copied
	return b
}

func (c *Call) billed(b *Bill, err error) {
	if a := c.latest(); a != nil {
		a.billed(b, err)
	}
}

// billed fills in b, which is empty.
func (a *attempt) billed(b *Bill, err error) {
	if n := a.noted.Load(); n != nil {
		if n.unasked {
			return
		}
		b.Usage, b.Cost, b.Known, b.Priced = n.Usage, n.cost, !unused(&n.Usage), n.priced
	}
	b.Accepted = b.Known || accepted(err)
}

// accepted reports whether a provider may charge for an attempt that ended with
// err.
func accepted(err error) bool {
	if err == nil {
		return true
	}
	if refusedFirst(err, KindOf(err)) {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	return !ok || e.Status < 400 || e.Delivered > 0
}

// Refuse notes that e keeps the call, or its attempt at a model, from being made,
// publishes it, and returns e as the error to fail with. Call, Op and Model are
// filled in. Would says that it is only said, and e keeps the call from nothing.
// For feature authors.
func (c *Call) Refuse(ctx context.Context, e *BudgetError, would bool) error {
	e.Call, e.Op = c.ID(), c.Op()
	if c.model != nil {
		e.Model = cmp.Or(e.Model, c.model.id)
	}
	if !would {
		c.record().budget = e
	}
	if c.pool.Wants(EventReject) {
		c.pool.Emit(ctx, Event{Kind: EventReject, Model: c.model, Attempt: int(c.attempts), Err: e, Reason: e.Error(), Would: would})
	}
	return e
}

package resilience

import (
	"context"
	"errors"
	"io"
)

// Fault notes that a layer at [LayerFault] makes the latest attempt go wrong.
// Asked says that the model is asked all the same; where it is not, the attempt
// uses and costs nothing, whatever comes of it. For feature authors.
func (c *Call) Fault(asked bool) {
	a := c.latest()
	if a == nil {
		return
	}
	c.record().faulted = true
	a.jot(func(n *note) { n.faulted, n.unasked = true, n.unasked || !asked })
}

// Faulted reports whether an attempt of the call was made to go wrong on
// purpose: what came of the call is not to be remembered, in a cache or a score.
// For feature authors.
func (c *Call) Faulted() bool { return c.trail != nil && c.trail.faulted }

// Spoil makes fn be asked before each chunk of the stream that the latest
// attempt brings, with how many meaningful ones there were. An error breaks the
// stream, and [io.EOF] ends it early. Fn may wait, until ctx ends. It is for
// layers at [LayerFault], before they ask the model; nothing comes of it where
// the answer is not a [Stream]. For feature authors.
func (c *Call) Spoil(fn func(ctx context.Context, chunks int) error) {
	if a := c.latest(); a != nil {
		a.jot(func(n *note) { n.spoil = fn })
	}
}

// spoiled returns what spoils the attempt's stream, once: of streams that are
// adapted it is the provider's.
func (a *attempt) spoiled() (fn func(context.Context, int) error) {
	if a.noted.Load() != nil {
		a.jot(func(n *note) { fn, n.spoil = n.spoil, nil })
	}
	return fn
}

// spoils asks what spoils the stream, and reports whether that ends it.
func (f *feed[Chunk]) spoils() (err error, over bool) { //nolint:revive // as read has it
	if f.spoil == nil || f.complete {
		return nil, false
	}
	if err = f.spoil(f.life.ctx, f.meant); errors.Is(err, io.EOF) {
		return nil, true
	}
	return err, err != nil
}

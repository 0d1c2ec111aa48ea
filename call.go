package resilience

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A Call is one call on its way through the layers. It is a context: layers
// pass on the ctx that they were given, or one derived from it, and never pair
// a ctx with another call. A Call belongs to the goroutine that carries it,
// and is not used after the call. For feature authors.
type Call struct {
	scope
	typed typed
	table *table // what the call may go to
	model *Model
	opts  *CallOptions // or nil
	root  *Call        // the outermost
	trail *trail
	start int64
	clock int64 // the latest reading

	used       atomic.Int32 // attempts beyond the first, of an outermost call those of calls within it too, and goesOn
	pos        uint16       // of model in the client's view
	attempts   uint16
	tried      [3]uint16
	ntried     uint8
	waited     bool // since the latest reading
	lastResort bool
	report     bool      // keep a trail from the start
	streams    bool      // its responses are streams
	state      uint8     // see over
	seen       [2]uint16 // where a picker found models of a tier, the latest first

	attempt attempt
}

// typed is the typed half of a call as the layers see it.
type typed interface {
	exec(ctx context.Context, a *attempt) error
	alive() *life                          // the stream that has begun, or nil
	readAhead(d, left time.Duration) error // of it
	asks
	resend(ctx context.Context, req any, broke *Error) (running, bool)
	price(m *Model, u Usage, answered bool) (dollars float64, ok bool)
	size() (tokens, answer int, fees bool)
	fork(f *fork) *Call
	adopt(from typed)
	discard()
}

// asks is a request, and how it becomes another one.
type asks interface {
	request() any
	revise()
	reduce(step int) bool
}

// extraAttempts is how many attempts a call and those within it may make
// beyond each one's first.
const extraAttempts = 5

// CallFrom returns the call that ctx belongs to, or nil. For feature authors.
func CallFrom(ctx context.Context) *Call {
	switch v := ctx.Value(callKey{}).(type) {
	case *Call:
		return v
	case *ambient:
		return v.call
	}
	return nil
}

// Value implements [context.Context].
func (c *Call) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	return c.scope.Value(key)
}

// ID numbers the calls of a pool, in the order in which somebody asked.
func (c *Call) ID() uint64 {
	t := c.record()
	if t.id == 0 {
		t.id = c.pool.ids.Add(1)
	}
	return t.id
}

// Options returns what the caller asked for.
func (c *Call) Options() CallOptions {
	if c.opts == nil {
		return CallOptions{}
	}
	return *c.opts
}

func (c *Call) verbatim() bool { return c.opts != nil && c.opts.Verbatim }

// Op returns Options().Op.
func (c *Call) Op() string {
	if c.opts == nil {
		return ""
	}
	return c.opts.Op
}

// Tenant returns Options().Tenant.
func (c *Call) Tenant() string {
	if c.opts == nil {
		return ""
	}
	return c.opts.Tenant
}

// Asked returns the name or ID of the model that the call is restricted to, with what
// may stand in for it, by [CallOptions].Model or [Client.Pin]; "" if any will do.
func (c *Call) Asked() string { return c.table.name }

// Affinity returns Options().Affinity.
func (c *Call) Affinity() string {
	if c.opts == nil {
		return ""
	}
	return c.opts.Affinity
}

// Pool returns the pool that the call belongs to.
func (c *Call) Pool() *Pool { return c.pool }

// Model returns the model being tried, nil above LayerRoute.
func (c *Call) Model() *Model { return c.model }

// Attempt counts the attempts that were begun, of any model.
func (c *Call) Attempt() int { return int(c.attempts) }

// LastResort reports whether the model was held when it was picked; breakers
// let the call pass.
func (c *Call) LastResort() bool { return c.lastResort }

// Left returns the time until the call's deadline, the caller's or ours,
// whichever is sooner; [math.MaxInt64] if there is none.
func (c *Call) Left() time.Duration {
	left := time.Duration(math.MaxInt64)
	if d, ok := c.parent.Deadline(); ok {
		left = time.Until(d)
	}
	if c.deadline != 0 {
		left = min(left, time.Duration(c.deadline-c.pool.now()))
	} else if t := c.trail; t != nil && t.limit != 0 {
		left = min(left, time.Duration(t.limit-c.pool.now()))
	}
	return left
}

// Remaining counts the models that the call could still go to.
func (c *Call) Remaining() int {
	n := 0
	if c.pool.router == nil || c.trail != nil && c.trail.last {
		return n // nobody goes on
	}
	for _, e := range c.table.entries {
		if c.usable(e, false) {
			n++
		}
	}
	return n
}

// PreferCheaper makes the call go to the cheapest of the models that it may go to,
// whatever their tiers, as long as there is one with a price: of several that cost
// the same the picker chooses. Compared is what four million tokens cost, three of
// them input. It reports whether there is a choice. For feature authors.
func (c *Call) PreferCheaper() bool {
	c.record().thrifty = true
	least, most := math.Inf(1), 0.0
	for _, e := range c.table.entries {
		if c.usable(e, true) {
			price := e.model.bulkPrice()
			least, most = min(least, price), max(most, price)
		}
	}
	return least < most
}

// Clock returns the call's latest reading of the pool's clock. After an attempt
// it is the attempt's end, so that layers need not read the clock again.
func (c *Call) Clock() time.Duration { return time.Duration(c.clock) }

// Streams reports whether the call's answers are streams.
func (c *Call) Streams() bool { return c.streams }

// Running reports whether the answer is a stream that goes on. OnEnd then calls
// fn once with its outcome, at once if it is over, on the goroutine that reads
// it. Layers use both after their next has returned without an error.
func (c *Call) Running() bool { return c.streams && c.typed.alive() != nil }

// OnEnd calls fn at the end of the stream. See [Call.Running].
func (c *Call) OnEnd(fn func(error)) {
	if l := c.typed.alive(); l != nil {
		l.onEnd(fn)
		return
	}
	fn(nil)
}

// Sleep waits for d, or until ctx, the call's, ends, and returns an error that
// says why then: [Canceled] by the caller, or [TimedOut]. The wait counts as the
// next attempt's.
func (c *Call) Sleep(ctx context.Context, d time.Duration) error {
	_, err := c.Wait(ctx, nil, d)
	return err
}

// Wait is Sleep that also ends when ready is closed or has a value; it returns
// whether that was so.
func (c *Call) Wait(ctx context.Context, ready <-chan struct{}, d time.Duration) (bool, error) {
	if d <= 0 {
		if ctx.Err() != nil {
			return false, c.ranOut(ctx)
		}
		return false, nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	start := c.pool.now()
	defer func() {
		c.clock, c.waited = c.pool.now(), true
		c.record().wait += time.Duration(c.clock - start)
	}()
	select {
	case <-ready:
		return true, nil
	case <-t.C:
		return false, nil
	case <-ctx.Done():
		return false, c.ranOut(ctx)
	}
}

// Tokens estimates the tokens that the call takes: [CallOptions].Tokens, or
// what [Hooks].Tokens says, 0 if neither knows.
func (c *Call) Tokens() int {
	tokens, _, _ := c.size()
	return tokens
}

// size is what a request takes, how much of it is the answer's, and whether there
// are fees besides.
func (c *Call) size() (tokens, answer int, fees bool) {
	if !c.table.plain {
		tokens, answer, fees = c.typed.size()
	}
	if c.opts != nil && c.opts.Tokens > 0 {
		tokens = c.opts.Tokens
	}
	tokens = max(tokens, 0)
	return tokens, min(max(answer, 0), tokens), fees
}

// Revises reports whether the next attempt asks something else: [Hooks].Revise
// tells the model what was wrong with its answer.
func (c *Call) Revises() bool { return c.trail != nil && c.trail.flaw != nil }

// Usage is what the latest attempt used, as far as it is known. That of a stream
// is complete at its end.
func (c *Call) Usage() Usage {
	if a := c.latest(); a != nil {
		return a.notes().Usage
	}
	return Usage{}
}

// latest returns the attempt that was begun last, or nil.
func (c *Call) latest() *attempt {
	switch {
	case c.trail != nil && c.trail.latest != nil:
		return c.trail.latest
	case c.attempt.call != nil:
		return &c.attempt
	default:
		return nil
	}
}

// Extra reports whether the call may ask the same model again after err, and
// takes the attempt from the budgets. See [Route.Extra] for another model.
// Refusals of ours are free. Everything else needs one of the call's extra
// attempts, which all calls within a call share; after a rate limit, and where
// the failure may have cost the provider work, also one of the pool's retry
// budget. With [CallOptions.Once] there is none after an attempt that may have
// been accepted.
func (c *Call) Extra(err error) bool { return c.extra(err, false) }

func (c *Call) extra(err error, elsewhere bool) bool {
	k := KindOf(err)
	if c.opts != nil && c.opts.Once && !refusedFirst(err, k) && !mutants.On("call-once-is-not-once") {
		return false
	}
	if k == Rejected {
		return true
	}
	return c.take((k.worked() || k == RateLimited && !elsewhere), elsewhere)
}

// take takes an extra attempt from the budgets of the call and of the outermost
// one and, if it is to be paid for, from the pool's.
func (c *Call) take(paid, elsewhere bool) bool {
	c = c.lead()
	if !c.use() {
		return false
	}
	if c.root != c && !c.root.use() {
		c.used.Add(-1)
		return false
	}
	if c.opts != nil && !c.opts.purse.extraAttempt(1) {
		c.unuse()
		return false
	}
	if paid && c.pool.retryBudget != nil && !c.pool.retryBudget(elsewhere) {
		c.unuse()
		if c.opts != nil {
			c.opts.purse.extraAttempt(-1)
		}
		return false
	}
	return true
}

// unuse gives back what use took, of the call and the outermost one.
func (c *Call) unuse() {
	c.used.Add(-1)
	if c.root != c {
		c.root.used.Add(-1)
	}
}

// goesOn is set in Call.used of the outermost call while a stream is continued,
// its own or that of a call within it. It has no place of its own so that a call
// fits into 256 bytes.
const goesOn = 1 << 30

// use takes one of the extra attempts that c allows.
func (c *Call) use() bool {
	if int(c.used.Add(1)&^goesOn) > c.allowed() && !mutants.On("call-attempts-without-bound") {
		c.used.Add(-1)
		return false
	}
	return true
}

// allowed is how many extra attempts the call has, and those within it if it is
// the outermost one.
func (c *Call) allowed() int {
	if c.root != c && (c.opts == nil || c.opts.Attempts == 0) {
		return math.MaxInt // the outermost call's will do
	}
	if c.opts == nil || c.opts.Attempts == 0 {
		return extraAttempts
	}
	return max(c.opts.Attempts, 1) - 1
}

// refusedFirst reports whether a provider surely did not accept an attempt
// that failed so.
func refusedFirst(err error, k Kind) bool {
	if all, ok := errors.AsType[*ExhaustedError](err); ok { // of a call within this one
		return !slices.ContainsFunc(all.Attempts, func(a Attempt) bool {
			return a.Kind == 0 || !refusedFirst(a.Err, a.Kind)
		})
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.refused
	}
	return k == Rejected
}

// Against reports whether err speaks against the model: the table's column,
// but not where the call's own deadline cut an attempt short that had less
// than half of the time an attempt normally gets, or where this process did not run
// meanwhile: see [Pool.Run].
func (c *Call) Against(err error) bool {
	if !KindOf(err).Against() {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	return mutants.On("call-blames-models-for-short-deadlines") || !ok || !e.cut
}

// GiveUp returns err marked as one that a retry layer has given up on, so that
// no outer one retries it. GaveUp reports the mark, and is also true where the
// provider asked not to be asked again.
func (c *Call) GiveUp(err error) error {
	switch e := err.(type) {
	case *Error:
		if e.gaveUp {
			return e
		}
		marked := *e // e may be a caller's own, and shared
		marked.gaveUp = true
		return &marked
	case *ExhaustedError:
		if e.gaveUp {
			return e
		}
		marked := *e
		marked.gaveUp = true
		return &marked
	case nil:
		return nil
	}
	return &abandoned{err}
}

// GaveUp reports whether err carries the mark of GiveUp.
func (c *Call) GaveUp(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok && (e.gaveUp || e.final) {
		return true
	}
	if e, ok := errors.AsType[*ExhaustedError](err); ok && e.gaveUp {
		return true
	}
	_, ok := errors.AsType[*abandoned](err)
	return ok
}

// abandoned marks an error that is not of this package.
type abandoned struct{ error }

func (a *abandoned) Unwrap() error { return a.error }

// record returns the call's trail, made when first needed.
func (c *Call) record() *trail {
	if c.trail == nil {
		c.trail = &trail{}
	}
	return c.trail
}

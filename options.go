package resilience

import (
	"cmp"
	"context"
	"time"
)

// CallOptions shape one call. The zero value asks for nothing special.
type CallOptions struct {
	// Model is a name or an ID that the call is restricted to; "" means any
	// model that is bound. Fallbacks are names or IDs that may stand in for
	// it, in this order; without them it is what the pool's fallback feature
	// says of it, nothing by default.
	Model     string
	Fallbacks []string

	Op       string        // what the call is for, in overrides, events and logs
	Tenant   string        // on whose behalf, for fairness, in events and logs
	Priority Priority      // who waits and who is turned away first under pressure
	Timeout  time.Duration // for the whole call; 0 means Timeouts.Call, negative none
	Attempts int           // at most so many in all; 0 means six, negative means one
	MaxCost  float64       // in US dollars, all attempts together, those of calls within it too; 0 means no limit. See [Budget].Cost

	// Key is the name of the caller's own key, as [KeyFrom] tells it to whoever
	// asks the model; it is printed, and never the key itself. Then all attempts of
	// the call, and of those within it, have that key and none of the pool's own.
	// Where it is refused it is left out for five minutes, where it is spent or
	// limited as long as the provider says, else for a minute or a second, doubling
	// up to an hour, or a minute for a limit. A model at which it is left out
	// refuses the call as [Rejected], unasked, and the call goes on to others. What
	// the key fails for neither holds a model nor counts against it, and models
	// whose own keys are refused or spent are open to it.
	Key string

	// Once allows one attempt that a provider may have accepted, for requests
	// that act: tools run by the provider, background jobs. Failures that
	// surely came before still move on.
	Once bool

	// Verbatim has the request asked as it is, and the answer be what the model says:
	// Hooks.Reduce, Revise and Default are not used, streams that break are not
	// mended, and nothing is asked again of which any part of an answer has come. It
	// is for votes and measurements, and holds for the calls within the call too.
	Verbatim bool

	// Require lists capabilities that the model must have, whatever happens: no
	// fallback, hedge or last resort goes elsewhere. A model's region is one of
	// its capabilities.
	Require []string

	Region   string // models of this region are preferred, where the picker goes by regions
	Affinity string // calls that share it prefer the same model, for its prompt cache
	Tokens   int    // that the request is likely to take, with its answer; 0 means as Hooks.Tokens says

	purse *purse // of MaxCost and WithBudget
}

// Priority orders calls when there is not room for all of them.
type Priority int8

// The priorities.
const (
	Low      Priority = -1
	Normal   Priority = 0
	High     Priority = 1
	Critical Priority = 2 // may use held models as a last resort
)

// String returns the priority's name.
func (p Priority) String() string {
	names := [...]string{"low", "normal", "high", "critical"}
	if p < Low || p > Critical {
		return "unknown"
	}
	return names[p-Low]
}

// WithOptions returns a context whose next call uses opts where none are
// given, for code that sees only the [ModelCaller] interface. They lie over
// those that ctx carries already. Calls made within that call do not use them.
func WithOptions(ctx context.Context, opts CallOptions) context.Context {
	a := &ambient{Context: ctx, opts: &opts}
	if outer, ok := ctx.Value(callKey{}).(*ambient); ok {
		a.call = outer.call
		if outer.opts != nil {
			opts = overlay(*outer.opts, opts)
		}
	} else {
		a.call = CallFrom(ctx)
	}
	return a
}

// Detach returns a context whose calls share no budget and no options with the
// call that ctx belongs to. Its deadline and cancellation stay.
func Detach(ctx context.Context) context.Context { return &ambient{Context: ctx} }

// ambient is what calls made with a context take over. A [Call] is one too.
type ambient struct {
	context.Context
	opts *CallOptions
	call *Call
}

type callKey struct{}

func (a *ambient) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return a
	}
	return a.Context.Value(key)
}

// inherit takes over what the context carries: options given for the next
// call, or an outer call's budget and what it is for.
func (c *Call) inherit(ctx context.Context, opts *CallOptions) {
	c.opts = opts
	var outer *Call
	switch from := ctx.Value(callKey{}).(type) {
	case *Call:
		outer = from
	case *ambient:
		outer = from.call
		if c.opts == nil {
			c.opts = from.opts
		} else if from.opts != nil {
			c.opts = new(overlay(*from.opts, *opts))
		}
	}
	if outer == nil {
		c.root = c
		c.cap()
		return
	}
	c.root = outer.root
	if o := outer.opts; o != nil {
		theirs := CallOptions{
			Op: o.Op, Tenant: o.Tenant, Key: o.Key, Priority: o.Priority, Once: o.Once, Verbatim: o.Verbatim, Region: o.Region, Affinity: o.Affinity, Tokens: o.Tokens,
			purse: o.purse,
		}
		if !theirs.zero() {
			c.opts = new(overlay(theirs, c.Options()))
		}
		if theirs.purse != nil && c.opts.purse.has(theirs.purse) {
			leave(ctx)
		}
	}
	c.cap()
}

// cap makes a budget of the call's own of MaxCost.
func (c *Call) cap() {
	if c.opts != nil && c.opts.MaxCost != 0 {
		own := *c.opts
		own.purse = &purse{of: "call", max: Budget{Cost: own.MaxCost}, outer: own.purse}
		c.opts = &own
	}
}

// overlay returns the fields of over that are set, and those of base elsewhere.
func overlay(base, over CallOptions) CallOptions {
	if over.Model == "" {
		over.Model, over.Fallbacks = base.Model, base.Fallbacks
	}
	if over.Op == "" {
		over.Op = base.Op
	}
	if over.Tenant == "" {
		over.Tenant = base.Tenant
	}
	over.Key = cmp.Or(over.Key, base.Key)
	if over.Timeout == 0 {
		over.Timeout = base.Timeout
	}
	if over.Attempts == 0 {
		over.Attempts = base.Attempts
	}
	if over.purse == nil {
		over.purse = base.purse
	}
	over.MaxCost = cmp.Or(over.MaxCost, base.MaxCost)
	over.Once = over.Once || base.Once
	over.Verbatim = over.Verbatim || base.Verbatim
	if over.Require == nil {
		over.Require = base.Require
	}
	over.Priority = cmp.Or(over.Priority, base.Priority)
	over.Region = cmp.Or(over.Region, base.Region)
	over.Affinity = cmp.Or(over.Affinity, base.Affinity)
	over.Tokens = cmp.Or(over.Tokens, base.Tokens)
	return over
}

// zero reports whether nothing is set of what calls within a call take over.
func (o *CallOptions) zero() bool {
	return o.Op == "" && o.Tenant == "" && o.Key == "" && o.Priority == 0 && !o.Once && !o.Verbatim && o.Region == "" && o.Affinity == "" && o.Tokens == 0 &&
		o.purse == nil
}

// restrict narrows the call's table to what was asked for.
func (c *Call) restrict(pinned string) error {
	sub, unknown := c.table, pinned
	switch {
	case printable(c.own()) != c.own():
		return &Error{Kind: Invalid, reason: "CallOptions.Key " + notAnID + ": it is a name, not the key", refused: true}
	case pinned != "":
		sub = sub.one(pinned)
	case c.opts.Model != "":
		fallbacks := c.opts.Fallbacks
		if len(fallbacks) == 0 && c.pool.standIns != nil {
			fallbacks = c.pool.standIns(c.opts.Model)
		}
		sub, unknown = sub.restrict(c.opts.Model, fallbacks, len(c.opts.Fallbacks) > 0)
	case len(c.opts.Fallbacks) > 0:
		return &Error{Kind: Invalid, reason: "CallOptions.Fallbacks without a Model to stand in for", refused: true}
	}
	if sub == nil {
		return c.pool.unknown(unknown, c.table)
	}
	c.table = sub
	return nil
}

// bound sets the call's deadline.
func (c *Call) bound() {
	if c.opts != nil && c.opts.Timeout != 0 {
		if c.opts.Timeout > 0 {
			c.limit(c.opts.Timeout, &timeoutError{setting: "CallOptions.Timeout", after: c.opts.Timeout})
		}
		return
	}
	if t := c.pool.timeouts.Load(); t != nil {
		if d, cause := t.call(c); d > 0 {
			c.limit(d, cause)
		}
		c.report = c.report || t.observe // so that conclude sees it
	}
}

// limitTo bounds the call by the deadline of a run.
func (c *Call) limitTo(d time.Duration) {
	at := c.start + int64(d)
	if at < c.start || c.deadline != 0 && c.deadline <= at || c.trail != nil && c.trail.limit != 0 && c.trail.limit <= at {
		return
	}
	c.limit(d, &timeoutError{setting: "Budget.Deadline", after: d})
}

// limit bounds the call. The context of a call that streams outlives the bound,
// which is for its first chunk: each attempt sees to it itself.
func (c *Call) limit(d time.Duration, cause *timeoutError) {
	if c.start+int64(d) < c.start { // beyond all time
		return
	}
	if !c.streams {
		c.deadline, c.cause = c.start+int64(d), cause
		return
	}
	t := c.record()
	t.limit, t.limitCause, t.span = c.start+int64(d), cause, int64(d)
}

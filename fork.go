package resilience

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// fork is a lane of a call: an attempt, or several at one model, beside others.
// It is the context that the lane's Call is a child of.
type fork struct {
	context.Context
	lead *Call // that goes on after the race
	call *Call
	base uint16 // attempts of lead when the lane began

	hedge bool
	lost  atomic.Pointer[error] // why nobody waits for it any more

	mu    sync.Mutex
	ended []Attempt // for the lead, to which the lane does not come back if it has lost
	under bool      // an attempt is, since began
	began int64
	by    *access // of the latest attempt
}

// fork makes a call that is a lane of this one, at its present model.
func (x *exchange[Req, Resp]) fork(f *fork) *Call {
	c := &x.Call
	y := &exchange[Req, Resp]{req: x.req, resp: x.resp}
	y.typed, y.pool, y.parent, y.table = y, c.pool, f, c.table
	y.opts, y.root, y.streams = c.opts, c.root, c.streams
	y.model, y.pos, y.lastResort = c.model, c.pos, c.lastResort
	y.start, y.clock = c.start, c.pool.now()
	y.attempts, y.tried, y.ntried = c.attempts, c.tried, c.ntried
	y.report, y.state = true, callForked
	t := c.record()
	y.trail = &trail{
		id: c.ID(), window: t.window, last: t.last, tried: slices.Clone(t.tried),
		limit: t.limit, limitCause: t.limitCause, span: t.span,
		life: t.life, began: t.began,
		wait: t.wait, flaw: t.flaw, stretch: t.stretch,
	}
	t.wait = 0
	f.lead, f.call, f.base = c, &y.Call, c.attempts
	return &y.Call
}

// begins and ends note the lane's attempts.
func (f *fork) begins(now int64, by *access) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.under, f.began, f.by = true, now, by
}

func (f *fork) ends(a Attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.under = false
	f.ended = append(f.ended, a)
}

// attempts are those that the lane has made. The one that is under way, or has
// an answer that nobody takes, has ended with why.
func (f *fork) attempts(now int64, why *Error) []Attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Clone(f.ended)
	if f.under {
		all = append(all, Attempt{
			Model: f.call.model, Key: f.by.name(), Start: f.lead.pool.wallish(f.began), Duration: time.Duration(now - f.began), Hedge: f.hedge,
		})
	}
	for i := range all {
		if all[i].Kind == 0 {
			e := *why
			e.Model, e.Key, e.Attempt = f.call.model.id, all[i].Key, int(f.base)+i+1
			all[i].Kind, all[i].Reason, all[i].Err = e.Kind, e.reason, &e
		}
	}
	return all
}

// adopt takes over the response of a lane, with the request that it is to, which
// may be a revised one. The lane must not hold it: nobody would see then that a
// stream is lost.
func (x *exchange[Req, Resp]) adopt(from typed) {
	var none Resp
	y := from.(*exchange[Req, Resp])
	x.req, x.resp, y.resp = y.req, y.resp, none
}

// discard closes a response that nobody wants, if there is one.
func (x *exchange[Req, Resp]) discard() {
	if l := x.alive(); l != nil {
		l.abandon()
		return
	}
	if isNil(x.resp, x.view().binding.nilness) {
		return
	}
	switch r := any(x.resp).(type) {
	case io.Closer:
		_ = r.Close()
	case *http.Response:
		_ = r.Body.Close()
	}
}

// lead returns the call that c is a lane of, or c.
func (c *Call) lead() *Call {
	if f := c.forked(); f != nil {
		return f.lead
	}
	return c
}

// forked returns c as a lane, or nil.
func (c *Call) forked() *fork {
	if c.state != callForked {
		return nil
	}
	f, _ := c.parent.(*fork)
	return f
}

// lost returns why nobody waits for this lane any more, nil while somebody does.
func (c *Call) lost() error {
	if f := c.forked(); f != nil {
		if why := f.lost.Load(); why != nil {
			return *why
		}
	}
	return nil
}

// merge adds to what the call knows what one of its lanes has learnt.
func (c *Call) merge(f *fork) {
	from, t := f.call.trail, c.record()
	for _, a := range from.attempts {
		t.insert(a)
	}
	t.usage = t.usage.add(from.usage)
	t.faulted = t.faulted || from.faulted
	t.cost += from.cost
	t.refused = append(t.refused, from.refused...)
	if len(t.refused) > maxSkipped {
		t.refused = t.refused[:maxSkipped]
	}
	if from.flaw != nil {
		t.flaw = from.flaw
		c.typed.adopt(f.call.typed)
	}
	if from.budget != nil {
		t.budget = from.budget
	}
	c.attempts += f.call.attempts - f.base
	c.clock = max(c.clock, f.call.clock)
}

// insert adds an attempt where it belongs by its start.
func (t *trail) insert(a Attempt) {
	if len(t.attempts) == maxTrail {
		return
	}
	i := len(t.attempts)
	for i > 0 && t.attempts[i-1].Start.After(a.Start) {
		i--
	}
	t.attempts = slices.Insert(t.attempts, i, a)
}

// adopt makes the outcome of a lane that of the call.
func (c *Call) adopt(f *fork) {
	c.merge(f)
	won := f.call
	c.typed.adopt(won.typed)
	c.model, c.pos, c.lastResort = won.model, won.pos, won.lastResort
	c.trail.latest = won.latest()
	won.trail = c.trail // what the end of a stream is noted on
	if l := c.typed.alive(); l != nil {
		l.onEnd(func(error) { won.cancel() })
		return
	}
	won.cancel()
}

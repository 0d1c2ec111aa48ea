package resilience

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A Race is a call that goes several ways at the same time. Each way is a lane,
// a function that goes from model to model; the first answer is the call's. For
// feature authors.
//
// Lanes share the Route: they hold the race's lock, and let go of it only within
// Try, so that [Route.Next] does not wait in a race. A lane returns when Try
// returns nil, and when Over reports true.
type Race struct {
	route *Route
	ctx   context.Context
	next  Handler

	mu       sync.Mutex
	under    []*fork // way
	timers   []*time.Timer
	won      *fork
	taken    bool // its response is the call's
	failed   error
	over     bool // nobody waits for an answer any more
	others   int  // lanes that run on goroutines of their own
	panicked *panicked
	wake     chan struct{}
}

// panicked is what a lane has panicked with.
type panicked struct{ value any }

var (
	errLost   = errors.New("another answer came first")
	errLeft   = errors.New("left when the call failed")
	errGoexit = errors.New("runtime.Goexit in a lane of a race")
)

// Race runs lead on this goroutine, as the first lane, and those that it starts
// by Go and After on others. It returns nil as soon as one has got an answer,
// which becomes the call's; without one, what lead returned, once all others
// are over. Those that are under way are canceled when there is an answer; they
// count neither for nor against their models, and are not waited for, except
// lead, which is on this goroutine, and by [Pool.Drain]. A panic of a lane comes
// up here while there is no answer, and is an [EventPanic] after that.
func (r *Route) Race(ctx context.Context, next Handler, lead func(*Race) error) error {
	x := &Race{route: r, ctx: ctx, next: next, wake: make(chan struct{}, 1)}
	r.Call().record().racing = true
	defer x.leave()
	err := x.first(lead)
	x.wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	switch {
	case x.panicked != nil:
		panic(x.panicked.value)
	case x.won != nil:
		x.forsake(outrun())
		x.taken = true
		r.Call().adopt(x.won)
		return nil
	case x.failed != nil:
		x.forsake(&Error{Kind: Canceled, Err: errLeft, reason: errLeft.Error()})
		return x.failed
	case x.others > 0:
		ended := r.Call().ranOut(ctx)
		ended.refused = false
		x.forsake(ended)
		return ended
	case err == nil: // lead has tried nothing
		return r.None()
	default:
		return err
	}
}

// first runs the lane that is on this goroutine. What it panics with after
// another has got an answer is nobody's any more.
func (x *Race) first(lane func(*Race) error) (err error) {
	returned := false
	defer func() {
		if returned || !x.answered() {
			return
		}
		if v := recover(); v != nil {
			x.record(v)
			x.tell()
		}
	}()
	err = x.run(lane)
	returned = true
	return err
}

func (x *Race) answered() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.won != nil
}

// run runs a lane unless the race is over before it begins.
func (x *Race) run(lane func(*Race) error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.Over() {
		return nil
	}
	c := x.route.Call()
	c.clock = c.pool.now()
	return lane(x)
}

// outrun is the error of a lane when there is an answer.
func outrun() *Error {
	return &Error{Kind: Canceled, Err: errLost, reason: errLost.Error()}
}

// Over reports whether there is nothing left to run for.
func (x *Race) Over() bool {
	return x.won != nil || x.over || x.panicked != nil || x.failed != nil
}

// Fail ends the race with err, unless it is over: what is under way is canceled
// as if there were an answer.
func (x *Race) Fail(err error) {
	if x.Over() {
		return
	}
	x.failed = err
	x.cancel()
	x.signal()
}

// Lanes counts the attempts that are under way.
func (x *Race) Lanes() int { return len(x.under) }

// Go starts a lane beside this one, unless the race is over.
func (x *Race) Go(lane func(*Race) error) {
	if x.Over() {
		return
	}
	x.others++
	x.route.pool.open.Add(1) // the call is open: nobody has seen the pool empty
	go x.other(lane)
}

// After starts a lane once d has passed, unless the race is over then.
func (x *Race) After(d time.Duration, lane func(*Race) error) {
	if x.Over() {
		return
	}
	x.timers = append(x.timers, time.AfterFunc(d, func() {
		x.mu.Lock()
		off := x.Over()
		if !off {
			x.others++
			x.route.pool.open.Add(1)
		}
		x.mu.Unlock()
		if !off {
			x.other(lane)
		}
	}))
}

// other runs a lane on a goroutine of its own.
func (x *Race) other(lane func(*Race) error) {
	defer x.route.pool.close()
	returned := false
	defer func() {
		var value any = errGoexit
		if !returned {
			if v := recover(); v != nil {
				value = v
			}
			x.record(value)
		}
		x.mu.Lock()
		x.others--
		late := x.over || x.won != nil
		if !returned && !late && x.panicked == nil {
			x.panicked = &panicked{value}
			x.cancel()
		}
		x.signal()
		x.mu.Unlock()
		if !returned && late {
			x.tell()
		}
	}()
	_ = x.run(lane)
	returned = true
}

// record logs a panic with its stack, which is another one where it comes up again.
func (x *Race) record(value any) {
	x.route.pool.log.LogAttrs(context.Background(), slog.LevelError, "a lane of a race panicked",
		slog.Any("panic", value), slog.String("stack", string(debug.Stack())))
}

// tell tells of a panic that nobody waits for.
func (x *Race) tell() {
	x.route.pool.Emit(context.Background(), Event{Kind: EventPanic, Reason: "a lane that had lost its race"})
}

// Next picks a model for an attempt beside others, and makes it the call's: of
// another provider than theirs if there is one, and never a held one, not even if
// the picker offers that. It returns nil if there is none.
func (x *Race) Next() *Model {
	c := x.route.Call()
	t := c.record()
	for _, f := range x.under {
		if p := f.call.model.info.Load().Provider; p != "" {
			t.avoid = append(t.avoid, p)
		}
	}
	e, ok := x.route.pick(c.pool.picker)
	if t.avoid = nil; !ok {
		e, ok = x.route.pick(c.pool.picker)
	}
	if !ok || c.lastResort {
		return nil
	}
	c.try(e)
	return e.model
}

// Try tries the call's present model, which is that again when it returns. It
// lets go of the lock meanwhile. Hedge says that the attempt is beside another,
// which is slow. When the race is over, it tries nothing and fails as [Canceled].
func (x *Race) Try(hedge bool) error {
	if x.Over() {
		return outrun()
	}
	c := x.route.Call()
	f := &fork{Context: x.ctx, hedge: hedge}
	lane := c.typed.fork(f)
	c.attempts++ // so that no two have the same number
	if t := c.record(); !hedge {
		t.then(cmp.Or(t.how, "elsewhere"))
		t.how = ""
	}
	x.under = append(x.under, f)
	x.mu.Unlock()

	returned := false
	defer func() {
		if !returned { // it passes through, or comes up at Race
			x.mu.Lock()
			x.gone(f)
			lane.cancel()
		}
	}()
	err := x.next(lane, lane)
	returned = true
	x.mu.Lock()
	return x.back(f, err)
}

// back takes in the outcome of a lane's attempt.
func (x *Race) back(f *fork, err error) error {
	c := x.route.Call()
	switch {
	case !x.Over() && err == nil:
		if !mutants.On("race-cancels-the-winner") {
			x.gone(f)
		}
		x.won = f
		c.attempts-- // adopt counts them
		x.cancel()
		x.signal()
		return nil
	case err == nil:
		x.discard(f)
		err = outrun()
	default:
		f.call.cancel()
	}
	x.gone(f)
	if !x.over {
		c.attempts--
		c.merge(f)
		c.model, c.pos = f.call.model, f.call.pos
	}
	return err
}

// discard ends a response that is not the call's. It lets go of the lock
// meanwhile.
func (x *Race) discard(f *fork) {
	x.mu.Unlock()
	defer x.mu.Lock()
	defer f.call.cancel()
	f.call.typed.discard()
}

func (x *Race) gone(f *fork) {
	if i := slices.Index(x.under, f); i >= 0 {
		x.under = slices.Delete(x.under, i, i+1)
	}
}

// cancel ends what is under way.
func (x *Race) cancel() {
	for _, t := range x.timers {
		t.Stop()
	}
	why := &errLost
	if x.failed != nil {
		why = &errLeft
	}
	if x.ctx.Err() != nil { // that is what ends them
		why = nil
	}
	for _, f := range x.under {
		f.lost.CompareAndSwap(nil, why)
		f.call.cancel()
	}
}

func (x *Race) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// wait waits for an answer of the lanes beside the first one.
func (x *Race) wait() {
	for {
		x.mu.Lock()
		done := x.Over()
		if !done && x.others == 0 {
			done, x.over = true, true // no timer starts another any more
		}
		x.mu.Unlock()
		if done {
			return
		}
		select {
		case <-x.wake:
		case <-x.ctx.Done():
			return
		}
	}
}

// forsake notes the attempts of lanes that are canceled and have not returned,
// with what ended those under way.
func (x *Race) forsake(why *Error) {
	c := x.route.Call()
	t, now := c.record(), c.pool.now()
	for _, f := range x.under {
		c.attempts--
		for _, a := range f.attempts(now, why) {
			c.attempts++
			t.insert(a)
			t.usage = t.usage.add(a.Usage)
			t.cost += a.Cost
		}
	}
}

// leave ends the race, also if the call panics: then nobody takes an answer.
func (x *Race) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	x.route.Call().record().racing = false
	x.cancel()
	if x.won != nil && !x.taken {
		x.discard(x.won)
	}
}

// Beside takes what an attempt beside others costs: one of the call's extra
// attempts and, if it is paid, one of the pool's retry budget. There is none with
// [CallOptions.Once], and none if Next could not return a model.
func (r *Route) Beside(paid bool) bool {
	if r.opts != nil && r.opts.Once || !r.Others() {
		return false
	}
	return r.Call().take(paid, false)
}

package breaker

import (
	"context"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// outcome is what a call says of the model.
type outcome struct {
	harm    int64 // in halves
	slow    bool
	neutral bool
	wait    int64 // an overloaded provider asked to be left alone for so long
}

// What the window counts.
const (
	calls = iota
	fails // in halves
	slows
)

// A failure weighs two halves; one that says little of the model weighs one.
const whole = 2

// report takes the outcome of an admitted call.
func (e *engine) report(ctx context.Context, now int64, p permit, o outcome) {
	switch {
	case p.life == 0 || p.life != e.life.Load():
		return
	case p.lease == 0 && o.neutral:
		return
	case p.lease == 0 && o == outcome{}:
		e.good(now, p)
		return
	}
	e.mu.Lock()
	defer e.unlock()
	e.tick(ctx, now)
	switch {
	case p.life != e.life.Load():
	case p.lease != 0:
		e.vote(ctx, now, p, o)
	default: // closed, or its life would be over
		e.count(ctx, now, o)
	}
}

// good is report for a success that the closed breaker let through: what
// nearly all calls are.
func (e *engine) good(now int64, p permit) {
	if p.life == 0 || p.life != e.life.Load() {
		return
	}
	r := e.rules.Load()
	r.counts.Add(now, calls, 1)
	if r.drift > 0 || e.goods.Load() == 0 {
		e.goods.Add(1)
	}
}

// vote takes the outcome of a probe.
func (e *engine) vote(ctx context.Context, now int64, p permit, o outcome) {
	for i, end := range e.leases {
		if end == p.lease { // probes with the same end are alike
			e.leases = append(e.leases[:i], e.leases[i+1:]...)
			break
		}
	}
	e.ask(now, o)
	r := e.rules.Load()
	switch {
	case o.neutral && !mutants.On("breaker-closes-on-nothing"):
	case o.harm == 0 && o.slow && r.slowRate > 0:
		e.tell(ctx, now, errFailed, "probe was slow")
	case o.harm == 0:
		if e.passed++; e.passed >= r.probes {
			e.tell(ctx, now, nil, "probes succeeded")
		}
	default:
		if e.harm += o.harm; e.harm >= whole {
			e.tell(ctx, now, errFailed, "probe failed")
		}
	}
}

// count takes the outcome of a call that the closed breaker let through, and
// that was not plainly good.
func (e *engine) count(ctx context.Context, now int64, o outcome) {
	e.ask(now, o)
	counts := e.rules.Load().counts
	counts.Add(now, calls, 1)
	if o.slow {
		counts.Add(now, slows, 1)
	}
	counts.Add(now, fails, o.harm)
	if o.harm == 0 {
		e.goods.Add(1)
	}
	e.accumulate(o.harm)
	e.tell(ctx, now, errFailed, "") // slow ones too: gobreaker asks the rules after failures only
}

// ask notes for how long an overloaded provider asked to be left alone.
func (e *engine) ask(now int64, o outcome) {
	if o.wait > 0 {
		e.floor = max(e.floor, now+min(o.wait, e.rules.Load().maxOpenFor))
	}
}

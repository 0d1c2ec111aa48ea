package retry

import (
	"context"
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
)

// Do calls fn until it succeeds, as p says for a model that has no others
// beside it, and returns its last result. There is no pool: Config.Ops and
// Config.Models do not apply, the time that is left is that of ctx, and the
// budget is p's, which all users of p share. Fn gets ctx as it is. The kind of
// an error is what [resilience.KindOf] says; what it does not know is not
// retried.
//
// Within a call of a pool, every retry is also one of that call's extra
// attempts. Nested uses retry once, in the innermost.
func Do[T any](ctx context.Context, p *Policy, fn func(context.Context) (T, error)) (T, error) {
	if p.err != nil {
		var none T
		return none, p.err
	}
	cfg := &p.plan.Load().Config
	v, err := measure(ctx, p, cfg, fn)
	if err == nil {
		p.budget.deposit()
		return v, nil
	}
	r := run{config: cfg, pacer: &p.own}
	outer := resilience.CallFrom(ctx) // nil outside of a call
	for tries := 1; !outer.GaveUp(err) && !cfg.ObserveOnly; tries++ {
		if ended := ctx.Err(); ended != nil {
			return v, &interrupted{giveUp(outer, err), ended}
		}
		kind := resilience.KindOf(err)
		wait, ok := r.wait(failure{
			kind:  kind,
			asked: resilience.RetryAfter(err),
			tries: tries,
			alone: true,
			left:  left(ctx),
		}, p.now(), p.random)
		if !ok {
			return v, giveUp(outer, err)
		}
		if !p.extra(outer, kind, err) {
			r.giveBack()
			return v, giveUp(outer, err)
		}
		if ended := sleep(ctx, wait); ended != nil {
			r.giveBack()
			return v, &interrupted{giveUp(outer, err), ended}
		}
		if v, err = measure(ctx, p, cfg, fn); err == nil {
			p.budget.deposit()
			return v, nil
		}
	}
	return v, err
}

// extra pays for a retry. A server that turned the call away for now has done
// no work for it, so that retry is free.
func (p *Policy) extra(outer *resilience.Call, kind resilience.Kind, err error) bool {
	if outer != nil && !outer.Extra(err) {
		return false
	}
	return kind == resilience.RateLimited || p.pay(false)
}

// giveUp marks err for outer uses, unless they would not retry it anyway.
func giveUp(outer *resilience.Call, err error) error {
	if !resilience.KindOf(err).Retry() {
		return err
	}
	return outer.GiveUp(err)
}

func measure[T any](ctx context.Context, p *Policy, cfg *Config, fn func(context.Context) (T, error)) (T, error) {
	if !cfg.Pace {
		return fn(ctx)
	}
	start := p.now()
	v, err := fn(ctx)
	p.own.observe(p.now()-start, err == nil)
	return v, err
}

func left(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return math.MaxInt64
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Package retry asks the same model again where that may help: after
// exponential backoff with full jitter, or exactly as long as the server asked
// for, within the call's time, and within a budget that keeps retries from
// making an outage worse.
package retry

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Wrap retries caller. See [resilience.Wrap]; like it, Wrap panics if cfg is
// not valid.
func Wrap[Req, Resp any](caller resilience.ModelCaller[Req, Resp], cfg Config) *resilience.Client[Req, Resp] {
	return resilience.Wrap(caller, New(cfg))
}

// A Policy is the retry feature. It may be used by many goroutines, as a
// feature of one pool or by [Do].
//
// What is retried follows from the failure's [resilience.Kind]:
//
//   - Overloaded: after backoff, and not before the server asked.
//   - Unreachable, and Truncated before anything was delivered: once after a
//     tenth of the backoff; again after backoff.
//   - RateLimited: when the server asked, never sooner and at most a quarter of
//     a second later, if that is within Patience. If it did not ask for
//     anything, after backoff, if there is no other model to go to.
//   - TimedOut: after backoff, if there is no other model to go to.
//   - An answer that failed validation: at once, if [resilience.Hooks].Revise tells
//     the model what was wrong with it.
//   - All else is not retried, nor is what the provider marks as final.
//
// While there is another model to go to, a model is asked twice at most. A wait
// that does not fit the time that is left is not begun: the failure is
// returned at once. If the context ends during a wait, the failure is returned,
// joined with the context's error. A panic is not retried.
//
// However wrappers nest, the innermost alone retries: what it gave up on is
// marked, and the others pass it on.
//
// Retries of failures that may have cost the provider work are paid for from a
// budget. A success pays in Config.Budget of a retry, and so does every second
// that passes; at most ten retries can be saved up, and are at first. So at a
// steady rate of λ calls a second that all fail there are 1 + Budget/λ attempts
// a call, and never more than Budget retries a success beyond that. A move to
// another model costs as much as one success pays in, and may overdraw the
// budget by ten retries.
type Policy struct {
	given  Config
	err    error            // what is wrong with given
	pool   *resilience.Pool // nil if it has none
	plan   atomic.Pointer[plan]
	budget budget
	own    pacer // of Do
	pacers resilience.PerModel[pacer]
	now    func() time.Duration
	random func() float64
}

// New returns a policy. If cfg is not valid, installing it fails, and so does
// every [Do].
func New(cfg Config) *Policy {
	start := time.Now()
	p := &Policy{
		given:  cfg,
		now:    func() time.Duration { return time.Since(start) },
		random: rand.Float64,
	}
	plan, err := newPlan(cfg)
	if err != nil {
		p.err = err
		return p
	}
	p.plan.Store(plan)
	p.budget.reset(0, plan.Budget)
	return p
}

// Install implements [resilience.Feature].
func (p *Policy) Install(s *resilience.Setup) error {
	switch {
	case p.err != nil:
		return p.err
	case p.pool != nil:
		return &resilience.ConfigError{Path: section, Problem: "this policy belongs to another pool"}
	}
	p.pool = s.Pool()
	p.now, p.random = p.pool.Now, p.pool.Rand
	p.budget.reset(p.now(), p.plan.Load().Budget)
	s.Configure(section, p.prepare)
	s.RetryBudget(p.pay)
	s.OnReset(func(m *resilience.Model) { p.pacers.Of(m).reset() })
	s.Wrap(resilience.LayerRetry, p.layer)
	s.Tell(resilience.Metric{
		Name: "retry_budget_left", Help: "Retries that the budget has left.",
		Read: func(tell func(resilience.Sample)) {
			if ratio := p.plan.Load().Budget; ratio > 0 {
				tell(resilience.Sample{Value: p.budget.left(p.now(), ratio)})
			}
		},
	})
	return nil
}

// String returns the settings in effect.
func (p *Policy) String() string {
	if p.err != nil {
		return settings.Describe(p.given)
	}
	return settings.Describe(p.plan.Load().Config)
}

// prepare makes the next configuration: that of a file, or the given one.
func (p *Policy) prepare(raw json.RawMessage) (commit func(), err error) {
	cfg := p.given
	if raw != nil {
		if problems := settings.Decode(section, raw, &cfg); len(problems) > 0 {
			return nil, configErrors(problems)
		}
	}
	next, err := newPlan(cfg)
	if err != nil {
		return nil, err
	}
	return func() { p.plan.Store(next) }, nil
}

// pay takes a retry from the budget, or a move to another model.
func (p *Policy) pay(elsewhere bool) bool {
	now, ratio := p.now(), p.plan.Load().Budget
	if elsewhere {
		return p.budget.move(now, ratio)
	}
	return p.budget.take(now, ratio) || mutants.On("retry-without-budget")
}

func (p *Policy) layer(m *resilience.Model, next resilience.Handler) resilience.Handler {
	pacer := p.pacers.Of(m)
	measured := p.measured(pacer, next)
	return func(ctx context.Context, c *resilience.Call) error {
		plan, try := p.plan.Load(), next
		if plan.paced {
			try = measured
		}
		err := try(ctx, c)
		if err == nil {
			p.earn(c)
			return nil
		}
		return p.retry(ctx, c, run{config: plan.of(c.Op(), m), pacer: pacer}, try, err)
	}
}

// earn pays in a success: of a stream when it is whole.
func (p *Policy) earn(c *resilience.Call) {
	if !c.Running() {
		p.budget.deposit()
		return
	}
	c.OnEnd(func(err error) {
		if err == nil || mutants.On("retry-broken-streams-pay-in") {
			p.budget.deposit()
		}
	})
}

// measured tells pacer how long next takes.
func (p *Policy) measured(pacer *pacer, next resilience.Handler) resilience.Handler {
	return func(ctx context.Context, c *resilience.Call) error {
		start := p.now()
		err := next(ctx, c)
		pacer.observe(p.now()-start, err == nil)
		return err
	}
}

// retry goes on after the first failure, and returns nil or the failure that
// was the last.
func (p *Policy) retry(ctx context.Context, c *resilience.Call, r run, try resilience.Handler, err error) error {
	for tries := 1; !c.GaveUp(err) || mutants.On("retry-at-every-level"); tries++ {
		f := failure{
			kind:  resilience.KindOf(err),
			asked: resilience.RetryAfter(err),
			tries: tries,
			alone: c.Remaining() == 0,
			left:  c.Left(),

			revised: c.Revises(),
		}
		wait, ok := r.wait(f, p.now(), p.random)
		if r.config.ObserveOnly {
			if ok {
				r.giveBack()
				p.publish(ctx, c, r.config, f, wait, err)
			}
			return err
		}
		if f.kind != resilience.Rejected {
			err = c.GiveUp(err) // at once: a later failure may become the call's
		}
		if !ok {
			return err
		}
		if !c.Extra(err) {
			r.giveBack()
			return err
		}
		p.publish(ctx, c, r.config, f, wait, err)
		if ended := c.Sleep(ctx, wait); ended != nil {
			r.giveBack()
			return &interrupted{err, ended}
		}
		switch again := try(ctx, c); {
		case again == nil:
			p.earn(c)
			return nil
		case resilience.KindOf(again) == resilience.Rejected:
			return err // what the model answered says more than our refusal
		default:
			err = again
		}
	}
	return err
}

func (p *Policy) publish(ctx context.Context, c *resilience.Call, cfg *Config, f failure, wait time.Duration, err error) {
	if !c.Pool().Wants(resilience.EventRetry) {
		return
	}
	c.Pool().Emit(ctx, resilience.Event{
		Kind:     resilience.EventRetry,
		Model:    c.Model(),
		Attempt:  c.Attempt(),
		Duration: wait,
		Err:      err,
		Reason:   f.kind.String() + ", try " + strconv.Itoa(f.tries+1) + " of " + strconv.Itoa(cfg.Attempts),
		Would:    cfg.ObserveOnly,
	})
}

// interrupted is a failure whose retry the end of the context prevented.
type interrupted struct{ failed, ended error }

func (i *interrupted) Error() string {
	return i.failed.Error() + " (not retried: " + i.ended.Error() + ")"
}

func (i *interrupted) Unwrap() []error { return []error{i.failed, i.ended} }

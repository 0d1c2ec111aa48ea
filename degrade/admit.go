package degrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
)

// admit carries a call through, or refuses it.
func (d *Controller) admit(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
	start := int64(c.Clock())
	s := d.now.Load()
	if s.until != 0 {
		s = d.at(ctx, start)
	}
	class, g := classOf(c.Options().Priority), d.counted(c.Asked())
	err := d.refuse(ctx, s, g, class, start)
	switch {
	case err != nil:
		if s.level != None {
			c.Degrade(s.level.String())
		}
		return err
	case s.level != None && !s.observe:
		err = d.lessen(ctx, c, next, s)
	default:
		err = next(ctx, c)
	}
	if err != nil {
		d.failed(c, g, err)
	} else if g.shedding.Load() {
		g.served.Add(1)
	}
	if err == nil && c.Running() {
		c.OnEnd(func(err error) {
			if err != nil && says(c, c.Options(), err) == fault { // a reader who leaves was served
				g.counts.Add(int64(d.pool.Now()), countBroken, 1)
			}
		})
	}
	if s.timed && (err == nil || resilience.KindOf(err) != resilience.Rejected && resilience.KindOf(err) != resilience.Canceled) {
		now := int64(c.Clock())
		d.took.Add(now, now-start)
	}
	return err
}

// refuse counts a call, and returns why it is refused, if it is.
func (d *Controller) refuse(ctx context.Context, s *standing, g *gauge, class int, now int64) error {
	if s.level != None && priority(class) < s.steps[s.level].admit {
		after := s.calm
		if s.until != 0 {
			after = s.until - now
		}
		err := d.reject(ctx, s, after, fmt.Sprintf("%v priority, and the level is %v", priority(class), s.level))
		if err != nil {
			return err
		}
	}
	if s.reserve > 0 && d.room.crowded(d.pool, now, class, s.reserve) {
		err := d.reject(ctx, s, d.second(), fmt.Sprintf("%v priority, and the room that is left is kept for higher ones", priority(class)))
		if err != nil {
			return err
		}
	}
	if g.count(now, class) {
		return nil
	}
	g.counts.Add(now, class, 1)
	g.weigh(now, s.throttle)
	share, yes := g.sheds(now, class, d.pool.Rand)
	if !yes {
		return nil
	}
	err := d.reject(ctx, s, d.second(), fmt.Sprintf("throttled, as %.0f %% of calls of %v priority are: too few are served", 100*share, priority(class)))
	if err != nil {
		g.counts.Add(now, countShed, 1)
	}
	return err
}

// second is about a second, so that those who were refused together do not come
// back together.
func (d *Controller) second() int64 { return int64((0.75 + d.pool.Rand()/2) * float64(time.Second)) }

// reject returns the error to refuse a call with, nil if that is only said.
func (d *Controller) reject(ctx context.Context, s *standing, after int64, reason string) error {
	err := refusal{resilience.Reject(reason, time.Duration(after))}
	d.pool.Emit(ctx, resilience.Event{Kind: resilience.EventReject, Err: err, Reason: reason, Would: s.observe})
	if s.observe {
		return nil
	}
	return err
}

// refusal is an error of this package, also where it is that of a call within a call.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// lessen carries a call through that is degraded.
func (d *Controller) lessen(ctx context.Context, c *resilience.Call, next resilience.Handler, s *standing) error {
	level := s.level.String()
	l := &lessened{level: s.level, step: &s.steps[s.level]}
	c.Degrade(level)
	if c.Reduce(l.step.Reduce) {
		c.Degrade(level, "reduced")
	}
	if l.step.Cheaper && c.PreferCheaper() {
		c.Degrade(level, "cheaper")
	}
	if l.step.Timeouts != 1 {
		c.Stretch(l.step.Timeouts)
	}
	err := next(context.WithValue(ctx, lessenedKey{}, l), c)
	c.Degrade(level, l.news()...)
	if err == nil && c.Running() {
		c.OnEnd(func(error) { c.Degrade(level, l.news()...) })
	}
	return err
}

// failed counts a call that was not answered by what that says of the pool.
func (d *Controller) failed(c *resilience.Call, g *gauge, err error) {
	now := int64(c.Clock())
	switch says(c, c.Options(), err) {
	case fault:
		g.fail(now)
	case nothing:
		g.counts.Add(now, countNeutral, 1)
	}
}

// What an error says of whether the pool can serve.
const (
	service = iota
	fault
	nothing
)

func says(c *resilience.Call, o resilience.CallOptions, err error) int {
	if _, ok := errors.AsType[*resilience.BudgetError](err); ok {
		return nothing
	}
	switch resilience.KindOf(err) {
	case resilience.Canceled:
		return nothing
	case resilience.Invalid, resilience.TooLong, resilience.Filtered, resilience.Malformed:
		return service
	case resilience.Rejected:
		if _, ok := errors.AsType[refusal](err); ok {
			return nothing
		}
		if o.Key != "" || len(o.Require) > 0 && c.Attempt() == 0 {
			return nothing // nobody can do what it requires, or its own key cannot
		}
	case resilience.RateLimited, resilience.QuotaSpent, resilience.Unauthorized:
		if o.Key != "" {
			return nothing
		}
	default:
	}
	return fault
}

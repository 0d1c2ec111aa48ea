package budget

import (
	"context"
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A verdict is what stands in an attempt's way; no account means nothing.
type verdict struct {
	account  *account
	resource int
	hard     bool  // what was spent, not what is reserved
	frees    int64 // time until it fits, 0 if that is not known or never
	gone     bool  // an account was closed meanwhile
}

// enter reserves what an attempt may take, waits for it if others have reserved
// it, or returns the error to refuse the attempt with.
func (p *place) enter(ctx context.Context, c *resilience.Call, h *permit) error {
	b := p.budgets
	w := &waiter{ready: make(chan struct{}, 1)}
	defer w.leave()
	for until := int64(math.MinInt64); ; {
		now := int64(b.pool.Now())
		if !h.look(b.rules.Load(), c, p.model.Name(), now) {
			b.settled()
			continue
		}
		if !p.guess(c, h) {
			v := verdict{account: h.inDollars(), resource: price}
			err := b.refuse(ctx, c, h, v, h.refusal(v))
			if !h.rules.observe {
				return err
			}
			h.free = true
		}
		v := h.judge(b, now, w)
		switch {
		case v.gone:
			continue
		case v.account == nil:
			if h.reserve(h.take) {
				return nil
			}
			continue
		case h.rules.observe:
			if e := h.refusal(v); h.reserve(h.force) {
				_ = b.refuse(ctx, c, h, v, e)
				return nil
			}
			continue
		case v.hard:
			return b.refuse(ctx, c, h, v, h.refusal(v))
		}
		if until == math.MinInt64 {
			wait := h.rules.wait
			if c.Remaining() > 0 {
				wait /= 10
			}
			until = now + min(wait, int64(max(c.Left(), 0)))
			w.ticket = b.tickets.Add(1)
		}
		switch {
		case now >= until:
			return b.refuse(ctx, c, h, v, h.refusal(v))
		case w.account != v.account:
			if !w.queueAt(v.account, h.rules.queue) {
				return b.refuse(ctx, c, h, v, h.refusal(v))
			}
			continue // and looks again, as something may have been settled before
		}
		wait := min(until, v.account.until.Load()) - now
		if _, err := c.Wait(ctx, w.ready, time.Duration(max(wait, 1))); err != nil {
			return err
		}
	}
}

// judge says what stands in the way of an attempt: of what is spent, that which
// lasts longest; else the account at which w waits already, or the first. Where
// nobody gave an estimate, what is left will do.
func (p *permit) judge(b *Budgets, now int64, w *waiter) (v verdict) {
	for _, h := range p.holders {
		if h == nil {
			continue
		}
		if h.gone() {
			return verdict{gone: true}
		}
		for i := range h.slots {
			s := &h.slots[i]
			s.roll(now, b.wall)
			for j, limited := range s.limited {
				if !limited || j == cost && p.free {
					continue
				}
				g := &s.gauges[j]
				if left := g.max.Load() - g.spent.Load(); p.blind && j != requests && left > 0 {
					p.guess[j] = min(p.guess[j], left)
				}
				if frees := s.frees(now, j, p.want(j)); frees >= 0 && (!v.hard || v.frees > 0 && (frees == 0 || frees > v.frees)) {
					v = verdict{account: s.account, resource: j, hard: true, frees: frees}
				}
			}
		}
	}
	if v.hard {
		return v
	}
	for _, h := range p.holders {
		for i := 0; h != nil && i < len(h.slots); i++ {
			s := &h.slots[i]
			ahead := s.ahead(w)
			for j, limited := range s.limited {
				if !limited || j == cost && p.free || !ahead && s.gauges[j].fits(p.want(j)) {
					continue
				}
				if v.account == nil || s.account == w.account && v.account != w.account {
					v = verdict{account: s.account, resource: j}
				}
			}
		}
	}
	return v
}

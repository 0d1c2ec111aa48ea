package budget

import (
	"github.com/cmmv-hive/resilience"
)

// The scopes as an attempt has them.
const (
	ofPool = iota
	ofTenant
	ofOp
	ofModel
	scopes
)

var scopeNames = [scopes]Scope{Pool, Tenant, Op, Model}

// A permit is for one attempt.
type permit struct {
	rules   *rules
	holders [scopes]*holder // nil where nothing is limited
	class   *class
	guess   amounts // what it takes as far as anybody knows
	free    bool    // of dollars
	blind   bool    // nobody gave an estimate
}

// want is what is reserved of a resource: something, so that the account is known
// to be in use.
func (p *permit) want(resource int) int64 { return max(p.guess[resource], 1) }

// look finds the accounts, and reports whether the rules are still in force.
func (p *permit) look(r *rules, c *resilience.Call, model string, now int64) (ok bool) {
	if ok = p.caller(r, c, now); ok {
		p.holders[ofModel], ok = r.books[ofModel].of(model, now)
	}
	return ok
}

// caller is look for what does not depend on the model.
func (p *permit) caller(r *rules, c *resilience.Call, now int64) (ok bool) {
	p.rules = r
	p.holders[ofPool] = r.pool
	if p.holders[ofTenant], ok = r.books[ofTenant].of(c.Tenant(), now); ok {
		p.holders[ofOp], ok = r.books[ofOp].of(c.Op(), now)
	}
	return ok
}

// costs reports whether dollars are limited.
func (p *permit) costs() bool { return p.inDollars() != nil }

// inDollars returns the first account that limits dollars, or nil.
func (p *permit) inDollars() *account {
	for _, h := range p.holders {
		if h != nil && h.dollars != nil {
			return h.dollars
		}
	}
	return nil
}

// quick reserves what is wanted where nobody waits and no window ends.
func (p *permit) quick(now int64) bool {
	for i, h := range p.holders {
		if h == nil {
			continue
		}
		for j := range h.slots {
			s := &h.slots[j]
			if now >= s.until.Load() || s.waiting.Load() != 0 || !p.take(s) {
				p.undo(i, j)
				return false
			}
		}
	}
	return true
}

// reserve is quick for who has looked already.
func (p *permit) reserve(take func(*slot) bool) bool {
	for i, h := range p.holders {
		for j := 0; h != nil && j < len(h.slots); j++ {
			if !take(&h.slots[j]) {
				p.undo(i, j)
				return false
			}
		}
	}
	return true
}

// take reserves in one account.
func (p *permit) take(s *slot) bool {
	for i, limited := range s.limited {
		if !limited {
			continue
		}
		g := &s.gauges[i]
		if i == cost && p.free {
			if g.force(p.want(i)) {
				continue
			}
		} else if g.reserve(p.want(i)) {
			continue
		}
		p.giveBack(s, i)
		return false
	}
	return true
}

// force is take whether there is room or not.
func (p *permit) force(s *slot) bool {
	for i, limited := range s.limited {
		if limited && !s.gauges[i].force(p.want(i)) {
			p.giveBack(s, i)
			return false
		}
	}
	return true
}

// giveBack gives back the first n resources of an account.
func (p *permit) giveBack(s *slot, n int) {
	for i, limited := range s.limited[:n] {
		if limited {
			s.gauges[i].reserved.Add(-p.want(i))
		}
	}
	if s.waiting.Load() > 0 {
		s.wake()
	}
}

// undo gives back what was reserved before the j-th account of the i-th holder.
func (p *permit) undo(i, j int) {
	for k, h := range p.holders[:i+1] {
		if h == nil {
			continue
		}
		n := len(h.slots)
		if k == i {
			n = j
		}
		for l := range n {
			p.giveBack(&h.slots[l], int(resources))
		}
	}
}

// settle puts what was taken in the place of what was reserved.
func (p *permit) settle(b *Budgets, now int64, took *amounts) (passed bool) {
	for _, h := range p.holders {
		if h == nil {
			continue
		}
		for i := range h.slots {
			s := &h.slots[i]
			if now >= s.until.Load() {
				s.roll(now, b.wall)
			}
			for j, limited := range s.limited {
				if !limited {
					continue
				}
				g := &s.gauges[j]
				if took[j] > 0 && s.spend(g, j, took[j]) >= g.soft.Load() {
					passed = true
				}
				g.reserved.Add(-p.want(j))
			}
			if s.waiting.Load() > 0 {
				s.wake()
			}
		}
	}
	return passed
}

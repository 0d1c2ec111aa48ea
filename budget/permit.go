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
	if ok = p.caller(r, c, now); ok && r.books[ofModel] != nil {
		p.holders[ofModel], ok = r.books[ofModel].of(model, now)
	}
	return ok
}

// caller is look for what does not depend on the model.
func (p *permit) caller(r *rules, c *resilience.Call, now int64) (ok bool) {
	p.rules = r
	p.holders[ofPool] = r.pool
	if r.books[ofTenant] != nil {
		if p.holders[ofTenant], ok = r.books[ofTenant].of(c.Tenant(), now); !ok {
			return false
		}
	}
	if r.books[ofOp] != nil {
		if p.holders[ofOp], ok = r.books[ofOp].of(c.Op(), now); !ok {
			return false
		}
	}
	return true
}

// costs reports whether dollars are limited.
func (p *permit) costs() bool { return p.inDollars() != nil }

// inDollars returns the first account that limits dollars, or nil.
func (p *permit) inDollars() *account {
	for _, h := range &p.holders {
		if h != nil && h.dollars != nil {
			return h.dollars
		}
	}
	return nil
}

// quick reserves what is wanted where nobody waits and no window ends.
func (p *permit) quick(now int64) bool {
	for i, h := range &p.holders {
		if h == nil {
			continue
		}
		for j := range h.lines {
			l := &h.lines[j]
			if now >= l.account.until.Load() || l.account.waiting.Load() != 0 || !p.take(l) {
				p.undo(i, j)
				return false
			}
		}
	}
	return true
}

// reserve is quick for who has looked already. It takes, or forces.
func (p *permit) reserve(take func(*line) bool) bool {
	for i, h := range &p.holders {
		for j := 0; h != nil && j < len(h.lines); j++ {
			if !take(&h.lines[j]) {
				p.undo(i, j)
				return false
			}
		}
	}
	return true
}

// take reserves in one account.
func (p *permit) take(l *line) bool {
	if p.free && l.resource == cost {
		return p.force(l)
	}
	return l.reserve(p.want(l.resource))
}

// force is take whether there is room or not.
func (p *permit) force(l *line) bool { return l.force(p.want(l.resource)) }

// cancel gives back all that was reserved.
func (p *permit) cancel() { p.undo(scopes, 0) }

// undo gives back what was reserved before the j-th line of the i-th holder, where
// somebody may have seen it.
func (p *permit) undo(i, j int) {
	for k, h := range p.holders[:min(i+1, scopes)] {
		if h == nil {
			continue
		}
		for m := 0; m < len(h.lines) && (k < i || m <= j); m++ {
			l := &h.lines[m]
			if k < i || m < j {
				l.reserved.Add(-p.want(l.resource))
			}
			if l.account.waiting.Load() > 0 {
				l.account.wake()
			}
		}
	}
}

// settle puts what was taken in the place of what was reserved.
func (p *permit) settle(b *Budgets, now int64, took *amounts) (passed bool) {
	for _, h := range &p.holders {
		if h == nil {
			continue
		}
		for i := range h.lines {
			l := &h.lines[i]
			a := l.account
			if now >= a.until.Load() {
				a.roll(now, b.wall)
			}
			if n := took[l.resource]; n > 0 && a.spend(l.gauge, l.resource, n) >= l.soft.Load() {
				passed = true
			}
			l.reserved.Add(-p.want(l.resource))
			if l.last && a.waiting.Load() > 0 {
				a.wake()
			}
		}
	}
	return passed
}

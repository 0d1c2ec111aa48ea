package budget

import (
	"context"

	"github.com/cmmv-hive/resilience"
)

// admit refuses a call at once that no model could help, so that it does not go
// through all of them, and makes one go to cheaper models that is short of
// dollars.
func (b *Budgets) admit(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
	var p permit
	r := b.rules.Load()
	now := int64(c.Clock())
	if r.observe || !p.caller(r, c, now) {
		return next(ctx, c)
	}
	for _, h := range p.holders {
		if h == nil {
			continue
		}
		for i := range h.slots {
			s := &h.slots[i]
			s.roll(now, b.wall)
			for j, limited := range s.limited {
				g := &s.gauges[j]
				if !limited || g.max.Load() == 0 || g.spent.Load() < g.soft.Load() {
					continue
				}
				if j == cost {
					c.PreferCheaper()
				}
				if g.over(g.spent.Load()+1) && (j != cost || !b.gratis(r, c)) {
					v := verdict{account: s.account, resource: j, hard: true, frees: s.frees(now, j, 1)}
					return b.refuse(ctx, c, &p, v, p.refusal(v))
				}
			}
		}
	}
	return next(ctx, c)
}

// gratis reports whether the call may go to a model without dollars.
func (b *Budgets) gratis(r *rules, c *resilience.Call) bool {
	return r.unpriced == Ignore && b.prices.lacks.Load() || c.MayBeFree()
}

// Package budget limits what may be spent: dollars, tokens and requests per
// window, by pool, tenant, operation or name of a model.
//
//	budget.New(budget.Config{Limits: []budget.Limit{
//		{Cost: 200, Window: budget.Day(nil)},
//		{Scope: budget.Tenant, Cost: 5, Window: budget.Month(lisbon)},
//	}})
//
// An attempt at a model reserves what it may take before it is made: every retry,
// fallback and hedge does, at the price of its model. When it has ended, and a
// stream when that has, what it took is charged: nothing if the provider did not
// accept it; what was used and what that costs, if it is known; otherwise what was
// reserved. It counts in the window in which it ended.
//
// What is reserved is what [resilience.Call.Estimate] says, and no more than 1.25
// of the most that the latest attempts at models of that name took for that
// operation, once there were 16, so that a generous estimate does not keep others
// out. Where nobody gives an estimate, it is 1.25 of that from the first one on,
// and before it nothing: what is spent ends the budget then, not what might be. A
// limit is not exceeded by more than what attempts took beyond what was reserved
// for them.
//
// An attempt that does not fit is refused with a [resilience.BudgetError]. One that
// does not fit only because of what others have reserved waits for that, in the
// order of arrival, up to Config.Wait. When no model could help, the call is
// refused at once.
//
// A process that starts begins with empty windows. Processes do not know what
// others have spent. [resilience.Pool.Reset] forgets nothing of it. Calendar
// windows go by the wall clock. One that is set does not move the window that is
// open; from the next one on it counts, and no window comes twice.
//
// The budget of an agent's run is [resilience.WithBudget], that of a call is
// [resilience.CallOptions].MaxCost.
package budget

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Budgets limit what a pool may spend. They are a [resilience.Feature] and own the
// section "budget".
//
// A reload changes amounts in place: a limit of the same scope, name and window
// keeps what was spent, and attempts under way are charged to it.
type Budgets struct {
	given   Config
	rules   atomic.Pointer[rules]
	tight   atomic.Int64 // accounts past a soft limit, or that have refused something
	tickets atomic.Uint64
	classes classes
	prices  prices
	places  resilience.PerModel[place]

	mu   sync.Mutex // of who changes rules
	pool *resilience.Pool
	cfg  Config
}

// New returns budgets. What is wrong with cfg is reported by
// [resilience.NewPool].
func New(cfg Config) *Budgets {
	cfg.Limits = slices.Clone(cfg.Limits)
	return &Budgets{given: cfg, cfg: cfg}
}

// Install implements [resilience.Feature].
func (b *Budgets) Install(s *resilience.Setup) error {
	if b.pool != nil {
		return &resilience.ConfigError{Path: section, Problem: "these budgets belong to another pool"}
	}
	if err := b.given.check(); err != nil {
		return err
	}
	b.pool = s.Pool()
	b.rules.Store(b.next(b.given, nil))
	s.Wrap(resilience.LayerAdmit, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error {
			if b.tight.Load() == 0 {
				return next(ctx, c)
			}
			return b.admit(ctx, c, next)
		}
	})
	s.Wrap(resilience.LayerLimit, b.wrap)
	s.Configure(section, b.prepare)
	s.Explain(b.explain)
	return nil
}

// String returns the settings in effect.
func (b *Budgets) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return settings.Describe(b.cfg)
}

func (b *Budgets) wrap(m *resilience.Model, next resilience.Handler) resilience.Handler {
	p := b.places.Of(m)
	if p.budgets == nil {
		p.budgets, p.model = b, m
	}
	p.describe()
	return func(ctx context.Context, c *resilience.Call) error { return p.run(ctx, c, next) }
}

// describe takes in the model's price.
func (p *place) describe() {
	p.budgets.prices.add(p.model.Info().Price)
}

func (b *Budgets) wall(now int64) time.Time { return b.pool.At(time.Duration(now)) }

func (b *Budgets) prepare(raw json.RawMessage) (func(), error) {
	cfg := b.given
	if raw != nil {
		var err error
		if cfg, err = b.given.over(raw); err != nil {
			return nil, err
		}
	}
	return func() { b.apply(cfg) }, nil
}

// An Account is what one tenant, operation or name has of one limit.
type Account struct {
	Limit           Limit
	Who             string // "" for the pool, and for calls that name nobody
	Spent, Reserved Amounts
	Since, Until    time.Time // of the window; Until is the present if it slides
}

// Amounts are of what the limit limits; what it does not is zero.
type Amounts struct {
	Cost             float64 // in US dollars
	Tokens, Requests int64
}

// Accounts returns the accounts of a scope, or of all if it is empty, and of one
// tenant, operation or name, or of all if who is empty, in the order of the limits
// and of who. A limit of each tenant, operation or name has accounts only of those
// that called.
func (b *Budgets) Accounts(scope Scope, who string) []Account {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rules.Load()
	if r == nil {
		return nil
	}
	now := int64(b.pool.Now())
	order := map[string]int{}
	for i, l := range r.limits {
		order[l.key()] = i
	}
	var list []Account
	for _, h := range r.holders() {
		for i := range h.slots {
			a := h.slots[i].account
			if (scope == "" || scope == a.scope) && (who == "" || who == a.name) {
				a.roll(now, b.wall)
				list = append(list, a.describe(now, b.wall))
			}
		}
	}
	slices.SortFunc(list, func(x, y Account) int {
		return cmp.Or(cmp.Compare(order[x.Limit.key()], order[y.Limit.key()]), cmp.Compare(x.Who, y.Who))
	})
	return list
}

// describe is the account as people see it.
func (a *account) describe(now int64, wall func(int64) time.Time) Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum := func(of func(*gauge) int64) Amounts {
		return Amounts{shown(cost, of(&a.gauges[cost])), of(&a.gauges[tokens]), of(&a.gauges[requests])}
	}
	out := Account{
		Limit: a.limit, Who: a.name,
		Spent:    sum(func(g *gauge) int64 { return g.spent.Load() }),
		Reserved: sum(func(g *gauge) int64 { return g.reserved.Load() }),
	}
	if a.ring != nil {
		out.Since, out.Until = wall(a.ring.since()), wall(now)
		return out
	}
	out.Since, out.Until = wall(a.span.since), wall(a.span.until)
	return out
}

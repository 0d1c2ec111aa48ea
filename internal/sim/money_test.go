package sim_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/budget"
	"github.com/cmmv-hive/resilience/internal/sim"
)

// mostTokens is what callers say that a call takes at most.
const mostTokens = 200

// usageOf is what an answer to a call takes.
func usageOf(call int64) resilience.Usage {
	return resilience.Usage{Input: 100 + call%50, Output: 20 + call%30}
}

// cents makes a price of whole cents, so that each token costs whole billionths.
func cents(dollars float64) float64 { return math.Round(dollars*100) / 100 }

func nanos(dollars float64) int64 { return int64(math.Round(dollars * 1e9)) }

// drawBudgets draws limits that are near.
func (s *scenario) drawBudgets(r *rand.Rand) {
	if !chance(r, .2) {
		return
	}
	s.blind = chance(r, .2)
	price := 0.
	for i := range s.models {
		s.models[i].inners = 0
		price += (125*s.models[i].Price.Input + 35*s.models[i].Price.Output) / 1e6 / float64(len(s.models))
	}
	calls := func(d time.Duration, share float64) float64 { return 1 + s.rate*d.Seconds()*share*(.5+r.Float64()) }
	every := budget.Every
	b := &budget.Config{
		Limits: []budget.Limit{{Scope: budget.Tenant, Cost: price * calls(lasts, .3), Tokens: int64(160 * calls(lasts, .3)), Window: pick(r, budget.Day(nil), every(time.Hour))}},
		Wait:   pick(r, 0, 0, -1, 2*time.Second), Queue: pick(r, 0, 0, 3, -1), ObserveOnly: chance(r, .08),
	}
	for _, l := range []budget.Limit{
		{Scope: budget.Pool, Cost: price * calls(time.Minute, 1), Window: every(time.Minute)},
		{Scope: budget.Pool, Cost: price * calls(lasts, 1), Tokens: int64(160 * calls(lasts, 1)), Window: budget.Day(nil)},
		{Scope: budget.Tenant, Only: "evil", Cost: price * calls(time.Minute, .2), Requests: 100, Window: budget.Sliding(time.Minute)},
		{Scope: budget.Op, Tokens: 200 + int64(160*calls(10*time.Second, .3)), Window: every(10 * time.Second)},
		{Scope: budget.Op, Only: "ask", Requests: int64(calls(30*time.Second, .3)), Window: budget.Sliding(30 * time.Second)},
		{Scope: budget.Model, Cost: price * calls(2*time.Minute, 2/float64(len(s.models))), Window: budget.Sliding(2 * time.Minute)},
	} {
		if chance(r, .4) {
			b.Limits = append(b.Limits, l)
		}
	}
	s.budgets = b
}

// scaled is the section of budgets with other amounts.
func scaled(b *budget.Config, by float64) map[string]any {
	limits := slices.Clone(b.Limits)
	for i := range limits {
		l := &limits[i]
		l.Cost *= by
		l.Tokens = int64(math.Ceil(float64(l.Tokens) * by))
		l.Requests = int64(math.Ceil(float64(l.Requests) * by))
	}
	return map[string]any{"limits": limits}
}

// bill charges for a request, and tells the caller. Where there are no budgets
// the answers tell.
func (w *world) bill(ctx context.Context, a *askRecord, u resilience.Usage) {
	if w.scenario.budgets != nil {
		a.billed.Input += u.Input
		a.billed.Output += u.Output
		resilience.ReportUsage(ctx, u)
	}
}

type enteredKey struct{}

// outside and inside are around budgets.
type (
	outside struct{ *history }
	inside  struct{ *history }
)

// Install implements [resilience.Feature].
func (outside) Install(s *resilience.Setup) error {
	s.Wrap(resilience.LayerLimit, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error {
			return next(context.WithValue(ctx, enteredKey{}, now()), c)
		}
	})
	return nil
}

// Install implements [resilience.Feature]. Those who were let in at the same
// instant go on at one of their own.
func (i inside) Install(s *resilience.Setup) error {
	s.Wrap(resilience.LayerLimit, func(m *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error {
			if ctx.Value(enteredKey{}).(int64) < now() {
				i.reach("a call waited for a reservation")
				if err := c.Sleep(ctx, sim.Until(now(), 0, actorOf(recordOf(ctx), number(m)))); err != nil {
					return err
				}
			}
			return next(ctx, c)
		}
	})
	return nil
}

// An excess is how much more was spent of an account than was ever allowed.
type excess struct{ most, over money }

// money is an amount of each resource: billionths of a dollar, tokens, requests.
type money [3]int64

func moneyOf(a budget.Amounts) money { return money{nanos(a.Cost), a.Tokens, a.Requests} }

func limitOf(l budget.Limit) money { return money{nanos(l.Cost), l.Tokens, l.Requests} }

// money looks at all accounts.
func (d *desk) money() {
	if d.budgets == nil {
		return
	}
	list := d.budgets.Accounts("", "")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.worst == nil {
		d.worst = map[string]excess{}
	}
	for _, a := range list {
		title := titleOf(a)
		e, spent := d.worst[title], moneyOf(a.Spent)
		for i, limit := range limitOf(a.Limit) {
			if e.most[i] = max(e.most[i], limit); limit > 0 {
				e.over[i] = max(e.over[i], spent[i]-e.most[i])
			}
		}
		d.worst[title] = e
	}
}

func titleOf(a budget.Account) string {
	return fmt.Sprintf("%s %q of %v (only %q)", a.Limit.Scope, a.Who, a.Limit.Window, a.Limit.Only)
}

// cost is what was billed for a request.
func (v *view) cost(a *askRecord) money {
	if a.billed == (resilience.Usage{}) {
		return money{}
	}
	price := v.scenario.models[a.model].Price
	return money{
		a.billed.Input*int64(math.Round(price.Input*1000)) + a.billed.Output*int64(math.Round(price.Output*1000)),
		a.billed.Input + a.billed.Output, 1,
	}
}

// settledAt is when a request was charged.
func (v *view) settledAt(a *askRecord) int64 {
	if g := v.gateOf(a); g != nil {
		return max(g.over, g.end)
	}
	return a.end
}

// concerns reports whether an account is charged for a request.
func (v *view) concerns(a budget.Account, of *askRecord) bool {
	var who string
	call := v.callOf[of.call]
	switch a.Limit.Scope {
	case budget.Pool, "":
		return true
	case budget.Tenant:
		who = call.plan.opts.Tenant
	case budget.Op:
		who = call.plan.opts.Op
	case budget.Model:
		m := v.scenario.models[of.model]
		if who = m.Name; who == "" {
			who = m.ID
		}
	}
	return who == a.Who
}

func bills(v *view, bad func(string, ...any)) {
	if v.scenario.budgets == nil {
		return
	}
	times := make([]int64, len(v.asks))
	costs := make([]money, len(v.asks))
	for i, a := range v.asks {
		if costs[i] = v.cost(a); costs[i] != (money{}) {
			times[i] = v.settledAt(a)
		}
	}
	for _, a := range v.end.accounts {
		if a.Reserved != (budget.Amounts{}) {
			bad("%s has %v reserved in the end", titleOf(a), a.Reserved)
		}
		since, until := a.Since.UnixNano()-epoch, a.Until.UnixNano()-epoch
		var sum money
		for i, of := range v.asks {
			if costs[i] != (money{}) && times[i] >= since && times[i] < until && v.concerns(a, of) {
				for j := range sum {
					sum[j] += costs[i][j]
				}
			}
		}
		spent := moneyOf(a.Spent)
		for i, limit := range limitOf(a.Limit) {
			if limit > 0 && spent[i] != sum[i] {
				bad("%s has %v spent since %v, and %v was billed", titleOf(a), spent, at(since), sum)
				break
			}
		}
	}
	if v.scenario.budgets.ObserveOnly {
		return
	}
	allowed := v.surprise(costs)
	for title, e := range v.worst {
		for i := range e.over {
			if e.over[i] > allowed[i] {
				bad("%s had %d spent beyond %d, more than %d", title, e.over[i], e.most[i], allowed[i])
			}
		}
	}
}

// surprise is by how much limits may be exceeded: the most that an attempt took
// beyond what is reserved at least, which is five fourths of what one took. Where
// nobody says what calls take, it is what all take that are under way at once.
func (v *view) surprise(costs []money) (most money) {
	var least [32]money
	for i, a := range v.asks {
		for j, n := range costs[i] {
			if l := &least[a.model][j]; n > 0 && (*l == 0 || n < *l) {
				*l = n
			}
		}
	}
	under := int64(1)
	if v.scenario.blind {
		for i, a := range v.gates {
			n := int64(0)
			for _, b := range v.gates[max(0, i-100) : i+1] {
				if b.over == 0 || b.over > a.begin {
					n++
				}
			}
			under = max(under, n)
		}
	}
	for i, a := range v.asks {
		for j, n := range costs[i] {
			if j == 2 {
				continue
			}
			if !v.scenario.blind {
				n -= least[a.model][j] * 5 / 4
			}
			most[j] = max(most[j], under*n)
		}
	}
	return most
}

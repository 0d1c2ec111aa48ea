package budget

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/cmmv-hive/resilience"
)

// title is what an account is called in errors and events.
func (a *account) title() string {
	window := " (" + a.window.String() + ")"
	if a.scope == Pool {
		return "pool" + window
	}
	name := clip(a.name)
	if name == "" {
		name = `""`
	}
	return string(a.scope) + " " + name + window
}

// maxName bounds what errors and events tell of a foreign name.
const maxName = 64

// clip makes one short word of a foreign name.
func clip(name string) string {
	cut := len(name) > maxName
	if cut {
		name = name[:maxName]
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, name)
	if cut {
		name += "…"
	}
	return name
}

// refusal is the error for an attempt that v stands in the way of.
func (p *permit) refusal(v verdict) *resilience.BudgetError {
	e := &resilience.BudgetError{Budget: v.account.title(), Resource: resourceNames[v.resource]}
	if v.resource == price {
		return e
	}
	g := &v.account.gauges[v.resource]
	e.Spent, e.Reserved = shown(v.resource, g.spent.Load()), shown(v.resource, g.reserved.Load())
	if e.Max = shown(v.resource, g.max.Load()); v.resource != requests {
		e.Next = shown(v.resource, p.guess[v.resource])
	}
	if v.hard {
		e.RetryAfter = time.Duration(v.frees)
	}
	return e
}

// refuse publishes that a call or an attempt is turned away, or would be, and
// returns the error for it.
func (b *Budgets) refuse(ctx context.Context, c *resilience.Call, p *permit, v verdict, e *resilience.BudgetError) error {
	would := p.rules.observe
	err := c.Refuse(ctx, e, would)
	if v.resource != price && v.account.tellHard() && b.pool.Wants(resilience.EventBudget) {
		b.pool.Emit(ctx, resilience.Event{
			Kind: resilience.EventBudget, Model: c.Model(), Err: err, Reason: err.Error(), Would: would,
		})
	}
	return err
}

// explain says what keeps every call from m, "" if nothing does.
func (b *Budgets) explain(m *resilience.Model) string {
	p := permit{rules: b.rules.Load()}
	if p.holders[ofPool] = p.rules.pool; p.rules.books[ofModel] != nil {
		p.holders[ofModel], _ = p.rules.books[ofModel].find(m.Name())
	}
	now := int64(b.pool.Now())
	for _, h := range p.holders {
		for i := 0; h != nil && i < len(h.slots) && !p.rules.observe; i++ {
			s := &h.slots[i]
			s.roll(now, b.wall)
			for j, limited := range s.limited {
				free := j == cost && (m.Info().Price.Free || p.rules.unpriced == Ignore && m.Info().Price == resilience.Price{})
				if limited && !free && s.gauges[j].over(s.gauges[j].spent.Load()+1) {
					v := verdict{account: s.account, resource: j, hard: true, frees: s.frees(now, j, 1)}
					return strings.TrimPrefix(p.refusal(v).Error(), "refused: ")
				}
			}
		}
	}
	return ""
}

// passed publishes the soft limits that an attempt has passed.
func (b *Budgets) passed(ctx context.Context, m *resilience.Model, p *permit) {
	for _, h := range p.holders {
		if h == nil {
			continue
		}
		for i := range h.slots {
			a := h.slots[i].account
			j, news := a.tellSoft()
			if !news || !b.pool.Wants(resilience.EventBudget) {
				continue
			}
			g := &a.gauges[j]
			b.pool.Emit(ctx, resilience.Event{Kind: resilience.EventBudget, Model: m, Reason: fmt.Sprintf(
				"%s: %s of %s spent", a.title(), amount(j, g.spent.Load()), amount(j, g.max.Load()))})
		}
	}
}

// amount prints an amount of a resource.
func amount(resource int, n int64) string {
	switch resource {
	case cost:
		return fmt.Sprintf("$%.2f", shown(cost, n))
	case requests:
		return fmt.Sprintf("%d requests", n)
	default:
		return fmt.Sprintf("%d tokens", n)
	}
}

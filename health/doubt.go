package health

import (
	"context"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
)

// late notes that the checker itself was kept from working: what it sees for an
// interval, such as probes and calls that timed out meanwhile, is its own fault.
func (c *Checker) late(now, by time.Duration) {
	if by <= max(time.Second, c.work.interval/10) {
		return
	}
	c.work.doubtUntil = now + c.work.interval
	c.warn(fmt.Sprintf("the checks were %v late; nothing is held for %v", by.Round(time.Millisecond), c.work.interval))
}

// doubts says why a model that is ill may be well, or "": at about the same time most
// others turned bad, of several providers.
func (c *Checker) doubts(st *state, now time.Duration) string {
	seen, turned := 0, 0
	providers := map[string]bool{}
	for _, o := range c.work.states {
		if !o.checked || now-o.countedAt > 3*c.period()/2 || o.last.mark == none && o.bad == 0 {
			continue
		}
		seen++
		if apart := o.badSince - st.badSince; o.bad > 0 && max(apart, -apart) <= 5*c.period()/4 {
			turned++
			providers[providerOf(o.model)] = true
		}
	}
	if 2*turned <= seen || len(providers) < 2 {
		c.work.warned = false
		return ""
	}
	why := fmt.Sprintf("%d of %d models of %d providers turned bad at once", turned, seen, len(providers))
	if !c.work.warned {
		c.work.warned = true
		c.warn(why + "; nothing is held for it")
	}
	return why
}

// providerOf names a model's provider: one of its own, if it is not known.
func providerOf(m *resilience.Model) string {
	if p := m.Info().Provider; p != "" {
		return p
	}
	return "model " + m.ID()
}

func (c *Checker) warn(reason string) {
	e := resilience.Event{Kind: resilience.EventWarning, Reason: "health: " + reason}
	c.then(func(ctx context.Context) {
		c.pool.Log().WarnContext(ctx, e.Reason)
		c.pool.Emit(ctx, e)
	})
}

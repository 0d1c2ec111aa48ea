package health

import (
	"context"
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// late notes that the checker itself was kept from working: what it sees for an
// interval, such as probes and calls that timed out meanwhile, is its own fault.
func (c *Checker) late(now, by time.Duration) {
	if by <= max(time.Second, c.work.interval/10) || mutants.On("health-believes-itself-when-late") {
		return
	}
	c.work.doubtUntil = now + c.work.interval
	c.warn(fmt.Sprintf("the checks were %v late; nothing is held for %v", by.Round(time.Millisecond), c.work.interval))
}

// doubts says why a model that is ill may be well, or "": at about the same time most
// others turned bad, of several providers.
func (c *Checker) doubts(st *state, now time.Duration) string {
	seen, turned, several := 0, 0, false
	together := 5 * c.period() / 4
	for _, o := range c.work.states {
		if !o.checked || now-o.countedAt > 2*together || o.last.mark == none && o.bad == 0 {
			continue
		}
		seen++
		if apart := o.badSince - st.badSince; o.bad > 0 && max(apart, -apart) <= together {
			turned++
			several = several || o != st && (o.provider == "" || o.provider != st.provider)
		}
	}
	if 2*turned <= seen || !several {
		c.work.warned = false
		return ""
	}
	why := fmt.Sprintf("%d of %d models, of several providers, turned bad at once", turned, seen)
	if !c.work.warned {
		c.work.warned = true
		c.warn(why + "; nothing is held for it")
	}
	return why
}

func (c *Checker) warn(reason string) {
	e := resilience.Event{Kind: resilience.EventWarning, Reason: "health: " + reason}
	c.then(func(ctx context.Context) {
		c.pool.Log().WarnContext(ctx, e.Reason)
		c.pool.Emit(ctx, e)
	})
}

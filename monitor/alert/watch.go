package alert

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/window"
)

// lostRow is how many failures in a row make a model one that does not answer.
const lostRow = 3

// A track is what is counted of a model beside its statistics. While it is well,
// nothing is written there.
type track struct {
	row     atomic.Int32 // attempts in a row that failed
	refused atomic.Int32 // the same, for a key
	spent   atomic.Int32 // the same, for a quota
	failed  atomic.Int64 // when the latest of these was
	began   atomic.Int64 // when the first of the row was
	seen    atomic.Bool  // an attempt ended
	keys    atomic.Bool  // some of its keys may be held

	asked     atomic.Int32 // probes for the row
	confirmed atomic.Int64 // the latest of these ends

	opened atomic.Uint32 // how often its breaker was,
	opens  [32]atomic.Int64
}

func (t *track) well() bool {
	return t.seen.Load() && t.row.Load() == 0 && t.refused.Load() == 0 && t.spent.Load() == 0
}

// doubtful reports whether an attempt failed, and not yet so often that it is known why.
func (t *track) doubtful() bool {
	return t.row.Load() > 0 || t.refused.Load() == 1 || t.spent.Load() == 1
}

// open notes that the breaker opened.
func (t *track) open(now int64) {
	t.opens[t.opened.Add(1)%uint32(len(t.opens))].Store(now)
}

// opensSince counts how often that was, up to the 32 that are remembered.
func (t *track) opensSince(from int64) (n int) {
	for i := range t.opens {
		if at := t.opens[i].Load(); at != 0 && at >= from {
			n++
		}
	}
	return n
}

// wrap watches attempts, below the breaker.
func (a *Alerts) wrap(m *resilience.Model, next resilience.Handler) resilience.Handler {
	t := a.tracks.Of(m)
	return func(ctx context.Context, c *resilience.Call) error {
		err := next(ctx, c)
		switch {
		case err == nil && c.Running():
			c.OnEnd(func(err error) { a.attempted(t, c, err) })
		case err == nil && t.well(): // as nearly always
		default:
			a.attempted(t, c, err)
		}
		return err
	}
}

// attempted takes in an attempt's outcome.
func (a *Alerts) attempted(t *track, c *resilience.Call, err error) {
	if err == nil {
		t.seen.Store(true)
		row, refused, spent := t.row.Swap(0), t.refused.Swap(0), t.spent.Swap(0)
		if row >= lostRow || refused >= twice || spent >= twice {
			a.stir()
		}
		return
	}
	row, enough := &t.row, int32(lostRow)
	switch kind := resilience.KindOf(err); {
	case kind == resilience.Unauthorized:
		row, enough = &t.refused, twice
	case kind == resilience.QuotaSpent:
		row, enough = &t.spent, twice
	case kind != resilience.NotFound && !c.Against(err):
		return
	}
	t.seen.Store(true)
	now := max(int64(c.Clock()), 1)
	t.failed.Store(now)
	n := row.Add(1)
	if n == 1 {
		t.asked.Store(0)
	}
	if n == 1 && row == &t.row {
		t.began.Store(now)
	}
	if n == enough || n == 1 {
		a.stir()
	}
}

// twice is how often a key is refused before it is one that is.
const twice = 2

// What is counted of calls.
const (
	countCalls = iota
	countFailed
	countAttempts
	countFallbacks
	callCounters
)

// A gauge is what is counted of the pool.
type gauge struct {
	counts *window.Counts

	level       atomic.Int64 // of degradation
	refused     atomic.Bool  // the latest configuration was
	budgetUntil atomic.Int64 // the pool's budget is spent until then
	budgetNear  atomic.Int64 // when it passed its soft limit
	panicked    atomic.Int64 // when background work did
}

const (
	bucket  = 10 * time.Second
	buckets = int(statsWindow / bucket)
)

// observe watches calls, above all layers.
func (a *Alerts) observe(_ *resilience.Model, next resilience.Handler) resilience.Handler {
	return func(ctx context.Context, c *resilience.Call) error {
		start := c.Clock()
		err := next(ctx, c)
		if err == nil && c.Running() {
			c.OnEnd(func(err error) { a.called(c, start, a.pool.Now(), err) })
		} else {
			a.called(c, start, max(c.Clock(), start), err)
		}
		return err
	}
}

// called takes in a call's outcome.
func (a *Alerts) called(c *resilience.Call, start, end time.Duration, err error) {
	kind := resilience.KindOf(err)
	if !counts(err, kind) {
		return
	}
	now := int64(end)
	a.gauge.counts.Add(now, countCalls, 1)
	a.gauge.counts.Add(now, countAttempts, int64(c.Attempt()))
	bad := failed(kind)
	if bad {
		a.gauge.counts.Add(now, countFailed, 1)
		if asked := c.Asked(); asked != "" {
			if at := (*a.asked.Load())[asked]; at != nil {
				at.Store(max(now, 1))
			}
		}
	}
	for _, o := range *a.objectives.Load() {
		o.count(c.Op(), bad, end-start)
	}
}

// counts reports whether a call says something of the service: nobody left it, and
// no budget but the pool's own refused it.
func counts(err error, kind resilience.Kind) bool {
	if kind == resilience.Canceled {
		return false
	}
	if kind != resilience.Rejected {
		return true
	}
	e, spent := errors.AsType[*resilience.BudgetError](err)
	return !spent || ofPool(e.Budget)
}

// failed reports whether a call was not served, for what is not its own doing.
func failed(kind resilience.Kind) bool {
	switch kind {
	case 0, resilience.Invalid, resilience.TooLong, resilience.Filtered:
		return false
	default:
		return true
	}
}

// ofPool reports whether a budget is the whole pool's.
func ofPool(title string) bool { return strings.HasPrefix(title, "pool ") }

// heed takes in what only events tell, and wakes for what matters.
func (a *Alerts) heed(_ context.Context, e resilience.Event) {
	if e.Would {
		return
	}
	now := max(int64(a.pool.Now()), 1)
	switch e.Kind {
	case resilience.EventFallback:
		a.gauge.counts.Add(now, countFallbacks, 1)
		return
	case resilience.EventHold:
		if e.Model == nil || e.To == resilience.HoldLimit.String() {
			return
		}
		if e.Key != "" {
			a.tracks.Of(e.Model).keys.Store(true)
		}
	case resilience.EventBreaker:
		if e.Model != nil && e.From == "closed" && e.To == "open" {
			a.tracks.Of(e.Model).open(now)
		}
	case resilience.EventConfig:
		a.gauge.refused.Store(e.Err != nil)
	case resilience.EventPanic:
		a.gauge.panicked.Store(now)
	case resilience.EventDegrade:
		a.gauge.level.Store(int64(levelOf(e.To)))
	case resilience.EventBudget:
		a.heedBudget(now, e)
	}
	a.stir()
}

func (a *Alerts) heedBudget(now int64, e resilience.Event) {
	if spent, ok := errors.AsType[*resilience.BudgetError](e.Err); ok {
		if ofPool(spent.Budget) {
			a.gauge.budgetUntil.Store(now + int64(min(max(spent.RetryAfter, statsWindow), 31*24*time.Hour)))
		}
	} else if ofPool(e.Reason) {
		a.gauge.budgetNear.Store(now)
	}
}

// levelOf returns the number of a level of degradation.
func levelOf(name string) int {
	for i, level := range [...]string{"none", "minimal", "moderate", "severe", "emergency"} {
		if name == level {
			return i
		}
	}
	return 0
}

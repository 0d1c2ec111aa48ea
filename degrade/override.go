package degrade

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// An override is a level that somebody has set by hand.
type override struct {
	level Level
	until int64
	why   string
}

// Override holds the level at l, which may also be a lower one than what signals
// call for, until the time in by, which is required, or until release is called.
// Overrides nest: the latest that is still held wins. It fails if by lacks an
// Actor or a Reason, if the time has passed, if l is no level, or if the audit
// refuses. Release may be called more than once, and asks no audit.
func (d *Controller) Override(ctx context.Context, l Level, by resilience.Control) (release func(), err error) {
	switch {
	case d.pool == nil:
		return nil, &resilience.ConfigError{Path: section, Problem: "this controller belongs to no pool"}
	case int(l) >= levels:
		return nil, &resilience.ConfigError{Path: section + ".override", Problem: "is to a level that does not exist"}
	case by.Until.IsZero():
		return nil, &resilience.ConfigError{Path: "control.until", Problem: "is missing: say when the override ends"}
	}
	now := d.pool.Now()
	left := by.Until.Sub(d.pool.At(now))
	if left <= 0 {
		return nil, &resilience.ConfigError{Path: "control.until", Problem: "has passed"}
	}
	change := resilience.Change{Control: by, What: "degrade.override", From: d.Level().String(), To: l.String()}
	if err := d.pool.Audit(ctx, change); err != nil {
		return nil, err
	}
	o := &override{level: l, until: int64(min(left, math.MaxInt64-now) + now), why: "override by " + by.Actor + ": " + by.Reason}
	d.change(ctx, func() string {
		d.overrides = append(d.overrides, o)
		return o.why
	})
	return sync.OnceFunc(func() {
		d.change(ctx, func() string {
			d.overrides = slices.DeleteFunc(d.overrides, func(other *override) bool { return other == o })
			return "released: " + o.why
		})
	}), nil
}

// prevailing returns the override that is in effect, or nil, and drops those that
// have run out. The caller has d.mu.
func (d *Controller) prevailing(now int64) *override {
	d.overrides = slices.DeleteFunc(d.overrides, func(o *override) bool { return o.until <= now && !mutants.On("degrade-overrides-for-ever") })
	if len(d.overrides) == 0 {
		return nil
	}
	return d.overrides[len(d.overrides)-1]
}

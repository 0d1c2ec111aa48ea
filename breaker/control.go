package breaker

import (
	"context"

	"github.com/cmmv-hive/resilience"
)

// Open opens m's breaker until the time in by, which is required; then it
// probes. The latest order counts, also if it ends sooner than an open time
// under way. Calls under way go on, and their outcomes are dropped.
//
// Open, Isolate and Close fail if by lacks an Actor or a Reason, if its time is
// wrong, if m is not a model of the breakers' pool, or if the audit refuses;
// then nothing has changed.
func (b *Breakers) Open(ctx context.Context, m *resilience.Model, by resilience.Control) error {
	g, err := b.guard(m)
	if err != nil {
		return err
	}
	until := int64(by.Until.Sub(b.pool.At(0)))
	if by.Until.IsZero() {
		return &resilience.ConfigError{Path: "control.until", Problem: "is missing; to keep a breaker open without end, isolate"}
	}
	if until <= int64(b.pool.Now()) {
		return &resilience.ConfigError{Path: "control.until", Problem: "has passed"}
	}
	return b.control(ctx, g, by, Open, until)
}

// Isolate keeps m's breaker open until Close or [resilience.Pool.Reset]. By
// must have no time. See [Breakers.Open].
func (b *Breakers) Isolate(ctx context.Context, m *resilience.Model, by resilience.Control) error {
	g, err := b.guard(m)
	if err != nil {
		return err
	}
	if !by.Until.IsZero() {
		return &resilience.ConfigError{Path: "control.until", Problem: "has no meaning here; to open a breaker for some time, open"}
	}
	return b.control(ctx, g, by, Isolated, shut)
}

// Close closes m's breaker and forgets its past. See [Breakers.Open].
func (b *Breakers) Close(ctx context.Context, m *resilience.Model, by resilience.Control) error {
	g, err := b.guard(m)
	if err != nil {
		return err
	}
	return b.control(ctx, g, by, Closed, 0)
}

// control puts an order into effect that the audit agrees to.
func (b *Breakers) control(ctx context.Context, g *guard, by resilience.Control, to State, until int64) error {
	what := map[State]string{Open: "breaker.open", Isolated: "breaker.isolate", Closed: "breaker.close"}[to]
	from := g.peek(int64(b.pool.Now()))
	err := b.pool.Audit(ctx, resilience.Change{Control: by, What: what, Model: g.model, From: from.String(), To: to.String()})
	if err != nil {
		return err
	}
	why := by.Actor + ": " + by.Reason
	if to == Closed {
		g.close(ctx, int64(b.pool.Now()), why)
	} else {
		g.hold(ctx, to, until, why)
	}
	return nil
}

func (b *Breakers) guard(m *resilience.Model) (*guard, error) {
	if m != nil {
		if g := b.models.Of(m); g.made() {
			return g, nil
		}
	}
	return nil, &resilience.ConfigError{Path: section, Problem: "has no breaker for this model"}
}

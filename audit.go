package resilience

import (
	"context"
	"time"

	"github.com/cmmv-hive/resilience/internal/auditfile"
)

// A Control says who changes something by hand, why, and until when. Actor and
// Reason are required; a zero Until is open-ended where that is allowed.
type Control struct {
	Actor, Reason string
	Until         time.Time
}

// A Change is something that the audit is asked about.
type Change struct {
	Control
	Time     time.Time
	What     string // such as "drain", "breaker.open", "config"
	Model    *Model // if it concerns one
	From, To string
}

// Audit calls fn before any control, override or configuration change takes
// effect. An error from fn refuses the change. Given more than once, all must
// agree.
func Audit(fn func(ctx context.Context, c Change) error) Feature {
	return installer(func(s *Setup) error {
		if fn == nil {
			return &ConfigError{"audit", "the function is nil"}
		}
		s.pool.audits = append(s.pool.audits, fn)
		return nil
	})
}

// AuditFile is [Audit] to an append-only file with one JSON object a line. A
// change goes on after its line is on the disk, and is refused when it cannot
// be written. The file is opened for each line, so it may be rotated.
func AuditFile(path string) Feature {
	return installer(func(s *Setup) error {
		if err := auditfile.Check(path); err != nil {
			return &ConfigError{"auditFile", err.Error()}
		}
		s.pool.audits = append(s.pool.audits, func(_ context.Context, c Change) error {
			line := auditfile.Line{Time: c.Time, What: c.What, Actor: c.Actor, Reason: c.Reason, From: c.From, To: c.To}
			if c.Model != nil {
				line.Model = c.Model.id
			}
			if !c.Until.IsZero() {
				line.Until = &c.Until
			}
			return auditfile.Append(path, line)
		})
		return nil
	})
}

// Audit asks the pool's [Audit] about a change that a feature is about to make
// by hand; it may go ahead if the error is nil. Actor and Reason must be there
// even where nobody audits. For feature authors.
func (p *Pool) Audit(ctx context.Context, c Change) error {
	if c.Actor == "" {
		return &ConfigError{"control.actor", "is missing: say who does this"}
	}
	if c.Reason == "" {
		return &ConfigError{"control.reason", "is missing: say why"}
	}
	c.Time = p.wall(p.now())
	for _, audit := range p.audits {
		if err := audit(ctx, c); err != nil {
			return &refusedChange{c.What, err}
		}
	}
	p.Emit(ctx, Event{Kind: EventControl, Model: c.Model, From: c.From, To: c.To, Reason: c.What + " by " + c.Actor + ": " + c.Reason})
	return nil
}

// refusedChange is a change that the audit did not let through.
type refusedChange struct {
	what string
	err  error
}

func (e *refusedChange) Error() string { return "the audit refuses " + e.what + ": " + e.err.Error() }
func (e *refusedChange) Unwrap() error { return e.err }

// installer is a feature made of its Install.
type installer func(s *Setup) error

func (f installer) Install(s *Setup) error { return f(s) }

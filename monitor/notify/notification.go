// Package notify tells people of alerts: what a notification says, and the
// channels that carry it.
package notify

import (
	"context"
	"time"
)

// A Channel carries notifications to people or to another system.
type Channel interface {
	// Name is how configuration and records call the channel.
	Name() string

	// Notify delivers n, or says why not. It returns when ctx is done.
	Notify(ctx context.Context, n Notification) error
}

// A Notification is what is to be known of a group of alerts at one time.
type Notification struct {
	// Group names the group for as long as it lives, in at most 64 bytes of
	// letters, digits and -_.: so that receivers can tell one notification
	// from another and update what they show.
	Group string

	Reason    Reason
	Severity  Severity // the highest of its alerts
	Alerts    []Alert  // the firing ones first, then by severity and age
	Truncated int      // alerts that are left out of Alerts
	Time      time.Time
}

// Firing reports whether any of its alerts is.
func (n Notification) Firing() bool {
	return len(n.Alerts) > 0 && n.Alerts[0].Firing()
}

// An Alert is one thing that is wrong, or was.
type Alert struct {
	Rule        string            // that it broke, for instance "model_unavailable"
	Severity    Severity          // of the rule
	Labels      map[string]string // what tells it from others of its rule: model, name, provider, …
	Fingerprint string            // of Rule and Labels, 16 hex digits
	Summary     string            // one line
	Description string            // what is known, and what to do
	Runbook     string            // a URL, or ""
	Value       float64           // what the rule measured last,
	Threshold   float64           // and what it may be
	StartsAt    time.Time         // since when it is wrong
	EndsAt      time.Time         // zero while it fires
	AckedBy     string            // who is at it, "" for nobody
}

// Firing reports whether it is still wrong.
func (a Alert) Firing() bool { return a.EndsAt.IsZero() }

// A Severity says how soon somebody has to look.
type Severity uint8

// Severities, in ascending order.
const (
	Info     Severity = iota + 1 // nobody has to
	Warning                      // within a working day
	Critical                     // now
)

// String returns "info", "warning" or "critical", and "unknown" for a value that is none.
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return "unknown"
}

// A Reason says why a notification is sent.
type Reason uint8

// Reasons.
const (
	New       Reason = iota + 1 // a group fires
	Changed                     // alerts joined it, or some of them ended
	Escalated                   // nobody has acknowledged it
	Repeated                    // it goes on
	Resolved                    // all of it has ended
)

// String returns the reason's name, such as "new", and "unknown" for a value that is none.
func (r Reason) String() string {
	switch r {
	case New:
		return "new"
	case Changed:
		return "changed"
	case Escalated:
		return "escalated"
	case Repeated:
		return "repeated"
	case Resolved:
		return "resolved"
	}
	return "unknown"
}

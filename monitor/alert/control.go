package alert

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A Mute keeps alerts from being told of. They fire all the same, and whoever knows of
// one is told its end.
type Mute struct {
	ID    string            `json:"id"`
	Match map[string]string `json:"match"` // labels of alerts, and "rule" and "severity"; "*" matches any value
	Actor string            `json:"actor"`
	Why   string            `json:"why"`
	Since time.Time         `json:"since"`
	Until time.Time         `json:"until"`
}

type muted struct{ Mute }

// maxMutes is how many there are at the same time, and maxMatch how many labels one
// has.
const (
	maxMutes = 1000
	maxMatch = 16
)

// Mute mutes the alerts that match until the time in by, by the wall clock, and returns
// a name for [Alerts.Unmute]. An alert that fires when it ends is told of then. It fails
// without a label to match, if by lacks an Actor, a Reason or an Until to come, if there
// are a thousand mutes, or if the audit refuses.
func (a *Alerts) Mute(ctx context.Context, match map[string]string, by resilience.Control) (id string, err error) {
	now := a.pool.At(a.pool.Now())
	switch {
	case len(match) == 0 || len(match) > maxMatch:
		return "", &resilience.ConfigError{Path: "match", Problem: fmt.Sprintf("has %d labels: want one at least, and %d at most; {\"rule\": \"*\"} is all alerts", len(match), maxMatch)}
	case by.Until.IsZero():
		return "", &resilience.ConfigError{Path: "control.until", Problem: "is missing: a mute needs an end"}
	case !by.Until.After(now):
		return "", &resilience.ConfigError{Path: "control.until", Problem: "has passed"}
	}
	if err := a.pool.Audit(ctx, resilience.Change{Control: by, What: "alert.mute", To: line(match)}); err != nil {
		return "", err
	}
	m := &muted{Mute{Match: map[string]string{}, Actor: cut(by.Actor, maxName), Why: cut(by.Reason, maxText), Since: now, Until: by.Until}}
	for k, v := range match {
		m.Match[bound(k)] = bound(v)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire(now)
	if len(a.mutes) >= maxMutes {
		return "", &resilience.ConfigError{Path: "match", Problem: fmt.Sprintf("is one too many: there are %d mutes", maxMutes)}
	}
	a.numbers++
	m.ID = strconv.FormatUint(a.numbers, 10)
	a.mutes = append(a.mutes, m)
	a.stir()
	return m.ID, nil
}

// Unmute ends a mute before its time. It fails if there is none of this ID, or as Mute
// does.
func (a *Alerts) Unmute(ctx context.Context, id string, by resilience.Control) error {
	find := func() int { return slices.IndexFunc(a.mutes, func(m *muted) bool { return m.ID == id }) }
	a.mu.Lock()
	known := find() >= 0
	a.mu.Unlock()
	if !known {
		return &resilience.ConfigError{Path: "id", Problem: fmt.Sprintf("%q is of no mute", bound(id))}
	}
	if err := a.pool.Audit(ctx, resilience.Change{Control: by, What: "alert.unmute", From: bound(id)}); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := find(); i >= 0 {
		a.mutes = slices.Delete(a.mutes, i, i+1)
	}
	a.stir()
	return nil
}

// Mutes lists what is muted, in the order of time.
func (a *Alerts) Mutes() (list []Mute) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.mutes {
		one := m.Mute
		one.Match = maps.Clone(m.Match)
		list = append(list, one)
	}
	return list
}

// Ack says that somebody is at the alert with this fingerprint, until the time in by if
// there is one: it is neither escalated nor repeated then. An alert that is over and
// comes again is nobody's. It fails if no such alert fires, if by lacks an Actor or a
// Reason, or if the audit refuses.
func (a *Alerts) Ack(ctx context.Context, fingerprint string, by resilience.Control) error {
	a.mu.Lock()
	e := a.find(fingerprint)
	a.mu.Unlock()
	if e == nil {
		return errNoAlert
	}
	if err := a.pool.Audit(ctx, resilience.Change{Control: by, What: "alert.ack", To: fingerprint}); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if e = a.find(fingerprint); e == nil {
		return errNoAlert
	}
	e.ackBy, e.ackUntil = cut(by.Actor, maxName), by.Until
	a.stir()
	return nil
}

// find returns the alert that fires with this fingerprint. The caller has a.mu.
func (a *Alerts) find(fingerprint string) *entry {
	for _, e := range a.entries {
		if e.phase == firing && e.fingerprint == fingerprint {
			return e
		}
	}
	return nil
}

// expire forgets mutes that are over. The caller has a.mu.
func (a *Alerts) expire(wall time.Time) {
	a.mutes = slices.DeleteFunc(a.mutes, func(m *muted) bool { return !m.Until.After(wall) })
}

func (a *Alerts) mutedBy(e *entry) *muted {
	for _, m := range a.mutes {
		if matches(m.Match, e.key.rule, e.rule.severity, e.labels) {
			return m
		}
	}
	return nil
}

func line(match map[string]string) (s string) {
	for _, k := range slices.Sorted(maps.Keys(match)) {
		s += bound(k) + "=" + bound(match[k]) + " "
	}
	return cut(s, maxText)
}

var errNoAlert error = &resilience.ConfigError{Path: "fingerprint", Problem: "is of no alert that fires"}

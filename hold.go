package resilience

import (
	"context"
	"math"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A Hold keeps a model out of rotation. Others call it cooldown, ejection or
// cordon.
type Hold struct {
	By           HoldBy
	Reason       string
	Since, Until time.Time // a zero Until is open-ended
	Key          string    // what is held is not the model, but this key of it
}

// HoldBy says who holds a model.
type HoldBy uint8

// Who may hold a model. Each has one hold on a model at a time.
const (
	HoldManual     HoldBy = iota + 1 // an operator drained it
	HoldHealth                       // its probes or its error rate are bad, or it is gone
	HoldBreaker                      // its breaker is open
	HoldLimit                        // the provider asked to wait
	HoldQuota                        // what was paid for is spent
	HoldCredential                   // the key, the plan or the region is refused
	HoldRecovery                     // it is being brought back
)

const holders = int(HoldRecovery) + 1

// String returns the holder's name.
func (b HoldBy) String() string {
	names := [holders]string{"", "manual", "health", "breaker", "limit", "quota", "credential", "recovery"}
	if int(b) < len(names) {
		return names[b]
	}
	return "unknown"
}

const (
	openEnded = math.MaxInt64
	// unattended bounds a hold that nobody is there to lift: open-ended holds
	// of features belong to work inside Pool.Run.
	unattended = 5 * time.Minute
)

// hold is a Hold on the pool's clock. A zero until means there is none.
type hold struct {
	since, until int64
	reason       string
}

// Hold sets a hold. Of two holds by the same holder the later Until counts, so
// a hold is never shortened; Since is when the first of them was set. A hold without Until is
// open-ended for HoldManual and HoldBreaker, which people set; for other
// holders only while [Pool.Run] is running, and five minutes long otherwise,
// so that no model stays out because nobody is there to bring it back. For
// feature authors.
func (m *Model) Hold(ctx context.Context, h Hold) {
	if h.By == 0 || int(h.By) >= holders || h.Key != "" {
		return
	}
	p := m.pool
	now := p.now()
	until := int64(openEnded)
	switch {
	case !h.Until.IsZero():
		until = p.instant(h.Until)
	case h.By != HoldManual && h.By != HoldBreaker && !p.running.Load():
		until = now + int64(unattended)
	}
	if until <= now {
		return
	}
	m.mu.Lock()
	old := m.holds[h.By]
	if old.until <= now {
		m.holds[h.By] = hold{now, until, h.Reason}
	} else if until > old.until && !mutants.On("hold-keeps-its-first-end") { // extended
		m.holds[h.By] = hold{old.since, until, h.Reason}
	}
	m.regate()
	m.mu.Unlock()
	if p.Wants(EventHold) && until > old.until {
		p.Emit(ctx, Event{Kind: EventHold, Model: m, To: h.By.String(), Reason: h.Reason})
	}
}

// Release lifts the hold by a holder, if there is one. For feature authors.
func (m *Model) Release(ctx context.Context, by HoldBy) { m.release(ctx, by, "") }

func (m *Model) release(ctx context.Context, by HoldBy, reason string) {
	if by == 0 || int(by) >= holders {
		return
	}
	m.mu.Lock()
	was := m.holds[by].until != 0
	m.holds[by] = hold{}
	m.regate()
	m.mu.Unlock()
	if was && m.pool.Wants(EventRelease) {
		m.pool.Emit(ctx, Event{Kind: EventRelease, Model: m, From: by.String(), Reason: reason})
	}
}

// HeldSince returns when the hold by a holder was first set, and whether there
// is one now. Features use it to tell an answer that is older than a hold from
// one that speaks against it. For feature authors.
func (m *Model) HeldSince(by HoldBy) (since time.Duration, held bool) {
	if m.gate.Load() == 0 || by == 0 || int(by) >= holders {
		return 0, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.holds[by]
	return time.Duration(h.since), h.until > m.pool.now()
}

// spares reports whether nothing holds m but that its own keys are refused or
// spent, which does not concern a call that brings another.
func (m *Model) spares(now int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for by, h := range m.holds {
		switch HoldBy(by) {
		case HoldQuota, HoldCredential:
		default:
			if h.until > now {
				return false
			}
		}
	}
	return true
}

// regate makes the gate the end of the longest hold. The caller has m.mu.
func (m *Model) regate() {
	var until int64
	for _, h := range m.holds {
		until = max(until, h.until)
	}
	m.gate.Store(until)
}

// free reports whether nothing holds m at now. Nobody has to clear a hold that
// has run out: whoever notices does.
func (m *Model) free(now int64) bool {
	gate := m.gate.Load()
	if gate == 0 {
		return true
	}
	if gate > now {
		return false
	}
	m.lapse(now)
	return true
}

func (m *Model) lapse(now int64) {
	var lapsed [holders]bool
	m.mu.Lock()
	for by, h := range m.holds {
		if h.until != 0 && h.until <= now {
			m.holds[by], lapsed[by] = hold{}, true
		}
	}
	m.regate()
	m.mu.Unlock()
	for by, was := range lapsed {
		if was && m.pool.Wants(EventRelease) {
			m.pool.Emit(context.Background(), Event{Kind: EventRelease, Model: m, From: HoldBy(by).String(), Reason: "ran out"})
		}
	}
}

// bound gives open-ended holds of features an end, when Run stops.
func (m *Model) bound(now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for by, h := range m.holds {
		if h.until == openEnded && HoldBy(by) != HoldManual && HoldBy(by) != HoldBreaker {
			m.holds[by].until = now + int64(unattended)
		}
	}
	m.regate()
}

// Available reports whether nothing holds m.
func (m *Model) Available() bool { return m.free(m.pool.now()) }

// Holds lists what holds m now, by holder, and then what holds keys of m, which
// does not keep it from being used.
func (m *Model) Holds() []Hold {
	now := m.pool.now()
	return append(m.heldBy(now), m.keyHolds(now)...)
}

// heldBy lists what holds m itself.
func (m *Model) heldBy(now int64) (list []Hold) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for by, h := range m.holds {
		if h.until > now {
			list = append(list, m.pool.holdOf(HoldBy(by), h, ""))
		}
	}
	return list
}

// until returns the instant from which m is free, as far as is known, whether
// m is held by hand, and whether a limit of the provider is all that holds it.
func (m *Model) until(now int64) (at int64, manual, limit bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	limit = true
	for by, h := range m.holds {
		if h.until > now {
			at = max(at, h.until)
			manual = manual || HoldBy(by) == HoldManual
			limit = limit && HoldBy(by) == HoldLimit
		}
	}
	return at, manual, limit && at != 0
}

// manual reports whether somebody holds m by hand.
func (m *Model) manual(now int64) bool {
	if m.gate.Load() == 0 {
		return false
	}
	_, by, _ := m.until(now)
	return by
}

// by says who holds, and why.
func (h Hold) by() string {
	if h.Reason == "" {
		return "held by " + h.By.String()
	}
	return "held by " + h.By.String() + " (" + h.Reason + ")"
}

// String puts h in one line, without Since.
func (h Hold) String() string {
	line := h.by()
	if h.Key != "" {
		line = "key " + h.Key + " " + line
	}
	if h.Until.IsZero() {
		return line + " until lifted"
	}
	return line + " until " + h.Until.Format(time.RFC3339)
}

package history

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/cmmv-hive/resilience"
)

// An Incident is a time for which something held a model, or was unusual of it.
type Incident struct {
	Model  string    `json:"model"`
	What   string    `json:"what"` // by whom it was held, as [resilience.HoldBy] has it; or "error rate", "p95" or "calls per minute"
	Reason string    `json:"reason,omitempty"`
	Begin  time.Time `json:"begin"`
	End    time.Time `json:"end,omitzero"` // zero while it goes on
	Times  int       `json:"times"`        // that it came again within a minute; 1 at least
}

const (
	maxIncidents = 1024
	again        = time.Minute // that parts two incidents
	maxReason    = 160
)

// incidents are the latest, in the order of their beginnings.
type incidents struct {
	mu   sync.Mutex
	list []Incident
}

func (l *incidents) begin(model, what, reason string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reason = clean(reason)
	if i := l.find(model, what); i >= 0 {
		last := &l.list[i]
		switch {
		case last.End.IsZero():
			last.Reason = reason
			return
		case at.Sub(last.End) < again:
			last.End, last.Reason = time.Time{}, reason
			last.Times++
			return
		}
	}
	if len(l.list) >= maxIncidents {
		l.list = slices.Delete(l.list, 0, 1)
	}
	l.list = append(l.list, Incident{Model: model, What: what, Reason: reason, Begin: at.UTC().Round(0), Times: 1})
}

func (l *incidents) end(model, what string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.find(model, what); i >= 0 && l.list[i].End.IsZero() {
		l.list[i].End = over(l.list[i].Begin, at)
	}
}

// gone ends what goes on at models that are.
func (l *incidents) gone(at time.Time, gone func(model string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.list {
		if in := &l.list[i]; in.End.IsZero() && gone(in.Model) {
			in.End = over(in.Begin, at)
		}
	}
}

// over returns when an incident is that began then and ends at.
func over(begin, at time.Time) time.Time {
	if at = at.UTC().Round(0); at.Before(begin) {
		return begin
	}
	return at
}

// find returns where the latest one is, or -1.
func (l *incidents) find(model, what string) int {
	for i, in := range slices.Backward(l.list) {
		if in.Model == model && in.What == what {
			return i
		}
	}
	return -1
}

// between returns those that touch a time.
func (l *incidents) between(from, to time.Time) []Incident {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []Incident
	for _, in := range l.list {
		if in.Begin.Before(to) && (in.End.IsZero() || in.End.After(from)) {
			list = append(list, in)
		}
	}
	return list
}

func (h *History) held(e *resilience.Event) {
	now := h.pool.Now()
	at := h.pool.At(now)
	for _, hold := range e.Model.Holds() {
		if hold.Key == "" && hold.By.String() == e.To {
			h.watches.Of(e.Model).hold(int64(now), &hold, at)
			h.incidents.begin(e.Model.ID(), e.To, hold.Reason, at)
		}
	}
}

func (h *History) released(e *resilience.Event) {
	if e.Key != "" {
		return
	}
	for by := resilience.HoldManual; int(by) < holders; by++ {
		if by.String() == e.From {
			now := h.pool.Now()
			late := h.watches.Of(e.Model).release(int64(now), by)
			h.incidents.end(e.Model.ID(), e.From, h.pool.At(now-late))
		}
	}
}

// clean bounds a foreign text.
func clean(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, s)
}

// Incidents returns what went wrong between two times, in the order of its
// beginnings: of the latest 1,024 incidents those of them. What comes again within a
// minute is one incident.
func (h *History) Incidents(from, to time.Time) []Incident {
	return h.incidents.between(from, to)
}

package resilience

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Verdict says whether a model can be used now, and why not.
type Verdict struct {
	Model  *Model
	Usable bool
	Reason string // what holds it, or who refused
	Holds  []Hold
	Until  time.Time // when to ask again, if known

	own   bool          // it is the caller's own key that is held
	after time.Duration // that a refusal of the call asked to wait
}

// String puts v in one line.
func (v Verdict) String() string {
	line := v.Model.id + " " + oneLine(v.Reason)
	if v.Usable {
		line = v.Model.id + " usable" + v.Reason
	}
	if !v.Until.IsZero() {
		line += " until " + v.Until.Format(time.RFC3339)
	}
	if !v.own {
		line += keysIn(v.Holds)
	}
	return line
}

// maxKeys bounds what a verdict says of keys.
const maxKeys = 4

// keysIn says which keys are held.
func keysIn(holds []Hold) string {
	var lines []string
	more := int64(0)
	for _, h := range holds {
		switch {
		case h.Key == "":
		case len(lines) == maxKeys:
			more++
		default:
			lines = append(lines, h.String())
		}
	}
	if more > 0 {
		lines = append(lines, counted(more, "more key"))
	}
	if len(lines) == 0 {
		return ""
	}
	return "; " + strings.Join(lines, ", ")
}

func verdict(m *Model) (v Verdict) {
	now := m.pool.now()
	v = Verdict{Model: m, Holds: m.heldBy(now)}
	defer func() { v.Holds = append(v.Holds, m.keyHolds(now)...) }()
	if len(v.Holds) == 0 {
		if v.Reason = m.pool.doubt(m); v.Reason != "" {
			return v
		}
		v.Usable = true
		if ramp := m.Ramp(); ramp < 1 {
			v.Reason = fmt.Sprintf(", at %.0f %% of its traffic", 100*ramp)
		}
		return v
	}
	var reasons []string
	last := v.Holds[0].Until
	for _, h := range v.Holds {
		reasons = append(reasons, h.by())
		if h.Until.IsZero() || last.IsZero() {
			last = time.Time{}
		} else if h.Until.After(last) {
			last = h.Until
		}
	}
	v.Reason, v.Until = strings.Join(reasons, ", "), last
	if last.IsZero() {
		v.Reason += " until lifted"
	}
	return v
}

// doubt returns why m would refuse a call though nothing holds it.
func (p *Pool) doubt(m *Model) string {
	if p.draining.Load() {
		return "not asked: the pool is draining"
	}
	for _, fn := range p.doubts {
		if reason := fn(m); reason != "" {
			return reason
		}
	}
	return ""
}

// Explain says of each model with this name or ID, or of all if it is empty,
// why it would or would not be picked now, in the order of tier, then of
// declaration.
func (p *Pool) Explain(name string) []Verdict {
	var list []Verdict
	for _, m := range p.roster.Load().models {
		if name == "" || name == m.id || name == m.Name() {
			list = append(list, verdict(m))
		}
	}
	slices.SortStableFunc(list, func(a, b Verdict) int {
		return cmp.Compare(a.Model.info.Load().Tier, b.Model.info.Load().Tier)
	})
	return list
}

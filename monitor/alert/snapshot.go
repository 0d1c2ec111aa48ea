package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// snapshotVersion is the form of what Snapshot returns.
const snapshotVersion = 1

// maxSnapshot is how many bytes Restore reads.
const maxSnapshot = 64 << 20

// A snapshot is what lasts.
type snapshot struct {
	Version    int                `json:"version"`
	At         time.Time          `json:"at"`
	Alerts     []savedAlert       `json:"alerts,omitempty"`
	Mutes      []Mute             `json:"mutes,omitempty"`
	Objectives map[string]savedSL `json:"objectives,omitempty"`
}

// A savedAlert fires, or not all who were told of it know that it is over.
type savedAlert struct {
	Rule     string            `json:"rule"`
	Per      string            `json:"per"`
	Name     string            `json:"name,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Severity string            `json:"severity"`
	What     string            `json:"what"`
	Why      string            `json:"why,omitempty"`
	Value    float64           `json:"value"`
	Limit    float64           `json:"limit"`
	Starts   time.Time         `json:"starts"`
	Ends     time.Time         `json:"ends,omitzero"`
	Group    string            `json:"group"`
	ID       string            `json:"id"` // of the group
	Flaps    int               `json:"flaps,omitempty"`
	Level    int               `json:"level,omitempty"`
	Climbs   time.Duration     `json:"climbs,omitempty"` // from now
	AckBy    string            `json:"ackBy,omitempty"`
	AckUntil time.Time         `json:"ackUntil,omitzero"`
	Told     []string          `json:"told,omitempty"` // routes
	Done     []string          `json:"done,omitempty"`
}

// A savedSL is what an objective counted: the age of a bucket of five minutes, its
// calls, and the bad ones.
type savedSL struct {
	Age     time.Duration `json:"age"` // since it is counted
	Buckets [][3]uint32   `json:"buckets,omitempty"`
}

// routeKey names a route for the next process, whatever the order is there.
func routeKey(r *route) string { return r.name + "@" + strconv.Itoa(r.Level) }

// Snapshot returns what is to outlive the process, for [Alerts.Restore]: to be written
// to a file every minute, and after [resilience.Pool.Run] has returned. What is on its
// way to a channel counts as not told.
func (a *Alerts) Snapshot() []byte {
	a.mu.Lock()
	s := a.save()
	a.mu.Unlock()
	text, err := json.Marshal(s)
	if err != nil { // no float in it is infinite
		return nil
	}
	return text
}

// save makes a snapshot. The caller has a.mu.
func (a *Alerts) save() snapshot {
	now := a.now()
	s := snapshot{Version: snapshotVersion, At: a.pool.At(now), Objectives: map[string]savedSL{}}
	for _, k := range slices.SortedFunc(maps.Keys(a.entries), func(x, y key) int {
		return slices.Compare([]string{x.rule, x.per, x.name}, []string{y.rule, y.per, y.name})
	}) {
		e := a.entries[k]
		if e.phase != firing && e.phase != ended {
			continue
		}
		told, done := e.told, e.done
		for i, st := range e.group.routes {
			if slices.Contains(st.telling, e) {
				told &^= 1 << i
			}
			if slices.Contains(st.ending, e) {
				done &^= 1 << i
			}
		}
		one := savedAlert{
			Rule: k.rule, Per: k.per, Name: k.name, Labels: e.labels, Severity: e.rule.severity.String(), What: e.what, Why: e.why,
			Value: e.value, Limit: e.threshold, Starts: e.starts, Ends: e.ends, Group: e.group.key, ID: e.group.id,
			Flaps: e.flaps, Level: e.level, Climbs: max(e.climbs-now, 0), AckBy: e.ackBy, AckUntil: e.ackUntil,
		}
		for i, r := range a.routes {
			if told>>i&1 == 1 {
				one.Told = append(one.Told, routeKey(r))
			}
			if done>>i&1 == 1 {
				one.Done = append(one.Done, routeKey(r))
			}
		}
		s.Alerts = append(s.Alerts, one)
	}
	for _, m := range a.mutes {
		s.Mutes = append(s.Mutes, m.Mute)
	}
	for _, o := range *a.objectives.Load() {
		s.Objectives[o.name] = o.save(now)
	}
	return s
}

func (o *objective) save(now time.Duration) savedSL {
	o.turn(now)
	s := savedSL{Age: now - o.began}
	last := int(now / coarseBucket)
	for age := range coarses {
		if p := o.coarse[((last-age)%coarses+coarses)%coarses]; p.total > 0 {
			s.Buckets = append(s.Buckets, [3]uint32{uint32(age), p.total, p.bad})
		}
	}
	return s
}

// Restore takes in what [Alerts.Snapshot] returned, in this process or one before, and
// is for before [resilience.Pool.Run]. What fired then fires until its rule, measured
// anew, has been kept for its time; where there is nothing to measure yet that is not
// before the rule's Window and KeepFiringFor have passed. Alerts whose rule or subject
// is no longer configured are over, and who was told of them is told so. If data is not
// of that form the error says where, and nothing is changed.
func (a *Alerts) Restore(data []byte) error {
	var s snapshot
	if err := decodeSnapshot(data, &s); err != nil {
		return fmt.Errorf("alert: no snapshot: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	wall := a.pool.At(now)
	passed := max(wall.Sub(s.At), 0)
	for _, one := range s.Alerts {
		k := key{one.Rule, one.Per, one.Name}
		if old := a.entries[k]; old != nil && (old.phase == firing || old.phase == ended) || len(a.entries) >= a.cfg.MaxAlerts {
			continue
		}
		a.entries[k] = a.restored(k, &one, now)
	}
	for _, m := range s.Mutes {
		if n, err := strconv.ParseUint(m.ID, 10, 32); err == nil {
			a.numbers = max(a.numbers, n)
		}
		if !slices.ContainsFunc(a.mutes, func(old *muted) bool { return old.ID == m.ID }) && len(a.mutes) < maxMutes {
			a.mutes = append(a.mutes, &muted{m})
		}
	}
	a.expire(wall)
	for _, o := range *a.objectives.Load() {
		if saved, known := s.Objectives[o.name]; known {
			o.restore(saved, now, passed)
		}
	}
	a.stir()
	return nil
}

// restored makes an entry of what was saved. The caller has a.mu.
func (a *Alerts) restored(k key, one *savedAlert, now time.Duration) *entry {
	r := a.byName[one.Rule]
	gone := r == nil
	if gone {
		r = &rule{name: one.Rule, severity: severityOf(one.Severity)}
	}
	e := &entry{
		key: k, rule: r, phase: firing, fired: now, starts: one.Starts, ends: one.Ends, labels: one.Labels, what: one.What, why: one.Why,
		value: one.Value, threshold: one.Limit, flaps: one.Flaps, level: one.Level, climbs: now + one.Climbs, ackBy: one.AckBy, ackUntil: one.AckUntil,
		fingerprint: fingerprintOf(one.Rule, one.Labels), grace: now + r.Window + r.keep,
	}
	if e.labels == nil {
		e.labels = map[string]string{}
	}
	for i, route := range a.routes {
		if slices.Contains(one.Told, routeKey(route)) {
			e.told |= 1 << i
		}
		if slices.Contains(one.Done, routeKey(route)) {
			e.done |= 1 << i
		}
	}
	g := a.groups[one.Group]
	if g == nil {
		g = &group{key: one.Group, id: one.ID, routes: make([]standing, len(a.routes))}
		a.groups[one.Group] = g
	}
	for i := range g.routes {
		if e.told>>i&1 == 1 {
			g.routes[i].sent = now
		}
	}
	g.members = append(g.members, e)
	e.group = g
	a.concern(e)
	if !one.Ends.IsZero() {
		e.phase, e.over = ended, now
	} else if gone {
		a.end(e, now, "Its rule is there no more.")
	}
	return e
}

// restore takes in what was counted so long ago.
func (o *objective) restore(s savedSL, now, passed time.Duration) {
	o.turn(now)
	passed = min(passed, longest)
	o.began = min(o.began, now-passed-min(s.Age, longest))
	last, shift := int(now/coarseBucket), int(passed/coarseBucket)
	for _, b := range s.Buckets {
		age := int(b[0]) + shift
		if age >= coarses {
			continue
		}
		p := &o.coarse[((last-age)%coarses+coarses)%coarses]
		p.total, p.bad = add32(p.total, b[1]), add32(p.bad, b[2])
		const parts = int(coarseBucket / fineBucket)
		if age*parts >= fineBuckets {
			continue
		}
		for i := range parts { // as if they had come evenly
			f := &o.fine[((int(now/fineBucket)-age*parts-i)%fineBuckets+fineBuckets)%fineBuckets]
			f.total, f.bad = add32(f.total, b[1]/uint32(parts)), add32(f.bad, b[2]/uint32(parts))
		}
	}
}

// longest is more than any window.
const longest = 1000 * time.Hour

func add32(x, y uint32) uint32 { return uint32(min(uint64(x)+uint64(y), 1<<31)) }

// decodeSnapshot reads and checks a snapshot.
func decodeSnapshot(data []byte, s *snapshot) error {
	if len(data) > maxSnapshot {
		return fmt.Errorf("has %d bytes, more than %d", len(data), maxSnapshot)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("goes on after its end")
	}
	if s.Version != snapshotVersion {
		return fmt.Errorf("has version %d, and this is %d", s.Version, snapshotVersion)
	}
	for i := range s.Alerts {
		if problem := s.Alerts[i].problem(); problem != "" {
			return fmt.Errorf("alerts[%d] %s", i, problem)
		}
	}
	for i, m := range s.Mutes {
		if len(m.Match) == 0 || len(m.Match) > maxMatch || m.Until.IsZero() || m.ID == "" || !bounded(m.Match) || !short(m.ID, m.Actor) || cut(m.Why, maxText) != m.Why {
			return fmt.Errorf("mutes[%d] is none that Mute makes", i)
		}
	}
	for name, o := range s.Objectives {
		if nameProblem(name) != "" || o.Age < 0 || len(o.Buckets) > coarses {
			return fmt.Errorf("objectives has one that cannot be")
		}
		for _, b := range o.Buckets {
			if b[0] >= coarses || b[2] > b[1] {
				return fmt.Errorf("objectives.%s counts what cannot be", name)
			}
		}
	}
	return nil
}

func (s *savedAlert) problem() string {
	switch {
	case nameProblem(s.Rule) != "":
		return "has a rule that " + nameProblem(s.Rule)
	case !slices.Contains([]string{"model", "name", "provider", "pool", "objective", "broken"}, s.Per):
		return "is of nothing that there is"
	case severityOf(s.Severity).String() != s.Severity:
		return "has a severity that there is not"
	case len(s.Labels) > 8 || !bounded(s.Labels) || !short(s.AckBy) || cut(s.What, 2*maxText) != s.What || cut(s.Why, maxText) != s.Why:
		return "has text that alerts do not have"
	case s.Starts.IsZero() || !s.Ends.IsZero() && s.Ends.Before(s.Starts):
		return "ends before it starts"
	case s.Flaps < 0 || s.Level < 0 || s.Climbs < 0 || s.Climbs > longest || len(s.Told) > maxRoutes || len(s.Done) > maxRoutes:
		return "counts what cannot be"
	case len(s.Group) > 200 || !idLike(s.ID):
		return "is of a group that cannot be"
	}
	return ""
}

func bounded(labels map[string]string) bool {
	for k, v := range labels {
		if !short(k, v) {
			return false
		}
	}
	return true
}

func short(texts ...string) bool {
	return !slices.ContainsFunc(texts, func(s string) bool { return bound(s) != s })
}

// idLike reports whether an ID is as [notify.Notification].Group has it.
func idLike(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, r := range id {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && r != '-' && r != '_' && r != '.' && r != ':' {
			return false
		}
	}
	return true
}

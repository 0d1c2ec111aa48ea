package alert

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/monitor/notify"
)

// A sample is what a rule measured of a subject.
type sample struct {
	rule      *rule
	per, name string
	subject   *Subject // nil of the package's own rules
	value     float64
	limit     float64
	ok        bool          // there was something to measure
	out       bool          // a person took the model out of rotation
	since     time.Duration // it has been so, as far as that is known
}

// measure measures all rules. It is called without the lock, by one goroutine.
func (a *Alerts) measure(now time.Duration, rules []*rule, known map[string]*functionCall) []sample {
	if a.subjects.renew(a.pool) {
		a.ask()
		a.warn(rules)
	}
	r := a.reader(now)
	samples := a.samples[:0]
	defer func() { a.samples = samples }()
	for _, rule := range rules {
		if rule.metric == nil && rule.Func == nil {
			continue
		}
		list := a.subjects.of[rule.Per]
		for i := range list {
			s := &list[i]
			if len(s.Models) < rule.MinModels || !rule.concerns(s.Name) {
				continue
			}
			got := sample{rule: rule, per: s.Per, name: s.Name, subject: s, limit: rule.Threshold}
			if rule.Func != nil {
				got.value, got.ok = known[rule.name].result(s, now)
			} else {
				got.value, got.ok = rule.metric.measure(r, *s, rule)
			}
			got.ok = got.ok && !math.IsNaN(got.value) && !math.IsInf(got.value, 0)
			if s.Per == "model" {
				at := r.judge(s.Models[0])
				got.out = at.out
				if rule.metric != nil && rule.metric.name == "failures_in_row" {
					got.since = at.began
				}
			}
			samples = append(samples, got)
		}
	}
	a.mu.Lock() // of objectives
	defer a.mu.Unlock()
	for _, o := range *a.objectives.Load() {
		o.turn(now)
	}
	for _, rule := range rules {
		switch rule.name {
		case budgetBurn, budgetDrain:
			for _, o := range *a.objectives.Load() {
				got := sample{rule: rule, per: "objective", name: o.name}
				got.value, got.limit, got.ok = o.burn(rule.name)
				samples = append(samples, got)
			}
		case ruleBroken:
			for name, c := range known {
				samples = append(samples, sample{rule: rule, per: "broken", name: name, value: c.broken(now), limit: 0, ok: true})
			}
		}
	}
	return samples
}

func (r *rule) concerns(name string) bool {
	return len(r.Only) == 0 || slices.Contains(r.Only, name)
}

// warn says which rules are restricted to what there is not.
func (a *Alerts) warn(rules []*rule) {
	for _, r := range rules {
		for _, name := range r.Only {
			if !slices.ContainsFunc(a.subjects.of[r.Per], func(s Subject) bool { return s.Name == name }) {
				a.pool.Log().Warn("a rule is restricted to what the pool does not have", "rule", r.name, r.Per, bound(name))
			}
		}
	}
}

// ask makes room for when calls for a name fail.
func (a *Alerts) ask() {
	old, next := *a.asked.Load(), map[string]*atomic.Int64{}
	for _, s := range a.subjects.of["name"] {
		at := old[s.Name]
		if at == nil {
			at = &atomic.Int64{}
		}
		next[s.Name] = at
		for _, m := range s.Models {
			next[m.ID()] = at
		}
	}
	a.asked.Store(&next)
}

// compare reports whether v is beyond a limit.
func compare(v float64, op string, limit float64) bool {
	switch op {
	case ">=":
		return v >= limit
	case "<":
		return v < limit
	case "<=":
		return v <= limit
	default:
		return v > limit
	}
}

func (s *sample) labels() map[string]string {
	if s.subject != nil {
		return s.subject.labels()
	}
	return map[string]string{s.per: bound(s.name)}
}

// broken reports whether a sample breaks its rule, for an alert that fires or not.
func (s *sample) broken(fires bool) bool {
	if !s.ok || s.out {
		return false
	}
	if fires && s.rule.Clear != 0 {
		return compare(s.value, s.rule.Op, s.rule.Clear)
	}
	return compare(s.value, s.rule.Op, s.limit)
}

// apply draws the conclusions from samples. The caller has a.mu.
func (a *Alerts) apply(now time.Duration, samples []sample) {
	a.step++
	a.tally.lost = 0
	draining := a.pool.Draining()
	for _, r := range a.rules {
		r.lost = 0
	}
	for i := range samples {
		s := &samples[i]
		if a.byName[s.rule.name] != s.rule { // a reload came between
			continue
		}
		k := key{s.rule.name, s.per, s.name}
		e := a.entries[k]
		if e == nil {
			if !s.broken(false) || draining {
				continue
			}
			if e = a.enter(k, now); e == nil {
				s.rule.lost++
				a.tally.lost++
				continue
			}
		}
		if e.seen = a.step; e.rule != s.rule { // a reload made it anew
			e.rule = s.rule
			if e.phase == firing {
				a.concern(e)
			}
		}
		a.move(e, s, now, draining)
	}
	for k, e := range a.entries {
		switch {
		case e.seen == a.step:
		case e.phase == firing && a.byName[k.rule] == nil:
			a.end(e, now, "Its rule is there no more.")
		case e.phase == firing:
			a.end(e, now, "What it was about is no longer configured.")
		}
		if e.phase == pending && e.seen != a.step || e.phase == idle && (now-e.over > flapsWithin+e.rule.Cooldown || e.seen != a.step && e.over == 0) {
			delete(a.entries, k)
		}
	}
}

// enter makes an entry, if there is room.
func (a *Alerts) enter(k key, now time.Duration) *entry {
	if len(a.entries) >= a.cfg.MaxAlerts {
		for old, e := range a.entries {
			if e.phase == idle {
				delete(a.entries, old)
				break
			}
		}
		if len(a.entries) >= a.cfg.MaxAlerts {
			a.tally.missed++
			return nil
		}
	}
	e := &entry{key: k, rule: a.byName[k.rule], since: now}
	a.entries[k] = e
	return e
}

// move moves an entry on by a sample.
func (a *Alerts) move(e *entry, s *sample, now time.Duration, draining bool) {
	if s.broken(e.phase == firing) {
		switch e.phase {
		case firing:
			e.clear = 0
			a.describe(e, s)
		case idle, ended, pending:
			if e.phase == idle && e.since != now || e.phase == ended && e.since == 0 {
				e.since = now
			}
			if e.phase == idle {
				e.phase = pending
				e.labels = s.labels()
			}
			if s.since > e.over {
				e.since = min(e.since, s.since)
			}
			cooling := e.over != 0 && now < e.over+e.rule.Cooldown
			if now-e.since >= e.rule.For && !cooling && !draining {
				a.fire(e, s, now)
			}
		}
		return
	}
	switch e.phase {
	case pending:
		e.phase, e.since = idle, 0
		if e.over == 0 {
			delete(a.entries, e.key)
		}
	case ended:
		e.since = 0
	case firing:
		switch {
		case s.out:
			a.end(e, now, "It was taken out of rotation by hand.")
		case !s.ok && now < e.grace:
		case e.clear == 0:
			e.clear = now
			fallthrough
		default:
			if s.ok {
				e.value = s.value
			}
			if now-e.clear >= e.keeps() {
				a.end(e, now, why(s))
			}
		}
	case idle:
	}
}

func why(s *sample) string {
	if !s.ok {
		return "There is nothing to measure any more."
	}
	return "It is well again."
}

// describe notes what a sample shows.
func (a *Alerts) describe(e *entry, s *sample) {
	e.value, e.threshold = s.value, s.limit
	switch {
	case s.subject == nil && s.per == "objective":
		e.what = "objective " + bound(s.name) + ": its error budget is spent " + number(s.value) + " times as fast as it may be"
	case s.subject == nil:
		e.what = "rule " + bound(s.name) + ": its function panics or does not return"
	case s.rule.metric != nil:
		e.what = s.subject.String() + ": " + s.rule.metric.say(s.value)
	default:
		e.what = s.subject.String() + ": " + s.rule.name + " is " + number(s.value)
	}
}

// fire makes an entry an alert that fires, or fires on if not all know that it was over.
func (a *Alerts) fire(e *entry, s *sample, now time.Duration) {
	if e.over != 0 && now-e.over < flapsWithin {
		e.flaps++
	} else {
		e.flaps = 0
	}
	was := e.phase
	e.phase, e.clear, e.since, e.over, e.ends, e.why = firing, 0, 0, 0, time.Time{}, ""
	e.level, e.ackBy, e.ackUntil, e.grace = 0, "", time.Time{}, 0
	e.fired = now
	e.climbs = now + e.rule.EscalateAfter
	a.describe(e, s)
	a.tally.fired++
	if was == ended {
		e.done = 0
		return
	}
	e.starts = a.pool.At(now)
	e.labels = s.labels()
	e.fingerprint = fingerprintOf(e.key.rule, e.labels)
	e.told, e.done, e.ready, e.inhibited, e.muted = 0, 0, 0, false, false
	a.join(e)
}

// end makes an alert one that is over.
func (a *Alerts) end(e *entry, now time.Duration, why string) {
	e.phase, e.over, e.since, e.clear, e.why = ended, now, 0, 0, why
	e.ends = a.pool.At(now)
	if e.ends.Before(e.starts) { // the wall clock was set back
		e.ends = e.starts
	}
	a.tally.ended++
	a.history.add(e.alert(e.ends), a.cfg.History)
	a.settle(e)
}

// settle lets an alert go that is over for all who were told of it.
func (a *Alerts) settle(e *entry) {
	if e.phase != ended || e.told&^e.done != 0 || e.group != nil && e.group.underWay() {
		return
	}
	if e.group != nil {
		e.group.leave(e)
		if len(e.group.members) == 0 {
			delete(a.groups, e.group.key)
		}
		e.group = nil
	}
	e.phase, e.since = idle, 0
}

// due returns when something changes by time alone.
func (a *Alerts) due(next time.Duration) time.Duration {
	for _, e := range a.entries {
		switch {
		case e.phase == pending || e.phase == ended && e.since != 0:
			next = min(next, max(e.since+e.rule.For, e.over+e.rule.Cooldown))
		case e.phase == firing && e.clear != 0:
			next = min(next, e.clear+e.keeps())
		}
	}
	return next
}

// tally is what is counted of alerts.
type tally struct {
	fired, ended, missed int64
	lost                 int // now
	evaluations          int64
	took                 time.Duration
}

// A ring remembers the latest alerts that have ended.
type ring struct {
	list []notify.Alert
	next int
}

func (r *ring) add(n notify.Alert, most int) {
	if len(r.list) < most {
		r.list = append(r.list, n)
		return
	}
	if len(r.list) > most { // a reload made it smaller
		r.list, r.next = append(r.list[r.next:], r.list[:r.next]...)[len(r.list)-most:], 0
	}
	r.list[r.next%most] = n
	r.next = (r.next + 1) % most
}

// latest returns the n latest, the latest first.
func (r *ring) latest(n int) []notify.Alert {
	n = min(max(n, 0), len(r.list))
	list := make([]notify.Alert, 0, n)
	for i := range n {
		list = append(list, r.list[(r.next-1-i+2*len(r.list))%len(r.list)])
	}
	return list
}

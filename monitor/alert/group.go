package alert

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// A group is alerts that are told of together. The mutex of Alerts guards it.
type group struct {
	key     string
	id      string // for receivers
	members []*entry
	routes  []standing
}

// A standing is what a route was told of a group.
type standing struct {
	sent     time.Duration // latest, 0 for never
	burst    int           // notifications within an interval of each other
	retry    time.Duration // not before that
	underWay bool
	telling  []*entry // new to it, in the notification under way,
	ending   []*entry // and over
}

const forever = time.Duration(math.MaxInt64)

// again is when a notification is sent again that failed.
const again = time.Minute

// letOut is how long an alert is inhibited after the other is over: a minute, or as long
// as what is measured may be of that time.
func (r *rule) letOut() time.Duration {
	if r.Func == nil && (r.metric == nil || r.metric.calls) {
		return max(r.Window, time.Minute)
	}
	return time.Minute
}

func (g *group) underWay() bool {
	return slices.ContainsFunc(g.routes, func(s standing) bool { return s.underWay })
}

func (g *group) leave(e *entry) {
	if i := slices.Index(g.members, e); i >= 0 {
		last := len(g.members) - 1
		g.members[i] = g.members[last]
		g.members[last] = nil
		g.members = g.members[:last]
	}
}

// join puts an alert into its group, and notes whom it concerns. The caller has a.mu.
func (a *Alerts) join(e *entry) {
	k := "rule:" + e.key.rule
	if by := a.cfg.GroupBy; by != "rule" {
		if v, has := e.labels[by]; has {
			k = by + ":" + v
		}
	}
	g := a.groups[k]
	if g == nil {
		id := fingerprintOf(k, nil) + "." + strconv.FormatInt(e.starts.Unix(), 36)
		g = &group{key: k, id: id, routes: make([]standing, len(a.routes))}
		a.groups[k] = g
	}
	g.members = append(g.members, e)
	e.group = g
	a.concern(e)
}

func (a *Alerts) concern(e *entry) {
	e.routes = 0
	for i, r := range a.routes {
		if e.rule.severity >= r.severity && matches(r.Match, e.key.rule, e.rule.severity, e.labels) {
			e.routes |= 1 << i
		}
	}
}

// escalate moves alerts that fire to further levels, and finds out which may be told
// of. It returns when the next one comes to a level. The caller has a.mu.
func (a *Alerts) escalate(now time.Duration, next time.Duration) time.Duration {
	wall := a.pool.At(now)
	a.expire(wall)
	sources := a.sources()
	for _, e := range a.entries {
		if e.phase != firing {
			continue
		}
		until := a.inhibited(sources, e)
		e.muted, e.inhibited = a.mutedBy(e) != nil, until > now
		switch {
		case e.muted || e.inhibited:
			e.ready = 0
			next = min(next, max(until, now+gap))
		case e.ready == 0:
			e.ready = now
		}
		if after := e.rule.EscalateAfter; after > 0 && !e.acked(wall) && !e.muted && !e.inhibited {
			for e.climbs <= now && e.level < a.topLevel() {
				e.level++
				e.climbs += after
			}
			if e.level < a.topLevel() {
				next = min(next, e.climbs)
			}
		}
	}
	return next
}

func (a *Alerts) topLevel() (top int) {
	for _, r := range a.routes {
		top = max(top, r.Level)
	}
	return top
}

// A source is what inhibits others by a label: an alert that fires or is about to.
type source struct {
	until time.Duration // forever while it fires; while it is pending, when it does
	over  time.Duration // when it ended, 0 if it did not lately
}

// sources are those of each inhibition, by what they have in common with what they
// inhibit.
func (a *Alerts) sources() []map[string]source {
	list := make([]map[string]source, len(a.inhibit))
	for _, e := range a.entries {
		got := source{over: e.over}
		switch e.phase {
		case firing:
			got.until = forever
		case pending:
			got.until = e.since + e.rule.For + gap
		case idle, ended:
		}
		if got == (source{}) {
			continue
		}
		for i, in := range a.inhibit {
			if in.By != e.key.rule {
				continue
			}
			of, ok := same(in.Same, e)
			if !ok {
				continue
			}
			if list[i] == nil {
				list[i] = map[string]source{}
			}
			was := list[i][of]
			list[i][of] = source{max(was.until, got.until), max(was.over, got.over)}
		}
	}
	return list
}

// same is what e has in common with others, unless it lacks one of the labels.
func same(labels []string, e *entry) (of string, ok bool) {
	for _, label := range labels {
		v, has := e.labels[label]
		if !has {
			return "", false
		}
		of += v + "\x00"
	}
	return of, true
}

// inhibited returns until when e is, 0 if it is not, and forever while the other fires.
func (a *Alerts) inhibited(sources []map[string]source, e *entry) (until time.Duration) {
	for i, in := range a.inhibit {
		if len(sources[i]) == 0 || !slices.Contains(in.Rules, e.key.rule) {
			continue
		}
		of, ok := same(in.Same, e)
		if !ok {
			continue
		}
		by := sources[i][of]
		until = max(until, by.until)
		if by.over != 0 {
			until = max(until, by.over+e.rule.letOut())
		}
	}
	return until
}

// tell hands what is due to the channels, and returns when more is. The caller has a.mu.
func (a *Alerts) tell(now, next time.Duration) time.Duration {
	for _, g := range a.groups {
		for i := range a.routes {
			next = min(next, a.tellOne(g, i, now))
		}
		for _, e := range slices.Clone(g.members) {
			a.settle(e)
		}
	}
	return next
}

// A view is what a route has to know of a group.
type view struct {
	live, fresh, over []*entry      // it knows of them; it does not yet; it does not know that they are over
	open              bool          // some of live is neither acknowledged nor muted
	critical          bool          // some of fresh is
	ready             time.Duration // the first of fresh
	first             time.Duration // end of over
}

func (a *Alerts) view(g *group, route int, now time.Duration) (v view) {
	bit, r, wall := uint64(1)<<route, a.routes[route], a.pool.At(now)
	v.ready, v.first = forever, forever
	for _, e := range g.members {
		switch {
		case e.phase == ended:
			if e.told&bit != 0 && e.done&bit == 0 {
				v.over = append(v.over, e)
				v.first = min(v.first, e.over)
			}
		case e.told&bit != 0:
			v.live = append(v.live, e)
			v.open = v.open || !e.muted && !e.inhibited && !e.acked(wall)
		case e.routes&bit != 0 && e.ready != 0 && e.clear == 0 && e.level >= r.Level && (r.Level == 0 || !e.acked(wall)):
			v.fresh = append(v.fresh, e)
			v.ready = min(v.ready, e.ready)
			v.critical = v.critical || e.rule.severity == notify.Critical
		}
	}
	return v
}

// tellOne tells a route of a group, if that is due, and returns when it will be.
func (a *Alerts) tellOne(g *group, route int, now time.Duration) time.Duration {
	s := &g.routes[route]
	if s.underWay {
		return forever
	}
	v := a.view(g, route, now)
	at := forever
	interval := a.cfg.GroupInterval
	if len(v.fresh) > 0 {
		wait := max(a.cfg.GroupWait, 0)
		if v.critical {
			wait = max(a.cfg.GroupWaitCritical, 0)
		}
		at = v.ready + wait
		if s.sent != 0 {
			at = max(at, s.sent+min(max(wait, time.Second)<<min(s.burst, 16), interval))
		}
	}
	switch {
	case len(v.over) > 0 && len(v.live)+len(v.fresh) == 0:
		at = now
	case len(v.over) > 0:
		at = min(at, max(s.sent+interval, v.first+min(interval, time.Minute))) // the others may end, too
	}
	repeats := false
	if v.open && a.cfg.Repeat > 0 && s.sent+a.cfg.Repeat < at {
		at, repeats = s.sent+a.cfg.Repeat, true
	}
	if at == forever {
		return forever
	}
	if at = max(at, s.retry); at > now {
		return at
	}
	if len(v.fresh) > 0 && v.ready > now { // what is not due yet waits for its time
		v.fresh = slices.DeleteFunc(v.fresh, func(e *entry) bool { return e.ready > now })
	}
	a.post(g, route, v, repeats, now)
	return now + again
}

// post puts a notification into a route's queue.
func (a *Alerts) post(g *group, route int, v view, repeats bool, now time.Duration) {
	r, s := a.routes[route], &g.routes[route]
	p := post{group: g, told: v.fresh, over: v.over, at: now, n: a.notification(g, route, v, repeats, now)}
	select {
	case r.queue <- p:
	default:
		r.postponed.Add(1)
		s.retry = now + again
		return
	}
	s.underWay, s.telling, s.ending = true, v.fresh, v.over
	bit := uint64(1) << route
	for _, e := range v.fresh {
		e.told |= bit
		e.done &^= bit
	}
	for _, e := range v.over {
		if !mutants.On("alert-tells-an-end-again") {
			e.done |= bit
		}
	}
}

func (a *Alerts) notification(g *group, route int, v view, repeats bool, now time.Duration) notify.Notification {
	wall := a.pool.At(now)
	n := notify.Notification{Group: g.id, Time: wall, Reason: notify.Changed}
	first := g.routes[route].sent == 0
	switch {
	case len(v.live)+len(v.fresh) == 0:
		n.Reason = notify.Resolved
	case len(v.fresh) > 0 && a.routes[route].Level > 0 && len(v.live) == 0:
		n.Reason = notify.Escalated
	case len(v.live) == 0 && len(v.over) == 0 || first:
		n.Reason = notify.New
	case len(v.fresh)+len(v.over) == 0 && repeats:
		n.Reason = notify.Repeated
	}
	fire := slices.Concat(v.live, v.fresh)
	order := func(x, y *entry) int {
		return cmp.Or(cmp.Compare(y.rule.severity, x.rule.severity), cmp.Compare(x.fired, y.fired), cmp.Compare(x.key.rule, y.key.rule), cmp.Compare(x.name, y.name))
	}
	slices.SortFunc(fire, order)
	slices.SortFunc(v.over, order)
	for _, e := range slices.Concat(fire, v.over) {
		n.Severity = max(n.Severity, e.rule.severity)
		if len(n.Alerts) < a.cfg.Listed {
			n.Alerts = append(n.Alerts, e.alert(wall))
		} else {
			n.Truncated++
		}
	}
	for name, r := range a.byName {
		if r.lost > 0 && g.key == "rule:"+name {
			n.Truncated += r.lost
		}
	}
	return n
}

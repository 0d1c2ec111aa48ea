package health

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A group are the models of a provider, or of one of its regions, which fail
// together.
type group struct{ provider, region string }

func (g group) String() string {
	if g.region == "" {
		return "provider " + g.provider
	}
	return "provider " + g.provider + " in " + g.region
}

func (g group) compare(o group) int {
	return cmp.Or(strings.Compare(g.provider, o.provider), strings.Compare(g.region, o.region))
}

func (g group) has(st *state) bool {
	return st.provider == g.provider && (g.region == "" || st.region == g.region)
}

// An outage is one thing that took several models of a group out.
type outage struct {
	group   group
	began   time.Duration
	until   time.Duration
	probeAt time.Duration
	asking  bool
	turn    int // whose probe is next
	repeats int // outages of the group before, of late
	ended   bool
}

// outages looks for outages, and looks after those there are.
func (c *Checker) outages(now time.Duration) {
	w := &c.work
	for _, g := range slices.SortedFunc(maps.Keys(w.outages), group.compare) { // in an order that does not change
		o := w.outages[g]
		switch {
		case o.ended:
			if now-o.until > longestSpell*w.interval {
				delete(w.outages, g)
			}
		case now >= o.until && !o.asking:
			c.over(o, now, "its time is over, and calls decide")
		case now >= o.probeAt && !o.asking:
			c.probeOne(o, now)
		}
	}
	if !w.turned {
		return
	}
	w.turned = false
	byProvider := map[string][]*state{}
	for _, st := range w.states {
		if st.provider != "" && st.recent(now) && st.outage == nil {
			byProvider[st.provider] = append(byProvider[st.provider], st)
		}
	}
	for _, provider := range slices.Sorted(maps.Keys(byProvider)) {
		if turned := byProvider[provider]; len(turned) > 1 {
			c.together(now, c.common(provider, turned), turned)
		}
	}
}

// recent reports whether st went out of late, so that what others do may be the same
// thing.
func (st *state) recent(now time.Duration) bool {
	return st.turned != 0 && now-st.turned <= 2*st.rules.interval
}

// common is the smallest group of those that turned: a region, if the provider has
// others.
func (c *Checker) common(provider string, turned []*state) group {
	region := turned[0].region
	for _, st := range turned {
		if st.region != region {
			return group{provider: provider}
		}
	}
	for _, st := range c.work.states {
		if st.provider == provider && st.region != region {
			return group{provider, region}
		}
	}
	return group{provider: provider}
}

// together declares an outage if what turned is at least half of what the group is
// known to be, and others are not in the same trouble.
func (c *Checker) together(now time.Duration, g group, turned []*state) {
	first := now
	for _, st := range turned {
		first = min(first, st.turned)
	}
	well, otherWell, otherTurned, all, elsewhere := 0, 0, 0, 0, false
	for _, st := range c.work.states {
		does := st.success > first && !st.recent(now)
		switch {
		case g.has(st):
			all++
			if does {
				well++
			}
		case st.recent(now):
			otherTurned++
		case does:
			otherWell++
		}
		elsewhere = elsewhere || !g.has(st) && st.model.Available()
	}
	if len(turned) < well || otherTurned > 0 && otherTurned >= otherWell || c.work.doubtUntil > now {
		return
	}
	o, old := &outage{group: g, began: now, probeAt: now + c.work.interval/2}, c.work.outages[g]
	reason := fmt.Sprintf("%v: %d of %d models are out, %d well", g, len(turned), all, well)
	if old != nil && !old.ended { // it is that one still
		o = old
		o.until = max(o.until, now+c.patience(o))
	} else {
		if old != nil {
			o.repeats = old.repeats + 1
		}
		c.work.outages[g] = o
		c.tell(resilience.Available, resilience.Unavailable, reason)
		o.until = now + c.patience(o)
	}
	for _, st := range turned {
		st.outage = o
	}
	if elsewhere {
		c.keepOut(o, first, now, reason)
	}
}

// patience is for how long an outage is believed in without a sign.
func (c *Checker) patience(o *outage) time.Duration {
	times := min(2<<min(o.repeats, 8), longestSpell)
	return time.Duration(float64(c.work.interval) * float64(times) * (1 + c.pool.Rand()/10))
}

// keepOut holds the members of an outage that nobody has seen well since.
func (c *Checker) keepOut(o *outage, since, now time.Duration, reason string) {
	for _, st := range c.work.states {
		if !o.group.has(st) || st.success > since || st.outage != nil && st.outage != o {
			continue
		}
		st.outage = o
		if st.until > now && !st.byGroup {
			continue // by its own doing
		}
		st.byGroup = true
		c.hold(st, now, o.until, reason)
	}
}

// probeOne lets one member's probe stand for all.
func (c *Checker) probeOne(o *outage, now time.Duration) {
	w := &c.work
	o.probeAt = now + time.Duration((.9+.2*w.rand.Float64())*float64(w.interval))
	if w.perSecond <= 0 || !c.pool.Probes() {
		return
	}
	for range w.states {
		st := w.states[o.turn%len(w.states)]
		o.turn++
		if st.outage == o && !st.left() && !st.mending() && st.rules.probes && !st.underWay {
			o.asking = true
			f := st.judge(now, 0)
			w.waiting = append(w.waiting, asked{st: st, f: f, outage: o, timeout: st.rules.timeout})
			return
		}
	}
}

// proven takes in what the probe of a member says of an outage.
func (c *Checker) proven(o *outage, st *state, well bool, now time.Duration) {
	if o.ended {
		return
	}
	if well {
		c.over(o, now, st.model.ID()+" answered a probe")
		return
	}
	o.until = max(o.until, now+c.patience(o))
	for _, st := range c.work.states {
		if st.outage == o && st.byGroup {
			c.hold(st, now, o.until, fmt.Sprintf("%v is out since %v", o.group, (now-o.began).Round(time.Second)))
		}
	}
}

// over ends an outage, and what it held.
func (c *Checker) over(o *outage, now time.Duration, why string) {
	o.ended, o.until = true, now
	for _, st := range c.work.states {
		if st.outage != o {
			continue
		}
		st.outage, st.turned = nil, 0
		if st.byGroup {
			c.release(st)
		}
	}
	c.tell(resilience.Unavailable, resilience.Available, fmt.Sprintf("%v: %s", o.group, why))
}

// tell publishes that an outage began or ended.
func (c *Checker) tell(from, to resilience.Status, reason string) {
	e := resilience.Event{Kind: resilience.EventHealth, From: from.String(), To: to.String(), Reason: reason, Would: c.cfg.ObserveOnly}
	c.then(func(ctx context.Context) { c.pool.Emit(ctx, e) })
}

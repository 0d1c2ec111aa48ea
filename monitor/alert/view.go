package alert

import (
	"cmp"
	"slices"

	"github.com/cmmv-hive/resilience/monitor/notify"
)

// An Alert is one that fires.
type Alert struct {
	notify.Alert

	Muted     bool
	Inhibited bool // another alert explains it
	Level     int  // of escalation
	Told      int  // channels that know of it
}

// Active lists what fires, by severity and then age, up to [Config].MaxAlerts.
func (a *Alerts) Active() []Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	wall := a.pool.At(a.pool.Now())
	var list []Alert
	for _, e := range a.entries {
		if e.phase != firing {
			continue
		}
		one := Alert{Alert: e.alert(wall), Muted: e.muted, Inhibited: e.inhibited, Level: e.level}
		for i := range a.routes {
			one.Told += int(e.told >> i & 1)
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(x, y Alert) int {
		return cmp.Or(cmp.Compare(y.Severity, x.Severity), x.StartsAt.Compare(y.StartsAt), cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.Fingerprint, y.Fingerprint))
	})
	return list
}

// History lists the n latest alerts that are over, the latest first.
func (a *Alerts) History(n int) []notify.Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.history.latest(n)
}

// Counts is what is counted of alerts. Totals are since the process began.
type Counts struct {
	Firing    map[notify.Severity]int // now, those that are muted or inhibited among them
	Pending   int                     // now: they are about to fire
	Muted     int                     // now
	Inhibited int                     // now
	Lost      int                     // now: for want of room, see [Config].MaxAlerts

	Fired, Ended int64
	Missed       int64 // evaluations of an alert for which there was no room
	Evaluations  int64
	Channels     []Channel // in the order of [Config].Routes
}

// A Channel is what is counted of a route's channel.
type Channel struct {
	Name      string
	Sent      int64
	Failed    int64 // each is sent again, with what is known then
	Postponed int64 // as its queue was full
	Waiting   int   // now
}

// Counts returns what is counted.
func (a *Alerts) Counts() Counts {
	var channels []Channel
	for _, r := range a.routes {
		channels = append(channels, Channel{
			Name: r.name, Sent: r.sent.Load(), Failed: r.failed.Load(), Postponed: r.postponed.Load(), Waiting: len(r.queue),
		})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := Counts{
		Firing: map[notify.Severity]int{notify.Info: 0, notify.Warning: 0, notify.Critical: 0}, Lost: a.tally.lost,
		Fired: a.tally.fired, Ended: a.tally.ended, Missed: a.tally.missed, Evaluations: a.tally.evaluations, Channels: channels,
	}
	for _, e := range a.entries {
		switch e.phase {
		case pending:
			c.Pending++
		case firing:
			c.Firing[e.rule.severity]++
			if e.muted {
				c.Muted++
			}
			if e.inhibited {
				c.Inhibited++
			}
		case idle, ended:
		}
	}
	return c
}

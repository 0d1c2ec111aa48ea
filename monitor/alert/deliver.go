package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
	"github.com/cmmv-hive/resilience/monitor/notify"
)

// queued is how many notifications of different groups wait for a channel. What
// exceeds it waits in its group.
const queued = 64

// A route is a Route in force, with the queue of its channel.
type route struct {
	Route

	name     string
	severity notify.Severity
	queue    chan post

	sent, failed, postponed atomic.Int64
}

func newRoute(r Route) *route {
	return &route{Route: r, name: bound(r.Channel.Name()), severity: cmp.Or(r.Severity, notify.Warning), queue: make(chan post, queued)}
}

// A post is a notification on its way. Of a group there is one at a time for each
// route, so that one that is late takes up what happens meanwhile.
type post struct {
	group      *group
	told, over []*entry
	at         time.Duration
	n          notify.Notification
}

// deliver hands notifications to a route's channel until ctx ends.
func (a *Alerts) deliver(ctx context.Context, number int) {
	r := a.routes[number]
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-r.queue:
			a.delivered(ctx, number, p, a.hand(ctx, r.Channel, p.n))
		}
	}
}

// hand calls a channel, and makes an error of a panic and of a Goexit.
func (a *Alerts) hand(ctx context.Context, c notify.Channel, n notify.Notification) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout())
	defer cancel()
	err := errors.New("ended its goroutine")
	guarded(func() { err = c.Notify(ctx, n) }, func(v any) { err = fmt.Errorf("panicked: %v", v) })
	return err
}

func (a *Alerts) timeout() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Timeout
}

// guarded runs fn on a goroutine of its own, waits for it and hands on what it panics
// with.
func guarded(fn func(), panicked func(v any)) {
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				panicked(v)
			}
		}()
		fn()
	})
	wg.Wait()
}

// delivered takes in what came of a post.
func (a *Alerts) delivered(ctx context.Context, number int, p post, err error) {
	r := a.routes[number]
	switch {
	case err == nil:
		r.sent.Add(1)
	case ctx.Err() == nil:
		r.failed.Add(1)
		a.pool.Log().WarnContext(ctx, "a notification failed", "channel", r.name, "group", p.n.Group, "reason", p.n.Reason.String())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.delivery(number, p, err == nil || mutants.On("alert-believes-a-dead-channel"), ctx.Err() != nil)
	a.stir()
}

// delivery notes what came of a post. The caller has a.mu.
func (a *Alerts) delivery(number int, p post, done, stopped bool) {
	s := &p.group.routes[number]
	s.underWay, s.telling, s.ending = false, nil, nil
	now := a.pool.Now()
	switch {
	case done && s.sent != 0 && p.at-s.sent < a.cfg.GroupInterval:
		s.burst++
		s.sent, s.retry = p.at, 0
	case done:
		s.burst, s.sent, s.retry = 0, p.at, 0
	default:
		bit := uint64(1) << number
		for _, e := range p.told {
			e.told &^= bit
			e.done &^= bit
		}
		for _, e := range p.over {
			e.done &^= bit
		}
		if s.retry = now + again; stopped {
			s.retry = 0
		}
	}
	for _, e := range append(p.told, p.over...) {
		a.settle(e)
	}
}

// withdraw takes back what no channel has been handed, as the run is over.
func (a *Alerts) withdraw() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, r := range a.routes {
		for len(r.queue) > 0 {
			a.delivery(i, <-r.queue, false, true)
		}
	}
}

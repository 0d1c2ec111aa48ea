package alert

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// gap is the least time between two evaluations.
const gap = 500 * time.Millisecond

// run evaluates rules until ctx ends, and waits for channels and functions.
func (a *Alerts) run(ctx context.Context) error {
	var others sync.WaitGroup
	defer a.withdraw()
	defer others.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range a.routes {
		others.Go(func() { a.deliver(ctx, i) })
	}
	a.resume(a.now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	var under atomic.Int32
	start := func(do func(ctx context.Context)) { others.Go(func() { do(ctx) }) }
	for next := a.now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-a.wake:
			if now := a.now(); now < next {
				timer.Reset(next - now)
				continue
			}
		}
		began := a.now()
		due := a.evaluate(began)
		for _, c := range a.functions() {
			others.Go(func() { c.call(ctx, a) })
		}
		due = min(due, a.confirm(began, &under, start))
		now := a.now()
		rest := max(gap, 20*(now-began)) // a twentieth of a processor at most
		next = now + rest
		timer.Reset(max(due-now, rest))
	}
}

// now reads the pool's clock; 0 means never here.
func (a *Alerts) now() time.Duration { return max(a.pool.Now(), 1) }

// resume forgives the time in which nobody evaluated: what was about to fire or to end
// begins anew.
func (a *Alerts) resume(now time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.latest != 0 && !mutants.On("alert-counts-time-that-nobody-watched") {
		a.skip(now, now-a.latest)
	}
	a.latest = now
}

// skip moves what goes by time on by d. The caller has a.mu.
func (a *Alerts) skip(now, d time.Duration) {
	for _, e := range a.entries {
		switch e.phase {
		case pending:
			e.since = now
		case firing:
			e.clear = 0
			e.climbs += d
			if e.ready != 0 {
				e.ready = now
			}
		case ended:
			if e.since != 0 {
				e.since = now
			}
		case idle:
		}
	}
	for _, g := range a.groups {
		for i := range g.routes {
			if s := &g.routes[i]; s.sent != 0 {
				s.sent = min(s.sent+d, now)
			}
		}
	}
}

// evaluate evaluates all rules, tells of what is due, and returns when to do it again.
func (a *Alerts) evaluate(now time.Duration) (due time.Duration) {
	a.mu.Lock()
	rules, interval := slices.Clone(a.rules), a.cfg.Interval
	if slept := a.pool.Asleep(a.latest); slept > 0 {
		a.skip(now, slept)
	}
	a.latest = now
	known := maps.Clone(a.calls)
	a.mu.Unlock()

	samples := a.measure(now, rules, known)

	a.mu.Lock()
	defer a.mu.Unlock()
	a.apply(now, samples)
	next := a.escalate(now, now+interval)
	next = a.tell(now, a.due(next))
	a.tally.evaluations++
	a.tally.took = a.pool.Now() - now
	return next
}

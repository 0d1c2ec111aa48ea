package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// An Outcome is how a delivery ended.
type Outcome uint8

// Outcomes.
const (
	Delivered Outcome = iota // the channel has taken it
	Replaced                 // by a newer one of its group, before it was delivered
	Moot                     // the group ended before anybody was told of it
	Failed                   // the channel has refused it for good
	Expired                  // it was tried for as long as notifications are kept
	Abandoned                // the outbox stopped
	outcomes
)

func (o Outcome) String() string {
	names := [outcomes]string{"delivered", "replaced", "moot", "failed", "expired", "abandoned"}
	if o < outcomes {
		return names[o]
	}
	return "unknown"
}

// An outcome is waited for. A notification that takes the place of another takes
// over its outcome.
type outcome struct {
	done chan struct{}
	err  error
}

// A letter is a notification that is to be delivered.
type letter struct {
	n        Notification
	ends     []*outcome
	taken    time.Time
	due      time.Time
	tries    int
	backoffs int
	unheard  bool // the group is new, and nobody can have been told of it
	err      error
}

// A lane is a channel and what waits for it.
type lane struct {
	o    *Outbox
	c    Channel
	name string
	pace time.Duration
	wake chan struct{}

	mu        sync.Mutex
	waiting   []*letter // at most one of a group
	out       *letter
	busy      time.Time
	notBefore time.Time
	stopped   bool
	count     Stats
}

func newLane(o *Outbox, c Channel) *lane {
	l := &lane{o: o, c: c, name: c.Name(), wake: make(chan struct{}, 1)}
	if p, ok := c.(Paced); ok {
		l.pace = p.Pace()
	}
	l.count.Channel = l.name
	return l
}

func (l *lane) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.count
	s.Waiting, s.Busy = len(l.waiting), l.busy
	return s
}

func (l *lane) take(n Notification, now time.Time) (*outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.waiting, func(w *letter) bool { return w.n.Group == n.Group })
	switch {
	case l.stopped:
		l.count.Refused++
		return nil, ErrStopped
	case i < 0 && len(l.waiting) >= l.o.cfg.Queue:
		l.count.Refused++
		return nil, ErrFull
	}
	l.count.Taken++
	end := &outcome{done: make(chan struct{})}
	fresh := &letter{n: n, ends: []*outcome{end}, taken: now, due: now, unheard: n.Reason == New}
	if i >= 0 {
		old := l.waiting[i]
		l.waiting = slices.Delete(l.waiting, i, i+1)
		fresh = l.merge(old, fresh, now)
	}
	if fresh != nil {
		l.waiting = append(l.waiting, fresh)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return end, nil
}

// merge makes one of two letters of a group, or none if it has ended unheard.
func (l *lane) merge(old, fresh *letter, now time.Time) *letter {
	fresh.ends = append(fresh.ends, old.ends...)
	old.ends = nil
	fresh.unheard, fresh.backoffs = old.unheard, old.backoffs
	if fresh.due.Before(old.due) {
		fresh.due = old.due
	}
	if old.unheard && fresh.n.Reason == Resolved {
		l.end(old, Moot, nil, now)
		l.end(fresh, Moot, nil, now)
		return nil
	}
	l.end(old, Replaced, old.err, now)
	return fresh
}

// end records how a letter ended. The caller has l.mu.
func (l *lane) end(t *letter, how Outcome, err error, now time.Time) {
	l.count.Outcomes[how]++
	for _, e := range t.ends {
		e.err = err
		close(e.done)
	}
	l.o.record(Record{
		Time: now, Channel: l.name, Group: cut(t.n.Group, 64), Reason: t.n.Reason,
		Tries: t.tries, Took: now.Sub(t.taken), Outcome: how, Error: safeText(err),
	})
}

// run delivers until ctx ends, and then what has not failed yet.
func (l *lane) run(ctx context.Context) {
	defer l.stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	flush, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	wg.Go(func() {
		select {
		case <-flush.Done():
			return
		case <-ctx.Done():
		}
		timer := time.NewTimer(max(l.o.cfg.Flush, 0))
		defer timer.Stop()
		select {
		case <-flush.Done():
		case <-timer.C:
			cancel()
		}
	})
	for flush.Err() == nil {
		t, wait := l.pick(time.Now(), ctx.Err() != nil)
		switch {
		case t != nil:
			l.deliver(flush, t)
		case ctx.Err() != nil && wait < 0:
			return
		default:
			l.sleep(ctx, flush, wait)
		}
	}
}

// sleep waits for so long, less than 0 for ever, or until something happens.
func (l *lane) sleep(ctx, flush context.Context, wait time.Duration) {
	stop := ctx.Done()
	if ctx.Err() != nil {
		stop = flush.Done()
	}
	var tick <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		tick = timer.C
	}
	select {
	case <-stop:
	case <-l.wake:
	case <-tick:
	}
}

// pick takes the letter that is due, or says how long there is none; less than 0
// is until another is taken. Of letters that have failed the last picks none.
func (l *lane) pick(now time.Time, last bool) (*letter, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	best := -1
	for i, t := range l.waiting {
		if last && t.backoffs > 0 {
			continue
		}
		if best < 0 || t.due.Before(l.waiting[best].due) {
			best = i
		}
	}
	if best < 0 {
		return nil, -1
	}
	t := l.waiting[best]
	if wait := max(t.due.Sub(now), l.notBefore.Sub(now)); wait > 0 {
		return nil, wait
	}
	l.waiting = slices.Delete(l.waiting, best, best+1)
	l.out, l.busy, l.notBefore = t, now, now.Add(l.pace)
	return t, 0
}

func (l *lane) deliver(ctx context.Context, t *letter) {
	t.tries++
	err := l.try(ctx, t.n)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out, l.busy = nil, time.Time{}
	i := slices.IndexFunc(l.waiting, func(w *letter) bool { return w.n.Group == t.n.Group })
	if err == nil {
		if i >= 0 {
			l.waiting[i].unheard = false
		}
		l.end(t, Delivered, nil, now)
		return
	}
	f := failureOf(err)
	t.err, t.unheard = err, t.unheard && f.unsent
	if f.after > 0 {
		l.notBefore = now.Add(f.after)
	}
	switch {
	case f.permanent:
		l.end(t, Failed, err, now)
		if i >= 0 && t.unheard && l.waiting[i].n.Reason == Resolved {
			l.end(l.waiting[i], Moot, nil, now)
			l.waiting = slices.Delete(l.waiting, i, i+1)
		}
	case i < 0 && now.Sub(t.taken) >= l.o.cfg.Keep:
		l.end(t, Expired, err, now)
	default:
		l.count.Retries++
		t.due = now.Add(l.o.jitter(l.backoff(t)))
		if i >= 0 {
			fresh := l.waiting[i]
			l.waiting = slices.Delete(l.waiting, i, i+1)
			if t = l.merge(t, fresh, now); t == nil {
				return
			}
		}
		l.waiting = append(l.waiting, t)
	}
}

func (l *lane) backoff(t *letter) time.Duration {
	d := l.o.cfg.Backoff
	for range t.backoffs {
		if d >= l.o.cfg.MaxBackoff {
			break
		}
		d *= 2
	}
	t.backoffs++
	return min(d, l.o.cfg.MaxBackoff)
}

// try calls the channel on a goroutine of its own, which it may end.
func (l *lane) try(ctx context.Context, n Notification) error {
	ctx, cancel := context.WithTimeout(ctx, l.o.cfg.Timeout)
	defer cancel()
	err := errors.New("the channel ended its goroutine")
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("the channel panicked with a %T", v)
			}
		}()
		err = l.c.Notify(ctx, n)
	})
	wg.Wait()
	return err
}

// stop gives up what waits.
func (l *lane) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	now := time.Now()
	for _, t := range l.waiting {
		err := t.err
		if err == nil {
			err = ErrStopped
		}
		l.end(t, Abandoned, err, now)
	}
	l.waiting = nil
}

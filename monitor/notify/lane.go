package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

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
	busy      time.Duration
	notBefore time.Duration
	stopped   bool
	count     Stats
}

func (l *lane) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.count
	if s.Waiting = len(l.waiting); l.out != nil {
		s.Busy = l.o.at(l.busy)
	}
	return s
}

func (l *lane) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// end records how a letter ended. The caller has l.mu.
func (l *lane) end(t *letter, how Outcome, err error, now time.Duration) {
	l.count.Outcomes[how]++
	for _, e := range t.ends {
		e.close(err)
	}
	l.o.record(Record{
		Time: l.o.at(now), Channel: l.name, Group: cut(t.n.Group, 64), Reason: t.n.Reason,
		Tries: t.tries, Took: now - t.taken, Outcome: how, Error: textOf(err),
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
		timer := time.NewTimer(max(l.o.config().Flush, 0))
		defer timer.Stop()
		select {
		case <-flush.Done():
		case <-timer.C:
			cancel()
		}
	})
	for flush.Err() == nil {
		t, wait := l.pick(l.o.now(), ctx.Err() != nil)
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
// is until another is taken. The last picks none that has failed, and of the others
// those too that wait because one before them has.
func (l *lane) pick(now time.Duration, last bool) (*letter, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.expire(now)
	best := -1
	for i, t := range l.waiting {
		if last {
			if t.tries > 0 {
				continue
			}
			t.due = t.taken
		}
		if best < 0 || t.due < l.waiting[best].due {
			best = i
		}
	}
	if best < 0 {
		return nil, -1
	}
	t := l.waiting[best]
	if due := max(t.due, l.notBefore); due > now {
		return nil, min(due-now, wait)
	}
	l.waiting = slices.Delete(l.waiting, best, best+1)
	l.out, l.busy, l.notBefore = t, now, now+l.pace
	return t, 0
}

// expire ends what has been kept for long enough, and says when there is more. The
// caller has l.mu.
func (l *lane) expire(now time.Duration) time.Duration {
	keep := l.o.config().Keep
	wait := keep
	l.waiting = slices.DeleteFunc(l.waiting, func(t *letter) bool {
		if left := t.taken + keep - now; left > 0 {
			wait = min(wait, left)
			return false
		}
		l.end(t, Expired, cmp.Or(t.err, errLate), now)
		return true
	})
	return wait
}

func (l *lane) deliver(ctx context.Context, t *letter) {
	t.tries++
	f := l.try(ctx, t.n)
	now := l.o.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = nil
	i := l.place(t.n.Group)
	if f == nil {
		if i >= 0 {
			l.waiting[i].unheard = false
		}
		l.end(t, Delivered, nil, now)
		return
	}
	t.err, t.unheard = f, t.unheard && f.unsent
	if f.after > 0 {
		l.notBefore = now + f.after
	}
	switch {
	case f.permanent:
		l.end(t, Failed, f, now)
		if i >= 0 && t.unheard && l.waiting[i].n.Reason == Resolved {
			l.end(l.waiting[i], Moot, nil, now)
			l.waiting = slices.Delete(l.waiting, i, i+1)
		}
	case t.desert() && i < 0:
		l.end(t, Abandoned, f, now)
	default:
		l.count.Retries++
		t.due = now + l.o.jitter(l.backoff(t))
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
	cfg := l.o.config()
	d := min(cfg.Backoff<<min(t.backoffs, 20), cfg.MaxBackoff) // an hour 2^20 times is no overflow
	t.backoffs++
	return d
}

// try calls the channel; nil is that it has delivered n.
func (l *lane) try(ctx context.Context, n Notification) (f *failure) {
	ctx, cancel := context.WithTimeout(ctx, l.o.config().Timeout)
	defer cancel()
	broken := guarded(func() {
		if err := l.c.Notify(ctx, n); err != nil {
			f = read(err)
		}
	})
	if broken != nil {
		return read(broken)
	}
	return f
}

// guarded calls fn on a goroutine of its own, which it may end.
func guarded(fn func()) error {
	err := errors.New("the channel ended its goroutine")
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("the channel panicked with a %T", v)
			}
		}()
		fn()
		err = nil
	})
	wg.Wait()
	return err
}

func (l *lane) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = false
}

// stop gives up what waits.
func (l *lane) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	now := l.o.now()
	for _, t := range l.waiting {
		l.end(t, Abandoned, cmp.Or(t.err, ErrStopped), now)
	}
	l.waiting = nil
}

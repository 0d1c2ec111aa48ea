package sim

import (
	"context"
	"time"
)

// Actors is how many actors there may be: each has a nanosecond of every
// millisecond to itself.
const Actors = int64(time.Millisecond)

// Until returns how long actor sleeps that wants to sleep for d from now on, a
// number of nanoseconds: up to a millisecond longer, so that it wakes at an
// instant of its own.
func Until(now int64, d time.Duration, actor int64) time.Duration {
	at := (now+int64(d))/Actors*Actors + actor
	if at <= now || at < now+int64(d) {
		at += Actors
	}
	return time.Duration(at - now)
}

// Sleep sleeps for d, or until ctx ends, and returns the cause of that. Both end
// at an instant that is actor's own.
func Sleep(ctx context.Context, d time.Duration, actor int64) error {
	now := time.Now().UnixNano() //nolint:forbidigo // the clock of a bubble
	if ctx.Done() == nil {
		time.Sleep(Until(now, d, actor))
		return nil
	}
	t := time.NewTimer(Until(now, d, actor))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		time.Sleep(Until(time.Now().UnixNano(), 0, actor)) //nolint:forbidigo // the clock of a bubble
		return context.Cause(ctx)
	}
}

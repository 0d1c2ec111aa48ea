package retry

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// law gives the waits between the attempts of one call at one model: the
// truncated exponential of backoff, with jitter of our own. Backoff's jitter
// is symmetric around the interval and not seeded; "Exponential Backoff And
// Jitter" (Brooker, AWS 2015) needs the interval to be the longest wait.
type law struct {
	envelope backoff.ExponentialBackOff
	jitter   float64
}

// newLaw returns a law at its first wait. Multiplier must be at least 1 and
// jitter at most 1; negative jitter means none.
func newLaw(base, longest time.Duration, multiplier, jitter float64) *law {
	l := &law{
		envelope: backoff.ExponentialBackOff{
			InitialInterval: min(base, longest),
			MaxInterval:     longest,
			Multiplier:      multiplier,
			Stop:            backoff.Stop,
			Clock:           backoff.SystemClock,
		},
		jitter: max(jitter, 0),
	}
	l.envelope.Reset()
	return l
}

// next returns the next wait. U is a random number below 1: with jitter 1 the
// wait is uniform in (0, interval] (full jitter), with 0.5 in (interval/2,
// interval] (equal jitter), with 0 it is the interval.
func (l *law) next(u float64) time.Duration {
	d := l.envelope.NextBackOff()
	return d - time.Duration(float64(d)*l.jitter*u)
}

// afterServer returns the wait for a delay that the server asked for: never
// less, and up to a tenth or a quarter of a second more, so that clients told
// the same do not come back together.
func afterServer(asked time.Duration, jitter, u float64) time.Duration {
	spread := min(asked/10, 250*time.Millisecond)
	return asked + time.Duration(float64(spread)*max(jitter, 0)*u)
}

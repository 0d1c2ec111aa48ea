package retry

import (
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A failure is what the rules go by.
type failure struct {
	kind  resilience.Kind
	asked time.Duration // by the server; 0 for nothing
	tries int           // of this model, with the one that failed
	alone bool          // there is no other model to go to
	left  time.Duration // until the call must be over

	revised bool // the request will be another one
}

// A manner is how the next attempt is waited for.
type manner uint8

const (
	never manner = iota
	atOnce
	asAsked
	quickly
	backedOff
)

// rule is the column "same model again" of the table of kinds. While there is
// another model to go to, one retry is all that a model gets.
func (c *Config) rule(f failure) manner {
	switch {
	case f.tries >= c.Attempts,
		f.asked > max(c.Patience, 0),
		!f.alone && (f.tries > 1 || c.LastModelOnly):
		return never
	}
	if f.revised {
		return atOnce
	}
	switch f.kind {
	case resilience.RateLimited:
		if f.asked > 0 {
			return asAsked
		}
		if f.alone {
			return backedOff
		}
	case resilience.Overloaded:
		return backedOff
	case resilience.Unreachable, resilience.Truncated:
		if f.tries == 1 {
			return quickly
		}
		return backedOff
	case resilience.TimedOut:
		if f.alone {
			return backedOff
		}
	}
	return never
}

// hurry divides the first wait after a failure that is likely to be gone: a
// connection that was reset, one bad server among many.
const hurry = 10

// A run is the retrying of one call at one model.
type run struct {
	config *Config
	pacer  *pacer
	law    *law // from the first failure that needs it
}

// wait returns how long to wait before the attempt after f, and whether there
// is to be one. It takes a place at the pacer, which the caller gives back if
// it is not used.
func (r *run) wait(f failure, now time.Duration, random func() float64) (d time.Duration, ok bool) {
	manner := r.config.rule(f)
	switch manner {
	case never:
		return 0, false
	case quickly, backedOff:
		if r.law == nil {
			r.law = r.config.newLaw()
		}
		d = r.law.next(random())
		if manner == quickly {
			d /= hurry
		}
	}
	if f.asked > 0 && !mutants.On("retry-sooner-than-asked") {
		d = max(d, afterServer(f.asked, r.config.Jitter, random()))
	}
	if d >= f.left && !mutants.On("retry-waits-past-the-deadline") {
		return 0, false
	}
	if !r.config.Pace {
		return d, true
	}
	within := f.left - 1
	if r.config.Max >= 0 {
		within = min(within, r.config.Max)
	}
	place, ok := r.pacer.reserve(now, within)
	return max(d, place), ok
}

// giveBack returns the place at the pacer that wait took.
func (r *run) giveBack() {
	if r.config.Pace {
		r.pacer.cancel()
	}
}

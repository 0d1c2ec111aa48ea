package recovery

import (
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/queue"
)

// A phase is where an incident is.
type phase uint8

const (
	held    phase = iota // until it is due to be tried
	probing              // an attempt is under way
	trial                // calls try it, as there is no probe
	ramping              // traffic returns
)

// An incident is a model that is out of rotation, or on its way back. It belongs
// to the background work.
type incident struct {
	queue.Place

	model *resilience.Model
	watch *watch
	plan  *plan // that rules are of
	rules *rules
	phase phase
	cause resilience.Kind

	start    time.Duration // of the hold
	detected time.Duration
	name     string   // of what it is in now, for events
	tried    []string // what has been done
	err      error    // what the latest attempt failed for
	tries    int      // that failed
	late     bool     // the latest attempt said nothing of the model
	told     bool     // that it needs people
	blind    bool     // probes succeed where calls are refused
	outcome  *Outcome // in the history, if it is there

	failed int           // probes in a row, for the gap
	turn   time.Duration // for an attempt, but for limits
	due    time.Duration // for an attempt, while held; to look again, in a trial
	number uint64        // of attempts
	seen   time.Duration // the latest probe that was judged
	stop   func()        // of the attempt under way, or nil
	ends   time.Duration // at the latest

	at    time.Duration // to look at it
	ready bool          // for an attempt, and in line

	by   resilience.HoldBy // who held it, in a trial
	free bool              // nobody does now

	step  int           // of the ramp
	since time.Duration // of the step
}

// note remembers what was done: each thing once.
func (i *incident) note(what ...string) {
	const most = 16
	for _, w := range what {
		if len(i.tried) < most && !slices.Contains(i.tried, w) {
			i.tried = append(i.tried, w)
		}
	}
}

// hopeless reports whether it is time to call people, and why.
func (i *incident) hopeless(kind resilience.Kind) (why string, ok bool) {
	switch {
	case i.told || i.rules.attempts < 0:
		return "", false
	case lasting(i.cause) && lasting(kind):
		return "only people can mend " + kind.String(), true
	case i.tries >= i.rules.attempts:
		return "not back after " + counted(i.tries), true
	default:
		return "", false
	}
}

// gap returns the time to the next attempt.
func (i *incident) gap(chance float64) time.Duration {
	if i.blind {
		return max(blindGap, i.rules.after) + scale(blindGap/10, chance)
	}
	return i.rules.gap(i.failed, chance)
}

// next is when there is something to do.
func (i *incident) next() time.Duration {
	switch i.phase {
	case probing:
		return i.ends
	case ramping:
		if i.watch.tally.Load().well() {
			return i.since + i.rules.least
		}
		return i.since + i.rules.step
	case trial:
		if i.free {
			return forever // an answer or a hold wakes
		}
		return i.due
	default:
		return i.due
	}
}

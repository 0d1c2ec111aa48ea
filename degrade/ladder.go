package degrade

import (
	"math"
	"time"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A ladder decides on levels. It goes up one level where a signal and its smoothed
// form are beyond a limit, or the signal far beyond it for a few samples, no sooner
// than a third of Config.Calm after the latest change; straight up where capacity
// collapses; and down one level when for Config.Calm no signal was beyond a limit of
// the present one, and all were well back from them when smoothed. Times are those that
// were observed: a pause is none.
type ladder struct {
	level  Level
	smooth sample
	begun  bool
	since  int64         // the latest change
	calm   [levels]int64 // how long a level's limits have been far
	fell   [levels]int   // samples in a row in which capacity has collapsed that far
	by     [levels]int   // which signal led to a level
	far    [levels]far
}

// far is for how many samples in a row each signal was far beyond a limit.
type far [signals]int

const (
	// patience is for how many samples in a row a signal must be far beyond a limit
	// to count before its smoothed form has followed.
	patience = 5
	// collapse is how many samples in a row make one: limits of a provider that are
	// over in a second or two do not.
	collapse = 3
	// near is where a smoothed signal is taken to have arrived.
	near = 1e-3
)

// step takes in a sample after dt nanoseconds, and returns why the level has
// changed, "" if it has not.
func (l *ladder) step(r *rules, x sample, dt int64) (reason string) {
	if !l.begun {
		l.begun, l.smooth, l.since = true, well, math.MaxInt64/2
	}
	weight := -math.Expm1(-float64(dt) / float64(r.calm))
	for s, now := range x {
		l.smooth[s] += weight * (now - l.smooth[s])
		if math.Abs(now-l.smooth[s]) < near {
			l.smooth[s] = now
		}
	}
	l.since = min(l.since+dt, math.MaxInt64/2)
	for i := int(Minimal); i < levels; i++ {
		limits := &r.steps[i].limits
		l.calm[i] += dt
		for s, limit := range limits {
			if beyond(s, x[s], limit) || !back(s, l.smooth[s], limit) {
				l.calm[i] = 0
			}
			l.far[i][s]++
			if limit == 0 || !beyond(s, x[s], excess(s, limit)) {
				l.far[i][s] = 0
			}
		}
		l.fell[i]++
		if deep := Level(i) >= l.level+2 || x[available] < limits[available]/2; !deep || !beyond(available, x[available], limits[available]) {
			l.fell[i] = 0
		}
	}
	if to := l.fallen(); to > l.level {
		l.enter(to, available)
		return worse(available, x[available], r.steps[to].limits[available])
	}
	if to, s := l.reached(r, x); to > l.level {
		if l.since < r.calm/3 {
			return ""
		}
		l.enter(to, s)
		return worse(s, x[s], r.steps[to].limits[s])
	}
	if l.level != None && l.calm[l.level] >= r.calm && l.since >= r.calm {
		return l.leave(r)
	}
	return ""
}

// fallen is the highest level to which capacity has collapsed.
func (l *ladder) fallen() Level {
	for i := levels - 1; i > 0; i-- {
		if l.fell[i] >= collapse {
			return Level(i)
		}
	}
	return None
}

// reached is the lowest level above the present one that a signal is beyond a limit
// of, smoothed too or for long enough, and which signal.
func (l *ladder) reached(r *rules, x sample) (Level, int) {
	for i := int(l.level) + 1; i < levels; i++ {
		for s, limit := range r.steps[i].limits {
			if beyond(s, x[s], limit) && (beyond(s, l.smooth[s], limit) || l.far[i][s] >= patience) {
				return Level(i), s
			}
		}
	}
	return None, 0
}

func (l *ladder) enter(to Level, signal int) {
	for i := l.level + 1; i <= to; i++ {
		l.by[i] = signal
	}
	l.level, l.since = to, 0
}

// leave goes down to the next level that has a limit.
func (l *ladder) leave(r *rules) (reason string) {
	from := &r.steps[l.level]
	s := l.by[l.level]
	reason = "its limits are gone"
	if limit := from.limits[s]; limit > 0 {
		reason = better(s, l.smooth[s], limit) + " for " + time.Duration(r.calm).String()
	}
	l.level--
	for l.level != None && (r.steps[l.level].limits == (sample{}) || mutants.On("degrade-all-the-way-down")) {
		l.level--
	}
	l.since = 0
	return reason
}

package resilience

import (
	"strconv"
	"time"
)

// Reduce makes the call's request ask for less, by [Hooks].Reduce, and reports
// whether there is one. It is for one layer above LayerRoute, once a call, and
// does nothing to one that is Verbatim. For feature authors.
func (c *Call) Reduce(step int) bool {
	if step <= 0 || c.verbatim() || !c.typed.reduce(step) {
		return false
	}
	c.record().reduced = step
	return true
}

// Degrade notes in the call's report that it is served at a level of degradation,
// and what was given up for that. For feature authors.
func (c *Call) Degrade(level string, givenUp ...string) {
	t := c.record()
	t.level, t.givenUp = level, append(t.givenUp, givenUp...)
}

// Stretch makes Timeouts.Attempt and Timeouts.FirstChunk of the call's attempts so
// many times longer, or leaves them if it is not positive; what bounds the call stays.
// For feature authors.
func (c *Call) Stretch(times float64) { c.record().stretch = times }

// stretched applies Stretch to a bound.
func (c *Call) stretched(d time.Duration, cause *timeoutError) (time.Duration, *timeoutError) {
	if c.trail == nil || c.trail.stretch <= 0 || d <= 0 {
		return d, cause
	}
	longer := *cause
	longer.after = time.Duration(float64(d) * c.trail.stretch)
	longer.setting += " × " + strconv.FormatFloat(c.trail.stretch, 'g', 3, 64)
	return longer.after, &longer
}

package breaker

import (
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
)

// shut is the gate of an isolated breaker.
const shut = math.MaxInt64

// openFor says how long to stay open from now on.
func (e *engine) openFor(now int64) int64 {
	r := e.rules.Load()
	d := r.openFor
	for i := 0; i < e.opened && d < r.maxOpenFor; i++ {
		d *= 2
	}
	d = max(d, e.floor-now)
	return min(d+int64(e.random()*float64(d/10)), r.maxOpenFor)
}

// A refusal is made anew only when the waiting time that it tells is out by
// more than a tenth of a second.
type refusal struct {
	gate, fresh int64
	err         error
}

var errProbing = resilience.Reject("breaker half-open, probes under way", 0)

func (e *engine) refuse(now, gate int64) error {
	if r := e.refused.Load(); r != nil && r.gate == gate && now < r.fresh {
		return r.err
	}
	r := &refusal{gate: gate, fresh: shut}
	if gate == shut {
		r.err = resilience.Reject("breaker isolated", 0)
	} else {
		r.err = resilience.Reject("breaker open", time.Duration(gate-now))
		r.fresh = now + int64(100*time.Millisecond)
	}
	e.refused.Store(r)
	return r.err
}

package health

import (
	"time"

	"github.com/cmmv-hive/resilience"
)

const (
	suspicious = 8  // phi: by chance once in 10⁸
	acquainted = 10 // gaps from which on silence means something
	memorable  = 0.09
	blur       = 20 * time.Millisecond // of an answer's time
)

// listen looks whether m has answered well since the last time, and reports it. Who
// only failed, or was overtaken by another model, did not.
func (st *state) listen(now time.Duration) bool {
	latency, age := st.model.LatencyAge(now)
	at := now - age
	if latency == 0 || at < st.looked+blur {
		return false
	}
	st.looked = at
	was := st.errors
	st.errors = st.model.ErrorsAt(now)
	if st.errors >= memorable && st.errors >= 0.9*was {
		return false
	}
	if s := st.model.Stats(10 * time.Second); s.Calls-s.Failures-s.Throttled <= 0 {
		return false
	}
	if st.heard != 0 {
		st.beat.observe(at - st.heard)
	}
	st.heard = at
	return true
}

// phi is the suspicion that st's model has ceased to answer: 0 while nobody asks it,
// or while too little is known.
func (st *state) phi(now time.Duration) float64 {
	m := st.model
	if st.beat.n < acquainted || m.InFlight() == 0 && m.ErrorsAt(now) < memorable || !m.Available() {
		return 0
	}
	return st.beat.phi(now-st.heard, lookFor(st.rules.interval))
}

// succeed notes that st's model did well at an instant.
func (c *Checker) succeed(st *state, at time.Duration) {
	st.success = max(st.success, at)
	o := st.outage
	if o == nil {
		if st.turned != 0 && at > st.turned && st.until == 0 {
			if _, held := st.model.HeldSince(resilience.HoldBreaker); !held {
				st.turned = 0
			}
		}
		return
	}
	if at > o.began {
		c.over(o, at, st.model.ID()+" answered")
	}
}

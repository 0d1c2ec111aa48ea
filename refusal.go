package resilience

import (
	"math"
	"time"
)

// refusal is the error of calls to a model that is held and has no stand-in.
// It is kept for a moment, since an open breaker refuses many calls, and each
// should cost next to nothing.
type refusal struct {
	err  *ExhaustedError
	gate int64 // that it speaks of
	at   int64
}

// refusalAge is how far off the waiting time in a refusal may be.
const refusalAge = 100 * time.Millisecond

// refuse returns the error of a call to t's one model if that is held, and the
// call cannot wait for it or go elsewhere. It asks for nothing that the long
// way would not give as well.
func (p *Pool) refuse(t *table) error {
	if len(t.entries) != 1 || p.router != nil || p.guarded || len(p.readers) > 0 || p.Wants(EventCall) || p.bypass.Load() || p.draining.Load() {
		return nil
	}
	m := t.entries[0].model
	gate := m.gate.Load()
	if gate == 0 {
		return nil
	}
	now := p.now()
	if gate <= now {
		return nil
	}
	if r := m.refusal.Load(); r != nil && r.gate == gate && now-r.at < int64(refusalAge) {
		return r.err
	}
	if _, _, limit := m.until(now); limit && gate-now <= int64(holdPatience) {
		return nil
	}
	err := &ExhaustedError{Kind: Rejected, Skipped: []Verdict{verdict(m)}, gaveUp: true}
	if gate != math.MaxInt64 {
		err.RetryAfter = time.Duration(gate - now)
	}
	m.refusal.Store(&refusal{err, gate, now})
	return err
}

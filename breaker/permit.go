package breaker

import (
	"context"

	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A permit lets one call through.
type permit struct {
	life  uint64 // zero if the outcome does not count
	lease int64  // zero if it is not a probe
}

// enter admits a call while the breaker is closed.
func (e *engine) enter() (permit, bool) {
	life := e.life.Load()
	return permit{life: life}, e.gate.Load() == 0
}

// knock is enter for a breaker that is not closed: it admits a probe, which
// must be back within lease, or returns the error to refuse the call with.
func (e *engine) knock(ctx context.Context, now, lease int64) (permit, error) {
	if gate := e.gate.Load(); now < gate {
		return permit{}, e.refuse(now, gate)
	}
	e.mu.Lock()
	defer e.unlock()
	e.tick(ctx, now)
	switch {
	case e.state == Closed:
		return permit{life: e.life.Load()}, nil
	case e.state != HalfOpen:
		return permit{}, e.refuse(now, e.gate.Load())
	case int64(len(e.leases)) >= e.rules.Load().probes && !mutants.On("breaker-probes-without-bound"):
		return permit{}, errProbing
	}
	p := permit{e.life.Load(), now + lease}
	e.leases = append(e.leases, p.lease)
	return p, nil
}

// pass is knock for a call that has nowhere else to go: where there is no room
// for a probe it goes all the same, uncounted. Only what people closed stays
// closed.
func (e *engine) pass(ctx context.Context, now, lease int64) (permit, error) {
	p, err := e.knock(ctx, now, lease)
	if err == nil {
		return p, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byHand {
		return permit{}, err
	}
	return permit{}, nil
}

// full reports whether a call would be refused for the probes under way.
func (e *engine) full(now int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	busy := 0
	for _, end := range e.leases {
		if end > now {
			busy++
		}
	}
	r := e.rules.Load()
	return !r.observe && e.state == HalfOpen && int64(busy) >= r.probes
}

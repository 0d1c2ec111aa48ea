package breaker

import "context"

// A change of state to tell the world of.
type change struct {
	ctx      context.Context
	from, to State
	until    int64
	reason   string
}

// unlock gives up mu and publishes what changed. One goroutine does so at a
// time, so that changes are seen in their order, and with mu free, so that
// whoever sees one may ask the engine about it.
func (e *engine) unlock() {
	if e.telling || len(e.queue) == 0 {
		e.mu.Unlock()
		return
	}
	e.telling = true
	defer func() { // publish may panic
		e.telling = false
		e.mu.Unlock()
	}()
	for len(e.queue) > 0 {
		c := e.queue[0]
		e.queue = e.queue[1:]
		e.announce(c)
	}
	e.queue = nil
}

func (e *engine) announce(c change) {
	e.mu.Unlock()
	defer e.mu.Lock()
	e.publish(c)
}

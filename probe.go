package resilience

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Probe makes fn the pool's probe: something cheap that a model is asked to see
// whether it answers, such as a list of models or one token. Features that watch
// models and bring them back use it, within [Pool.Run]; without it they go by
// calls alone. Fn gets one of the model's keys as [KeyFrom] tells it, and returns
// when its context ends; of one model it is called one at a time. What it panics
// with is logged, and counts as a failure.
func Probe(fn func(ctx context.Context, m *Model) error) Feature {
	return installer(func(s *Setup) error {
		switch {
		case fn == nil:
			return &ConfigError{"probe", "the function is nil"}
		case s.pool.probe != nil:
			return &ConfigError{"probe", "is given twice; let one function serve all models"}
		}
		s.pool.probe = fn
		return nil
	})
}

// A Probed is the outcome of a probe.
type Probed struct {
	At   time.Duration // when it ended, on the pool's clock
	Took time.Duration
	Err  error // an [*Error], or nil
	Row  int   // how many have failed in a row, this one too; 0 if it succeeded
}

// probes are those of a model.
type probes struct {
	mu    sync.Mutex
	under chan struct{} // closed when the one under way ends, or nil
	last  Probed
	any   bool
}

// Probes reports whether the pool has a [Probe]. For feature authors.
func (p *Pool) Probes() bool { return p.probe != nil }

// Probed returns the outcome of the latest probe, by whomever, and whether there
// was one.
func (m *Model) Probed() (Probed, bool) {
	m.probes.mu.Lock()
	defer m.probes.mu.Unlock()
	return m.probes.last, m.probes.any
}

// Probe probes m within timeout, or waits as long for the probe that is under way,
// and returns its outcome. It fails if the pool has no [Probe]. If ctx ends first, or has ended
// already and nothing is asked, it returns with that, which is not kept as an outcome, nor is that the wait was too
// long. A probe is no call: it counts in no statistics, and breakers and limits neither
// see nor refuse it. For feature authors.
func (m *Model) Probe(ctx context.Context, timeout time.Duration) Probed {
	if m.pool.probe == nil {
		return Probed{At: m.pool.Now(), Err: &Error{Kind: Rejected, Model: m.id, reason: "the pool has no probe"}}
	}
	if ctx.Err() != nil {
		return m.left(ctx)
	}
	s := &m.probes
	since := m.pool.Now()
	patience, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s.mu.Lock()
	for s.under != nil {
		under := s.under
		s.mu.Unlock()
		select {
		case <-under:
		case <-patience.Done():
			if ctx.Err() != nil {
				return m.left(ctx)
			}
			now := m.pool.Now()
			return Probed{At: now, Took: now - since, Err: &Error{Kind: TimedOut, Model: m.id, reason: fmt.Sprintf("the probe under way did not end within %v", timeout)}}
		}
		s.mu.Lock()
		if s.any && s.last.At >= since {
			defer s.mu.Unlock()
			return s.last
		}
	}
	under := make(chan struct{})
	s.under = under
	s.mu.Unlock()

	got, kept := m.left(ctx), false
	defer func() { // also after a Goexit
		s.mu.Lock()
		if s.under = nil; kept {
			s.last, s.any = got, true
		}
		s.mu.Unlock()
		close(under)
	}()
	got, kept = m.ask(ctx, timeout)
	if last, _ := m.Probed(); got.Err != nil {
		got.Row = last.Row + 1
	}
	return got
}

// left is what a probe returns that nobody waits for.
func (m *Model) left(ctx context.Context) Probed {
	return Probed{At: m.pool.Now(), Err: &Error{Kind: Canceled, Model: m.id, Err: context.Cause(ctx), reason: "the probe was left"}}
}

// ask asks the probe, and reports whether what comes of it says something.
func (m *Model) ask(ctx context.Context, timeout time.Duration) (got Probed, kept bool) {
	p := m.pool
	by := m.access(p.now())
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := p.Now()
	err := m.tried(keyed{limited, by})
	got = Probed{At: p.Now()}
	got.Took = got.At - start
	if err == nil {
		return got, true
	}
	if ctx.Err() != nil {
		return m.left(ctx), false
	}
	e := &Error{Kind: p.kindOf(err, KindOf(err)), Model: m.id, Key: by.name(), Attempt: 1, Err: err, reason: "probe failed"}
	if limited.Err() != nil {
		e.Kind, e.reason = TimedOut, fmt.Sprintf("no answer to a probe within %v", timeout)
	}
	got.Err = e
	return got, true
}

// tried calls the probe, and makes an error of a panic.
func (m *Model) tried(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			m.pool.log.ErrorContext(ctx, "a probe panicked", "model", m.id, "panic", v, "stack", string(debug.Stack()))
			err = errors.New("the probe panicked")
		}
	}()
	return m.pool.probe(ctx, m)
}

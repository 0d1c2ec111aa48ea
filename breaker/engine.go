package breaker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sony/gobreaker/v2"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// An engine is the breaker of one model.
//
// gobreaker keeps the state machine. When to open is up to the rules, for how
// long to a gate, who may probe to leases; it is told outcomes that matter,
// and asked neither while calls go well nor to refuse one. All instants are
// nanoseconds on one monotonic clock.
type engine struct {
	rules atomic.Pointer[rules]

	// Both are written under mu, gate before life, and read life first: a call
	// that sees gate 0 belongs to the life it saw, or to one that is over.
	gate atomic.Int64  // calls are refused until then; 0 is closed, shut for good until Close
	life atomic.Uint64 // counts states, from 1; an outcome from another life is dropped

	goods atomic.Int64 // successes since the last failure; only whether there were any, without drift

	refused atomic.Pointer[refusal]

	random  func() float64
	publish func(change) // called without mu, in order

	mu      sync.Mutex
	cb      *gobreaker.TwoStepCircuitBreaker[struct{}]
	turned  gobreaker.State // where gobreaker's last change of state led
	asked   int64           // the instant of the outcome being told
	forced  bool            // the outcome being told opens
	why     string          // it opened
	state   State
	byHand  bool    // state was set by Open or Isolate
	opened  int     // times since the last close
	floor   int64   // an overloaded provider asked to be left alone until then
	streak  int64   // failures in a row, in halves
	drift   float64 // CUSUM
	leases  []int64 // when the probes under way must be back
	passed  int64   // probes of this round that succeeded
	harm    int64   // and that failed, in halves
	queue   []change
	telling bool // some goroutine is publishing the queue
}

// errFailed stands for any failure: gobreaker sees but the fact.
var errFailed = errors.New("failed")

func (e *engine) init(r rules, random func() float64, publish func(change)) {
	e.random, e.publish = random, publish
	r.counts = r.ring()
	e.rules.Store(&r)
	e.cb = e.fresh()
	e.life.Store(1)
}

func (e *engine) fresh() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, // told of whole rounds, so a reload may change their size
		Timeout:     1, // how long open lasts is up to the gate
		ReadyToTrip: func(gobreaker.Counts) bool {
			why := e.trips()
			if why != "" {
				e.why = why
			}
			return e.forced || why != ""
		},
		OnStateChange: func(_ string, _, to gobreaker.State) { e.turned = to },
	})
}

// made reports whether there is an engine.
func (e *engine) made() bool { return e.rules.Load() != nil }

// apply puts other rules in force and keeps everything that was learnt; an open
// time that has begun goes on.
func (e *engine) apply(ctx context.Context, now int64, r rules) {
	e.mu.Lock()
	defer e.unlock()
	old := e.rules.Load()
	if r.counts = old.counts; r.window != old.window {
		r.counts = r.ring()
		for counter, n := range old.counts.Sum(now, old.window, calls, fails, slows) {
			r.counts.Add(now, counter, n)
		}
	}
	e.rules.Store(&r)
	if r.observe != old.observe && e.gate.Load() > now {
		why := "observe only is over"
		if r.observe {
			why = "observe only"
		}
		e.queue = append(e.queue, change{ctx, e.state, e.state, e.gate.Load(), why})
	}
}

// tick brings the state up to now: an open breaker whose gate has ended turns
// half-open, and a probe that is not back in time has failed.
func (e *engine) tick(ctx context.Context, now int64) {
	if e.state == Open && now >= e.gate.Load() && e.cb.State() == gobreaker.StateHalfOpen {
		e.move(ctx, now, HalfOpen, "open time is over")
	}
	for _, end := range e.leases {
		if end <= now && !mutants.On("breaker-hung-probe-wedges") {
			e.tell(ctx, now, errFailed, "probe hung")
			return
		}
	}
}

// tell reports an outcome to gobreaker, and follows it where it goes.
func (e *engine) tell(ctx context.Context, now int64, err error, why string) {
	e.why, e.asked = why, now
	done, refused := e.cb.Allow()
	if refused != nil {
		return
	}
	e.turned = gobreaker.StateHalfOpen // where no outcome leads
	done(err)
	switch e.turned {
	case gobreaker.StateOpen:
		e.move(ctx, now, Open, e.why)
	case gobreaker.StateClosed:
		e.move(ctx, now, Closed, e.why)
	}
}

// move begins a new life in another state.
func (e *engine) move(ctx context.Context, now int64, to State, why string) {
	gate := e.gate.Load()
	switch to {
	case Open:
		gate = now + e.openFor(now)
		e.opened++
	case Closed:
		gate = 0
		e.opened, e.floor, e.streak, e.drift = 0, 0, 0, 0
		e.rules.Load().counts.Begin(now)
	}
	e.settle(ctx, to, gate, why)
}

func (e *engine) settle(ctx context.Context, to State, gate int64, why string) {
	from := e.state
	e.state, e.byHand = to, false
	e.leases = e.leases[:0]
	e.passed, e.harm = 0, 0
	e.gate.Store(gate)
	if !mutants.On("breaker-counts-stale-outcomes") {
		e.life.Add(1)
	}
	if c := resilience.CallFrom(ctx); c != nil {
		c.ID() // made here: whoever publishes may be another goroutine
	}
	if from != to || to == Open {
		e.queue = append(e.queue, change{ctx, from, to, gate, why})
	}
}

// hold opens by hand until gate; an isolated breaker stays so until close.
func (e *engine) hold(ctx context.Context, to State, gate int64, why string) {
	e.mu.Lock()
	defer e.unlock()
	e.cb, e.forced = e.fresh(), true
	if done, err := e.cb.Allow(); err == nil {
		done(errFailed)
	}
	e.forced = false
	e.settle(ctx, to, gate, why)
	e.byHand = true
}

// close closes and forgets everything.
func (e *engine) close(ctx context.Context, now int64, why string) {
	e.mu.Lock()
	defer e.unlock()
	e.cb = e.fresh()
	e.move(ctx, now, Closed, why)
}

// peek returns the state at now.
func (e *engine) peek(now int64) State {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state == Open && now >= e.gate.Load() {
		return HalfOpen
	}
	return e.state
}

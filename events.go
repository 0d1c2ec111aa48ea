package resilience

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// EventKind is a kind of [Event].
type EventKind uint8

// The kinds of events.
const (
	EventAttempt  EventKind = iota + 1 // an attempt ended
	EventCall                          // a call ended
	EventRetry                         // the same model will be tried again
	EventFallback                      // another model will be tried
	EventHedge                         // a model is tried beside one that is slow
	EventRescue                        // a stream that broke goes on; see [Stream.All]
	EventHold                          // a hold was set or extended
	EventRelease                       // a hold was lifted or ran out
	EventBreaker                       // a breaker changed state
	EventReject                        // a feature refused an attempt
	EventControl                       // something was changed by hand
	EventConfig                        // a configuration was applied or refused
	EventWarning                       // something is set up badly
	EventPanic                         // background work panicked
	EventBudget                        // a budget has passed its soft or its hard limit
	EventHealth                        // a model's health changed
	EventRecovery                      // a step was taken to bring a model back
	EventDegrade                       // the level of degradation changed
	EventRound                         // a vote was opened, or is over
)

const eventKinds = int(EventRound) + 1

// String returns the kind's name.
func (k EventKind) String() string {
	names := [eventKinds]string{"", "attempt", "call", "retry", "fallback", "hedge", "rescue", "hold", "release", "breaker", "reject", "control", "config", "warning", "panic", "budget", "health", "recovery", "degrade", "round"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// An Event is something that happened. Which fields are set depends on Kind.
type Event struct {
	Kind     EventKind
	Time     time.Time
	Model    *Model
	Key      string // its name
	Call     uint64
	Op       string
	Tenant   string
	Attempt  int
	Duration time.Duration
	Usage    Usage
	Cost     float64 // US dollars
	Err      error
	From, To string // states, holders, models or generations
	Reason   string
	Would    bool // it would have happened, but for ObserveOnly
	Faulted  bool // of an attempt or a call: it was made to go wrong on purpose

	Disagreement float64 // of the ballots that count, when a vote is over: 0 if all agree, 1 if no two do

	ctx context.Context
}

// Context returns the context that the event happened in, for trace IDs.
func (e Event) Context() context.Context { return e.ctx }

// hub hands events on. The mask keeps an event that nobody wants at the price
// of one load.
type hub struct {
	mask atomic.Uint64
	list atomic.Pointer[listeners]
	mu   sync.Mutex // of writers
}

type listeners struct {
	observers []observer
	subs      []*Subscription
}

type observer struct {
	mask uint64
	fn   func(context.Context, Event)
}

func maskOf(kinds []EventKind) (mask uint64) {
	if len(kinds) == 0 {
		return ^uint64(0)
	}
	for _, k := range kinds {
		mask |= 1 << k
	}
	return mask
}

func (h *hub) change(edit func(*listeners)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var l listeners
	if old := h.list.Load(); old != nil {
		l = listeners{slices.Clone(old.observers), slices.Clone(old.subs)}
	}
	edit(&l)
	var mask uint64
	for _, o := range l.observers {
		mask |= o.mask
	}
	for _, s := range l.subs {
		mask |= s.mask
	}
	h.list.Store(&l)
	h.mask.Store(mask)
}

func (h *hub) observe(fn func(context.Context, Event), kinds []EventKind) {
	h.change(func(l *listeners) { l.observers = append(l.observers, observer{maskOf(kinds), fn}) })
}

// Wants reports whether anyone would see an event of this kind. For feature
// authors.
func (p *Pool) Wants(kind EventKind) bool { return p.events.mask.Load()&(1<<kind) != 0 }

// Emit publishes an event; Time and, inside a call, Call, Op and Tenant are
// filled in. For feature authors.
func (p *Pool) Emit(ctx context.Context, e Event) {
	if !p.Wants(e.Kind) {
		return
	}
	if e.Time.IsZero() {
		e.Time = p.wall(p.now())
	}
	if c := CallFrom(ctx); c != nil && e.Call == 0 {
		e.Call, e.Op, e.Tenant = c.ID(), c.Options().Op, c.Options().Tenant
	}
	e.ctx = ctx
	l := p.events.list.Load()
	for _, o := range l.observers {
		if o.mask&(1<<e.Kind) != 0 {
			o.fn(ctx, e)
		}
	}
	for _, s := range l.subs {
		if s.mask&(1<<e.Kind) != 0 {
			s.offer(e)
		}
	}
}

// A Subscription receives events on C until it is closed.
type Subscription struct {
	C <-chan Event

	hub     *hub
	mask    uint64
	mu      sync.Mutex // between offer and Close
	events  chan Event
	closed  bool
	dropped atomic.Int64
}

// Subscribe delivers events of the given kinds, or of all if there are none,
// on a channel with room for buffer of them, at least one. A subscriber that
// falls behind loses events, which [Subscription.Dropped] counts, and never
// costs the calls time.
func (p *Pool) Subscribe(buffer int, kinds ...EventKind) *Subscription {
	c := make(chan Event, max(buffer, 1))
	s := &Subscription{C: c, hub: &p.events, mask: maskOf(kinds), events: c}
	p.events.change(func(l *listeners) { l.subs = append(l.subs, s) })
	return s
}

func (s *Subscription) offer(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	select {
	case s.events <- e:
	default:
		s.dropped.Add(1)
	}
}

// Close ends the subscription and closes C. It may be called more than once.
func (s *Subscription) Close() {
	s.hub.change(func(l *listeners) {
		l.subs = slices.DeleteFunc(l.subs, func(other *Subscription) bool { return other == s })
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.events)
	}
}

// Dropped counts the events that the subscription lost.
func (s *Subscription) Dropped() int64 { return s.dropped.Load() }

package chaos

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A watch sees what becomes of an experiment's calls. Times are since it began.
type watch struct {
	inject *Injector
	start  time.Duration

	mu      sync.Mutex
	tries   []*trial
	calls   []*seenCall
	models  map[string]*seenModel
	order   []string // of models
	stopped chan struct{}
	why     string
}

// A trial is an attempt of an experiment's call.
type trial struct {
	load       int    // the call of the load
	call       uint64 // of the pool
	model      string
	key        string        // its name, "" without one
	begin, end time.Duration // 0: it goes on
	ok         bool
	kind       resilience.Kind
	asked      time.Duration // to wait
	lastResort bool
	fault      string
	down       bool // of a fault that strikes every attempt then, and lets none succeed
	chunks     int  // meaningful ones that were read; of a stream that is struck
	running    bool // a stream began
	broke      bool // the fault broke it
	delivered  bool // a part of it
}

// A seenCall is a call of the load.
type seenCall struct {
	at, took time.Duration
	done, ok bool
	kind     resilience.Kind
	shed     bool // there was no room for it
}

// seenModel is what holds of a model were seen.
type seenModel struct {
	noticed  Moment
	held     bool
	lastHeld time.Duration
	before   bool // it was held when the watch began
}

func newWatch(i *Injector) *watch {
	w := &watch{inject: i, start: i.now(), models: map[string]*seenModel{}, stopped: make(chan struct{})}
	w.look()
	for _, m := range w.models {
		m.before, m.noticed = m.held, Never
	}
	return w
}

func (w *watch) now() time.Duration { return w.inject.now() - w.start }

// abort ends the experiment, once.
func (w *watch) abort(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why == "" {
		w.why = why
		close(w.stopped)
	}
}

// aborted returns why the experiment was ended, or "".
func (w *watch) aborted() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// look notes which models are held.
func (w *watch) look() {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.inject.pool.Models() {
		s := w.models[m.ID()]
		if s == nil {
			s = &seenModel{noticed: Never}
			w.models[m.ID()] = s
			w.order = append(w.order, m.ID())
		}
		holds := m.Holds()
		s.held = len(holds) > 0
		if !s.held {
			continue
		}
		s.lastHeld = now
		if s.noticed == Never && !s.before {
			since := slices.MinFunc(holds, func(a, b resilience.Hold) int { return a.Since.Compare(b.Since) }).Since
			s.noticed = Moment(max(w.inject.world(since.Sub(w.inject.pool.At(0)))-w.start, 0))
		}
	}
}

type loadKey struct{}

// A loadCall is a call of the load, in a context. What a call leaves behind may
// make attempts while another watch is kept, or in another pool.
type loadCall struct {
	watch *watch
	n     int
}

// begin notes an attempt of the load's, nil if it is another's.
func (w *watch) begin(ctx context.Context, c *resilience.Call, m *resilience.Model, s *strike) *trial {
	of, ours := ctx.Value(loadKey{}).(loadCall)
	if !ours || of.watch != w {
		return nil
	}
	t := &trial{load: of.n, call: c.ID(), model: m.ID(), key: resilience.KeyFrom(ctx), begin: w.now(), lastResort: c.LastResort()}
	if s != nil {
		t.fault = s.String()
		t.down = s.Fault.fails() && s.When.share(w.start+t.begin-s.dose.start) >= 1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries = append(w.tries, t)
	return t
}

// carry carries an attempt onward, or lets s play, and notes how it ends.
func (w *watch) carry(ctx context.Context, c *resilience.Call, t *trial, s *strike, next resilience.Handler) error {
	var err error = resilience.Unknown // if it panics
	open := false
	defer func() {
		if !open {
			w.end(t, err)
		}
	}()
	if s == nil {
		err = next(ctx, c)
	} else {
		s.asked = func(chunks int) { w.edit(func() { t.chunks, t.delivered = chunks, t.running && chunks > 0 }) }
		s.broke = func(int) { w.edit(func() { t.broke = true }) }
		err = s.play(ctx, c, next)
	}
	if err == nil && c.Running() {
		open = true
		w.edit(func() { t.running = true })
		c.OnEnd(func(err error) { w.end(t, err) })
	}
	return err
}

func (w *watch) edit(edit func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	edit()
}

func (w *watch) end(t *trial, err error) {
	now := w.now()
	w.edit(func() {
		t.end, t.ok, t.kind, t.asked = max(now, 1), err == nil, resilience.KindOf(err), w.inject.world(resilience.RetryAfter(err))
	})
}

// called notes a call of the load, before it is made.
func (w *watch) called(c *seenCall) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, c)
	return len(w.calls) - 1
}

func (w *watch) returned(c *seenCall, err error) {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	c.took, c.done, c.ok, c.kind = now-c.at, true, err == nil, resilience.KindOf(err)
}

// sorted returns the attempts as they stand, in an order that does not depend on
// which of two that happened in the same moment was noted first.
func (w *watch) sorted() []*trial {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*trial, len(w.tries))
	for n, t := range w.tries {
		now := *t
		all[n] = &now
	}
	slices.SortStableFunc(all, func(a, b *trial) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.load, b.load), cmp.Compare(a.model, b.model))
	})
	return all
}

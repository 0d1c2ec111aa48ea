package history

import (
	"context"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
)

// setBack is how far the wall clock may be set back without loss.
const setBack = int64(time.Hour / time.Second)

// run samples at each multiple of ten seconds of the wall clock until ctx is done.
func (h *History) run(ctx context.Context) error {
	h.begin(ctx)
	defer h.running.Store(false)
	step := lengthOf(fine)
	for {
		wait := step - time.Duration(h.wall().UnixNano())%step
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			h.sample(ctx, false)
		case <-ctx.Done():
			timer.Stop()
			h.sample(ctx, true)
			h.running.Store(false)
			h.incidents.gone(h.wall(), func(string) bool { return true }) // nobody sees them go on
			h.finish(ctx)
			return nil
		}
	}
}

func (h *History) wall() time.Time { return h.pool.At(h.pool.Now()) }

// begin makes now the start of what is observed.
func (h *History) begin(ctx context.Context) {
	h.tell(ctx, h.start())
	h.running.Store(true)
}

func (h *History) start() (forgotten bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = int64(h.pool.Now())
	h.slot = slotOf(h.wall())
	for _, s := range h.all() {
		h.slot = max(h.slot, s.tiers[fine].latest())
		s.expire(h.slot)
	}
	h.level.begin(h.at)
	h.crowded = false
	h.members = h.pool.Models()
	var before record
	h.calls(&before)
	for _, m := range h.members {
		w, _ := h.meet(m)
		if w.at < h.at {
			h.begins(m, w)
		}
		h.does(m, w, &before)
	}
	return h.set(slotOf(h.wall()))
}

func slotOf(t time.Time) int64 { return t.Unix() - t.Unix()%shapes[fine].step }

// all returns all series. The caller has h.mu.
func (h *History) all() []*series {
	list := []*series{&h.whole}
	for _, id := range h.order {
		list = append(list, h.models[id])
	}
	if s := h.models[Others]; s != nil {
		list = append(list, s)
	}
	return list
}

// meet makes sure that m has a series and is watched. The caller has h.mu.
func (h *History) meet(m *resilience.Model) (*watch, *series) {
	w, s := h.watches.Of(m), h.seriesOf(m)
	if w.series == nil {
		h.begins(m, w)
	}
	w.series = s
	return w, s
}

// does adds to r what m has done since it was called last. The caller has h.mu.
func (h *History) does(m *resilience.Model, w *watch, r *record) {
	if t, ok := m.Totals(); ok {
		w.done.of(&t, r)
	}
}

// begins takes up what holds m now.
func (h *History) begins(m *resilience.Model, w *watch) {
	now := h.pool.Now()
	holds := m.Holds()
	w.begin(int64(now), holds, h.pool.At(now))
	for _, hold := range holds {
		if hold.Key == "" {
			h.incidents.begin(m.ID(), hold.By.String(), hold.Reason, hold.Since)
		}
	}
}

// room reports whether there is room for a model more, and makes some of what models
// have left that are gone. The caller has h.mu.
func (h *History) room() bool {
	most := h.config.Load().Models
	for len(h.order) >= most && !h.crowded {
		var gone *series
		for _, id := range h.order {
			s := h.models[id]
			if h.pool.Model(id) == nil && (gone == nil || s.tiers[fine].latest() < gone.tiers[fine].latest()) {
				gone = s
			}
		}
		if gone == nil {
			h.crowded = true
			return false
		}
		h.drop(gone)
	}
	return len(h.order) < most
}

func (h *History) drop(s *series) {
	delete(h.models, s.id)
	h.unwatch(s)
	h.order = slices.DeleteFunc(h.order, func(id string) bool { return id == s.id })
}

// sample takes in what happened since the last one, and at the end of a record's time,
// or last, writes it down.
func (h *History) sample(ctx context.Context, last bool) {
	for _, m := range h.pool.Models() {
		m.Available() // tells of what has run out
	}
	h.tell(ctx, h.record(last))
}

// record writes down what there is, and reports whether records were forgotten.
func (h *History) record(last bool) (forgotten bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := int64(h.pool.Now())
	slept := int64(h.pool.Asleep(time.Duration(h.at)))
	span := max(now-h.at-slept, 0) / int64(time.Millisecond)
	h.at += (now - h.at) / int64(time.Millisecond) * int64(time.Millisecond)
	h.look(now, slept, span)
	slot := slotOf(h.wall())
	if slot > h.slot || last {
		for _, s := range h.all() {
			left := s.expire(slot)
			if !left && s != &h.whole && s.id != Others && h.pool.Model(s.id) == nil {
				h.drop(s)
			}
		}
	}
	return h.set(slot)
}

// look makes records of how all models are and what they have done.
func (h *History) look(now, slept, span int64) {
	whole, one := record{start: h.slot}, record{}
	h.crowded = false
	h.incidents.gone(h.wall(), func(id string) bool { return h.pool.Model(id) == nil })
	models := h.pool.Models()
	h.members = append(h.gone(&whole), models...)
	var queued int64
	for _, m := range models {
		w, s := h.meet(m)
		one.reset(h.slot)
		h.does(m, w, &one)
		o := w.take(now, slept)
		one.n[atSpan], one.n[atHeld] = span, min(o.held, span)
		copy(one.n[atHeldBy:], o.heldBy[:])
		one.n[atInFlight], one.n[atQueued] = m.InFlight(), m.Queued()
		queued += m.Queued()
		h.foresee(m, s, &one)
		h.add(s, &one)
		whole.add(&one)
	}
	clear(whole.n[atKind:atInput]) // those were attempts
	h.calls(&whole)
	whole.n[atInFlight], whole.n[atQueued] = h.pool.InFlight(), queued
	whole.n[atLevel], whole.n[atDegraded] = h.level.take(now, slept)
	h.add(&h.whole, &whole)
}

// gone adds to whole, and to their series, what models have done that have left the pool,
// and returns those of them that may do more.
func (h *History) gone(whole *record) (rest []*resilience.Model) {
	for _, m := range h.members {
		if h.pool.Model(m.ID()) == m {
			continue
		}
		w := h.watches.Of(m)
		over := w.idle // an attempt is counted a moment after it has ended
		w.idle = m.InFlight() == 0
		one := record{start: h.slot}
		h.does(m, w, &one)
		if !one.empty() {
			h.add(h.seriesOf(m), &one)
			whole.add(&one)
		}
		if !over {
			rest = append(rest, m)
		}
	}
	return rest
}

// add adds r to s, unless there is nothing in it.
func (h *History) add(s *series, r *record) {
	if r.empty() {
		return
	}
	if minute := s.add(r); minute != nil {
		h.watch(s, minute)
	}
}

// set makes slot the time that records are of, unless the clock was set back a little:
// then they stay of the one before until it has come again. It reports whether the
// clock was set back by more, so that records are forgotten. The caller has h.mu.
func (h *History) set(slot int64) (forgotten bool) {
	if slot < h.slot && h.slot-slot <= setBack {
		return false
	}
	if forgotten = slot < h.slot; forgotten {
		for _, s := range h.all() {
			for kind := range s.tiers {
				s.tiers[kind].forget(slot, kind)
			}
		}
	}
	h.slot = slot
	return forgotten
}

// tell logs that records were forgotten.
func (h *History) tell(ctx context.Context, forgotten bool) {
	if forgotten {
		h.pool.Log().WarnContext(ctx, "history: the clock was set back by more than an hour, and what was recorded of the future is forgotten",
			"now", h.wall().UTC())
	}
}

package fallback

import (
	"context"
	"time"

	"github.com/cmmv-hive/resilience"
)

// hedge is a call whose present model may get others beside it.
type hedge struct {
	way
	class *class
	ctx   context.Context
	model *resilience.Model
	began time.Duration // on the pool's clock
	delay time.Duration

	fired  int
	won    bool // one of them
	gone   bool // the model failed while one of them was under way
	judged bool // of what use they were
}

// hedged tries one model at a time, and others beside one that is slow.
func (w *way) hedged(ctx context.Context) error {
	c := w.r.Call()
	for w.pick(ctx) {
		class := w.f.classes.of(c, c.Model())
		began := c.Clock()
		if delay := w.delay(class, began); delay > 0 {
			err := w.race(ctx, class, began, delay)
			if err == nil {
				return nil
			}
			if !w.goesOn(ctx) {
				return err
			}
			continue
		}
		err := w.next(ctx, c)
		class.record(c.Clock(), c.Clock()-began, err)
		if err == nil {
			return nil
		}
		if !w.moves(ctx, err, w.tried == 1) {
			break
		}
	}
	return w.first
}

// race tries the call's model, and after delay others beside it. What lanes share
// is a copy, for w to stay where it is in all other calls.
func (w *way) race(ctx context.Context, class *class, began, delay time.Duration) error {
	h := &hedge{way: *w, class: class, ctx: ctx, model: w.r.Call().Model(), began: began, delay: delay}
	err := h.r.Race(ctx, h.next, h.lead)
	h.judge(err)
	if err != nil {
		*w = h.way
	}
	return err
}

// delay is after how long the call's model gets another beside it, 0 for never.
func (w *way) delay(class *class, now time.Duration) time.Duration {
	busy := class.load.sample(now, w.r)
	d := class.after(now, w.rules)
	if d == 0 || busy > busiest || w.last() || w.r.Call().Options().Once || w.f.quiet.at(now) || !w.r.Others() ||
		!class.worth.asks() {
		return 0
	}
	class.allowance.earn(w.rules.HedgeShare)
	return d
}

// lead is the lane of the model that the call is at.
func (h *hedge) lead(x *resilience.Race) error {
	first := h.tried == 1
	x.After(h.delay, h.beside)
	err := x.Try(false)
	h.record(err)
	switch {
	case err == nil || x.Over():
		return err
	case x.Lanes() == 0: // what comes now may have others beside it, too
		h.again = h.moves(h.ctx, err, first)
		return h.first
	}
	h.gone = h.r.Call().Left() > 0 // else neither has answered in time
	if !h.moves(h.ctx, err, first) {
		if h.final {
			x.Fail(h.first)
		}
		return h.first
	}
	to := h.move(x)
	if to == nil {
		h.again = true
		return h.first
	}
	h.tell(h.ctx, resilience.Event{Kind: resilience.EventFallback, From: h.model.ID(), To: to.ID(), Model: to})
	return h.lane(h.ctx, x, false)
}

// record takes in how long the model took.
func (h *hedge) record(err error) {
	if h.won {
		err = nil // one that another overtook took longer still
	}
	now := h.f.pool.Now()
	h.class.record(now, now-h.began, err)
}

// beside is the lane of a hedge. It tries one model: where that fails the next
// hedge takes its place, or the lead.
func (h *hedge) beside(x *resilience.Race) error {
	now := h.f.pool.Now()
	if x.Over() || x.Lanes() == 0 || h.last() || !h.r.Others() || h.f.quiet.at(now) || h.class.load.value() > busiest ||
		h.rules.HedgeAfter <= 0 && !h.class.allowance.take() || !h.r.Beside(true) {
		return nil
	}
	m := h.move(x)
	if m == nil {
		return nil
	}
	h.fired++
	if h.fired == 1 {
		x.After(max(h.delay, h.f.classes.of(h.r.Call(), m).learnt()), h.late)
	}
	if h.fired < h.rules.Hedges {
		x.After(h.delay, h.beside)
	}
	h.tell(h.ctx, resilience.Event{
		Kind: resilience.EventHedge, From: h.model.ID(), To: m.ID(), Model: m, Duration: now - h.began,
	})
	err := x.Try(true)
	switch {
	case err == nil:
		h.won = true
	case !x.Over() && h.failed(err) == resilience.Unknown:
		h.unknown = true
	}
	return err
}

// late is when neither the model nor the first hedge has answered as soon as
// either normally does. That is known before they answer, and has to be learnt
// then: were it learnt at the end, good news would come first.
func (h *hedge) late(x *resilience.Race) error {
	if !x.Over() && !h.gone {
		h.judged = true
		h.class.worth.learn(slow)
	}
	return nil
}

// judge learns of what use hedges were, once the race is over.
func (h *hedge) judge(err error) {
	if h.fired == 0 {
		return
	}
	h.class.worth.count(h.fired)
	wasted := h.fired
	if err == nil && h.won {
		wasted--
		h.f.hedges.won.Add(1)
	}
	h.f.hedges.wasted.Add(int64(wasted))
	switch {
	case h.judged || h.gone:
	case err == nil && h.won:
		h.class.worth.learn(useful)
	case err == nil:
		h.class.worth.learn(idle)
	case resilience.KindOf(err) == resilience.TimedOut:
		h.class.worth.learn(slow)
	}
}

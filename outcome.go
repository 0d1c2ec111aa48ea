package resilience

import (
	"slices"
	"time"
)

// conclude makes the call's error and its report, and tells those who listen.
func (c *Call) conclude(err error, rep *Report) error {
	p := c.pool
	now := p.now()
	took := time.Duration(now - c.start)
	t := c.record()
	var skipped []Verdict
	if err != nil {
		above := len(t.attempts) == 0 && c.model == nil && !isNone(err)
		if k := KindOf(err); k.Elsewhere() && !above {
			skipped = c.skipped(now)
		}
		err = c.final(err, t, skipped, took)
	}
	if rep != nil {
		*rep = c.sum(err == nil, skipped, took)
	}
	if len(p.readers) > 0 && !t.falls {
		if rep == nil {
			r := c.sum(err == nil, skipped, took)
			rep = &r
		}
		c.read(rep, err)
	}
	if w := p.timeouts.Load(); w != nil && w.observe {
		w.wouldCall(c, took)
	}
	if p.Wants(EventCall) {
		p.Emit(c, Event{
			Kind: EventCall, Model: c.model, Attempt: int(c.attempts), Duration: took,
			Usage: t.usage, Cost: t.cost, Err: err, Faulted: c.Faulted(),
		})
	}
	return err
}

// layers sends the call through the layers. One that panics is read of too.
func (c *Call) layers() error {
	p := c.pool
	if len(p.readers) == 0 {
		return p.layers(c, c)
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		err := error(Unknown)
		t := c.record()
		if n := len(t.attempts); n > 0 && t.attempts[n-1].Err != nil {
			err = t.attempts[n-1].Err
		}
		rep := c.sum(false, nil, time.Duration(p.now()-c.start))
		c.read(&rep, err)
	}()
	err := p.layers(c, c)
	returned = true
	return err
}

// read hands the report to those who read what did not go as it should.
func (c *Call) read(rep *Report, err error) {
	if err == nil && !rep.troubled() {
		return
	}
	for _, fn := range c.pool.readers {
		fn(c, *rep, err)
	}
}

// sum is the call's report. Answered says that its model is the one that did.
func (c *Call) sum(answered bool, skipped []Verdict, took time.Duration) Report {
	t := c.record()
	rep := Report{
		Call: c.ID(), Op: c.Op(), Attempts: t.attempts, Skipped: skipped, Usage: t.usage, Cost: t.cost,
		Duration: took, Generation: c.table.roster.config, LastResort: answered && c.lastResort, Rescued: t.rescued,
		Level: t.level, Reduced: t.reduced, GivenUp: t.givenUp,
	}
	if answered {
		rep.Model = c.model
		if asked := c.Options().Model; asked != "" && c.model != nil {
			rep.Substituted = asked != c.model.id && asked != c.model.Name()
		}
	}
	return rep
}

// hold keeps the call open as long as its stream.
func (c *Call) hold(l *life, rep *Report) {
	c.state = callHeld
	t := c.record()
	t.life, t.answered, t.began = l, c.model, c.start
	if n := len(l.followers); n > 0 {
		t.began = l.followers[n-1].attempt.start
	}
	begun := c.sum(true, nil, time.Duration(c.clock-c.start))
	if rep != nil {
		*rep = begun
	}
	l.tell(begun)
	l.holdFor(c, t.within, func(err error) {
		defer func() {
			c.state = callOpen
			c.over()
		}()
		c.model = t.answered
		var whole Report
		_ = c.conclude(err, &whole)
		whole.Model = c.model
		t.life.tell(whole)
	})
}

// final returns the one failed attempt's error if there is nothing to add, and
// an [*ExhaustedError] otherwise. Refusals above LayerRoute stay what they are.
func (c *Call) final(err error, t *trail, skipped []Verdict, took time.Duration) error {
	if e, ok := err.(*Error); ok && e.Delivered > 0 { //nolint:errorlint // what the reader of a stream got
		return err
	}
	if t.budget != nil && len(t.attempts) > 0 && !slices.ContainsFunc(skipped, func(v Verdict) bool { return v.Reason == t.budget.Error() }) {
		skipped = append(skipped, Verdict{Model: c.at(t.budget), Reason: t.budget.Error()})
	}
	if len(skipped) == 0 && (len(t.attempts) == 0 || len(t.attempts) == 1 && t.attempts[0].Kind == KindOf(err)) {
		return err
	}
	e := &ExhaustedError{
		Kind: KindOf(err), Call: c.ID(), Op: c.Op(), Attempts: t.attempts, Skipped: skipped, Duration: took,
		gaveUp: c.GaveUp(err), budget: t.budget,
	}
	if _, ok := err.(*Error); !ok && !isNone(err) { //nolint:errorlint // what wraps an attempt's says more: that a wait was ended
		e.last = err
	}
	if e.Kind != Canceled {
		for _, a := range t.attempts {
			if a.Kind != 0 && a.Kind != Rejected && a.Kind != Unknown {
				e.Kind = a.Kind
				break
			}
		}
	}
	e.RetryAfter = soonest(err, t.attempts, skipped, c.pool.wall(c.pool.now()))
	return e
}

// at returns the model at which e refused an attempt.
func (c *Call) at(e *BudgetError) *Model {
	for _, of := range c.table.entries {
		if of.model.id == e.Model {
			return of.model
		}
	}
	return c.model
}

// soonest returns the shortest wait that any of a call's models asked for.
func soonest(err error, attempts []Attempt, skipped []Verdict, now time.Time) time.Duration {
	first := RetryAfter(err)
	note := func(d time.Duration) {
		if d > 0 && (first == 0 || d < first) {
			first = d
		}
	}
	for _, a := range attempts {
		note(RetryAfter(a.Err))
	}
	for _, v := range skipped {
		note(v.after)
		if !v.Until.IsZero() {
			note(v.Until.Sub(now))
		}
	}
	return first
}

// maxSkipped bounds what an error says of models that were not tried.
const maxSkipped = 8

// skipped lists the models that refused the call here, and those that it did
// not try because something held them.
func (c *Call) skipped(now int64) (list []Verdict) {
	list = c.record().refused
	for _, e := range c.table.entries {
		if len(list) == maxSkipped {
			break
		}
		if c.usable(e, true) && !c.free(e.model, now) {
			list = append(list, verdict(e.model))
		}
	}
	return list
}

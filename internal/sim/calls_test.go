package sim_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/sim"
)

const breakerLongest = 30 * time.Second

func newSource(seed, of uint64) rand.Source { return rand.NewPCG(seed, of<<32|0x5eed) }

// A callPlan is what a call asks for, and how its caller behaves.
type callPlan struct {
	opts     resilience.CallOptions
	stream   bool
	patience time.Duration // of the caller's context
	cancel   time.Duration // after which the caller does, 0 for never
	leave    int           // the stream after so many chunks, 0 for never
	dawdle   time.Duration // after each chunk
	wrong    bool
	bulk     bool // one of many at once
	plain    bool // any model will do, and there is time: such calls count as goodput
}

// planOf draws a call at an instant.
func (s *scenario) planOf(id int64, at time.Duration) callPlan {
	r := rand.New(newSource(s.seed, uint64(id)))
	p := callPlan{stream: chance(r, .35), patience: pick[time.Duration](r, 20, 30, 45, 75)*time.Second + 137*time.Millisecond}
	p.plain = true
	switch r.IntN(12) {
	case 0:
		p.opts.Model, p.plain = s.models[r.IntN(len(s.models))].ID, false
	case 1:
		p.opts.Model, p.plain = s.models[r.IntN(len(s.models))].ID, false
		p.opts.Fallbacks = []string{s.models[r.IntN(len(s.models))].ID}
	case 2:
		p.opts.Require, p.plain = []string{"tools"}, false
	case 3:
		p.opts.Require, p.plain = []string{"eu"}, false
	}
	if chance(r, .1) {
		p.opts.Once, p.plain = true, false
	}
	if chance(r, .1) {
		p.opts.Attempts, p.plain = 1+r.IntN(4), false
	}
	p.opts.Op = pick(r, "", "ask", "sum")
	p.opts.Tenant = pick(r, "", "", "acme", "duck", "evil")
	p.opts.Priority = pick(r, resilience.Normal, resilience.Normal, resilience.Low, resilience.High, resilience.Critical)
	if p.opts.Priority == resilience.Low {
		p.plain = false
	}
	p.opts.Affinity = pick(r, "", "", "a", "b")
	p.opts.Region = pick(r, "", "us")
	p.opts.Timeout = pick(r, 0, 0, 0, 25*time.Second)
	s.lend(id, &p)
	for i := range s.faults {
		f := &s.faults[i]
		if !f.at(at) || !f.strikes(s.seed, id, 0, 0) {
			continue
		}
		switch f.kind {
		case cancels:
			p.cancel, p.plain = between(r, time.Millisecond, 6*time.Second), false
		case abandons:
			p.leave, p.plain = 1+r.IntN(6), false
		case poison:
			p.wrong, p.plain = true, false
		case dawdles:
			p.dawdle = between(r, 50*time.Millisecond, time.Second)
		}
	}
	return p
}

// A crowd is all those who call.
type crowd struct {
	*history
	clients

	exits bool // callers may end goroutines
	wait  sync.WaitGroup
	ids   int64
}

// traffic starts calls until it is over, and waits for them.
func (c *crowd) traffic(ctx context.Context) {
	defer c.wait.Wait()
	r := rand.New(newSource(c.scenario.seed, 1<<40))
	rush := c.rushes()
	for {
		n := int64(1)
		if chance(r, .01) {
			n = 7
		}
		id := c.take(n)
		gap := time.Duration(r.ExpFloat64() / c.scenario.rate * float64(time.Second))
		_ = sim.Sleep(ctx, gap, id*actorsACall+caller)
		at := time.Duration(now())
		if at >= lasts {
			return
		}
		c.wait.Go(func() {
			if n > 1 {
				c.run(ctx, id)
			} else {
				c.call(ctx, id, c.scenario.planOf(id, at))
			}
		})
		for len(rush) > 0 && rush[0].from <= at {
			for i := range time.Duration(rush[0].factor) {
				id := c.take(1)
				c.wait.Go(func() {
					_ = sim.Sleep(ctx, i%20*50*time.Millisecond, id*actorsACall+caller)
					p := c.scenario.planOf(id, at)
					p.bulk = true
					c.call(ctx, id, p)
				})
			}
			rush = rush[1:]
		}
	}
}

// take takes n numbers of calls, and returns the first.
func (c *crowd) take(n int64) int64 {
	c.ids += n
	return c.ids - n + 1
}

func (c *crowd) rushes() (list []fault) {
	for _, f := range c.scenario.faults {
		if f.kind == rush {
			list = append(list, f)
		}
	}
	return list
}

// call makes one call and notes what becomes of it.
func (c *crowd) call(ctx context.Context, id int64, p callPlan) *callRecord {
	rec := &callRecord{id: id, plan: p}
	c.mu.Lock()
	c.calls = append(c.calls, rec)
	if p.cancel > 0 || p.leave > 0 || p.wrong || p.dawdle > 0 {
		c.faulted++
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, callKey{}, rec), p.patience)
	defer cancel()
	if p.cancel > 0 {
		t := time.AfterFunc(sim.Until(now(), p.cancel, id*actorsACall+caller-1), cancel)
		defer t.Stop()
	}
	c.look(rec)
	rec.begin = now()
	rec.limit = rec.begin + int64(c.bound(p))
	c.trace.Add(sim.Mark{At: rec.begin, Actor: id * actorsACall, What: markCall})
	if c.exits {
		over := make(chan struct{})
		go func() { // of its own, since a caller may end it
			defer close(over)
			c.guarded(ctx, rec)
		}()
		<-over
	} else {
		c.guarded(ctx, rec)
	}
	rec.end, rec.gen[1] = now(), c.pool.Generation()
	rec.ends++
	if rec.first == 0 {
		rec.first = rec.end
	}
	c.trace.Add(sim.Mark{At: rec.end, Actor: id * actorsACall, What: markEnd<<8 | uint64(resilience.KindOf(rec.err)), N: int64(len(rec.report.Attempts))<<16 | int64(len(rec.chunks))})
	return rec
}

// guarded makes a call that may panic.
func (c *crowd) guarded(ctx context.Context, rec *callRecord) {
	defer func() {
		if v := recover(); v != nil {
			if _, ours := v.(crash); !ours && !strings.HasPrefix(fmt.Sprint(v), "runtime.Goexit in a lane") {
				panic(v)
			}
		}
	}()
	rec.crashed = true
	c.make(ctx, rec)
	rec.crashed = false
}

// bound is how long the call may take to return.
func (c *crowd) bound(p callPlan) time.Duration {
	d := p.patience
	switch of := c.scenario.config.Timeouts.Call; {
	case p.opts.Timeout > 0:
		d = min(d, p.opts.Timeout)
	case of > 0:
		d = min(d, of)
	}
	if p.cancel > 0 {
		d = min(d, p.cancel)
	}
	return d
}

// look notes how things stand when a call begins.
func (c *crowd) look(rec *callRecord) {
	rec.gen[0] = c.pool.Generation()
	rec.allHeld = rec.plan.opts.Model == "" && len(rec.plan.opts.Require) == 0 && rec.plan.opts.Key == ""
	for _, m := range c.pool.Models() {
		if m.Available() {
			rec.allHeld = false
			return
		}
		limited := true
		for _, h := range m.Holds() {
			limited = limited && (h.By == resilience.HoldLimit || h.Key != "")
		}
		if limited { // it may be waited for
			rec.allHeld = false
		}
	}
	c.reach("all models are held at once")
}

func (c *crowd) make(ctx context.Context, rec *callRecord) {
	p := rec.plan
	req := request{call: rec.id, wrong: p.wrong}
	if !p.stream {
		got, report, err := c.chat.Do(ctx, req, p.opts)
		rec.first, rec.alive = now(), ctx.Err() == nil
		rec.report, rec.err = report, err
		if err == nil {
			rec.got = &got
		}
		return
	}
	if p.opts.Tokens = mostTokens; c.scenario.blind && rec.id%3 == 0 {
		p.opts.Tokens = 0
	}
	s, report, err := c.talks.Do(ctx, req, p.opts)
	rec.first, rec.alive = now(), ctx.Err() == nil
	rec.report, rec.err = report, err
	if err != nil {
		return
	}
	rec.stream = true
	defer func() { rec.report = s.Report() }()
	for ch, err := range s.All() {
		if err != nil {
			rec.err = err
			return
		}
		rec.chunks = append(rec.chunks, ch)
		if p.leave > 0 && len(rec.chunks) >= p.leave {
			rec.left = true
			if p.leave%2 == 0 {
				_ = s.Close()
				continue
			}
			return
		}
		if p.dawdle > 0 && sim.Sleep(ctx, p.dawdle, rec.id*actorsACall+caller) != nil {
			continue
		}
	}
	rec.whole = !rec.left
}

// run makes calls of one budget, and looks at what is left of it.
func (c *crowd) run(ctx context.Context, id int64) {
	r := rand.New(newSource(c.scenario.seed, uint64(id)|1<<41))
	b := pick(r, resilience.Budget{Tokens: 400 + r.Int64N(600)}, resilience.Budget{Tokens: 2000, Attempts: 2}, resilience.Budget{Cost: .02})
	ctx = resilience.WithBudget(ctx, b)
	var took int64
	sure := true
	for i := range int64(6) {
		p := c.scenario.planOf(id+i, time.Duration(now()))
		p.plain, p.stream, p.cancel = false, false, 0
		rec := c.call(ctx, id+i, p)
		if rec.got != nil {
			took += rec.got.usage.Input + rec.got.usage.Output
		}
		refused := rec.err != nil && len(rec.report.Attempts) == 0
		sure = sure && (refused || len(rec.report.Attempts) == 1 && rec.got != nil && c.scenario.models[rec.got.model].inners == 0)
		if e := (*resilience.BudgetError)(nil); errors.As(rec.err, &e) {
			c.reach("a budget refused")
			break
		}
	}
	_ = sim.Sleep(ctx, time.Second, id*actorsACall+caller) // losers of races have noticed by then
	p := callPlan{patience: time.Minute}
	p.opts.Tokens = 1 << 30
	if e := (*resilience.BudgetError)(nil); errors.As(c.call(ctx, id+6, p).err, &e) && e.Budget == "run" {
		c.mu.Lock()
		c.end.purseHeld += e.Reserved
		c.mu.Unlock()
	}
	total, _ := resilience.Spent(ctx)
	if spent := total.Usage.Input + total.Usage.Output; sure && b.Cost == 0 {
		c.mu.Lock()
		c.end.purseSpent += spent
		c.end.purseTook += took
		c.mu.Unlock()
	}
}

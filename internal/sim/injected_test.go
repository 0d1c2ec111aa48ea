package sim_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/internal/sim"
)

// What the pool's own injector does.
const injected faultKind = "injected"

// inProcess are faults that it plays.
var inProcess = []chaos.Fault{
	{Name: chaos.Unavailable}, {Name: chaos.RateLimited, Wait: 3 * time.Second}, {Name: chaos.ServerError}, {Name: chaos.Reset},
	{Name: chaos.Silent}, {Name: chaos.Slow, After: 4 * time.Second}, {Name: chaos.Cut, Tokens: 2},
}

// drawInjected draws what a game day injects while the rest goes wrong as well.
func (s *scenario) drawInjected(r *rand.Rand) {
	if !chance(r, .25) {
		return
	}
	s.blast = &chaos.Blast{Models: 1 + r.IntN(len(s.models)/2), Share: pick(r, .2, .5, 1), For: 3 * time.Minute}
	for range 1 + r.IntN(4) {
		f := fault{id: len(s.faults) + 1, kind: injected, from: between(r, 5*time.Second, heal-time.Minute), share: pick(r, .1, .5, 1)}
		f.to = f.from + between(r, 10*time.Second, 4*time.Minute) // some are longer than they may be
		f.models = r.Perm(len(s.models))[:min(len(s.models), 1+r.IntN(s.blast.Models+1))]
		f.to = min(f.to, heal)
		f.factor = float64(r.IntN(len(inProcess)))
		s.faults = append(s.faults, f)
	}
	slices.SortStableFunc(s.faults, func(a, b fault) int { return cmp.Compare(a.from, b.from) })
}

// ends reports whether a fault that is injected has a time to live, and is not
// stopped by hand.
func (f *fault) ends() bool { return f.id%2 == 0 }

// A dayRecord is a fault that was injected, or was not.
type dayRecord struct {
	fault
	begin, end int64
	err        error
}

// injections are the tasks of a game day.
func (d *desk) injections() (list []task) {
	for _, f := range d.scenario.faults {
		if f.kind != injected {
			continue
		}
		day := &dayRecord{fault: f}
		var stop func()
		list = append(list, task{at: f.from, kind: injected, of: -1, do: func(_ context.Context, o *orderRecord) {
			ttl := f.to - time.Duration(now())
			if !f.ends() {
				ttl *= 2
			}
			x := chaos.Injection{Fault: inProcess[int(f.factor)], When: chaos.Schedule{Rate: f.share}}
			for _, m := range f.models {
				x.Where.Models = append(x.Where.Models, fmt.Sprintf("m%d", m))
			}
			o.asked, day.begin, day.end = true, now(), now()+int64(ttl)
			stop, day.err = d.injector.Inject(ttl, x)
			if day.err != nil {
				d.reach("an injection was refused")
			}
			d.mu.Lock()
			d.days = append(d.days, day)
			d.mu.Unlock()
		}})
		if !f.ends() {
			list = append(list, task{at: f.to, kind: injected, of: -1, do: func(_ context.Context, o *orderRecord) {
				if o.asked = true; stop != nil {
					stop()
					day.end = now()
				}
			}})
		}
	}
	return list
}

// apart lets attempts that the end of a fault wakes at once go on at instants of
// their own.
type apart struct{}

// Install implements [resilience.Feature].
func (apart) Install(s *resilience.Setup) error {
	s.Wrap(resilience.LayerTimeout, func(m *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error {
			err := next(ctx, c)
			if c.Faulted() {
				_ = sim.Sleep(context.Background(), 0, actorOf(recordOf(ctx), number(m)))
			}
			return err
		}
	})
	return nil
}

// An attempt as the pool told of it.
type toldAttempt struct {
	model      int
	begin, end int64
	faulted    bool
}

func (v *view) told() (list []toldAttempt) {
	for _, e := range v.events {
		if e.kind == resilience.EventAttempt {
			list = append(list, toldAttempt{e.model, e.at - int64(e.took), e.at, e.faulted})
		}
	}
	slices.SortStableFunc(list, func(a, b toldAttempt) int { return cmp.Compare(a.begin, b.begin) })
	return list
}

// withinBlast looks at what was struck, when, and how much of it.
func withinBlast(v *view, bad func(string, ...any)) {
	blast := v.scenario.blast
	if blast == nil {
		for _, e := range v.events {
			if e.faulted {
				bad("m%d was struck at %v, and nothing was injected", e.model, at(e.at))
			}
		}
		return
	}
	told := v.told()
	for _, a := range told {
		if a.faulted && !slices.ContainsFunc(v.days, func(d *dayRecord) bool {
			return d.err == nil && a.begin >= d.begin && a.begin < d.end && d.of(a.model)
		}) {
			bad("m%d was struck at %v, when nothing was injected there", a.model, at(a.begin))
		}
	}
	for _, d := range v.days {
		if d.err != nil {
			if !strings.Contains(d.err.Error(), "blast.") {
				bad("an injection at %v failed: %v", at(d.begin), d.err)
			}
			continue
		}
		if length := d.end - d.begin; length > int64(blast.For) {
			bad("faults lasted %v of %v", at(length), blast.For)
		}
		hit := map[int]bool{}
		for _, other := range v.days {
			strikes := slices.ContainsFunc(told, func(a toldAttempt) bool { // it has not ended for its share
				return a.faulted && a.begin >= d.begin && v.by(a) == other
			})
			if other == d || other.err == nil && other.begin <= d.begin && d.begin < other.end && strikes {
				for _, m := range other.models {
					hit[m] = true
				}
			}
		}
		if len(hit) > blast.Models {
			bad("%d models of %d were hit at %v", len(hit), blast.Models, at(d.begin))
		}
	}
	v.share(told, bad)
}

// by is the day that struck an attempt, nil if it may have been one of several.
func (v *view) by(a toldAttempt) (by *dayRecord) {
	for _, d := range v.days {
		if d.err != nil || a.begin < d.begin || a.begin >= d.end || !d.of(a.model) {
			continue
		}
		if by != nil {
			return nil
		}
		by = d
	}
	return by
}

// share looks at the part of the attempts that was struck: no more than there
// may be since a day began that strikes them.
func (v *view) share(told []toldAttempt, bad func(string, ...any)) {
	type count struct{ asked, struck int }
	counts := map[*dayRecord]*count{}
	for _, a := range told {
		within, n := false, ""
		for _, d := range v.days {
			if d.err != nil || a.begin <= d.begin || a.begin >= d.end {
				continue
			}
			if counts[d] == nil {
				counts[d] = &count{}
			}
			c := counts[d]
			if c.asked++; a.faulted {
				c.struck++
			}
			if d.of(a.model) {
				within = within || c.asked <= 20 || float64(c.struck) <= v.scenario.blast.Share*float64(c.asked)
				n += fmt.Sprintf(" %d of %d since %v", c.struck, c.asked, at(d.begin))
			}
		}
		if a.faulted && !within {
			bad("m%d was struck at %v, and a part of %v may be:%s", a.model, at(a.begin), v.scenario.blast.Share, n)
			return
		}
	}
}

package chaos

import (
	"fmt"
	"time"
)

// goodput compares the answers with what the models that are left can carry.
// Faults that are counted leave a model whole, but for those of its attempts.
func (r *run) goodput(w *watch, tries []*trial) Check {
	counted := 0.0
	for _, x := range r.dose.injections {
		for _, t := range tries {
			if x.When.Times > 0 && t.fault == x.String() && t.begin < r.e.For {
				counted++
			}
		}
	}
	possible := max(r.possible(w, true), r.possible(w, false)-counted)
	if possible == 0 {
		return skipped(CheckGoodput, "no model was left that could answer")
	}
	m := w.measure(0, r.e.For)
	got := float64(m.Calls-m.Failed) / possible
	return check(CheckGoodput, got >= r.e.During.Goodput, "≥ "+percent(r.e.During.Goodput)+" of what is left",
		percent(min(got, 1)), fmt.Sprintf("%d of %d calls were answered, and %.0f could be", m.Calls-m.Failed, m.Calls, possible))
}

// possible is how many of the calls with faults could be answered, if counted
// faults last as others do or, without them, strike nothing.
func (r *run) possible(w *watch, counted bool) (sum float64) {
	models := r.i.pool.Models()
	if r.drifted != nil {
		models = models[min(r.e.Drift.Drop, len(models)):]
	}
	calls := make([]float64, r.e.For/time.Second+1)
	for _, c := range w.calls {
		if c.at < r.e.For {
			calls[c.at/time.Second]++
		}
	}
	for from := time.Duration(0); from < r.e.For; from += time.Second {
		left, some := 0.0, false
		for _, m := range models {
			whole := 1.0
			for _, x := range r.dose.injections {
				if x.models[m.ID()] && x.Fault.fails() && (counted || x.When.Times == 0) {
					whole *= 1 - x.When.share(from)
				}
			}
			left, some = left+whole, some || whole > 0
		}
		n := calls[from/time.Second]
		switch {
		case r.e.Load.Capacity > 0:
			sum += min(n, left*r.e.Load.Capacity*min(time.Second, r.e.For-from).Seconds())
		case some:
			sum += n
		}
	}
	return sum
}

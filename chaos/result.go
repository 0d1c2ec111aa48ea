package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A Verdict is how an experiment ended.
type Verdict string

// The verdicts.
const (
	VerdictPassed  Verdict = "passed"
	VerdictFailed  Verdict = "failed"  // a check
	VerdictInvalid Verdict = "invalid" // it shows nothing: the steady state was not met without faults, or nothing was struck
	VerdictAborted Verdict = "aborted" // before its end
)

// A Result says how an experiment went. For the same seed it is the same, where
// time is virtual and the pool's chance is of a [resilience.Seed].
type Result struct {
	Name    string  `json:"name"`
	About   string  `json:"about,omitempty"`
	Seed    uint64  `json:"seed"`
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"` // it is invalid, or was aborted
	Score   float64 `json:"score"`         // 0 to 100: of the checks that had something to see, those that passed
	Weight  float64 `json:"weight"`

	Checks   []Check  `json:"checks,omitempty"`
	Control  Measures `json:"control"`
	During   Measures `json:"during"`
	After    Measures `json:"after"`
	Struck   int      `json:"struck"` // attempts
	Timeline []Damage `json:"timeline,omitempty"`
}

// A Check is one thing that was looked at.
type Check struct {
	Name     string       `json:"name"`
	Outcome  CheckOutcome `json:"outcome"`
	Want     string       `json:"want,omitempty"`
	Got      string       `json:"got,omitempty"`
	Evidence []string     `json:"evidence,omitempty"` // of a check that failed: the first few cases
}

// A CheckOutcome is what came of a [Check].
type CheckOutcome string

// The outcomes of checks.
const (
	CheckPassed  CheckOutcome = "passed"
	CheckFailed  CheckOutcome = "failed"
	CheckSkipped CheckOutcome = "skipped" // there was nothing to see
)

// Measures are what was seen of the calls that began in a part of a run.
type Measures struct {
	Calls    int            `json:"calls"`
	Failed   int            `json:"failed"`
	Kinds    map[string]int `json:"kinds,omitempty"` // of the failures
	Attempts int            `json:"attempts"`
	P50      Moment         `json:"p50"`
	P95      Moment         `json:"p95"`
	P99      Moment         `json:"p99"`
}

// Success is the share of the calls that did not fail, 1 without calls.
func (m Measures) Success() float64 {
	if m.Calls == 0 {
		return 1
	}
	return 1 - float64(m.Failed)/float64(m.Calls)
}

// PerCall is the mean number of attempts of a call, 0 without calls.
func (m Measures) PerCall() float64 { return float64(m.Attempts) / float64(max(m.Calls, 1)) }

// Damage is what happened to one model, in times since the faults began.
type Damage struct {
	Model   string `json:"model"`
	Fault   string `json:"fault"`   // the first that struck
	Struck  int    `json:"struck"`  // attempts
	Broke   Moment `json:"broke"`   // the first attempt was struck
	Noticed Moment `json:"noticed"` // the model was held: its breaker opened, or it asked for a rest
	Safe    Moment `json:"safe"`    // no call failed any more that had met it
	Back    Moment `json:"back"`    // the faults were over, and nothing held it
}

// checks compares with what was seen.
func (p Promises) checks(m Measures) (list []Check) {
	add := func(name string, promised, ok bool, want, got string) {
		if promised {
			list = append(list, check(name, ok, want, got))
		}
	}
	add(CheckSuccess, p.Success > 0, m.Success() >= p.Success, "≥ "+percent(p.Success), percent(m.Success()))
	add(CheckLatency, p.P95 > 0, m.P95 >= 0 && time.Duration(m.P95) <= p.P95, "p95 ≤ "+p.P95.String(), m.P95.String())
	add(CheckAmplification, p.Attempts > 0, m.PerCall() <= p.Attempts,
		fmt.Sprintf("≤ %.2f attempts a call", p.Attempts), fmt.Sprintf("%.2f", m.PerCall()))
	return list
}

func check(name string, ok bool, want, got string, evidence ...string) Check {
	c := Check{Name: name, Outcome: CheckPassed, Want: want, Got: got}
	if !ok {
		const most = 5
		if n := len(evidence); n > most {
			evidence = append(evidence[:most:most], "and "+strconv.Itoa(n-most)+" more")
		}
		c.Outcome, c.Evidence = CheckFailed, evidence
	}
	return c
}

func skipped(name, why string) Check { return Check{Name: name, Outcome: CheckSkipped, Got: why} }

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// measure sums up the calls that began in [from, to).
func (w *watch) measure(from, to time.Duration) Measures {
	return w.sum(func(c *seenCall) bool { return c.at >= from && c.at < to })
}

// measureEnded sums up the calls that ended in [from, to).
func (w *watch) measureEnded(from, to time.Duration) Measures {
	return w.sum(func(c *seenCall) bool { return c.done && c.at+c.took >= from && c.at+c.took < to })
}

func (w *watch) sum(in func(*seenCall) bool) Measures {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := Measures{P50: Never, P95: Never, P99: Never}
	var took []time.Duration
	of := make([]bool, len(w.calls))
	for n, c := range w.calls {
		if !in(c) {
			continue
		}
		of[n] = true
		m.Calls++
		took = append(took, c.took)
		if c.ok {
			continue
		}
		m.Failed++
		if m.Kinds == nil {
			m.Kinds = map[string]int{}
		}
		m.Kinds[c.kind.String()]++
	}
	for _, t := range w.tries {
		if of[t.load] {
			m.Attempts++
		}
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		at := func(p float64) Moment { return Moment(took[min(int(p*float64(n)), n-1)]) }
		m.P50, m.P95, m.P99 = at(.5), at(.95), at(.99)
	}
	return m
}

// damage is the timeline of an experiment whose faults lasted d.
func (w *watch) damage(tries []*trial, d time.Duration) (list []Damage) {
	for _, id := range w.order {
		s := w.models[id]
		x := Damage{Model: id, Broke: Never, Noticed: s.noticed, Safe: Never, Back: Never}
		met := map[int]bool{}
		for _, t := range tries {
			if t.model != id || t.fault == "" {
				continue
			}
			if x.Broke == Never {
				x.Broke, x.Fault, x.Safe = Moment(t.begin), t.fault, Moment(t.begin)
			}
			x.Struck++
			met[t.load] = true
		}
		if x.Broke == Never && x.Noticed == Never {
			continue
		}
		for n, c := range w.calls {
			if met[n] && !c.ok {
				x.Safe = max(x.Safe, Moment(c.at+c.took))
			}
		}
		if !s.held || s.before {
			x.Back = Moment(max(s.lastHeld, d))
		}
		list = append(list, x)
	}
	slices.SortStableFunc(list, func(a, b Damage) int { return cmp.Compare(a.Broke, b.Broke) })
	return list
}

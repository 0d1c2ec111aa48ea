package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// The checks, by name, as a [Result] has them. Those of outcomes are there where
// something is promised.
const (
	CheckSuccess       = "success"
	CheckGoodput       = "goodput"
	CheckLatency       = "latency"
	CheckAmplification = "amplification"
	CheckAttempts      = "bounded_attempts"
	CheckRetryAfter    = "honoured_retry_after"
	CheckTruncated     = "no_truncated_success"
	CheckReplay        = "no_replay_after_first_byte"
	CheckProbes        = "probe_discipline"
	CheckRecovered     = "recovered_in_time"
	CheckAlive         = "alive_after"
)

// judge fills in what was seen with faults and after them.
func (r *run) judge(res *Result, w *watch) {
	e, tries := r.e, w.sorted()
	res.During, res.After = w.measure(0, e.For), w.measure(e.For, e.For+e.after())
	res.Timeline = w.damage(tries, e.For)
	for _, d := range res.Timeline {
		res.Struck += d.Struck
	}
	switch {
	case w.aborted() != "":
		res.Verdict, res.Why = VerdictAborted, w.aborted()
		return
	case res.Struck == 0 && r.drifted == nil:
		res.Verdict, res.Why = VerdictInvalid, "no attempt was struck, so nothing is shown: is the load long enough, and does it go to the models that were meant?"
		return
	}
	res.Checks = append(res.Checks, e.During.checks(res.During)...)
	if e.During.Goodput > 0 {
		res.Checks = append(res.Checks, r.goodput(w, tries))
	}
	if e.Conduct.Attempts > 0 {
		res.Checks = append(res.Checks, bounded(tries, e.Conduct.Attempts))
	}
	res.Checks = append(res.Checks, r.honoured(tries), truncated(w, tries), replayed(tries))
	if e.Conduct.Probes > 0 {
		res.Checks = append(res.Checks, r.disciplined(tries))
	}
	res.Checks = append(res.Checks, r.recovered(w), alive(w, tries))
	passed, failed := 0, 0
	for _, c := range res.Checks {
		switch c.Outcome {
		case CheckPassed:
			passed++
		case CheckFailed:
			failed++
		}
	}
	res.Verdict, res.Score = VerdictPassed, math.Round(1000*float64(passed)/float64(passed+failed))/10
	if failed > 0 {
		res.Verdict = VerdictFailed
	}
}

// bounded looks at how many attempts each call made.
func bounded(tries []*trial, most int) Check {
	count, worst := map[int]int{}, 0
	var evidence []string
	for _, t := range tries {
		count[t.load]++
		worst = max(worst, count[t.load])
		if count[t.load] == most+1 {
			evidence = append(evidence, fmt.Sprintf("call %d makes attempt %d at %v", t.load, most+1, Moment(t.begin)))
		}
	}
	return check(CheckAttempts, worst <= most, fmt.Sprintf("≤ %d attempts in a call", most), fmt.Sprint(worst), evidence...)
}

// honoured looks at whether a model that asked for a wait was left alone, by the
// same key. Within slack, of the pool's clock, nobody can know yet.
func (r *run) honoured(tries []*trial) Check {
	slack := r.i.world(10 * time.Millisecond)
	type place struct{ model, key string }
	asks := map[place][]*trial{} // by when they asked
	asked := 0
	for _, t := range tries {
		if t.asked > 0 && t.end > 0 {
			at := place{t.model, t.key}
			asks[at] = append(asks[at], t)
			asked++
		}
	}
	for _, list := range asks {
		slices.SortStableFunc(list, func(a, b *trial) int { return cmp.Compare(a.end, b.end) })
	}
	last := map[place]*trial{} // to end
	var evidence []string
	for _, t := range tries {
		at := place{t.model, t.key}
		for list := asks[at]; len(list) > 0 && list[0].end+slack < t.begin; list = list[1:] {
			if l := last[at]; l == nil || list[0].end+list[0].asked > l.end+l.asked {
				last[at] = list[0]
			}
			asks[at] = list[1:]
		}
		if l := last[at]; l != nil && !t.lastResort && t.begin < l.end+l.asked-slack {
			evidence = append(evidence, fmt.Sprintf("call %d asks %s at %v, which asked at %v for a wait of %v",
				t.load, t.model, Moment(t.begin), Moment(l.end), l.asked))
		}
	}
	if asked == 0 {
		return skipped(CheckRetryAfter, "no model asked for a wait")
	}
	return check(CheckRetryAfter, len(evidence) == 0, "nobody asks before the wait is over", fmt.Sprintf("%d came too early", len(evidence)), evidence...)
}

// truncated looks at whether an answer that broke off passed for a whole one.
func truncated(w *watch, tries []*trial) Check {
	broken, whole := 0, map[int]bool{}
	for _, t := range tries {
		if t.broke {
			broken++
		} else if t.ok {
			whole[t.load] = true
		}
	}
	if broken == 0 {
		return skipped(CheckTruncated, "no stream was broken")
	}
	var evidence []string
	for _, t := range tries {
		if t.broke && (t.ok || w.calls[t.load].ok && !whole[t.load]) {
			evidence = append(evidence, fmt.Sprintf("call %d succeeded, and its stream from %s broke after %d chunks", t.load, t.model, t.chunks))
		}
	}
	return check(CheckTruncated, len(evidence) == 0, "no broken stream is a success", fmt.Sprintf("%d of %d", len(evidence), broken), evidence...)
}

// replayed looks at whether a call was made anew of which a part was delivered.
func replayed(tries []*trial) Check {
	delivered, seen := map[int]*trial{}, false
	var evidence []string
	for _, t := range tries {
		if d := delivered[t.load]; d != nil && d.call != t.call && d.end > 0 && d.end <= t.begin {
			evidence = append(evidence, fmt.Sprintf("call %d asks again at %v, after %d chunks of the answer from %s", t.load, Moment(t.begin), d.chunks, d.model))
		}
		if t.broke && t.delivered {
			seen, delivered[t.load] = true, t
		}
	}
	if !seen {
		return skipped(CheckReplay, "no stream broke of which a part was delivered")
	}
	return check(CheckReplay, len(evidence) == 0, "nothing is asked again of which a part was delivered", fmt.Sprintf("%d", len(evidence)), evidence...)
}

// noticed is after how many attempts at a model that answers nothing the others
// are probes.
const noticed = 10

// disciplined looks at how often models were asked that answered nothing.
func (r *run) disciplined(tries []*trial) Check {
	most, worst, seen := r.e.Conduct.Probes, 0.0, false
	var evidence []string
	for _, m := range r.i.pool.Models() {
		var run []*trial // in a row at a model that is down
		look := func() {
			if len(run) <= noticed {
				seen = seen || len(run) > 0
				run = nil
				return
			}
			seen = true
			probes := run[noticed:]
			from, to := run[noticed-1].begin, r.e.For
			perMinute := float64(len(probes)) / max(to-from, time.Second).Minutes()
			if allowed := 2 + most*(to-from).Minutes(); float64(len(probes)) > allowed {
				evidence = append(evidence, fmt.Sprintf("%s was asked %d times from %v on, though it answered nothing", m.ID(), len(probes), Moment(from)))
			}
			worst, run = max(worst, perMinute), nil
		}
		for _, t := range tries {
			switch {
			case t.model != m.ID() || t.lastResort:
			case t.down:
				run = append(run, t)
			case t.begin < r.e.For:
				look()
			}
		}
		look()
	}
	if !seen {
		return skipped(CheckProbes, "no model failed every attempt")
	}
	return check(CheckProbes, len(evidence) == 0, fmt.Sprintf("≤ %v attempts a minute at a model that answers nothing", most),
		fmt.Sprintf("%.1f", worst), evidence...)
}

// recovered looks at when the calls after the faults are as they were.
func (r *run) recovered(w *watch) Check {
	if w.measure(r.e.For, r.e.For+r.e.after()).Calls == 0 {
		return skipped(CheckRecovered, "no calls were made after the faults")
	}
	window := r.e.Recover / 12
	back := time.Duration(0)
	var evidence []string
	for from := time.Duration(0); from+window <= r.e.after(); from += window {
		m := w.measure(r.e.For+from, r.e.For+from+window)
		if m.Success() >= min(cmp.Or(r.e.Steady.Success, .99), .99) {
			continue
		}
		back = from + window
		if back > r.e.Recover {
			evidence = append(evidence, fmt.Sprintf("%d of %d calls failed between %v and %v after the faults", m.Failed, m.Calls, from, back))
		}
	}
	return check(CheckRecovered, back <= r.e.Recover, "as without faults within "+r.e.Recover.String(), back.String(), evidence...)
}

// alive looks at what is left of the faults at the end.
func alive(w *watch, tries []*trial) Check {
	var evidence []string
	for _, id := range w.order {
		if s := w.models[id]; s.held && !s.before {
			evidence = append(evidence, id+" is still held")
		}
	}
	for n, c := range w.calls {
		if !c.done {
			evidence = append(evidence, fmt.Sprintf("call %d has not ended", n))
		}
	}
	for _, t := range tries {
		if t.end == 0 {
			evidence = append(evidence, fmt.Sprintf("call %d has left an attempt at %s open", t.load, t.model))
		}
	}
	return check(CheckAlive, len(evidence) == 0, "every model takes calls, and nothing is left open", fmt.Sprintf("%d left", len(evidence)), evidence...)
}

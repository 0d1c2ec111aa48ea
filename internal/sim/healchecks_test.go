package sim_test

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/recovery"
)

// theirs looks at what recovery does with models that people hold.
func theirs(v *view, bad func(string, ...any)) {
	for _, o := range v.orders {
		if o.kind != drain && o.kind != isolate && o.kind != openHand {
			continue
		}
		until := v.until(o)
		for _, e := range v.events {
			if e.model != o.model || e.at <= o.at+slack || e.at >= until-slack {
				continue
			}
			back := e.kind == resilience.EventRecovery && (e.to == "probing" || e.to == "recovered" || strings.HasPrefix(e.to, "ramping"))
			if back || e.kind == resilience.EventControl && strings.Contains(e.reason, "by recovery") {
				bad("m%d at %v: %s %s, and %s from %v to %v", e.model, at(e.at), e.to, e.reason, o.kind, at(o.at), at(until))
			}
		}
	}
}

// stage is a step without its part.
func stage(of string) string {
	word, _, _ := strings.Cut(of, " ")
	return word
}

func over(to string) bool { return to == "recovered" || to == "left" }

func episodes(v *view, bad func(string, ...any)) {
	next := map[string]string{
		"": "held", "held": "held probing ramping recovered manual left", "probing": "held ramping recovered manual left",
		"ramping": "ramping relapsed recovered manual left", "relapsed": "probing ramping recovered manual left",
		"manual": "held probing ramping relapsed recovered left",
	}
	recovered, manual := 0, 0
	for model := range v.scenario.models {
		state, told := "", false
		for _, e := range v.steps[model] {
			if e.from != state || !slices.Contains(strings.Fields(next[stage(state)]), stage(e.to)) || e.to == "manual" && told {
				bad("m%d went from %q to %q at %v, and was at %q", model, e.from, e.to, at(e.at), state)
			}
			if v.scenario.recovery == nil || !v.scenario.runs || e.would != v.scenario.recovery.ObserveOnly {
				bad("m%d went to %q at %v, where nothing recovers", model, e.to, at(e.at))
			}
			state, told = e.to, told || e.to == "manual"
			if !over(state) {
				continue
			}
			if state == "recovered" {
				recovered++
			} else if told {
				manual++
			}
			state, told = "", false
		}
		if state != "" {
			bad("m%d is at %q in the end", model, state)
		}
	}
	for _, o := range v.end.outcomes {
		if o.Recovered {
			recovered--
		} else {
			manual--
		}
	}
	if recovered != 0 || manual != 0 {
		bad("of what was told as recovered %d more are remembered, and %d more as left to people", -recovered, -manual)
	}
}

func tries(v *view, bad func(string, ...any)) {
	c := v.scenario.recovery
	if c == nil {
		return
	}
	after, most := int64(cmp.Or(c.After, 5*time.Second)), cmp.Or(c.AtOnce, 2)
	since := make([]int64, len(v.scenario.models)) // of the hold, or the try before
	under := map[int]bool{}
	for _, e := range v.events {
		if e.kind != resilience.EventRecovery {
			continue
		}
		delete(under, e.model)
		switch {
		case e.to == "probing":
			if under[e.model] = true; len(under) > most {
				bad("%d models of %d are tried at %v", len(under), most, at(e.at))
			}
			if e.at-since[e.model] < after-slack && !v.seenWell(e.model, since[e.model], e.at) {
				bad("m%d is tried at %v, %v after it was held or tried", e.model, at(e.at), at(e.at-since[e.model]))
			}
			since[e.model] = e.at
		case e.from == "" || e.to == "relapsed":
			since[e.model] = e.at
		}
	}
}

// seenWell reports whether a probe found a model well.
func (v *view) seenWell(model int, from, to int64) bool {
	return slices.ContainsFunc(v.glances, func(p *probeRecord) bool {
		return p.model == model && p.kind == 0 && p.end >= from && p.end <= to
	})
}

// part is what a step gives, NaN if it does not say.
func part(to string) float64 {
	text, ok := strings.CutPrefix(to, "ramping ")
	if !ok {
		if over(to) {
			return 1
		}
		return math.NaN()
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(text, " %"), 64)
	if err != nil {
		return -1
	}
	return percent / 100
}

// partAt is what a model was said to get at an instant, NaN if that was not said or
// just changed.
func (v *view) partAt(model int, at int64) (told float64) {
	told = 1
	for _, e := range v.steps[model] {
		if e.at > at+slack {
			break
		}
		if told = part(e.to); e.would {
			told = 1
		}
		if e.at >= at-slack {
			told = math.NaN()
		}
	}
	return told
}

func parts(v *view, bad func(string, ...any)) {
	for _, w := range v.visits {
		if told := v.partAt(w.model, w.at); math.Abs(w.ramp-told) > 1e-3 {
			bad("m%d had %v of its traffic at %v, and was said to have %v", w.model, w.ramp, at(w.at), told)
		}
	}
	for model, ramp := range v.end.ramps {
		if ramp != 1 {
			bad("m%d has %v of its traffic in the end", model, ramp)
		}
	}
	v.shares(bad)
}

// shares looks at how many of the calls that may go anywhere go to models on their way
// back: a model that all would go to gets its part of them, and others less.
func (v *view) shares(bad func(string, ...any)) {
	got, most := 0, 0.
	for _, c := range v.calls {
		visits := v.visitsOf[c.id]
		if len(visits) == 0 || c.plan.opts.Model != "" || visits[0].lastResort {
			continue
		}
		for model := range v.scenario.models {
			if part := v.partAt(model, visits[0].at); part < 1 {
				most += part
				if visits[0].model == model {
					got++
				}
			}
		}
	}
	if float64(got) > most+4*math.Sqrt(most)+5 {
		bad("%d calls went to models on their way back, and %.1f is their part", got, most)
	}
}

// A span is a time for which something was so.
type span struct{ from, to int64 }

// heldBy are the times for which a holder had a model.
func (v *view) heldBy(model int, holder string) (list []span) {
	for _, e := range v.holds[model] {
		last := len(list) - 1
		switch {
		case e.kind == resilience.EventHold && e.to == holder && last >= 0 && e.at <= list[last].to:
			list[last].to = e.until
		case e.kind == resilience.EventHold && e.to == holder:
			list = append(list, span{e.at, e.until})
		case e.kind == resilience.EventRelease && e.from == holder && last >= 0:
			list[last].to = min(list[last].to, e.at)
		}
	}
	return list
}

func glances(v *view, bad func(string, ...any)) {
	watched, healed := v.scenario.health, v.scenario.recovery
	per := make([]int, len(v.scenario.models)) // attempt of recovery
	last, lastOfHealth := make([]int64, len(per)), int64(-1)
	mine, trying := make([][]span, len(per)), slices.Clone(v.steps)
	for model := range per {
		mine[model] = v.heldBy(model, "recovery")
		per[model] = -1
	}
	for _, p := range v.glances {
		if !v.scenario.runs {
			bad("m%d was probed at %v though nothing runs", p.model, at(p.begin))
		}
		if p.begin < last[p.model] || p.end == 0 {
			bad("m%d was probed at %v while it was, until %v", p.model, at(p.begin), at(last[p.model]))
		}
		last[p.model] = p.end
		for len(trying[p.model]) > 0 && trying[p.model][0].at <= p.begin {
			if per[p.model] = -1; trying[p.model][0].to == "probing" {
				per[p.model] = 0
			}
			trying[p.model] = trying[p.model][1:]
		}
		if per[p.model] >= 0 && healed != nil {
			if per[p.model]++; per[p.model] > v.mostProbes(p.model) {
				bad("a try of m%d took %d probes at %v", p.model, per[p.model], at(p.begin))
			}
			continue
		}
		if watched == nil || watched.Probes < 0 {
			bad("nobody probes, and m%d was at %v", p.model, at(p.begin))
			continue
		}
		gap := int64(float64(time.Second) / cmp.Or(watched.Probes, 1))
		if lastOfHealth >= 0 && p.begin-lastOfHealth < gap-slack {
			bad("m%d was probed at %v, %v after another", p.model, at(p.begin), at(p.begin-lastOfHealth))
		}
		lastOfHealth = p.begin
		if slices.ContainsFunc(mine[p.model], func(s span) bool {
			return p.begin > s.from+slack && p.begin < s.to-slack
		}) {
			bad("m%d was probed by health at %v, and recovery has it", p.model, at(p.begin))
		}
	}
}

// mostProbes is how many probes a try of a model takes: one by each key, and what
// warms it up.
func (v *view) mostProbes(model int) int {
	n := max(len(v.scenario.models[model].Keys), 1)
	for _, list := range v.scenario.recovery.Actions {
		for _, a := range list {
			if a.Name == recovery.WarmUp(nil).Name {
				n++
			}
		}
	}
	return n
}

func ejections(v *view, bad func(string, ...any)) {
	if v.scenario.health == nil {
		return
	}
	most := max(int(cmp.Or(v.scenario.health.MaxEjected, .5)*float64(len(v.scenario.models))), 1)
	out := map[int]bool{}
	for _, e := range v.events {
		if e.kind != resilience.EventHealth || e.model < 0 {
			continue
		}
		if delete(out, e.model); e.to != "unavailable" {
			continue
		}
		if out[e.model] = true; len(out) > most || !e.spare {
			bad("m%d was taken out at %v, with %d of %d, another available: %v", e.model, at(e.at), len(out), most, e.spare)
		}
	}
}

func healths(v *view, bad func(string, ...any)) {
	type subject struct {
		model int
		group string
	}
	states := map[subject]string{}
	for _, e := range v.events {
		if e.kind != resilience.EventHealth {
			continue
		}
		of := subject{model: e.model}
		if e.model < 0 {
			of.group, _, _ = strings.Cut(e.reason, ":")
		}
		if was := cmp.Or(states[of], "available"); e.from != was || e.to == was {
			bad("m%d %s went from %s to %s at %v, and was %s", of.model, of.group, e.from, e.to, at(e.at), was)
		}
		if v.scenario.health == nil || !v.scenario.runs || e.would != v.scenario.health.ObserveOnly {
			bad("m%d %s went to %s at %v, where nothing is checked", of.model, of.group, e.to, at(e.at))
		}
		states[of] = e.to
	}
	for of, state := range states {
		if of.model < 0 && state != "available" {
			bad("%s is %s in the end", of.group, state)
		}
	}
	for model, r := range v.end.health {
		told := cmp.Or(states[subject{model: model}], "available")
		if v.end.available[model] && v.end.ramps[model] == 1 && (told == "available") != (r.Status == resilience.Available) {
			bad("m%d is %v in the end, and was said to be %s", model, r.Status, told)
		}
	}
}

func returns(v *view, bad func(string, ...any)) {
	for model := range v.scenario.models {
		for _, s := range v.heldBy(model, "recovery") {
			c := v.scenario.recovery
			if c == nil || !v.scenario.runs || c.ObserveOnly {
				bad("m%d is held by recovery at %v", model, at(s.from))
				continue
			}
			if end := int64(heal + v.back()); s.from < int64(heal) && s.to > end {
				bad("m%d is held by recovery from %v on, until %v, all being well", model, at(s.from), at(s.to))
			}
		}
		v.letGo(model, bad)
	}
}

// back is how long recovery takes to bring all models back that are well.
func (v *view) back() time.Duration {
	c := v.scenario.recovery
	n := 1
	for _, m := range v.scenario.models {
		n = max(n, len(m.Keys))
	}
	for _, list := range c.Actions {
		n += len(list)
	}
	atOnce := cmp.Or(c.AtOnce, 2)
	turns := (len(v.scenario.models) + atOnce - 1) / atOnce
	return max(26*time.Second, c.After)*11/10 + time.Duration(turns*n)*cmp.Or(c.Timeout, 5*time.Second) + 5*time.Second
}

// letGo looks for how long health holds a model.
func (v *view) letGo(model int, bad func(string, ...any)) {
	for _, s := range v.heldBy(model, "health") {
		if end := v.end.now; s.to >= end {
			bad("m%d is held by health from %v until %v", model, at(s.from), at(s.to))
		}
	}
	for _, e := range v.holds[model] {
		ours := e.reason != resilience.NotFound.String() // or else the breaker's
		if e.kind != resilience.EventHold || e.to != "health" || !ours {
			continue
		}
		c := v.scenario.health
		if c == nil || !v.scenario.runs || c.ObserveOnly {
			bad("m%d is held by health at %v: %s", model, at(e.at), e.reason)
		} else if d := e.until - e.at; d > int64(11*c.Interval) {
			bad("m%d is held by health at %v, for %v", model, at(e.at), at(d))
		}
	}
}

package sim_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
)

// A check looks for a violation of what must always hold. Numbers are those of
// the list of invariants that the simulation is after.
type check struct {
	number int
	name   string
	find   func(*view, func(string, ...any))
}

// slack is how late anything may be in virtual time: actors wake at instants of
// their own, and some do so one after the other.
const slack = int64(10 * time.Millisecond)

var checks = []check{
	{1, "a call ends exactly once", endsOnce},
	{2, "a call ends by its deadline", endsInTime},
	{3, "a call has no more attempts than it may", boundedAttempts},
	{4, "retries stay within the budget", boundedRetries},
	{5, "an open breaker lets nothing pass", openIsShut},
	{6, "a half-open breaker lets through as many as it is set to", boundedProbes},
	{7, "a breaker waits for probes that are under way alone", noWedge},
	{8, "outcomes of one life decide the next, and no others", ownLife},
	{9, "breakers change from closed to open to half-open to either", legalTurns},
	{10, "each change of a breaker is told once and in order", turnsInOrder},
	{11, "what says nothing of a model opens no breaker", neutral},
	{12, "a model is not asked before the time that it named", retryAfter},
	{13, "a refused key or a spent quota is not tried again", refusedKeys},
	{14, "a wrong request is sent once", wrongOnce},
	{15, "a stream's reader gets one answer, without gaps or repeats", oneStream},
	{16, "a stream without its end is not whole", wholeStreams},
	{17, "an answer is valid, and its model the one that gave it", honestReports},
	{18, "answers do not get mixed up", ownAnswers},
	{19, "no more is under way than there is room for, and nothing in the end", bulkheads},
	{20, "a call goes to a model once, and to no more models than it may", walks},
	{21, "a call goes to models that can, may and are not drained", eligible},
	{23, "with nothing to ask a call fails at once, and says why", failsAtOnce},
	{25, "a call's values reach the model, losers are canceled and winners are not", contexts},
	{26, "no more wait than may", boundedQueues},
	{27, "nothing is left when all is over", noLeaks},
	{28, "a pool drains, twice if need be, and then refuses", drains},
	{29, "a call has one configuration, and reloads change nothing else", reloads},
	{30, "the numbers add up", sums},
	{32, "the audit is asked before anything is changed by hand", audited},
	{34, "levels of degradation go down when all is calm, and to none in the end", hysteresis},
	{35, "what is injected stays within its limits, and ends", withinBlast},
	{36, "what people drained gets no calls until they are done", byHand},
	{37, "when all is well again calls succeed", goodput},
	{38, "when all is well again breakers close and nothing is amplified", converges},
	{39, "a request that may be sent once is accepted once", once},
	{40, "a request has a key of the caller's own, or else one of the model's", ownKeys},
	{41, "a failure of one of a model's keys costs the call nothing while there is another", rotations},
	{42, "budgets are what was billed, nothing is left reserved, and limits hold", bills},
	{43, "what people hold is theirs: nobody else brings it back", theirs},
	{44, "a recovery is told step by step, and is over in the end", episodes},
	{45, "no more models are tried at the same time than may be, and none too soon", tries},
	{46, "a model on its way back gets the part that was told", parts},
	{47, "probes are as many as may be, one at a time, and none where nothing runs", glances},
	{48, "checks never hold all models, nor more than may be", ejections},
	{49, "a model's health is what was told", healths},
	{50, "what health and recovery hold comes back", returns},
}

// elsewhere are invariants that have tests of their own, and missing those whose
// subject there is not yet.
var (
	elsewhere = map[int]string{
		22: "shares by weight: TestWeights",
		24: "slow subscribers: TestReplay",
	}
	missing = map[int]string{
		31: "alerts: no monitor yet",
		33: "votes: no bipadapter yet",
	}
)

// A view is a history with indexes.
type view struct {
	*history

	asksOf   map[int64][]*askRecord
	visitsOf map[int64][]*visitRecord
	callOf   map[int64]*callRecord
	gatesAt  [][]*gateRecord // by model
	asksAt   [][]*askRecord
	keyed    map[keyPlace][]*askRecord // if it was asked for
	steps    [][]eventRecord           // of recovery, by model
	holds    [][]eventRecord           // of models, and releases
	resets   []eventRecord             // by recovery
	struck   map[visitPlace]bool       // by the pool's own injector: late, if it was asked at all
}

type visitPlace struct {
	call  int64
	model int
}

func look(h *history) *view {
	v := &view{
		history: h, asksOf: map[int64][]*askRecord{}, visitsOf: map[int64][]*visitRecord{}, callOf: map[int64]*callRecord{},
		gatesAt: make([][]*gateRecord, len(h.scenario.models)), asksAt: make([][]*askRecord, len(h.scenario.models)),
		struck: map[visitPlace]bool{}, steps: make([][]eventRecord, len(h.scenario.models)), holds: make([][]eventRecord, len(h.scenario.models)),
	}
	for _, e := range h.events {
		if e.faulted {
			v.struck[visitPlace{e.call, e.model}] = true
		}
		if e.kind == resilience.EventControl && strings.HasPrefix(e.reason, "reset by recovery") {
			v.resets = append(v.resets, e)
		}
		switch {
		case e.model < 0:
		case e.kind == resilience.EventRecovery:
			v.steps[e.model] = append(v.steps[e.model], e)
		case (e.kind == resilience.EventHold || e.kind == resilience.EventRelease) && e.key == "" && !e.would:
			v.holds[e.model] = append(v.holds[e.model], e)
		}
	}
	for _, c := range h.calls {
		v.callOf[c.id] = c
	}
	for _, a := range h.asks {
		v.asksOf[a.call] = append(v.asksOf[a.call], a)
		v.asksAt[a.model] = append(v.asksAt[a.model], a)
	}
	for _, w := range h.visits {
		v.visitsOf[w.call] = append(v.visitsOf[w.call], w)
	}
	for _, g := range h.gates {
		v.gatesAt[g.model] = append(v.gatesAt[g.model], g)
	}
	return v
}

// A violation is of a check.
type violation struct {
	check
	text string
}

func (v violation) String() string { return fmt.Sprintf("%d, %s: %s", v.number, v.name, v.text) }

// violations are those of all checks, at most five of each.
func violations(h *history) (list []violation) {
	if h.panicked != "" {
		return []violation{{checks[slices.IndexFunc(checks, func(c check) bool { return c.number == 27 })], h.panicked}}
	}
	v := look(h)
	for _, c := range checks {
		found := 0
		c.find(v, func(format string, args ...any) {
			if found++; found <= 5 {
				list = append(list, violation{c, fmt.Sprintf(format, args...)})
			}
		})
	}
	return list
}

func at(t int64) time.Duration { return time.Duration(t) }

func endsOnce(v *view, bad func(string, ...any)) {
	told := map[int64]int{}
	for _, e := range v.events {
		if e.kind == resilience.EventCall {
			told[e.call]++
		}
	}
	for _, c := range v.calls {
		outcomes := 0
		for _, is := range []bool{c.got != nil, c.err != nil, c.crashed, c.whole && c.err == nil, c.left && c.err == nil} {
			if is {
				outcomes++
			}
		}
		if c.ends != 1 || outcomes != 1 {
			bad("call %d ended %d times, with %d outcomes, err %v", c.id, c.ends, outcomes, c.err)
		}
		if told[c.id] != 1 && !c.crashed {
			bad("call %d was told of %d times, err %v", c.id, told[c.id], c.err)
		}
	}
}

func endsInTime(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		if c.first > c.limit+slack {
			bad("call %d returned %v late, err %v", c.id, at(c.first-c.limit), c.err)
		}
	}
}

func allowed(p callPlan) int {
	if p.opts.Attempts == 0 {
		return 6
	}
	return max(p.opts.Attempts, 1)
}

func boundedAttempts(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		n := 0
		for _, a := range v.asksOf[c.id] {
			if !v.rotated(a) {
				n++
			}
		}
		if most := allowed(c.plan); n > most {
			bad("call %d sent %d requests of %d", c.id, n, most)
		}
	}
}

// boundedRetries lets a bucket of ten run along, which successes and time fill.
func boundedRetries(v *view, bad func(string, ...any)) {
	ratio := cmp.Or(v.scenario.config.Retry.Budget, .1)
	type move struct {
		at    int64
		retry bool
	}
	var moves []move
	for _, g := range v.gates {
		if g.kind == 0 && !g.crashed && g.over > 0 {
			moves = append(moves, move{at: g.over})
		}
	}
	for _, e := range v.events {
		if e.kind == resilience.EventRetry && (worked(e.err) || e.err == resilience.RateLimited) {
			moves = append(moves, move{e.at, true})
		}
	}
	slices.SortStableFunc(moves, func(a, b move) int { return cmp.Compare(a.at, b.at) })
	level, last := 10., int64(0)
	for _, m := range moves {
		level = min(10, level+ratio*at(m.at-last).Seconds())
		last = m.at
		if !m.retry {
			level = min(10, level+ratio)
		} else if level--; level < -1 {
			bad("a retry at %v for which nothing was left", at(m.at))
			return
		}
	}
}

func worked(k resilience.Kind) bool {
	switch k {
	case resilience.TimedOut, resilience.Overloaded, resilience.Unreachable, resilience.Malformed, resilience.Truncated, resilience.Unknown:
		return true
	default:
		return false
	}
}

func openIsShut(v *view, bad func(string, ...any)) {
	for _, g := range v.gates {
		if g.state == breaker.Isolated || g.state == breaker.Open && !g.lastResort {
			bad("call %d passed the breaker of m%d at %v, which was %v", g.call, g.model, at(g.begin), g.state)
		}
	}
}

// probesOf are the probes of one life of a breaker.
func (v *view) probesOf(model, life int) (list []*gateRecord) {
	for _, g := range v.gatesAt[model] {
		if g.life == life && g.state == breaker.HalfOpen {
			list = append(list, g)
		}
	}
	return list
}

func (v *view) probes() int { return cmp.Or(v.scenario.config.Breaker.Probes, 2) }

func boundedProbes(v *view, bad func(string, ...any)) {
	for model, gates := range v.gatesAt {
		for i, g := range gates {
			if g.state != breaker.HalfOpen || g.lastResort {
				continue
			}
			under := 1
			for j := i - 1; j >= 0 && gates[j].life == g.life; j-- {
				if gates[j].state == breaker.HalfOpen && !gates[j].lastResort && (gates[j].end == 0 || gates[j].end > g.begin) {
					under++
				}
			}
			if under > v.probes() {
				bad("%d probes of m%d under way at %v, %d allowed", under, model, at(g.begin), v.probes())
			}
		}
	}
}

func noWedge(v *view, bad func(string, ...any)) {
	lease := max(2*time.Minute, 4*v.scenario.config.Breaker.SlowAfter)
	lives := make([]int, len(v.scenario.models))
	for _, e := range v.events {
		switch {
		case e.kind == resilience.EventBreaker:
			lives[e.model]++
		case e.kind == resilience.EventReject && strings.Contains(e.reason, "probes under way"):
			under := 0
			for _, g := range v.probesOf(e.model, lives[e.model]) {
				if g.begin <= e.at && (g.end == 0 || g.end >= e.at) && at(e.at-g.begin) <= lease {
					under++
				}
			}
			if under < v.probes() {
				bad("m%d refused a call at %v for its probes, of which %d were under way", e.model, at(e.at), under)
			}
		}
	}
}

func ownLife(v *view, bad func(string, ...any)) {
	lives := make([]int, len(v.scenario.models))
	for _, e := range v.events {
		if e.kind != resilience.EventBreaker {
			continue
		}
		good, failed := 0, 0
		switch e.reason {
		case "probes succeeded", "probe failed":
			for _, g := range v.probesOf(e.model, lives[e.model]) {
				if g.end == 0 || g.end > e.at {
					continue
				}
				if g.kind == 0 || g.over > g.end {
					good++
				} else if g.against || g.crashed {
					failed++
				}
			}
			if e.reason == "probes succeeded" && good < v.probes() || e.reason == "probe failed" && failed < 1 {
				bad("m%d turned %s at %v, as %s: %d good, %d failed", e.model, e.to, at(e.at), e.reason, good, failed)
			}
		}
		lives[e.model]++
	}
}

func ordered(reason string) bool { return reason == "reset" || strings.HasPrefix(reason, "operator: ") }

func legalTurns(v *view, bad func(string, ...any)) {
	legal := []string{"closed open", "open half-open", "half-open closed", "half-open open"}
	for _, e := range v.events {
		if e.kind == resilience.EventBreaker && !ordered(e.reason) && !slices.Contains(legal, e.from+" "+e.to) {
			bad("m%d turned from %s to %s at %v", e.model, e.from, e.to, at(e.at))
		}
	}
}

func turnsInOrder(v *view, bad func(string, ...any)) {
	states := slices.Repeat([]string{"closed"}, len(v.scenario.models))
	for _, e := range v.events {
		if e.kind != resilience.EventBreaker {
			continue
		}
		if e.from != states[e.model] {
			bad("m%d was %s and turned from %s at %v", e.model, states[e.model], e.from, at(e.at))
		}
		states[e.model] = e.to
	}
	for _, s := range v.end.models {
		if is, told := s.state.String(), states[s.model]; is != told && (told != "open" || is != "half-open") {
			bad("m%d is %s in the end, and was said to be %s", s.model, is, told)
		}
	}
}

func neutral(v *view, bad func(string, ...any)) {
	slowAfter := int64(v.scenario.config.Breaker.SlowAfter)
	for _, e := range v.events {
		if e.kind != resilience.EventBreaker || e.from != "closed" || ordered(e.reason) {
			continue
		}
		found := slices.ContainsFunc(v.gatesAt[e.model], func(g *gateRecord) bool {
			if g.over != e.at && g.end != e.at {
				return false
			}
			return g.crashed || worked(g.kind) && g.kind != resilience.Malformed || slowAfter > 0 && g.end-g.begin > slowAfter
		})
		if !found {
			bad("the breaker of m%d opened at %v without a failure: %s", e.model, at(e.at), e.reason)
		}
	}
}

func retryAfter(v *view, bad func(string, ...any)) {
	v.limitedKeys(bad)
	for model, asks := range v.asksAt {
		if v.scenario.models[model].inners > 0 {
			continue
		}
		for _, a := range asks {
			if a.kind != resilience.RateLimited || a.wait == 0 || a.key != "" || v.lost(a) {
				continue
			}
			for _, b := range asks {
				if b.key != "" || b.begin <= a.end+slack || b.begin >= a.end+int64(a.wait)-slack || v.mended(model, a.end, b.begin) {
					continue
				}
				g := v.gateOf(b)
				if g == nil || g.begin > a.end+slack && !g.lastResort && !v.refuted(a, b) {
					bad("call %d asked m%d %v after it had asked for %v", b.call, model, at(b.begin-a.end), a.wait)
				}
			}
		}
	}
}

// refuted reports whether another request that went through a pause was answered, and
// so ended the wait of b, which had come to the model before the pause.
func (v *view) refuted(a, b *askRecord) bool {
	came := slices.ContainsFunc(v.visitsOf[b.call], func(w *visitRecord) bool { return w.model == b.model && w.at <= a.end+slack })
	return came && slices.ContainsFunc(v.asksAt[a.model], func(c *askRecord) bool {
		return c.begin >= a.end && c.kind == 0 && c.end <= b.begin
	})
}

// lost reports whether nobody waited for the answer any more.
func (v *view) lost(a *askRecord) bool {
	g := v.gateOf(a)
	return g == nil || g.kind == resilience.Canceled
}

// mended reports whether people made the pool forget between two instants.
func (v *view) mended(model int, from, to int64) bool {
	return slices.ContainsFunc(v.orders, func(o orderRecord) bool {
		return (o.model == model && o.kind == reset || o.kind == "mended") && o.at >= from && o.at <= to
	})
}

// gateOf is the attempt that a request belongs to.
func (v *view) gateOf(a *askRecord) (found *gateRecord) {
	for _, g := range v.gatesAt[a.model] {
		if g.begin > a.begin {
			break
		}
		if g.call == a.call {
			found = g
		}
	}
	return found
}

func refusedKeys(v *view, bad func(string, ...any)) {
	v.badKeys(bad)
	for id, asks := range v.asksOf {
		for _, a := range asks {
			if a.key != "" || a.kind != resilience.Unauthorized && a.kind != resilience.QuotaSpent {
				continue
			}
			for _, b := range asks {
				if b.model == a.model && b.inner == a.inner && b.begin > a.end && b.key == "" {
					bad("call %d asked m%d again after %v", id, a.model, a.kind)
				}
			}
		}
	}
}

// wrongOnce goes by the first model that looked at the request. In a race, or
// where another was made to fail before it looked, that is the one that the call
// began with: what others say is no more than theirs.
func wrongOnce(v *view, bad func(string, ...any)) {
	for id, asks := range v.asksOf {
		first := slices.MinFunc(asks, func(a, b *askRecord) int { return cmp.Compare(a.end, b.end) })
		visits := v.visitsOf[id]
		if first.kind != resilience.Invalid || (v.races() || v.scenario.blast != nil) && first.model != visits[0].model {
			continue
		}
		for _, w := range visits {
			if w.at > first.end+slack {
				bad("call %d went to m%d after m%d had said that it was wrong", id, w.model, first.model)
			}
		}
	}
}

func (v *view) races() bool {
	s := v.scenario.config.Fallback.Strategy
	return s == fallback.Parallel || s == fallback.Hedged
}

func oneStream(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		for i, ch := range c.chunks {
			if ch.word != i && !(ch.last && ch.word == words(c.id)) {
				bad("call %d got word %d in place of %d", c.id, ch.word, i)
				break
			}
			if i > 0 && (ch.model != c.chunks[i-1].model || ch.ask != c.chunks[i-1].ask) && !(c.report.Rescued && v.scenario.rescue) {
				bad("call %d got a part of another stream after %d chunks", c.id, i)
				break
			}
		}
	}
}

func wholeStreams(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		if !c.whole || c.err != nil {
			continue
		}
		if n := len(c.chunks); n == 0 || !c.chunks[n-1].last || c.chunks[n-1].word != words(c.id) {
			bad("call %d took %d chunks for all", c.id, n)
		}
	}
}

func honestReports(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		var by int
		switch n := len(c.chunks); {
		case c.got != nil:
			if by = c.got.model; c.got.bad {
				bad("call %d got an answer that is no good", c.id)
			}
			i := slices.IndexFunc(c.report.Attempts, func(a resilience.Attempt) bool { return a.Kind == 0 })
			if i < 0 {
				bad("call %d has an answer and no attempt that brought it", c.id)
			} else if c.report.Attempts[i].Usage != c.got.usage && v.scenario.models[by].inners == 0 {
				bad("call %d used %v, it says, and not %v", c.id, c.report.Attempts[i].Usage, c.got.usage)
			}
		case c.whole && c.err == nil && n > 0:
			by = c.chunks[n-1].model
		default:
			continue
		}
		if number(c.report.Model) != by {
			bad("call %d was answered by m%d, and m%d is said to have", c.id, by, number(c.report.Model))
		}
	}
}

func ownAnswers(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		if c.got != nil && c.got.call != c.id {
			bad("call %d got the answer to call %d", c.id, c.got.call)
		}
		for _, ch := range c.chunks {
			if ch.call != c.id {
				bad("call %d got a chunk for call %d", c.id, ch.call)
				break
			}
		}
	}
}

func (v *view) room(model int) int {
	if n := v.scenario.models[model].Limits.Concurrency; n > 0 {
		return n
	}
	return v.scenario.config.Limiter.InFlight
}

func bulkheads(v *view, bad func(string, ...any)) {
	for model, gates := range v.gatesAt {
		most := v.room(model)
		if most <= 0 {
			continue
		}
		var ends []int64
		for _, g := range gates {
			ends = slices.DeleteFunc(ends, func(end int64) bool { return end <= g.begin })
			if ends = append(ends, cmp.Or(g.over, math.MaxInt64)); len(ends) > most {
				bad("%d of %d under way at m%d at %v", len(ends), most, model, at(g.begin))
				break
			}
		}
	}
	if v.end.inFlight != 0 {
		bad("%d calls are open in the end", v.end.inFlight)
	}
	for _, s := range v.end.models {
		if s.inFlight != 0 || s.queued != 0 {
			bad("m%d has %d under way and %d waiting in the end", s.model, s.inFlight, s.queued)
		}
	}
}

func walks(v *view, bad func(string, ...any)) {
	limit := v.scenario.config.Fallback.Limit
	for id, visits := range v.visitsOf {
		var seen uint64
		n := 0
		for _, w := range visits {
			if w.rescue {
				continue
			}
			if n++; seen&(1<<w.model) != 0 {
				bad("call %d went to m%d twice", id, w.model)
			}
			seen |= 1 << w.model
		}
		if limit > 0 && n > limit && !v.reloaded(v.callOf[id]) {
			bad("call %d went to %d models of %d", id, n, limit)
		}
	}
}

// reloaded reports whether the configuration changed while a call was under way.
func (v *view) reloaded(c *callRecord) bool { return c != nil && c.gen[0] != c.gen[1] }

func eligible(v *view, bad func(string, ...any)) {
	for _, w := range v.visits {
		if !w.capable || !w.named || w.byHand {
			bad("call %d went to m%d at %v: capable %v, named %v, drained %v", w.call, w.model, at(w.at), w.capable, w.named, w.byHand)
		}
	}
}

func (v *view) lastResorts(p callPlan) bool {
	return v.scenario.config.Fallback.LastResort || v.scenario.config.Balance.LastResort > 0 || p.opts.Priority == resilience.Critical
}

func failsAtOnce(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		if c.err == nil {
			continue
		}
		if c.allHeld && !v.lastResorts(c.plan) && c.first-c.begin > slack {
			bad("call %d took %v to find that nothing can be asked", c.id, at(c.first-c.begin))
		}
		one, all, budget := (*resilience.Error)(nil), (*resilience.ExhaustedError)(nil), (*resilience.BudgetError)(nil)
		if !errors.As(c.err, &one) && !errors.As(c.err, &all) && !errors.As(c.err, &budget) && !errors.Is(c.err, resilience.Rejected) {
			bad("call %d failed with %T: %v", c.id, c.err, c.err)
		}
	}
}

func contexts(v *view, bad func(string, ...any)) {
	for _, a := range v.asks {
		c := v.callOf[a.call]
		switch {
		case !a.valued:
			bad("a request of call %d to m%d did not know its call", a.call, a.model)
		case a.end == 0 || a.end > c.end+slack:
			bad("a request of call %d to m%d went on after it", a.call, a.model)
		}
	}
	for _, c := range v.calls {
		if (c.got != nil || c.stream) && !c.alive && c.plan.cancel == 0 && c.first < c.begin+int64(c.plan.patience)-slack {
			bad("call %d was canceled with its answer", c.id)
		}
	}
}

func boundedQueues(v *view, bad func(string, ...any)) {
	most := int64(cmp.Or(v.scenario.config.Limiter.Queue, 100))
	for _, s := range v.samples {
		if s.queued > most || s.queued < 0 || s.inFlight < 0 {
			bad("%d of %d waited for m%d at %v, %d under way", s.queued, most, s.model, at(s.at), s.inFlight)
		}
	}
}

func noLeaks(v *view, bad func(string, ...any)) {
	if v.panicked != "" {
		bad("%s", v.panicked)
	}
}

func drains(v *view, bad func(string, ...any)) {
	if err := errors.Join(v.end.drains...); err != nil || v.end.drained > slack {
		bad("draining took %v: %v", at(v.end.drained), err)
	}
	if !errors.Is(v.end.later, resilience.Rejected) {
		bad("a call after that ended with %v", v.end.later)
	}
}

func reloads(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		if g := c.report.Generation; !c.crashed && (g < c.gen[0] || g > c.gen[1]) {
			bad("call %d had configuration %d, between %v", c.id, g, c.gen)
		}
	}
	for _, o := range v.orders {
		if (o.kind == reload || o.kind == badReload) && o.changed {
			bad("a %s at %v changed what it must not, err %v", o.kind, at(o.at), o.err)
		}
	}
}

func sums(v *view, bad func(string, ...any)) {
	attempts, struck := map[int64]int{}, map[int64]int{}
	for _, e := range v.events {
		if e.kind == resilience.EventAttempt {
			if attempts[e.call]++; e.faulted {
				struck[e.call]++ // the model may have been asked all the same
			}
		}
	}
	for _, c := range v.calls {
		if c.crashed {
			continue
		}
		var usage resilience.Usage
		var cost float64
		for _, a := range c.report.Attempts {
			usage.Input += a.Usage.Input
			usage.Output += a.Usage.Output
			cost += a.Cost
		}
		if usage != c.report.Usage || math.Abs(cost-c.report.Cost) > 1e-9 {
			bad("call %d used %v for %v, and its attempts %v for %v", c.id, c.report.Usage, c.report.Cost, usage, cost)
		}
		asked := 0
		for _, a := range v.asksOf[c.id] {
			if a.inner == 0 {
				asked++
			}
		}
		nested := slices.ContainsFunc(v.visitsOf[c.id], func(w *visitRecord) bool { return v.scenario.models[w.model].inners > 0 })
		if n := len(c.report.Attempts); (n < asked || n > asked+struck[c.id]) && !nested {
			bad("call %d reports %d attempts, and sent %d requests", c.id, n, asked)
		}
		if n := attempts[c.id]; (n < asked || n > asked+struck[c.id]) && !nested {
			bad("call %d told of %d attempts, and sent %d requests", c.id, n, asked)
		}
	}
	if v.end.purseSpent != v.end.purseTook || v.end.purseHeld != 0 {
		bad("budgets say that %d was spent of %d, and %v is set aside", v.end.purseSpent, v.end.purseTook, v.end.purseHeld)
	}
}

func audited(v *view, bad func(string, ...any)) {
	for _, o := range v.orders {
		if !o.asked || o.kind != veto && o.err != nil || o.kind == veto && o.changed {
			bad("%s of m%d at %v: audited %v, err %v, changed %v", o.kind, o.model, at(o.at), o.asked, o.err, o.changed)
		}
	}
}

func byHand(v *view, bad func(string, ...any)) {
	for _, o := range v.orders {
		until := v.until(o)
		switch o.kind {
		case drain:
			for _, w := range v.visits {
				if w.model == o.model && w.at > o.at && w.at < until {
					bad("call %d went to m%d at %v, drained from %v to %v", w.call, w.model, at(w.at), at(o.at), at(until))
				}
			}
		case isolate:
			for _, g := range v.gatesAt[o.model] {
				if g.begin > o.at && g.begin < until {
					bad("call %d passed m%d at %v, isolated from %v to %v", g.call, g.model, at(g.begin), at(o.at), at(until))
				}
			}
		}
	}
}

// until is when an order ended at the latest.
func (v *view) until(o orderRecord) int64 {
	until := o.until
	for _, later := range v.orders {
		ends := o.kind == drain && (later.kind == "restore" || later.kind == drain) ||
			o.kind != drain && slices.Contains([]faultKind{reset, "close", openHand, isolate}, later.kind)
		if ends && later.model == o.model && later.at > o.at {
			until = min(until, later.at)
		}
	}
	return until
}

func goodput(v *view, bad func(string, ...any)) {
	n, failed := 0, 0
	var last *callRecord
	for _, c := range v.calls {
		if c.plan.plain && !c.plan.bulk && c.begin >= int64(settled) {
			if n++; c.err != nil || c.crashed {
				failed++
				last = c
			}
		}
	}
	if failed > max(1, n/100) {
		bad("%d of %d calls failed after all was well, the last of them with %v", failed, n, last.err)
	}
}

func converges(v *view, bad func(string, ...any)) {
	for i, s := range v.end.models {
		if s.state != breaker.Closed || !v.end.available[i] {
			bad("the breaker of m%d is %v in the end, and it is available: %v", i, s.state, v.end.available[i])
		}
	}
	if v.races() {
		return // these ask more than once by design
	}
	calls, asks := 0, 0
	for _, c := range v.calls {
		if c.begin >= int64(settled) && c.begin < int64(lasts) {
			calls++
			asks += len(v.asksOf[c.id])
		}
	}
	// Where models are slow for the time that an attempt has, some take longer.
	ratio := max(.1, v.scenario.config.Retry.Budget)
	if float64(asks) > (1+ratio)*float64(calls)+3 {
		bad("%d requests for %d calls after all was well", asks, calls)
	}
}

func once(v *view, bad func(string, ...any)) {
	for _, c := range v.calls {
		if !c.plan.opts.Once {
			continue
		}
		n := 0
		for _, a := range v.asksOf[c.id] {
			if a.accepted {
				n++
			}
		}
		if n > 1 {
			bad("call %d was accepted %d times", c.id, n)
		}
	}
}

package alert

import (
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A metric is one of the closed table of what rules measure.
type metric struct {
	name    string
	per     string // what alone it can be measured of, or ""
	calls   bool   // it goes by statistics of calls
	measure func(r *reader, s Subject, rule *rule) (v float64, ok bool)
	say     func(v float64) string // what v means
}

// Metrics returns the names of the metrics that rules have.
//
//	error_rate         attempts that speak against the model, of all
//	throttled          attempts that the provider's limits refused, of all
//	malformed          attempts whose answer was no good, of all
//	p50 p95 p99        time of attempts, of streams until the first chunk
//	first_token        p95 where at least half of the attempts stream
//	per_token          time by token of answers
//	calls_per_second   attempts
//	tokens_per_minute  of requests and answers together
//	cost_per_hour      US dollars
//	queue              attempts that wait for room
//	in_flight_ratio    attempts under way, of those that there is room for
//	failures_in_row    attempts, or probes; where there are several models, of the one with the fewest
//	down               models of which three attempts or probes in a row failed, or that anything but a limit or a person holds, of all that nobody took out by hand
//	lost               1 if all models of a name are down and there are several of them, or a call that asked for it failed
//	breaker_opens      times that breakers opened that were closed, 32 a model at most
//	keys_refused       keys, or models, that the provider refused twice in a row
//	keys_spent         the same, for what was paid for
//	call_error_rate    calls that were not served, of all; of the pool, as are the following
//	fallback_rate      moves to another model a call
//	amplification      attempts a call
//	degradation        the level, 0 to 4
//	budget_spent       1 while the pool's own budget is
//	budget_near        1 if it passed its soft limit within Window
//	config_refused     1 if the latest configuration was
//	panics             1 if background work panicked within Window
//
// Of several models, times are means by number of attempts.
func Metrics() (names []string) {
	for _, m := range metrics {
		names = append(names, m.name)
	}
	return names
}

func metricOf(name string) *metric {
	for i := range metrics {
		if metrics[i].name == name {
			return &metrics[i]
		}
	}
	return nil
}

var metrics = [...]metric{
	{"error_rate", "", true, share(func(c resilience.CallStats) int64 { return c.Failures }), as(percent, "of the attempts failed")},
	{"throttled", "", true, share(func(c resilience.CallStats) int64 { return c.Throttled }), as(percent, "of the attempts were refused by the provider's limits")},
	{"malformed", "", true, share(func(c resilience.CallStats) int64 { return c.Malformed }), as(percent, "of the answers were no good")},
	{"p50", "", true, times(func(c resilience.CallStats) time.Duration { return c.P50 }), as(seconds, "is what half of the attempts take at most")},
	{"p95", "", true, times(func(c resilience.CallStats) time.Duration { return c.P95 }), as(seconds, "is what 95 % of the attempts take at most")},
	{"p99", "", true, times(func(c resilience.CallStats) time.Duration { return c.P99 }), as(seconds, "is what 99 % of the attempts take at most")},
	{"first_token", "", true, firstToken, as(seconds, "is what 95 % of the streams take at most until their first chunk")},
	{"per_token", "", true, times(func(c resilience.CallStats) time.Duration { return c.PerToken }), as(seconds, "a token")},
	{"calls_per_second", "", true, rate(time.Second, func(c resilience.CallStats) float64 { return float64(c.Calls) }), as(number, "attempts a second")},
	{"tokens_per_minute", "", true, rate(time.Minute, func(c resilience.CallStats) float64 { return float64(c.Usage.Input + c.Usage.Output) }), as(number, "tokens a minute")},
	{"cost_per_hour", "", true, rate(time.Hour, func(c resilience.CallStats) float64 { return c.Cost }), func(v float64) string { return fmt.Sprintf("$%.2f an hour", v) }},
	{"queue", "", false, func(r *reader, s Subject, _ *rule) (v float64, ok bool) {
		for _, m := range s.Models {
			v += float64(m.Queued())
		}
		return v, true
	}, as(number, "attempts wait for room")},
	{"in_flight_ratio", "", false, inFlight, as(percent, "of the room for attempts is taken")},
	{"failures_in_row", "", false, failuresInRow, as(number, "failures in a row")},
	{"down", "", false, func(r *reader, s Subject, _ *rule) (float64, bool) { return r.down(s) }, as(percent, "of the models are down")},
	{"lost", "name", false, lost, func(float64) string { return "none of its models answers" }},
	{"breaker_opens", "", false, func(r *reader, s Subject, rule *rule) (v float64, ok bool) {
		for _, m := range s.Models {
			v += float64(r.track(m).opensSince(int64(r.now - rule.Window)))
		}
		return v, true
	}, as(number, "times its breaker opened")},
	{"keys_refused", "", false, func(r *reader, s Subject, _ *rule) (float64, bool) { return r.keys(s, resilience.HoldCredential) }, as(number, "of its keys are refused")},
	{"keys_spent", "", false, func(r *reader, s Subject, _ *rule) (float64, bool) { return r.keys(s, resilience.HoldQuota) }, as(number, "of its keys have spent what was paid for")},
	{"call_error_rate", "pool", true, perCall(countFailed), as(percent, "of the calls were not served")},
	{"fallback_rate", "pool", true, perCall(countFallbacks), as(number, "moves to another model a call")},
	{"amplification", "pool", true, perCall(countAttempts), as(number, "attempts a call")},
	{"degradation", "pool", false, flag(func(r *reader, _ *rule) float64 { return float64(r.a.gauge.level.Load()) }), func(v float64) string {
		return "the level of degradation is " + [...]string{"none", "minimal", "moderate", "severe", "emergency"}[min(int(v), 4)]
	}},
	{"budget_spent", "pool", false, since(func(r *reader, _ *rule) bool { return r.a.gauge.budgetUntil.Load() > int64(r.now) }), say("the pool's budget is spent")},
	{"budget_near", "pool", false, since(func(r *reader, rule *rule) bool { return r.within(r.a.gauge.budgetNear.Load(), rule) }), say("the pool's budget has passed its soft limit")},
	{"config_refused", "pool", false, since(func(r *reader, _ *rule) bool { return r.a.gauge.refused.Load() }), say("the latest configuration was refused, and the one before is in force")},
	{"panics", "pool", false, since(func(r *reader, rule *rule) bool { return r.within(r.a.gauge.panicked.Load(), rule) }), say("background work panicked")},
}

func as(show func(float64) string, what string) func(float64) string {
	return func(v float64) string { return show(v) + " " + what }
}

func say(what string) func(float64) string {
	return func(v float64) string {
		if v == 0 {
			return "no longer so: " + what
		}
		return what
	}
}

func flag(of func(r *reader, rule *rule) float64) func(*reader, Subject, *rule) (float64, bool) {
	return func(r *reader, _ Subject, rule *rule) (float64, bool) { return of(r, rule), true }
}

func since(of func(r *reader, rule *rule) bool) func(*reader, Subject, *rule) (float64, bool) {
	return flag(func(r *reader, rule *rule) float64 {
		if of(r, rule) {
			return 1
		}
		return 0
	})
}

func share(of func(resilience.CallStats) int64) func(*reader, Subject, *rule) (float64, bool) {
	return func(r *reader, s Subject, rule *rule) (float64, bool) {
		var n, calls int64
		for _, m := range s.Models {
			c := r.stats(m, rule.Window)
			n, calls = n+of(c), calls+c.Calls
		}
		return float64(n) / float64(max(calls, 1)), calls >= rule.least()
	}
}

func times(of func(resilience.CallStats) time.Duration) func(*reader, Subject, *rule) (float64, bool) {
	return func(r *reader, s Subject, rule *rule) (float64, bool) {
		var sum float64
		var calls int64
		for _, m := range s.Models {
			c := r.stats(m, rule.Window)
			sum += of(c).Seconds() * float64(c.Calls)
			calls += c.Calls
		}
		return sum / float64(max(calls, 1)), calls >= rule.least()
	}
}

func firstToken(r *reader, s Subject, rule *rule) (float64, bool) {
	var streams, calls int64
	for _, m := range s.Models {
		c := r.stats(m, rule.Window)
		streams, calls = streams+c.Streams, calls+c.Calls
	}
	v, ok := times(func(c resilience.CallStats) time.Duration { return c.P95 })(r, s, rule)
	return v, ok && 2*streams >= calls
}

func rate(unit time.Duration, of func(resilience.CallStats) float64) func(*reader, Subject, *rule) (float64, bool) {
	return func(r *reader, s Subject, rule *rule) (v float64, ok bool) {
		for _, m := range s.Models {
			v += of(r.stats(m, rule.Window))
		}
		return v * float64(unit) / float64(rule.Window), true
	}
}

func inFlight(r *reader, s Subject, _ *rule) (float64, bool) {
	var under, room int64
	for _, m := range s.Models {
		if n := m.Capacity(); n > 0 {
			under, room = under+m.InFlight(), room+n
		}
	}
	return float64(under) / float64(max(room, 1)), room > 0
}

func failuresInRow(r *reader, s Subject, _ *rule) (v float64, ok bool) {
	for i, m := range s.Models {
		row, known := r.row(m)
		if !known {
			return 0, false
		}
		if i == 0 || row < v {
			v = row
		}
	}
	return v, true
}

func lost(r *reader, s Subject, rule *rule) (float64, bool) {
	down, ok := r.down(s)
	if !ok || down < 1 {
		return 0, ok
	}
	asked := (*r.a.asked.Load())[s.Name]
	if len(s.Models) > 1 || asked != nil && r.within(asked.Load(), rule) {
		return 1, true
	}
	return 0, true
}

func perCall(counter int) func(*reader, Subject, *rule) (float64, bool) {
	return func(r *reader, _ Subject, rule *rule) (float64, bool) {
		n := r.a.gauge.counts.Sum(int64(r.now), int64(rule.Window), counter, countCalls)
		return float64(n[0]) / float64(max(n[1], 1)), n[1] >= rule.least()
	}
}

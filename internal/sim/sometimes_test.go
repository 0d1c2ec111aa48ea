package sim_test

import (
	"errors"
	"strings"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

// sometimes are the states that some seed must reach, since what never happens
// proves nothing.
var sometimes = []string{
	"all models are held at once",
	"two breakers are half-open",
	"a breaker opened",
	"a breaker opened by drift",
	"a breaker opened by slow calls",
	"a probe failed",
	"probes succeeded",
	"a hedge won",
	"a hedge lost",
	"a stream was rescued",
	"a stream broke",
	"a queue was full",
	"a call lost its place in a queue",
	"a call waited for room in vain",
	"a tenant was full",
	"a call was paced",
	"a budget refused",
	"a reload in mid-call",
	"a refused reload",
	"a call spanned two configurations",
	"a last resort answered",
	"a rate limit was waited out",
	"a retry of an overload",
	"a pool behind a model asked twice",
	"a caller panicked",
	"a caller canceled",
	"a reader left",
	"a substitute answered",
	"a key was refused",
	"a quota was spent",
	"a model was gone",
	"an answer was no good",
	"a wrong request",
	"a call ran out of time",
	"a model was drained",
	"a breaker was isolated",
	"a request was sent once and lost",
	"a slow subscriber missed events",
	"a key rotated",
	"all keys of a model out at once",
	"an own key was refused",
	"a limit of a budget refused",
	"a call waited for a reservation",
	"a soft limit was passed",
	"a call was throttled",
	"a call was refused for its priority",
	"an emergency",
	"a level went down",
	"an injected fault struck",
	"a struck call succeeded",
	"an injection was refused",
	"health took a model out",
	"health took out no more",
	"health doubted itself",
	"a provider's outage",
	"an outage ended by an answer",
	"a model was tried after a hold",
	"a probe of recovery failed",
	"a ramp fell back",
	"a model fell ill on its way back",
	"a model was left to people",
	"a model that was left to people came back",
	"people took a recovery",
	"people reset what recovery had",
	"a model recovered by calls alone",
	"an action failed",
	"a recovery was only observed",
}

// states are those that a history has reached.
func states(h *history) map[string]bool {
	is := h.reached
	mark := func(state string, reached bool) {
		if reached {
			is[state] = true
		}
	}
	mark("a slow subscriber missed events", h.end.dropped > 0)
	asks := map[int64]int{}
	for _, a := range h.asks {
		asks[a.call]++
		mark("a pool behind a model asked twice", a.inner > 0 && a.number > 0)
	}
	for _, e := range h.events {
		switch e.kind {
		case resilience.EventBudget:
			mark("a soft limit was passed", e.err == 0)
		case resilience.EventBreaker:
			mark("a breaker opened", e.to == breaker.Open.String())
			mark("a breaker was isolated", e.to == breaker.Isolated.String())
			mark("a breaker opened by drift", strings.Contains(e.reason, "drifted"))
			mark("a breaker opened by slow calls", strings.Contains(e.reason, "were slow"))
			mark("a probe failed", e.reason == "probe failed" || e.reason == "probe was slow")
			mark("probes succeeded", e.reason == "probes succeeded")
		case resilience.EventReject:
			mark("a queue was full", strings.Contains(e.reason, "no more may wait"))
			mark("a call lost its place in a queue", strings.Contains(e.reason, "took its place"))
			mark("a call waited for room in vain", strings.Contains(e.reason, "no room within"))
			mark("a tenant was full", strings.Contains(e.reason, "tenant is full"))
			mark("a call was paced", strings.Contains(e.reason, "pacing"))
			mark("a call was throttled", strings.HasPrefix(e.reason, "throttled"))
			mark("a call was refused for its priority", strings.Contains(e.reason, "and the level is"))
		case resilience.EventRetry:
			mark("a rate limit was waited out", e.err == resilience.RateLimited)
			mark("a retry of an overload", e.err == resilience.Overloaded)
		case resilience.EventDegrade:
			mark("an emergency", e.to == "emergency")
			mark("a level went down", e.to == "none")
		case resilience.EventControl:
			mark("a model was drained", strings.HasPrefix(e.reason, "drain"))
		case resilience.EventConfig:
			mark("a refused reload", e.err != 0)
		case resilience.EventHealth:
			mark("health took a model out", e.model >= 0 && e.to == "unavailable")
			mark("health took out no more", strings.Contains(e.reason, "which is the most"))
			mark("a provider's outage", e.model < 0)
			mark("an outage ended by an answer", e.model < 0 && strings.HasSuffix(e.reason, "answered"))
			mark("a model was tried after a hold", e.reason == "tried again after a hold")
		case resilience.EventWarning:
			mark("health doubted itself", strings.HasPrefix(e.reason, "health: ") && strings.Contains(e.reason, "turned bad at once"))
		case resilience.EventRecovery:
			mark("a probe of recovery failed", strings.HasPrefix(e.reason, "a probe failed"))
			mark("a ramp fell back", strings.HasSuffix(e.reason, "answers failed"))
			mark("a model fell ill on its way back", e.to == "relapsed")
			mark("a model was left to people", e.to == "manual")
			mark("a model that was left to people came back", strings.HasSuffix(e.reason, "nobody after all"))
			mark("people took a recovery", e.reason == "an operator holds it")
			mark("people reset what recovery had", e.reason == "somebody has reset it")
			mark("a model recovered by calls alone", h.scenario.probe == blindProbe && e.to == "recovered")
			mark("a recovery was only observed", e.would)
		}
	}
	for _, o := range h.end.outcomes {
		for _, what := range o.Actions {
			mark("an action failed", strings.HasPrefix(what, "rotate key failed"))
		}
	}
	for _, c := range h.calls {
		for i, a := range c.report.Attempts {
			mark("an injected fault struck", a.Faulted)
			mark("a struck call succeeded", a.Faulted && c.err == nil)
			mark("a hedge won", a.Hedge && a.Kind == 0)
			mark("a hedge lost", a.Hedge && a.Kind == resilience.Canceled && i > 0)
			if a.Key != "" && a.Kind != 0 {
				mark("a key rotated", strings.HasSuffix(a.Reason, "other key"))
				mark("an own key was refused", a.Key == c.plan.opts.Key && a.Kind == resilience.Unauthorized)
			}
			switch a.Kind {
			case resilience.Unauthorized:
				mark("a key was refused", true)
			case resilience.QuotaSpent:
				mark("a quota was spent", true)
			case resilience.NotFound:
				mark("a model was gone", true)
			case resilience.Malformed:
				mark("an answer was no good", true)
			case resilience.Invalid:
				mark("a wrong request", true)
			}
		}
		mark("a stream was rescued", c.report.Rescued && c.whole)
		mark("a call spanned two configurations", c.gen[0] != c.gen[1])
		mark("a last resort answered", c.report.LastResort)
		mark("a caller panicked", c.crashed)
		mark("a reader left", c.left)
		mark("a substitute answered", c.report.Substituted)
		if c.err != nil {
			if e := (*resilience.BudgetError)(nil); errors.As(c.err, &e) {
				mark("a limit of a budget refused", e.Budget != "run" && e.Budget != "call")
			}
			kind := resilience.KindOf(c.err)
			mark("a stream broke", c.stream && kind == resilience.Truncated)
			mark("a caller canceled", kind == resilience.Canceled)
			mark("a call ran out of time", kind == resilience.TimedOut && c.first >= c.limit)
			mark("a request was sent once and lost", c.plan.opts.Once && asks[c.id] == 1)
		}
	}
	return is
}

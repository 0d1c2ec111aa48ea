package chaos

import (
	"slices"
	"time"
)

// The standard experiments, by name.
const (
	ModelFailure       = "model_failure"
	NetworkLatency     = "network_latency"
	Timeout            = "timeout"
	IntermittentErrors = "intermittent_errors"
	ResourceExhaustion = "resource_exhaustion"
	Cascade            = "cascade"
	PartialOutage      = "partial_outage"
	ConfigurationDrift = "configuration_drift"
	MemoryLeak         = "memory_leak"
	CPUSpike           = "cpu_spike"
)

// Standards returns the names of the standard experiments, in their order.
func Standards() []string {
	return []string{
		ModelFailure, NetworkLatency, Timeout, IntermittentErrors, ResourceExhaustion,
		Cascade, PartialOutage, ConfigurationDrift, MemoryLeak, CPUSpike,
	}
}

// Standard returns the standard experiment of that name, and whether there is
// one. They are for pools of two models at least, [Cascade] and
// [ConfigurationDrift] of three, whose callers do not retry by themselves, and
// leave one model alone. What is in them is no more than data: a
// service changes what it promises otherwise.
//
// Memory and processors of a provider cannot be reached from a client:
// memory_leak and cpu_spike are what a client sees of a service in that state.
func Standard(name string) (Experiment, bool) {
	if !slices.Contains(Standards(), name) {
		return Experiment{}, false
	}
	e := Experiment{
		Name: name, Seed: 1,
		Control: 30 * time.Second, For: time.Minute, Recover: time.Minute,
		Steady: Promises{Success: .99},
		During: Promises{Success: .99, Goodput: .95, Attempts: 1.3},
		Abort:  Promises{Success: .01},
	}
	first, others := Where{Count: 1}, Where{Count: -1}
	switch name {
	case ModelFailure:
		e.About = "A model answers every request with 503."
		e.Method = []Injection{{Name: "down", Fault: Fault{Name: Unavailable}, Where: first}}
	case NetworkLatency:
		e.About = "The way to a model is four to eight seconds longer."
		e.Method = []Injection{{Name: "far", Fault: Fault{Name: Slow, After: 4 * time.Second}, Spread: 4 * time.Second, Where: first}}
		e.During.P95 = 8 * time.Second
	case Timeout:
		e.About = "A model accepts every request and answers none."
		e.Method = []Injection{{Name: "silent", Fault: Fault{Name: Silent}, Where: first}}
		e.During.Success, e.During.Attempts = .97, 1.5
	case IntermittentErrors:
		e.About = "One request in ten fails at all models but one: 500, a reset connection, a stream that is cut in the middle."
		e.Method = []Injection{
			{Name: "errors", Fault: Fault{Name: ServerError}, Where: others, When: Schedule{Rate: .04}},
			{Name: "resets", Fault: Fault{Name: Reset}, Where: others, When: Schedule{Rate: .03}},
			{Name: "cuts", Fault: Fault{Name: Cut, Tokens: 2}, Where: others, When: Schedule{Rate: .03}},
		}
		e.During.Success = .97
	case ResourceExhaustion:
		e.About = "The limit of a model is used up: every request gets 429 and is asked to wait four seconds."
		e.Method = []Injection{{Name: "limit", Fault: Fault{Name: RateLimited, Wait: 4 * time.Second}, Where: first}}
	case Cascade:
		e.About = "All models but one fail, one after the other, the first for longest."
		e.Method = []Injection{
			{Name: "first", Fault: Fault{Name: Overloaded}, Where: first},
			{Name: "half", Fault: Fault{Name: Overloaded}, Where: Where{Count: 2}, When: Schedule{From: 15 * time.Second}},
			{Name: "most", Fault: Fault{Name: Overloaded}, Where: others, When: Schedule{From: 30 * time.Second}},
		}
		e.During.Attempts = 1.5
	case PartialOutage:
		e.About = "All models but one refuse half of the requests in bursts, together: ten seconds on, ten off."
		e.Method = []Injection{{
			Name: "bursts", Fault: Fault{Name: Unavailable}, Where: others,
			When: Schedule{Rate: .5, Group: "provider", On: 10 * time.Second, Off: 10 * time.Second},
		}}
		e.During.Success, e.During.Attempts = .95, 1.6
	case ConfigurationDrift:
		e.About = "A configuration without the first model takes effect, and is taken back; a key is refused meanwhile."
		e.Drift = Drift{Drop: 1}
		e.Method = []Injection{{Name: "key", Fault: Fault{Name: KeyRevoked}, Where: Where{Count: 2}, When: Schedule{From: 20 * time.Second, For: 20 * time.Second}}}
	case MemoryLeak:
		e.About = "What a client sees of a service that leaks: it slows down by up to eight seconds in half a minute, pauses to collect, and is then restarted, for three seconds each time."
		e.Method = []Injection{
			{Name: "restart", Fault: Fault{Name: Reset}, Where: first, When: Schedule{Spans: []Span{{27 * time.Second, 3 * time.Second}, {57 * time.Second, 3 * time.Second}}}},
			{Name: "pauses", Fault: Fault{Name: Slow, After: 2 * time.Second}, Where: first, When: Schedule{On: time.Second, Off: 9 * time.Second}},
			{Name: "leak", Fault: Fault{Name: Slow, After: 8 * time.Second}, Grow: 30 * time.Second, Where: first},
		}
		e.During.P95 = 10 * time.Second
	case CPUSpike:
		e.About = "What a client sees of a service whose processors are busy: in spikes of fifteen seconds answers come one to three seconds later, and one request in five is turned away."
		spike := Schedule{On: 15 * time.Second, Off: 5 * time.Second}
		shed := spike
		shed.Rate = .2
		e.Method = []Injection{
			{Name: "shed", Fault: Fault{Name: Overloaded}, Where: first, When: shed},
			{Name: "busy", Fault: Fault{Name: Slow, After: time.Second}, Spread: 2 * time.Second, Where: first, When: spike},
		}
		e.During.P95 = 10 * time.Second
	}
	return e, true
}

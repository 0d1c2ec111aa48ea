package sim_test

import (
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/recovery"
)

// heals makes a history one of a pool that heals.
func heals(h *history) {
	h.scenario.runs, h.scenario.probe = true, deepProbe
	h.scenario.health, h.scenario.recovery = &health.Config{Interval: 5 * time.Second}, &recovery.Config{}
}

// step adds a step of recovery.
func step(h *history, model int, when time.Duration, from, to string) {
	h.events = append(h.events, eventRecord{at: int64(when), kind: resilience.EventRecovery, model: model, from: from, to: to})
}

// turned adds a change of a model's health, or of a provider's if there is no model.
func turned(h *history, model int, when time.Duration, from, to string) {
	h.events = append(h.events, eventRecord{
		at: int64(when), kind: resilience.EventHealth, model: model, from: from, to: to, reason: "provider p0: 2 of 3", spare: true,
	})
}

// held adds a hold.
func held(h *history, by string, when, until time.Duration) {
	h.events = append(h.events, eventRecord{at: int64(when), kind: resilience.EventHold, model: 1, to: by, until: int64(until), reason: "a test"})
}

// glanced adds a probe.
func glanced(h *history, model int, begin, end time.Duration) {
	h.glances = append(h.glances, &probeRecord{model: model, begin: int64(begin), end: int64(end), kind: resilience.Overloaded})
}

// healForgeries are those of checks of what watches models and brings them back. In
// the history of which they are made there is none of that.
func healForgeries() map[int][]forgery {
	const m, s = time.Minute, time.Second
	return map[int][]forgery{
		43: {
			func(h *history) {
				heals(h)
				h.orders = append(h.orders, orderRecord{kind: drain, asked: true, model: 1, at: int64(m), until: int64(2 * m)})
				step(h, 1, m+30*s, "held", "probing")
			},
			func(h *history) {
				heals(h)
				h.orders = append(h.orders, orderRecord{kind: isolate, asked: true, model: 1, at: int64(m), until: int64(2 * m)})
				h.events = append(h.events, eventRecord{at: int64(m + s), kind: resilience.EventControl, model: 1, reason: "reset by recovery: an action"})
			},
		},
		44: {
			func(h *history) { heals(h); step(h, 1, m, "held", "probing") },
			func(h *history) { heals(h); step(h, 1, m, "", "probing"); step(h, 1, m, "probing", "left") },
			func(h *history) { heals(h); step(h, 1, m, "", "held") },
			func(h *history) { heals(h); step(h, 1, m, "", "held"); step(h, 1, 2*m, "held", "recovered") },
			func(h *history) { heals(h); h.end.outcomes = append(h.end.outcomes, recovery.Outcome{}) },
			func(h *history) { step(h, 1, m, "", "held"); step(h, 1, m, "held", "left") },
			func(h *history) {
				heals(h)
				h.scenario.recovery.ObserveOnly = true
				step(h, 1, m, "", "held")
				step(h, 1, m, "held", "left")
			},
		},
		45: {
			func(h *history) {
				heals(h)
				for model := range 3 {
					step(h, model, m, "", "held")
				}
				for model := range 3 {
					step(h, model, m+10*s, "held", "probing")
				}
			},
			func(h *history) { heals(h); step(h, 1, m, "", "held"); step(h, 1, m+4*s, "held", "probing") },
			func(h *history) {
				heals(h)
				step(h, 1, m, "", "held")
				step(h, 1, m+10*s, "held", "probing")
				step(h, 1, m+11*s, "probing", "held")
				step(h, 1, m+12*s, "held", "probing")
			},
		},
		46: {
			func(h *history) { h.visits[0].ramp = .5 },
			func(h *history) {
				step(h, h.visits[9].model, time.Duration(h.visits[9].at)-s, "probing", "ramping 10 %")
			},
			func(h *history) { h.end.ramps[0] = .5 },
			func(h *history) {
				for model := range h.scenario.models {
					step(h, model, 0, "probing", "ramping 1 %")
				}
				for _, w := range h.visits {
					w.ramp = .01
				}
			},
		},
		47: {
			func(h *history) { glanced(h, 1, m, m+s) },
			func(h *history) { heals(h); glanced(h, 1, m, m+2*s); glanced(h, 1, m+s, m+3*s) },
			func(h *history) { heals(h); glanced(h, 1, m, 0) },
			func(h *history) { heals(h); glanced(h, 1, m, m+s/10); glanced(h, 2, m+s/2, m+s) },
			func(h *history) { heals(h); h.scenario.health.Probes = -1; glanced(h, 1, m, m+s) },
			func(h *history) {
				heals(h)
				held(h, "recovery", m, 2*m)
				step(h, 1, m, "", "held")
				glanced(h, 1, m+s, m+2*s)
			},
			func(h *history) {
				heals(h)
				step(h, 1, m, "held", "probing")
				glanced(h, 1, m, m+s)
				glanced(h, 1, m+s, m+2*s)
			},
		},
		48: {
			func(h *history) {
				heals(h)
				turned(h, 1, m, "available", "unavailable")
				h.events[len(h.events)-1].spare = false
			},
			func(h *history) {
				heals(h)
				for model := range h.scenario.models {
					turned(h, model, m, "available", "unavailable")
				}
			},
		},
		49: {
			func(h *history) { turned(h, 1, m, "available", "degraded"); turned(h, 1, m, "degraded", "available") },
			func(h *history) { heals(h); turned(h, 1, m, "degraded", "available") },
			func(h *history) { heals(h); turned(h, -1, m, "available", "unavailable") },
			func(h *history) {
				heals(h)
				turned(h, 1, m, "available", "degraded")
				h.end.health = make([]health.Result, len(h.scenario.models))
				for i := range h.end.health {
					h.end.health[i].Status = resilience.Available
				}
			},
		},
		50: {
			func(h *history) { held(h, "recovery", m, m+s) },
			func(h *history) { heals(h); held(h, "recovery", m, 10*m) },
			func(h *history) { held(h, "health", m, m+s) },
			func(h *history) { heals(h); held(h, "health", m, 2*m) },
			func(h *history) { heals(h); held(h, "health", lasts, 2*lasts) },
		},
	}
}

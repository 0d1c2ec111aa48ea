package sim_test

import (
	"math/rand/v2"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
)

// drawLevels draws how the pool gives up the less important.
func (s *scenario) drawLevels(r *rand.Rand) {
	if !chance(r, .25) {
		return
	}
	s.levels = &degrade.Config{
		Interval: pick(r, 0, 2*time.Second), Calm: pick(r, 0, 10*time.Second), Throttle: pick(r, 0, 0, -1, 1.5),
		Reserve: pick(r, 0, 0, .1), ObserveOnly: chance(r, .1),
	}
}

// hysteresis looks at levels: each change begins where the one before ended, they go
// down one by one and not before all was calm, and in the end there is none.
func hysteresis(v *view, bad func(string, ...any)) {
	if v.scenario.levels == nil {
		return
	}
	calm := v.scenario.levels.Calm
	if calm == 0 {
		calm = 30 * time.Second
	}
	rank := map[string]int{}
	for l := degrade.None; l <= degrade.Emergency; l++ {
		rank[l.String()] = int(l)
	}
	level, since := 0, int64(0)
	for _, e := range v.events {
		if e.kind != resilience.EventDegrade {
			continue
		}
		from, to := rank[e.from], rank[e.to]
		switch {
		case from != level || to == from:
			bad("the level changed from %s to %s at %v, and was %d", e.from, e.to, at(e.at), level)
		case to < from && from-to > 1:
			bad("the level fell from %s to %s at %v", e.from, e.to, at(e.at))
		case to < from && at(e.at-since) < calm-time.Duration(slack):
			bad("the level fell to %s %v after it had changed", e.to, at(e.at-since))
		}
		level, since = to, e.at
	}
	if v.end.level != degrade.None {
		bad("the level is %v in the end", v.end.level)
	}
	if !v.scenario.runs && since > 0 {
		bad("the level changed though nothing runs")
	}
}

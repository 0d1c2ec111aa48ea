package recovery

import (
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
)

// ramp begins to give a model its traffic back.
func (k *keeper) ramp(i *incident, reason string) {
	if i.stop != nil {
		i.stop()
		i.stop = nil
	}
	i.phase, i.step, i.since = ramping, 0, k.pool.Now()
	i.watch.tally.Store(&tally{want: enough})
	if !i.rules.observe {
		i.model.Release(k.ctx, resilience.HoldRecovery)
	}
	if len(k.entry(i)) == 0 {
		k.recovered(i, reason)
		return
	}
	k.give(i, reason)
}

// give puts the incident's step into effect.
func (k *keeper) give(i *incident, reason string) {
	i.since = k.pool.Now()
	i.watch.tally.Store(&tally{want: enough})
	part := i.rules.ramp[i.step]
	k.inbox.ramp(i.model, part)
	k.tell(i, fmt.Sprintf("ramping %.4g %%", 100*part), reason, nil)
}

// advance goes on with what goes by time and by answers.
func (k *keeper) advance(i *incident, now time.Duration) {
	switch i.phase {
	case trial:
		if t := i.watch.tally.Load(); t != nil && t.good.Load() >= t.want {
			k.answered(i)
		} else if !i.free && i.due <= now {
			k.visit(i.model, changed)
		}
	case ramping:
		t := i.watch.tally.Load()
		good, bad := t.good.Load(), t.bad.Load()
		switch {
		case t.burst():
			k.fallBack(i, good, bad)
		case t.well() && now >= i.since+i.rules.least:
			k.climb(i, fmt.Sprintf("%d good answers, %d bad", good, bad))
		case now >= i.since+i.rules.step:
			k.climb(i, fmt.Sprintf("%v without a burst of failures", i.rules.step))
		}
	}
}

// answered ends a trial that went well.
func (k *keeper) answered(i *incident) {
	if i.by == resilience.HoldBreaker {
		k.ramp(i, "it answers")
		return
	}
	k.recovered(i, "it answers")
}

func (k *keeper) climb(i *incident, reason string) {
	if i.step++; i.step >= len(i.rules.ramp) {
		k.recovered(i, reason)
		return
	}
	k.give(i, reason)
}

// fallBack takes one step back, since too many answers failed.
func (k *keeper) fallBack(i *incident, good, bad int64) {
	i.step = max(i.step-1, 0)
	i.tries++
	k.give(i, fmt.Sprintf("%d of %d answers failed", bad, good+bad))
	k.despair(i, resilience.Unknown)
}

// relapse holds a model again that was on its way back.
func (k *keeper) relapse(i *incident, s state) {
	i.tries++
	i.failed++
	i.by, i.seen = s.by, k.pool.Now() // what was found out before says nothing of this hold
	i.cause = k.cause(i.model, i.watch, s)
	i.blind = k.pool.Probes() && lasting(i.cause)
	k.inbox.ramp(i.model, 1) // while it is held; it comes back with a part
	i.hold(k, s, k.pool.Now())
	k.tell(i, "relapsed", s.by.String()+": "+s.why, nil)
	k.despair(i, i.cause)
}

// recovered ends an incident well.
func (k *keeper) recovered(i *incident, reason string) {
	i.watch.back = k.pool.Now()
	again := i.told
	k.forget(i)
	if again {
		reason += "; it needed nobody after all"
		k.pool.Log().InfoContext(k.ctx, "a model that was left to people is back", "model", i.model.ID(), "held", ago(k.pool.Now()-i.start))
	}
	k.conclude(i, true, reason)
	k.tell(i, "recovered", reason, nil)
}

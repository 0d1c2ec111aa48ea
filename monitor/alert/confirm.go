package alert

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A model that has failed once is often asked little: balancers avoid it, and a key that
// was refused is not tried at once. So that what makes an alert does not take minutes, the
// pool's probe asks for the rest.
const (
	confirmAfter = 2 * time.Second // without an attempt
	confirmFor   = 3 * time.Second // a probe at most
	confirms     = lostRow - 1     // for failures in a row
	confirmers   = 2               // at the same time
)

// confirm probes models whose latest attempt failed a while ago, and returns when to look
// again. Start gets what it is to do.
func (a *Alerts) confirm(now time.Duration, under *atomic.Int32, start func(func(ctx context.Context))) (next time.Duration) {
	next = forever
	if !a.pool.Probes() {
		return next
	}
	for _, m := range a.subjects.models {
		t := a.tracks.Of(m)
		if !t.doubtful() || t.asked.Load() >= confirms {
			continue
		}
		at := max(time.Duration(t.failed.Load()), time.Duration(t.confirmed.Load())) + confirmAfter
		if p, asked := m.Probed(); asked {
			at = max(at, p.At+confirmAfter)
			if p.Err == nil && int64(p.At) > t.failed.Load() {
				continue
			}
		}
		if _, byHand := m.HeldSince(resilience.HoldManual); byHand {
			continue
		}
		if at > now {
			next = min(next, at)
			continue
		}
		if under.Load() >= confirmers {
			return min(next, now+confirmAfter)
		}
		under.Add(1)
		t.asked.Add(1)
		t.confirmed.Store(int64(now + confirmFor))
		start(func(ctx context.Context) {
			defer under.Add(-1)
			m.Probe(ctx, confirmFor)
			a.stir()
		})
	}
	return next
}

package balance

import (
	"maps"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

const (
	paceWindow = 5 * time.Minute // all that a model's stats know
	paceFresh  = time.Second     // how long a median is not looked up again,
	paceSoon   = paceFresh / 20  // or one that is not known yet
	paceCalls  = 3               // that a median must be of
)

// paces are the medians of models, which take too long to find for each call.
type paces struct {
	mu      sync.Mutex
	medians map[*resilience.Model]pace
}

type pace struct {
	at     time.Duration
	median float64
}

// median returns m's median latency in nanoseconds, or 0 if it is not known.
func (p *paces) median(now time.Duration, m *resilience.Model) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	is, ok := p.medians[m]
	fresh := paceFresh
	if is.median == 0 {
		fresh = paceSoon
	}
	if !ok || now-is.at >= fresh {
		stats := m.Stats(paceWindow)
		is = pace{at: now}
		if stats.Calls >= paceCalls {
			is.median = float64(max(stats.P50, 1))
		}
		if p.medians == nil {
			p.medians = map[*resilience.Model]pace{}
		}
		p.medians[m] = is
	}
	return is.median
}

func (p *paces) keep(present map[*resilience.Model]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.medians, func(m *resilience.Model, _ pace) bool { return !present[m] })
}

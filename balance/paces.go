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
	paceRate   = 30 * time.Second
	paceCalls  = 3 // that a median must be of
)

// paces are the medians of models, which take too long to find for each call.
type paces struct {
	mu      sync.Mutex
	medians map[*resilience.Model]pace
}

type pace struct {
	at     time.Duration
	median float64 // in nanoseconds; 0 if it is not known
	usual  float64 // load, by Little's law
}

// of returns how fast m is.
func (p *paces) of(now time.Duration, m *resilience.Model) pace {
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
			is.usual = m.Stats(paceRate).PerSecond * is.median / 1e9
		}
		if p.medians == nil {
			p.medians = map[*resilience.Model]pace{}
		}
		p.medians[m] = is
	}
	return is
}

func (p *paces) keep(present map[*resilience.Model]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.medians, func(m *resilience.Model, _ pace) bool { return !present[m] })
}

package balance

import (
	"maps"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

const (
	speedWindow = 5 * time.Minute // all that a model's stats know
	speedFresh  = time.Second     // how long a median is not looked up again,
	speedSoon   = speedFresh / 20 // or one that is not known yet
	speedRate   = 30 * time.Second
	speedCalls  = 3 // that a median must be of
)

// speeds are the medians of models, which take too long to find for each call.
type speeds struct {
	mu      sync.Mutex
	medians map[*resilience.Model]speed
}

type speed struct {
	at     time.Duration
	median float64 // in nanoseconds; 0 if it is not known
	usual  float64 // load, by Little's law
}

// of returns how fast m is.
func (p *speeds) of(now time.Duration, m *resilience.Model) speed {
	p.mu.Lock()
	defer p.mu.Unlock()
	is, ok := p.medians[m]
	fresh := speedFresh
	if is.median == 0 {
		fresh = speedSoon
	}
	if !ok || now-is.at >= fresh {
		stats := m.Stats(speedWindow)
		is = speed{at: now}
		if stats.Calls >= speedCalls {
			is.median = float64(max(stats.P50, 1))
			is.usual = m.Stats(speedRate).PerSecond * is.median / 1e9
		}
		if p.medians == nil {
			p.medians = map[*resilience.Model]speed{}
		}
		p.medians[m] = is
	}
	return is
}

func (p *speeds) keep(present map[*resilience.Model]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.medians, func(m *resilience.Model, _ speed) bool { return !present[m] })
}

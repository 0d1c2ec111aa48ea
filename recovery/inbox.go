package recovery

import (
	"math"
	"sync"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// news is why to look at a model.
type news uint8

const (
	changed news = 1 << iota // something of it
	closed                   // its breaker closed
	renewed                  // somebody has reset it
)

// An inbox is how calls and people reach the background work, if that is running:
// each model is in it once, so it is as large as the pool at most. It also sees to
// it that no model is left with a part of its traffic when nobody is there to give
// it more.
type inbox struct {
	wake chan struct{}

	mu      sync.Mutex
	open    bool
	news    map[*resilience.Model]news
	order   []*resilience.Model // of news
	reports []report
}

// ring wakes the background work.
func (x *inbox) ring() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// put makes the background work look at m. If its breaker closed by itself, its
// traffic is cut down here, before the next call can pick it.
func (x *inbox) put(m *resilience.Model, w *watch, what news) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.open {
		return
	}
	if entry := w.entry.Load(); what == closed && entry != 0 {
		m.SetRamp(math.Float64frombits(entry))
	}
	if x.news[m] == 0 {
		x.order = append(x.order, m)
	}
	x.news[m] |= what
	x.ring()
}

// post hands in what came of an attempt, and reports whether anybody will see to it.
func (x *inbox) post(rep report) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.open {
		return false
	}
	x.reports = append(x.reports, rep)
	x.ring()
	return true
}

// take empties the inbox.
func (x *inbox) take() (order []*resilience.Model, what map[*resilience.Model]news, reports []report) {
	x.mu.Lock()
	defer x.mu.Unlock()
	order, what, reports = x.order, x.news, x.reports
	x.order, x.news, x.reports = nil, map[*resilience.Model]news{}, nil
	return order, what, reports
}

// ramp gives m a part of its traffic, or all of it if nobody would give it more.
func (x *inbox) ramp(m *resilience.Model, part float64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.open {
		part = 1
	}
	m.SetRamp(part)
}

func (x *inbox) begin() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = true
	x.order, x.news, x.reports = nil, map[*resilience.Model]news{}, nil
}

// end closes the inbox, and gives all of their traffic to models on their way back.
func (x *inbox) end(models []*resilience.Model) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = false
	for _, m := range models {
		if !mutants.On("recovery-leaves-a-ramp-behind") {
			m.SetRamp(1)
		}
	}
	for _, rep := range x.reports {
		rep.model.SetRamp(1)
	}
	x.order, x.news, x.reports = nil, nil, nil
}

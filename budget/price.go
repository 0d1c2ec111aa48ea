package budget

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cmmv-hive/resilience"
)

// prices are what is known of the prices of the pool's models.
type prices struct {
	known atomic.Pointer[[]resilience.Price] // each once; does not change
	lacks atomic.Bool                        // a model has none

	mu sync.Mutex // of who writes
}

// add takes in the price of one more model.
func (p *prices) add(price resilience.Price) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if price == (resilience.Price{}) {
		p.lacks.Store(true)
		return
	}
	known := p.all()
	if !slices.Contains(known, price) {
		known = append(slices.Clone(known), price)
		p.known.Store(&known)
	}
}

func (p *prices) all() []resilience.Price {
	if known := p.known.Load(); known != nil {
		return *known
	}
	return nil
}

// forget begins anew.
func (p *prices) forget() {
	p.lacks.Store(false)
	p.known.Store(nil)
}

// dearest is what any of usages costs at the model where it costs most, and false
// if no price is known.
func (p *prices) dearest(usages ...resilience.Usage) (dollars float64, ok bool) {
	for _, price := range p.all() {
		for _, u := range usages {
			d, priced := price.Cost(u)
			dollars, ok = max(dollars, d), ok || priced
		}
	}
	return dollars, ok
}

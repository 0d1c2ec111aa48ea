package balance

import (
	"maps"
	"sync"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// turns are nginx's smooth weighted round robin: a model's credit grows by its
// weight each time, the one with the most goes next, and pays for all.
type turns struct {
	mu     sync.Mutex
	credit map[*resilience.Model]float64
}

// inTurn returns the model whose turn it is.
func (v *view) inTurn(weighted bool) *resilience.Model {
	var buf [32]*resilience.Model
	models := buf[:0] // looked at before the lock: a hold that lapses tells observers
	v.each(func(m *resilience.Model) { models = append(models, m) })
	return v.turns.next(models, weighted)
}

func (t *turns) next(models []*resilience.Model, weighted bool) (next *resilience.Model) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.credit == nil {
		t.credit = map[*resilience.Model]float64{}
	}
	total, most := 0., 0.
	for _, m := range models {
		weight := 1.
		if weighted && !mutants.On("balance-weights-do-not-count") {
			weight = m.Weight()
		}
		total += weight
		credit := t.credit[m] + weight
		t.credit[m] = credit
		if next == nil || credit > most {
			next, most = m, credit
		}
	}
	if next != nil {
		t.credit[next] -= total
	}
	return next
}

func (t *turns) forget(m *resilience.Model) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.credit, m)
}

func (t *turns) keep(present map[*resilience.Model]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.credit, func(m *resilience.Model, _ float64) bool { return !present[m] })
}

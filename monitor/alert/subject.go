package alert

import (
	"slices"

	"github.com/cmmv-hive/resilience"
)

// A Subject is what a rule measures.
type Subject struct {
	Per    string              // "model", "name", "provider" or "pool"
	Name   string              // of it, as configured: a model's ID, a name, a provider; "" for the pool
	Models []*resilience.Model // that belong to it, one at least; not to be modified
}

// String returns for instance "model gpt-5".
func (s Subject) String() string {
	if s.Name == "" {
		return s.Per
	}
	return s.Per + " " + bound(s.Name)
}

// labels tell an alert about s from others of its rule.
func (s Subject) labels() map[string]string {
	labels := map[string]string{}
	if s.Per == "pool" {
		return labels
	}
	labels[s.Per] = bound(s.Name)
	first := s.Models[0].Info()
	alike := func(of func(resilience.ModelInfo) string) string {
		for _, m := range s.Models[1:] {
			if of(m.Info()) != of(first) {
				return ""
			}
		}
		return of(first)
	}
	add := func(label string, of func(resilience.ModelInfo) string) {
		if v := alike(of); v != "" {
			labels[label] = bound(v)
		}
	}
	switch s.Per {
	case "model":
		add("name", func(i resilience.ModelInfo) string { return i.Name })
		add("region", func(i resilience.ModelInfo) string { return i.Region })
		add("provider", func(i resilience.ModelInfo) string { return i.Provider })
	case "name":
		add("provider", func(i resilience.ModelInfo) string { return i.Provider })
	}
	return labels
}

// subjects are those of a pool.
type subjects struct {
	models     []*resilience.Model
	generation uint64
	of         map[string][]Subject // by Per
}

// renew makes s those of a pool, if they are not.
func (s *subjects) renew(p *resilience.Pool) (changed bool) {
	generation, models := p.Generation(), p.Models()
	if s.of != nil && generation == s.generation && slices.Equal(models, s.models) {
		return false
	}
	*s = subjects{models: models, generation: generation, of: map[string][]Subject{}}
	at := map[[2]string]int{}
	add := func(per, name string, m *resilience.Model) {
		i, known := at[[2]string{per, name}]
		if !known {
			i = len(s.of[per])
			at[[2]string{per, name}] = i
			s.of[per] = append(s.of[per], Subject{Per: per, Name: name})
		}
		s.of[per][i].Models = append(s.of[per][i].Models, m)
	}
	for _, m := range models {
		info := m.Info()
		add("model", info.ID, m)
		add("name", info.Name, m)
		if info.Provider == "" {
			add("provider", info.ID, m)
		} else {
			add("provider", info.Provider, m)
		}
	}
	if len(models) > 0 {
		s.of["pool"] = []Subject{{Per: "pool", Models: models}}
	}
	return true
}

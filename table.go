package resilience

import "slices"

// table is what a client's calls may go to in one generation of the
// configuration. It does not change.
type table struct {
	stem
	entries []entry           // by tier, then in the order of binding
	tiers   []int             // where each tier ends
	only    map[string]*table // by name and by ID
	name    string            // that calls are restricted to, or ""
}

// stem is what all parts of a table share.
type stem struct {
	owner  any // the view[Req, Resp] that it is of
	roster *roster
	plain  bool // no hook says what a request takes

	heaviest float64 // weight of a model, or 0 if all are alike
}

// weigh notes the weights of models.
func (s *stem) weigh(models []*Model) {
	for _, m := range models {
		if w := m.Weight(); w != models[0].Weight() {
			s.heaviest = max(s.heaviest, w, models[0].Weight())
		}
	}
}

type entry struct {
	model *Model
	pos   uint16 // in the client's list of callers
}

func newTable(of stem, models []*Model) *table {
	of.weigh(models)
	t := &table{stem: of}
	for i, m := range models {
		t.entries = append(t.entries, entry{m, uint16(i)})
	}
	slices.SortStableFunc(t.entries, func(a, b entry) int {
		return a.model.info.Load().Tier - b.model.info.Load().Tier
	})
	t.cut()
	t.only = map[string]*table{}
	for _, e := range t.entries {
		t.under(e.model.id, e)
		if name := e.model.Name(); name != e.model.id {
			t.under(name, e)
		}
	}
	for _, sub := range t.only {
		sub.cut()
	}
	return t
}

func (t *table) under(name string, e entry) {
	sub := t.only[name]
	if sub == nil {
		sub = &table{stem: t.stem, name: name}
		t.only[name] = sub
	}
	sub.entries = append(sub.entries, e)
}

// cut finds where the tiers end.
func (t *table) cut() {
	for i, e := range t.entries {
		if i > 0 && e.model.info.Load().Tier != t.entries[i-1].model.info.Load().Tier {
			t.tiers = append(t.tiers, i)
		}
	}
	t.tiers = append(t.tiers, len(t.entries))
}

// one returns the part of t that is the model with this ID, or nil. Others may
// have that ID as their name.
func (t *table) one(id string) *table {
	sub := t.only[id]
	if sub == nil || len(sub.entries) == 1 && sub.entries[0].model.id == id {
		return sub
	}
	for _, e := range sub.entries {
		if e.model.id == id {
			return &table{stem: t.stem, entries: []entry{e}, tiers: []int{1}, name: id}
		}
	}
	return nil
}

// restrict returns the part of t that is the model with this name, and then what
// may stand in for it. Unknown is a name that is not bound; of stand-ins only if
// the caller named them, since others may be another client's.
func (t *table) restrict(model string, fallbacks []string, named bool) (sub *table, unknown string) {
	sub = t.only[model]
	if sub == nil {
		return nil, model
	}
	if len(fallbacks) == 0 {
		return sub, ""
	}
	all := &table{stem: t.stem, entries: slices.Clone(sub.entries), tiers: slices.Clone(sub.tiers), name: model}
	for _, name := range fallbacks {
		more := t.only[name]
		if more == nil {
			if named {
				return nil, name
			}
			continue
		}
		for _, e := range more.entries {
			if !slices.Contains(all.entries, e) {
				all.entries = append(all.entries, e)
			}
		}
		if n := len(all.entries); n > all.tiers[len(all.tiers)-1] {
			all.tiers = append(all.tiers, n)
		}
	}
	return all, ""
}

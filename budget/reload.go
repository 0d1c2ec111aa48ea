package budget

import (
	"slices"

	"github.com/cmmv-hive/resilience/internal/settings"
)

// rules are the settings in force and the accounts by them. They do not change.
type rules struct {
	limits   []Limit
	unpriced Unpriced
	wait     int64
	queue    int
	observe  bool
	idle     bool // there are no limits

	pool  *holder
	books [scopes]*book // but for the pool's
}

// apply puts settings into force, and accounts that are as before under them.
func (b *Budgets) apply(cfg Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cfg = cfg
	b.prices.forget()
	for _, m := range b.pool.Models() {
		if p := b.places.Of(m); p.budgets != nil {
			p.describe()
		}
	}
	old := b.rules.Load()
	b.rules.Store(b.next(cfg, old))
	for _, h := range old.holders() { // that wait for what is no limit any more
		for i := range h.slots {
			h.slots[i].nudge()
		}
	}
}

// settled returns when no settings are being put into force.
func (b *Budgets) settled() {
	b.mu.Lock()
	defer b.mu.Unlock()
}

// next makes the rules of cfg, with the accounts of old ones, whose books are out
// of force then.
func (b *Budgets) next(cfg Config, old *rules) *rules {
	cfg.Limits = slices.Clone(cfg.Limits)
	settings.Fill(&cfg)
	r := &rules{
		limits: cfg.Limits, unpriced: cfg.Unpriced, wait: int64(max(cfg.Wait, 0)), queue: max(cfg.Queue, 0), observe: cfg.ObserveOnly, idle: len(cfg.Limits) == 0,
	}
	have := old.retire()
	of := func(scope Scope, only string) (limits []Limit) {
		for _, l := range r.limits {
			if l.Scope == scope && l.Only == only {
				limits = append(limits, l)
			}
		}
		return limits
	}
	if limits := of(Pool, ""); limits != nil {
		r.pool = newHolder("", limits, &b.tight, have[owner{Pool, ""}])
	}
	for at, scope := range scopeNames {
		if scope == Pool || !slices.ContainsFunc(r.limits, func(l Limit) bool { return l.Scope == scope }) {
			continue
		}
		k := newBook(scope, cfg.Names, &b.tight)
		r.books[at] = k
		for _, l := range r.limits {
			if l.Scope == scope && l.Only != "" && k.only[l.Only] == nil {
				if k.only == nil {
					k.only = map[string]*holder{}
				}
				k.only[l.Only] = newHolder(l.Only, of(scope, l.Only), &b.tight, have[owner{scope, l.Only}])
			}
		}
		k.general = of(scope, "")
		for who, accounts := range have {
			if who.scope == scope && k.only[who.name] == nil && len(k.general) > 0 {
				k.keep(who.name, accounts)
			}
		}
	}
	kept := map[*account]bool{}
	for _, h := range r.holders() {
		for i := range h.slots {
			a := h.slots[i].account
			kept[a] = true
			a.allow(r.limits[slices.IndexFunc(r.limits, func(l Limit) bool { return l.key() == a.key })])
		}
	}
	for _, accounts := range have {
		for _, a := range accounts {
			if !kept[a] {
				a.forget()
			}
		}
	}
	return r
}

// keep takes over the accounts of a name.
func (b *book) keep(name string, have map[string]*account) {
	if !slices.ContainsFunc(b.general, func(l Limit) bool { return have[l.key()] != nil }) {
		return
	}
	h := newHolder(name, b.general, b.tight, have)
	if name == other {
		b.rest = h
		return
	}
	b.add(h)
}

// owner is whose accounts they are.
type owner struct {
	scope Scope
	name  string
}

// retire puts books out of force, and returns their accounts by key.
func (r *rules) retire() map[owner]map[string]*account {
	have := map[owner]map[string]*account{}
	if r == nil {
		return have
	}
	for _, b := range r.books {
		if b != nil {
			b.retire()
		}
	}
	for _, h := range r.holders() {
		for i := range h.slots {
			a := h.slots[i].account
			who := owner{a.scope, a.name}
			if have[who] == nil {
				have[who] = map[string]*account{}
			}
			have[who][a.key] = a
		}
	}
	return have
}

func (b *book) retire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retired = true
}

// holders returns all that have accounts.
func (r *rules) holders() (all []*holder) {
	if r.pool != nil {
		all = append(all, r.pool)
	}
	for _, b := range r.books {
		if b != nil {
			all = append(all, b.all()...)
		}
	}
	return all
}

func (b *book) all() []*holder {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Clone(b.holders)
	for _, h := range b.only {
		all = append(all, h)
	}
	if b.rest != nil {
		all = append(all, b.rest)
	}
	return all
}

package resilience

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// KeyFrom returns the name of the key with which to ask the model: one of its
// [ModelInfo].Keys, or [CallOptions].Key. It is "" for a model without keys,
// and outside of an attempt. A caller that is bound to a model looks the key
// itself up by that name, each time it is called.
func KeyFrom(ctx context.Context) string {
	if by, ok := ctx.Value(keyKey{}).(*access); ok && by.key != nil {
		return by.key.name
	}
	return ""
}

type keyKey struct{}

// key is a key of a provider, or of a model that names none. What is known of it
// is shared by the provider's models.
type key struct {
	name    string
	own     bool // a caller's; what is known of those is in guests
	refused spell
}

// access is a model by one of its keys, or without one. It does not change.
type access struct {
	model *Model
	key   *key   // or nil
	limit *spell // of the key at this model
}

// owned returns the way to m by a caller's own key.
func owned(m *Model, name string) *access {
	both := &struct {
		access
		its key
	}{its: key{name: name, own: true}}
	both.model, both.key = m, &both.its
	return &both.access
}

// name returns the key's name, "" without one.
func (by *access) name() string {
	if by.key == nil {
		return ""
	}
	return by.key.name
}

// spells are what may keep the key from the model.
func (by *access) spells() [2]*spell { return [...]*spell{&by.key.refused, by.limit} }

// free reports whether nothing holds the key.
func (by *access) free(now int64) bool {
	refused, limited := by.key.refused.until.Load(), by.limit.until.Load()
	if refused == 0 && limited == 0 {
		return true
	}
	if refused > now || limited > now {
		return false
	}
	for _, s := range by.spells() {
		by.model.pool.released(context.Background(), by, s.lapse(now), "ran out")
	}
	return true
}

// until returns the instant from which nothing holds the key, as far as is known,
// and when it failed last.
func (by *access) until() (until, failed int64) {
	for _, s := range by.spells() {
		until, failed = max(until, s.until.Load()), max(failed, s.at.Load())
	}
	return until, failed
}

// ring is the keys of a model. Its list does not change.
type ring struct {
	turn atomic.Uint32
	all  []*access
}

// patience is how soon a held key must come back for those that are refused to
// stay out.
const patience = int64(5 * time.Minute)

// access returns the way to m: by the next of its keys that nothing holds, or
// else by the one that is free soonest. If none is within five minutes, it is the
// one that was refused longest ago, as somebody may have mended that.
func (m *Model) access(now int64) *access {
	r := m.keys.Load()
	if r == nil {
		return &m.plain
	}
	if by := r.next(now, nil); by != nil {
		return by
	}
	return slices.MinFunc(r.all, func(a, b *access) int {
		until, failed := a.until()
		other, before := b.until()
		until, other = worth(until, now), worth(other, now)
		if until < other || until == other && failed < before {
			return -1
		}
		return 1
	})
}

// worth is the instant until which it is no use to ask by a key.
func worth(until, now int64) int64 {
	if until == openEnded {
		return now + patience
	}
	return until
}

// next returns the next key that nothing holds and that is not in but, or nil.
func (r *ring) next(now int64, but []*access) *access {
	n := uint32(len(r.all))
	for range n {
		if by := r.all[(r.turn.Add(1)-1)%n]; by.free(now) && !slices.Contains(but, by) {
			return by
		}
	}
	for _, by := range r.all { // others take turns meanwhile
		if by.free(now) && !slices.Contains(but, by) {
			return by
		}
	}
	return nil
}

// soonest returns the instant at which the first of the keys is free, or worth
// another try, and whether a limit is among what holds them.
func (r *ring) soonest(now int64) (at int64, limit bool) {
	at = math.MaxInt64
	for _, by := range r.all {
		until, _ := by.until()
		at = min(at, worth(until, now))
		_, who := by.limit.hold(now)
		limit = limit || who == HoldLimit && until != openEnded
	}
	return at, limit
}

// keyID tells keys apart: two providers may have keys of the same name.
type keyID struct{ provider, model, name string }

// house are the pool's keys.
type house map[keyID]*key

// equip gives m its keys. Those that it had, it keeps as they are. The caller has
// p.mu, or is alone with the pool.
func (m *Model) equip(info ModelInfo) {
	old := m.keys.Load()
	if len(info.Keys) == 0 {
		m.keys.Store(nil)
		return
	}
	p := m.pool
	if p.house == nil {
		p.house = house{}
	}
	next := &ring{}
	for _, name := range info.Keys {
		id := keyID{provider: info.Provider, name: name}
		if id.provider == "" {
			id.model = m.id
		}
		k := p.house[id]
		if k == nil {
			k = &key{name: name}
			p.house[id] = k
		}
		by := &access{m, k, new(spell)}
		if old != nil {
			if i := slices.IndexFunc(old.all, func(o *access) bool { return o.key == k }); i >= 0 {
				by = old.all[i]
			}
		}
		next.all = append(next.all, by)
	}
	m.keys.Store(next)
}

// tidy forgets keys that no model has. The caller has p.mu.
func (p *Pool) tidy(models []*Model) {
	if len(p.house) == 0 {
		return
	}
	used := map[*key]bool{}
	for _, m := range models {
		for _, by := range m.accesses() {
			used[by.key] = true
		}
	}
	for id, k := range p.house {
		if !used[k] {
			delete(p.house, id)
		}
	}
}

// accesses are the ways to m by its keys.
func (m *Model) accesses() []*access {
	if r := m.keys.Load(); r != nil {
		return r.all
	}
	return nil
}

// keyHolds lists what holds keys of m.
func (m *Model) keyHolds(now int64) (list []Hold) {
	for _, by := range m.accesses() {
		for _, s := range by.spells() {
			if h, who := s.hold(now); who != 0 {
				list = append(list, m.pool.holdOf(who, h, by.key.name))
			}
		}
	}
	return list
}

// holdOf makes a Hold of a hold.
func (p *Pool) holdOf(by HoldBy, h hold, key string) Hold {
	return Hold{By: by, Reason: h.reason, Since: p.wall(h.since), Until: p.wall(h.until), Key: key}
}

// unlock lifts what m was held for when nothing was left but keys that were held,
// if one of them is free by now: sooner than was said then.
func (m *Model) unlock(ctx context.Context, reason string) {
	now := m.pool.now()
	if m.gate.Load() == 0 || !slices.ContainsFunc(m.accesses(), func(by *access) bool { return by.free(now) }) {
		return
	}
	for _, by := range [...]HoldBy{HoldLimit, HoldQuota, HoldCredential} {
		m.release(ctx, by, reason)
	}
}

// pardon gives the keys of models another chance that are held by one of those.
func (p *Pool) pardon(ctx context.Context, models []*Model, reason string, holders ...HoldBy) {
	now := p.now()
	for _, m := range models {
		defer m.unlock(ctx, reason)
		for _, by := range m.accesses() {
			for _, s := range by.spells() {
				if _, who := s.hold(now); slices.Contains(holders, who) {
					p.released(ctx, by, s.clear(math.MaxInt64), reason)
				}
			}
		}
	}
}

// siblings are the models that share m's keys.
func (m *Model) siblings() []*Model {
	provider := m.info.Load().Provider
	if provider == "" {
		return []*Model{m}
	}
	var list []*Model
	for _, other := range m.pool.roster.Load().models {
		if other.info.Load().Provider == provider {
			list = append(list, other)
		}
	}
	return list
}

// released tells that who held a key does no more.
func (p *Pool) released(ctx context.Context, by *access, who HoldBy, reason string) {
	if who != 0 && p.Wants(EventRelease) {
		p.Emit(ctx, Event{Kind: EventRelease, Model: by.model, Key: by.name(), From: who.String(), Reason: reason})
	}
}

// speaks reports whether what the provider says of limits is about the key alone.
func (by *access) speaks() bool { return by.key.own || len(by.model.accesses()) > 1 }

// renew gives keys that are refused or spent another chance after a reload, which
// may have come because somebody has mended them, and with them models that have
// nothing else against them.
func (p *Pool) renew(ctx context.Context, by Control) {
	models, reason := p.roster.Load().models, by.Actor+": "+by.Reason
	p.pardon(ctx, models, reason, HoldQuota, HoldCredential)
	for _, m := range models {
		if len(m.accesses()) > 0 {
			m.release(ctx, HoldQuota, reason)
			m.release(ctx, HoldCredential, reason)
		}
	}
	p.guests.forget(func(_ place, by HoldBy) bool { return by != HoldLimit })
}

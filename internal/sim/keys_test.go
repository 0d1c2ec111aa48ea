package sim_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
)

const guestKeys = 6

// drawKeys gives models keys, and some callers theirs, of which some fail.
func (s *scenario) drawKeys(r *rand.Rand) {
	if s.keys = chance(r, .3); !s.keys {
		return
	}
	s.guests = chance(r, .6)
	var equipped []int
	for i := range s.models {
		m := &s.models[i]
		if m.inners > 0 || chance(r, .3) {
			continue
		}
		equipped = append(equipped, i)
		for _, k := range r.Perm(4)[:1+r.IntN(4)] {
			m.Keys = append(m.Keys, fmt.Sprintf("%s-k%d", m.Provider, k))
		}
	}
	add := func(key string, models []int, from, to time.Duration) {
		f := fault{id: len(s.faults) + 1, key: key, kind: pick(r, keyDead, keyDead, keySpent, keyLimited), models: models, from: from, to: min(to, heal)}
		switch f.kind {
		case keySpent:
			f.wait = pick(r, 0, time.Second) // whether the reset is told
		case keyLimited:
			f.wait = pick(r, 0, 2*time.Second, 8*time.Second, 20*time.Second)
			f.share = pick(r, .5, 1)
		}
		s.faults = append(s.faults, f)
	}
	when := func() (from, to time.Duration) {
		from = between(r, 5*time.Second, heal-time.Minute)
		return from, from + between(r, 10*time.Second, 4*time.Minute)
	}
	for range 2 + r.IntN(4) {
		from, to := when()
		provider := s.models[r.IntN(len(s.models))].Provider
		add(fmt.Sprintf("%s-k%d", provider, r.IntN(4)), s.ofProvider(provider), from, to)
	}
	if len(equipped) > 0 && chance(r, .4) { // all of a model's keys fail
		from, to := when()
		m := s.models[equipped[r.IntN(len(equipped))]]
		for _, key := range m.Keys {
			add(key, s.ofProvider(m.Provider), from, to)
		}
	}
	for range r.IntN(4) {
		if from, to := when(); s.guests {
			all := make([]int, len(s.models))
			for i := range all {
				all[i] = i
			}
			add(fmt.Sprint("own", r.IntN(guestKeys)), all, from, to)
		}
	}
	slices.SortStableFunc(s.faults, func(a, b fault) int { return cmp.Compare(a.from, b.from) })
}

// lend gives some callers a key of their own.
func (s *scenario) lend(id int64, p *callPlan) {
	if !s.guests {
		return
	}
	if r := rand.New(rand.NewPCG(s.seed, uint64(id)^0xce115)); chance(r, .15) { // goodput does not depend on these
		p.opts.Key, p.plain = fmt.Sprint("own", r.IntN(guestKeys)), false
	}
}

// keysAfter are the keys of a model after the reload of a fault.
func (s *scenario) keysAfter(model, id int) []string {
	m := s.models[model]
	if len(m.Keys) == 0 {
		return nil
	}
	switch (model + id) % 4 {
	case 1:
		return append(slices.Clone(m.Keys[1:]), m.Provider+"-new")
	case 2:
		return m.Keys[:1]
	case 3:
		if id%2 == 0 {
			return nil
		}
	}
	return m.Keys
}

// refusesKey answers a request by its key alone.
func (w *world) refusesKey(a *askRecord) (resilience.Kind, error) {
	if a.key == "" {
		return 0, nil
	}
	f := w.meets(a, keyDead, keySpent, keyLimited)
	switch {
	case f == nil:
		return 0, nil
	case f.kind == keyDead:
		return resilience.Unauthorized, answered(401, "invalid_api_key", 0)
	case f.kind == keySpent:
		if f.wait > 0 {
			a.wait = (f.to - time.Duration(now()) + time.Second).Truncate(time.Second)
		}
		return resilience.QuotaSpent, answered(429, "insufficient_quota", a.wait)
	default:
		a.wait = f.wait
		return resilience.RateLimited, answered(429, "rate_limit_exceeded", f.wait)
	}
}

// keysOut sees whether a model has several keys and all of them are held.
func (d *desk) keysOut() {
	if !d.scenario.keys {
		return
	}
	for _, m := range d.pool.Models() {
		held := map[string]bool{}
		for _, h := range m.Holds() {
			if h.Key != "" {
				held[h.Key] = true
			}
		}
		if n := len(m.Info().Keys); n > 1 && len(held) == n {
			d.reach("all keys of a model out at once")
		}
	}
}

// A keyPlace is a key of a provider.
type keyPlace struct{ provider, key string }

func (v *view) placeOf(a *askRecord) keyPlace {
	return keyPlace{v.scenario.models[a.model].Provider, a.key}
}

// byKey are the requests by each key, but for those of pools behind models.
func (v *view) byKey() map[keyPlace][]*askRecord {
	if v.keyed == nil {
		v.keyed = map[keyPlace][]*askRecord{}
		for _, a := range v.asks {
			if a.key != "" && a.inner == 0 {
				at := v.placeOf(a)
				v.keyed[at] = append(v.keyed[at], a)
			}
		}
		for _, list := range v.keyed {
			slices.SortStableFunc(list, func(a, b *askRecord) int { return cmp.Compare(a.begin, b.begin) })
		}
	}
	return v.keyed
}

// guest reports whether a request came with a key of its caller's.
func (v *view) guest(a *askRecord) bool {
	c := v.callOf[a.call]
	return c != nil && c.plan.opts.Key != ""
}

// keysOf are the keys of a model at an instant, and whether these changed just
// before.
func (v *view) keysOf(model int, at int64) (keys []string, just bool) {
	keys = v.scenario.models[model].Keys
	for _, o := range v.orders {
		if o.kind != reload || o.err != nil || o.at > at {
			continue
		}
		keys, just = v.scenario.models[model].Keys, o.at > at-slack
		if o.reload > 0 { // or else it names no models
			keys = v.scenario.keysAfter(model, o.reload)
		}
	}
	return keys, just
}

// ofKey reports whether a failure is of the request's key.
func (a *askRecord) ofKey() bool {
	return a.key != "" && (a.kind == resilience.Unauthorized || a.kind == resilience.QuotaSpent || a.kind == resilience.RateLimited)
}

// clean reports whether nothing was held against a key of a model.
func (v *view) clean(model int, key string, at int64) bool {
	clean, since := true, int64(0)
	for _, a := range v.byKey()[keyPlace{v.scenario.models[model].Provider, key}] {
		switch {
		case a.begin > at+slack:
			return clean
		case a.ofKey() && a.end <= at+slack && (a.kind != resilience.RateLimited || a.model == model):
			clean, since = false, max(since, a.end)
		case !clean && a.kind == 0 && a.model == model && a.begin > since && a.end < at-slack:
			clean = true
		}
	}
	return clean
}

// pardoned reports whether people gave refused keys of a model's provider
// another chance, or recovery did so as it brought a model back.
func (v *view) pardoned(model int, from, to int64) bool {
	provider := v.scenario.models[model].Provider
	if slices.ContainsFunc(v.resets, func(e eventRecord) bool {
		return e.at >= from && e.at <= to && v.scenario.models[e.model].Provider == provider
	}) {
		return true
	}
	return slices.ContainsFunc(v.orders, func(o orderRecord) bool {
		if o.at < from || o.at > to {
			return false
		}
		return o.kind == reload || o.kind == "mended" ||
			o.kind == reset && v.scenario.models[o.model].Provider == provider
	})
}

// amnesty reports whether a refused key was answered, upon which all come back.
func (v *view) amnesty(provider string, from, to int64) bool {
	for of, list := range v.byKey() {
		if of.provider != provider {
			continue
		}
		refused := false
		for _, a := range list {
			if a.begin > to {
				break
			}
			if refused && (a.kind == 0 || a.sent > 0) && a.end >= from {
				return true
			}
			refused = refused || a.kind == resilience.Unauthorized
		}
	}
	return false
}

// limitedKeys is check 12 of keys.
func (v *view) limitedKeys(bad func(string, ...any)) {
	for of, list := range v.byKey() {
		for i, a := range list {
			if a.kind != resilience.RateLimited || a.wait == 0 || v.lost(a) {
				continue
			}
			for _, b := range list[i+1:] {
				if b.model != a.model || b.begin <= a.end+slack || v.struck[visitPlace{b.call, b.model}] {
					continue
				}
				if b.begin >= a.end+int64(a.wait)-slack || v.mended(a.model, a.end, b.begin) || v.changed(a.model, a.end, b.begin) || v.healed(a.model, a.end, b.begin) {
					break
				}
				if g := v.gateOf(b); g == nil || !g.lastResort {
					bad("call %d asked m%d by %s %v after it had asked for %v", b.call, b.model, of.key, at(b.begin-a.end), a.wait)
				}
				if b.kind == 0 || b.sent > 0 || b.kind == resilience.RateLimited {
					break
				}
			}
		}
	}
}

// healed reports whether recovery reset a model, which lifts what holds its keys.
func (v *view) healed(model int, from, to int64) bool {
	return slices.ContainsFunc(v.resets, func(e eventRecord) bool { return e.model == model && e.at >= from && e.at <= to })
}

// changed reports whether the keys of a model did.
func (v *view) changed(model int, from, to int64) bool {
	return len(v.scenario.models[model].Keys) > 0 && slices.ContainsFunc(v.orders, func(o orderRecord) bool {
		return o.kind == reload && o.err == nil && o.at >= from && o.at <= to
	})
}

// badKeys is check 13 of keys.
func (v *view) badKeys(bad func(string, ...any)) {
	for of, list := range v.byKey() {
		for i, a := range list {
			if a.kind != resilience.Unauthorized && a.kind != resilience.QuotaSpent || v.lost(a) {
				continue
			}
			term := int64(5 * time.Minute)
			switch guest := v.guest(a); {
			case a.kind == resilience.QuotaSpent:
				term = int64(cmp.Or(a.wait, time.Minute))
			case !guest:
				term = int64(lasts)
			}
			for _, b := range list[i+1:] {
				answered := b.kind == 0 || b.sent > 0
				if b.begin <= a.end+slack || v.struck[visitPlace{b.call, b.model}] {
					if answered && b.begin > a.end-slack {
						break // it may have begun after the failure, which it refutes
					}
					continue
				}
				if b.begin >= a.end+term-slack || v.pardoned(a.model, a.end, b.begin) {
					break
				}
				if v.guest(a) {
					bad("call %d asked m%d by %s, its own, %v after %v", b.call, b.model, of.key, at(b.begin-a.end), a.kind)
				} else if other := v.spare(b); other != "" && !(a.kind == resilience.Unauthorized && v.amnesty(of.provider, a.end, b.begin)) {
					bad("call %d asked m%d by %s %v after %v, and there was %s", b.call, b.model, of.key, at(b.begin-a.end), a.kind, other)
				}
				if answered || b.ofKey() {
					break
				}
			}
		}
	}
}

// spare returns another key by which a request could have been made, "" if there
// was none.
func (v *view) spare(a *askRecord) string {
	keys, just := v.keysOf(a.model, a.begin)
	if just {
		return ""
	}
	for _, key := range keys {
		if key != a.key && v.clean(a.model, key, a.begin) {
			return key
		}
	}
	return ""
}

func ownKeys(v *view, bad func(string, ...any)) {
	for _, a := range v.asks {
		own := ""
		if c := v.callOf[a.call]; c != nil {
			own = c.plan.opts.Key
		}
		keys, just := v.keysOf(a.model, a.begin)
		just = just || v.struck[visitPlace{a.call, a.model}] // late: by the keys that there were
		switch {
		case own != "":
			if a.key != own {
				bad("call %d asked m%d by %q, and brought %s", a.call, a.model, a.key, own)
			}
		case a.inner > 0 || len(keys) == 0:
			if a.key != "" && !just {
				bad("call %d asked m%d by %s, and it has no keys", a.call, a.model, a.key)
			}
		case !just && !slices.Contains(keys, a.key):
			bad("call %d asked m%d by %q, and its keys are %v", a.call, a.model, a.key, keys)
		}
	}
	for _, e := range v.events {
		c := v.callOf[e.call]
		if e.kind == resilience.EventHold && e.key == "" && slices.Contains([]string{"credential", "quota", "health"}, e.to) && c != nil && c.plan.opts.Key != "" {
			bad("m%d is held by %s since %v, for the key that call %d brought", e.model, e.to, at(e.at), e.call)
		}
	}
}

// rotated reports whether a request is made again since a key failed.
func (v *view) rotated(a *askRecord) bool {
	return a.key != "" && slices.ContainsFunc(v.asksOf[a.call], func(b *askRecord) bool {
		return b.model == a.model && b.key != a.key && b.ofKey() && b.end <= a.begin && a.begin <= b.end+slack && !v.guest(a)
	})
}

func rotations(v *view, bad func(string, ...any)) {
	for _, list := range v.byKey() {
		for _, a := range list {
			if !a.ofKey() || v.guest(a) || v.struck[visitPlace{a.call, a.model}] {
				continue
			}
			c, g := v.callOf[a.call], v.gateOf(a)
			over := min(c.limit, c.first)
			if g == nil || g.kind == resilience.Canceled || g.kind == resilience.Rejected || over <= a.end+slack {
				continue
			}
			asked := []string{}
			again := false
			for _, b := range v.asksOf[a.call] {
				if b.model == a.model && b.begin >= g.begin && b.begin <= a.end+slack {
					asked = append(asked, b.key)
					again = again || b.begin >= a.end
				}
			}
			keys, just := v.keysOf(a.model, a.end)
			for _, key := range keys {
				if !again && !just && !slices.Contains(asked, key) && v.clean(a.model, key, a.end) {
					bad("call %d failed at m%d by %s with %v at %v, and was not made by %s", a.call, a.model, a.key, a.kind, at(a.end), key)
				}
			}
		}
	}
}

package resilience

import (
	"container/list"
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxGuests is how many keys of callers a pool knows something bad about. The
// one used longest ago is forgotten first.
const maxGuests = 10_000

// guests are the keys of callers that have failed since they were last answered.
// Of others nothing is known: there may be a million.
type guests struct {
	n     atomic.Int64
	mu    sync.Mutex
	names map[string]*list.Element // of *guest
	order list.List                // used latest first
}

// guest is a key of a caller, and what keeps it from where.
type guest struct {
	name   string
	visits []visit
}

type visit struct {
	place place
	spell *spell
}

// place is what a key is kept from: a provider, or one model.
type place struct {
	provider, model string
	limit           bool
}

// places are those at which an access by a key of a caller may be refused: as
// by [access.spells].
func (by *access) places() [2]place {
	refused := place{provider: by.model.info.Load().Provider}
	if refused.provider == "" {
		refused.model = by.model.id
	}
	return [...]place{refused, {model: by.model.id, limit: true}}
}

// find returns what is known of a key at a place, or nil.
func (g *guests) find(name string, at place) *spell {
	if g.n.Load() == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.names[name]
	if e == nil {
		return nil
	}
	g.order.MoveToFront(e)
	for _, v := range e.Value.(*guest).visits {
		if v.place == at {
			return v.spell
		}
	}
	return nil
}

// of is find that makes what there is not.
func (g *guests) of(name string, at place) *spell {
	if s := g.find(name, at); s != nil {
		return s
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.names == nil {
		g.names = map[string]*list.Element{}
	}
	e := g.names[name]
	if e == nil {
		if g.order.Len() == maxGuests {
			g.drop(g.order.Back())
		}
		e = g.order.PushFront(&guest{name: name})
		g.names[name] = e
		g.n.Add(1)
	}
	who := e.Value.(*guest)
	if i := slices.IndexFunc(who.visits, func(v visit) bool { return v.place == at }); i >= 0 {
		return who.visits[i].spell // by now
	}
	v := visit{at, &spell{}}
	who.visits = append(who.visits, v)
	return v.spell
}

func (g *guests) drop(e *list.Element) {
	delete(g.names, e.Value.(*guest).name)
	g.order.Remove(e)
	g.n.Add(-1)
}

// forget forgets what keeps keys from places.
func (g *guests) forget(which func(at place, by HoldBy) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := g.order.Front(); e != nil; {
		who, next := e.Value.(*guest), e.Next()
		who.visits = slices.DeleteFunc(who.visits, func(v visit) bool { return which(v.place, v.spell.holder()) })
		if len(who.visits) == 0 {
			g.drop(e)
		}
		e = next
	}
}

// leave forgets a key that was answered.
func (g *guests) leave(by *access) {
	places := by.places()
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.names[by.name()]
	if e == nil {
		return
	}
	who := e.Value.(*guest)
	who.visits = slices.DeleteFunc(who.visits, func(v visit) bool {
		return slices.Contains(places[:], v.place) && v.spell.at.Load() == 0
	})
	if len(who.visits) == 0 {
		g.drop(e)
	}
}

// own returns the name of the caller's own key, "" if he has none.
func (c *Call) own() string {
	if c.opts == nil {
		return ""
	}
	return c.opts.Key
}

// barred refuses the call at its model while the caller's own key is held there.
func (c *Call) barred(ctx context.Context) error {
	name := c.own()
	if name == "" || c.pool.guests.n.Load() == 0 {
		return nil
	}
	p := c.pool
	now := p.now()
	by := owned(c.model, name)
	var first hold
	var who HoldBy
	for _, at := range by.places() {
		s := p.guests.find(name, at)
		if s == nil {
			continue
		}
		p.released(ctx, by, s.lapse(now), "ran out")
		if h, holder := s.hold(now); holder != 0 && h.until > first.until {
			first, who = h, holder
		}
	}
	if who == 0 {
		return nil
	}
	held := p.holdOf(who, first, name)
	err := &rejection{reason: held.String(), held: &held}
	if first.until != math.MaxInt64 {
		err.after = time.Duration(first.until - now)
	}
	if p.Wants(EventReject) {
		p.Emit(ctx, Event{Kind: EventReject, Model: c.model, Key: name, Attempt: int(c.attempts), Err: err, Reason: err.Error()})
	}
	return err
}

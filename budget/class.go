package budget

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Of so many attempts the dearest is remembered, of those and of as many before.
const (
	samples  = 128
	enough   = 16 // to reserve less than what was asked for
	headroom = 4  // one part in so many over the dearest
)

// maxClasses bounds what is told apart.
const maxClasses = 1000

// A class is what attempts at a model by name took, for one operation.
type class struct {
	model, op string
	n         atomic.Int64
	most      [2]peak // of tokens and dollars, by resource
}

// A peak is a maximum over one or two windows.
type peak struct{ present, before atomic.Int64 }

func (p *peak) top() int64 { return max(p.present.Load(), p.before.Load()) }

func (p *peak) note(n int64) {
	for {
		old := p.present.Load()
		if n <= old || p.present.CompareAndSwap(old, n) {
			return
		}
	}
}

// learn notes what an attempt took.
func (k *class) learn(took *amounts) {
	for i := range k.most {
		if p := &k.most[i]; took[i] > p.present.Load() {
			p.note(took[i])
		}
	}
	if k.n.Add(1)%samples == 0 {
		for i := range k.most {
			p := &k.most[i]
			p.before.Store(p.present.Swap(0))
		}
	}
}

// bound returns what to reserve, where an estimate says that an attempt takes so
// much at most; 0 if nobody knows.
func (k *class) bound(resource int, estimate int64) int64 {
	n := k.n.Load()
	if n == 0 || estimate > 0 && n < enough {
		return estimate
	}
	seen := k.most[resource].top()
	seen += seen / headroom
	if estimate > 0 {
		return min(estimate, seen)
	}
	return seen
}

type classKey struct{ model, op string }

// classes are told apart as long as there are not too many; the rest is one.
type classes struct {
	by   atomic.Pointer[map[classKey]*class]
	rest class

	mu sync.Mutex // of who makes one
}

func (c *classes) of(model, op string) *class {
	key := classKey{model, op}
	if by := c.by.Load(); by != nil {
		if k := (*by)[key]; k != nil {
			return k
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[classKey]*class{}
	if by := c.by.Load(); by != nil {
		if k := (*by)[key]; k != nil {
			return k
		}
		if len(*by) >= maxClasses {
			return &c.rest
		}
		next = maps.Clone(*by)
	}
	k := &class{model: model, op: op}
	next[key] = k
	c.by.Store(&next)
	return k
}

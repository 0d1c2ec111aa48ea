package monitor

import (
	"strings"
	"sync"
	"sync/atomic"
)

// other is the name of what there is no room for.
const other = "other"

// names are values by names that callers choose: a bounded number of them, and one for
// all others. The zero value is empty.
type names[T any] struct {
	known   sync.Map // string to *T
	size    atomic.Int64
	mu      sync.Mutex // of those who add
	rest    T
	dropped atomic.Int64 // times that rest was asked for
}

// of returns the value of a name, where there may be so many.
func (n *names[T]) of(name string, most int) *T {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if v, ok := n.known.Load(name); ok {
		return v.(*T)
	}
	if n.size.Load() < int64(most) && len(name) <= 128 && name != other {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.size.Load() < int64(most) {
			v, known := n.known.LoadOrStore(strings.Clone(name), new(T))
			if !known {
				n.size.Add(1)
			}
			return v.(*T)
		}
	}
	n.dropped.Add(1)
	return &n.rest
}

// each calls fn for all names, and for other once it was used.
func (n *names[T]) each(fn func(name string, v *T)) {
	n.known.Range(func(name, v any) bool {
		fn(name.(string), v.(*T))
		return true
	})
	if n.dropped.Load() > 0 {
		fn(other, &n.rest)
	}
}

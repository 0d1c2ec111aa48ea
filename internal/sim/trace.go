// Package sim has what the simulation of the whole stack is made of and what
// does not need the library: instants that no two actors share, a trace that is
// the same for a seed, and a shrinker of lists. The simulation is its tests.
package sim

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sync"
)

// A Mark is something that happened.
type Mark struct {
	At    int64  // nanoseconds
	Actor int64  // who
	What  uint64 // it was
	N     int64  // a detail of it
}

// A Trace collects marks.
type Trace struct {
	mu    sync.Mutex
	marks []Mark
}

// Add adds a mark.
func (t *Trace) Add(m Mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marks = append(t.marks, m)
}

// Marks returns what happened, in the order of time. What happened at the same
// instant is in an order that does not depend on the scheduler.
func (t *Trace) Marks() []Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	sorted := slices.Clone(t.marks)
	slices.SortFunc(sorted, func(a, b Mark) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Actor, b.Actor), cmp.Compare(a.What, b.What), cmp.Compare(a.N, b.N))
	})
	return sorted
}

// Hash identifies all of it.
func (t *Trace) Hash() string {
	h := sha256.New()
	var b [32]byte
	for _, m := range t.Marks() {
		binary.LittleEndian.PutUint64(b[0:], uint64(m.At))
		binary.LittleEndian.PutUint64(b[8:], uint64(m.Actor))
		binary.LittleEndian.PutUint64(b[16:], m.What)
		binary.LittleEndian.PutUint64(b[24:], uint64(m.N))
		h.Write(b[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

package budget

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// other is who shares an account when there are too many names.
const other = "other"

// A book has the accounts of one scope by name.
type book struct {
	scope   Scope
	general []Limit            // for each name
	only    map[string]*holder // has limits of its own
	names   int
	tight   *atomic.Int64
	seed    maphash.Seed
	table   atomic.Pointer[table]

	mu      sync.Mutex // of those who change the table
	holders []*holder  // in it, but for the one that the rest share
	hand    int        // where a place may be free
	rest    *holder
	retired bool // another book has its accounts
}

// A holder is one name and its accounts.
type holder struct {
	name    string
	hash    uint64
	next    atomic.Pointer[holder] // in the table
	slots   []slot
	lines   []line   // what is limited in the slots, in their order
	dollars *account // the first that limits them, or nil
}

// A line is what is limited of one resource.
type line struct {
	*gauge
	account  *account
	resource int
	last     bool // of its account
}

// A slot is an account and what is limited in it, which does not change while
// attempts that have reserved something are under way.
type slot struct {
	*account
	limited [resources]bool
}

// table is a hash table whose readers take no lock. One who does not find a name
// looks again under the book's lock.
type table struct {
	heads []atomic.Pointer[holder]
	n     int
}

func (t *table) find(hash uint64, name string) *holder {
	for h := t.heads[hash&uint64(len(t.heads)-1)].Load(); h != nil; h = h.next.Load() {
		if h.hash == hash && h.name == name {
			return h
		}
	}
	return nil
}

// put adds h.
func (t *table) put(h *holder) {
	head := &t.heads[h.hash&uint64(len(t.heads)-1)]
	h.next.Store(head.Load())
	head.Store(h)
	t.n++
}

// take removes h. Readers who are at it go on from there.
func (t *table) take(h *holder) {
	at := &t.heads[h.hash&uint64(len(t.heads)-1)]
	for at.Load() != h {
		at = &at.Load().next
	}
	at.Store(h.next.Load())
	t.n--
}

func newTable(size int) *table { return &table{heads: make([]atomic.Pointer[holder], size)} }

func newBook(scope Scope, names int, tight *atomic.Int64) *book {
	b := &book{scope: scope, names: names, tight: tight, seed: maphash.MakeSeed()}
	b.table.Store(newTable(8))
	return b
}

// of returns who has this name, nil if nothing is limited, and false if the book
// is out of force.
func (b *book) of(name string, now int64) (*holder, bool) {
	if b == nil {
		return nil, true
	}
	h, hash := b.find(name)
	if h != nil || len(b.general) == 0 {
		return h, true
	}
	return b.open(hash, name, now)
}

// find returns who has this name, if anybody has it already.
func (b *book) find(name string) (h *holder, hash uint64) {
	if len(b.only) > 0 {
		h = b.only[name]
	}
	if h == nil && len(b.general) > 0 {
		hash = maphash.String(b.seed, name)
		h = b.table.Load().find(hash, name)
	}
	return h, hash
}

// open makes an account for a name.
func (b *book) open(hash uint64, name string, now int64) (*holder, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.table.Load()
	if b.retired {
		return nil, false
	}
	if h := t.find(hash, name); h != nil {
		return h, true
	}
	if name == other || len(b.holders) >= b.names && !b.evict(t, now) {
		return b.shared(), true
	}
	h := newHolder(name, b.general, b.tight, nil)
	b.add(h)
	return h, true
}

// add gives h a place.
func (b *book) add(h *holder) {
	h.hash = maphash.String(b.seed, h.name)
	t := b.table.Load()
	if t.n >= len(t.heads) {
		t = b.grow(t)
	}
	t.put(h)
	b.holders = append(b.holders, h)
}

// shared returns the holder for names that have no place of their own.
func (b *book) shared() *holder {
	if b.rest == nil {
		b.rest = newHolder(other, b.general, b.tight, nil)
	}
	return b.rest
}

// grow doubles the table. Readers of the old one may miss what has moved.
func (b *book) grow(old *table) *table {
	t := newTable(2 * len(old.heads))
	for _, h := range b.holders {
		t.put(h)
	}
	b.table.Store(t)
	return t
}

// looks is how many accounts are looked at for one that is empty.
const looks = 16

// evict takes a place from a name that has nothing spent and nothing reserved.
func (b *book) evict(t *table, now int64) bool {
	for range min(looks, len(b.holders)) {
		b.hand %= len(b.holders)
		h := b.holders[b.hand]
		if h.idle(now) && h.close(now) {
			t.take(h)
			last := len(b.holders) - 1
			b.holders[b.hand] = b.holders[last]
			b.holders[last] = nil
			b.holders = b.holders[:last]
			return true
		}
		b.hand++
	}
	return false
}

// newHolder makes the accounts of a name, but for those that there are.
func newHolder(name string, limits []Limit, tight *atomic.Int64, have map[string]*account) *holder {
	h := &holder{name: name}
	for _, l := range limits {
		a := have[l.key()]
		if a == nil {
			a = newAccount(l, name, tight)
		}
		s := slot{account: a}
		for i, n := range l.limits() {
			if s.limited[i] = n > 0; s.limited[i] {
				h.lines = append(h.lines, line{gauge: &a.gauges[i], account: a, resource: i})
			}
		}
		h.lines[len(h.lines)-1].last = true
		if s.limited[cost] && h.dollars == nil {
			h.dollars = a
		}
		h.slots = append(h.slots, s)
	}
	return h
}

// idle reports whether the accounts look empty.
func (h *holder) idle(now int64) bool {
	for i := range h.slots {
		s := &h.slots[i]
		for j := range s.gauges {
			g := &s.gauges[j]
			if g.reserved.Load() != 0 || g.spent.Load() != 0 && now < s.until.Load() {
				return false
			}
		}
	}
	return true
}

// close closes the accounts if nothing is spent and nothing reserved.
func (h *holder) close(now int64) bool {
	done := 0
	for done < len(h.lines) && h.lines[done].reserved.CompareAndSwap(0, closed) {
		done++
	}
	empty := done == len(h.lines)
	for i := 0; empty && i < len(h.slots); i++ {
		empty = h.slots[i].empty(now)
	}
	if !empty {
		for i := range h.lines[:done] {
			h.lines[i].reserved.Add(-closed)
		}
		return false
	}
	for i := range h.slots {
		h.slots[i].forget()
	}
	return true
}

// gone reports whether the accounts are closed.
func (h *holder) gone() bool { return h.lines[0].reserved.Load() >= closed/2 }

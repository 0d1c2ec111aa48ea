package resilience

// A Picker chooses the model to try next, or nil to leave it to the order of
// from. Pick must not block and must not keep from. For feature authors.
type Picker interface {
	Pick(c *Call, from Candidates) *Model
}

// Candidates is a view of the models of one tier. For feature authors.
type Candidates struct {
	call    *Call
	entries []entry
	to      int // the end of the tier in the call's table
}

// Len counts the models of the tier.
func (c Candidates) Len() int { return len(c.entries) }

// At returns the i-th model of the tier, or nil if it may not be used now.
func (c Candidates) At(i int) *Model {
	e := c.entries[i]
	if !c.call.usable(e, false) {
		return nil
	}
	c.call.seen = [2]uint16{uint16(i), c.call.seen[0]}
	return e.model
}

// Held is At for a model that may be used but for what holds it, though not by
// hand. A picker that returns one makes it the call's last resort.
func (c Candidates) Held(i int) *Model {
	e := c.entries[i]
	if !c.call.usable(e, true) || e.model.manual(c.call.clock) {
		return nil
	}
	c.call.seen = [2]uint16{uint16(i), c.call.seen[0]}
	return e.model
}

// Next returns the models of the tier after this one, of which there are none
// after the last. A picker may choose among those, too.
func (c Candidates) Next() Candidates {
	t := c.call.table
	for i, to := range t.tiers {
		if to == c.to && i+1 < len(t.tiers) {
			return Candidates{c.call, t.entries[to:t.tiers[i+1]], t.tiers[i+1]}
		}
	}
	return Candidates{call: c.call, to: c.to}
}

// Two returns two distinct usable models drawn at random, by their weights, full
// ones only if no others are there; b is nil if there is only one, or if chance
// fell twice on one that weighs more than others, and a as well if there is none.
// It costs the same for 5 models and for 5,000, unless most are held.
func (c Candidates) Two() (a, b *Model) {
	n := len(c.entries)
	if n <= few {
		return c.twoOfFew()
	}
	const draws = 8 // with 90 % held, all of them miss in 1 of 5 cases
	for range draws {
		for _, i := range c.call.pool.pair(n) {
			m := c.At(i)
			switch {
			case m == nil || m == a || m.Full() || !c.drawn(m):
			case a == nil:
				a = m
			default:
				return a, m
			}
		}
	}
	first := c.call.pool.pair(n)[0]
	for _, full := range [...]bool{false, true} {
		if full && a != nil {
			break
		}
		for i := range n {
			m := c.At((first + i) % n)
			switch {
			case m == nil || m == a || m.Full() != full:
			case a == nil:
				a = m
			default:
				return a, m
			}
		}
	}
	return a, nil
}

// drawn reports whether chance keeps m, as often as its weight says.
func (c Candidates) drawn(m *Model) bool {
	most := c.call.table.heaviest
	return most == 0 || c.call.pool.Rand()*most < m.Weight()
}

// few models are looked at one by one.
const few = 8

func (c Candidates) twoOfFew() (a, b *Model) {
	var free, full [few]int
	nfree, nfull := 0, 0
	for i := range c.entries {
		switch {
		case !c.call.usable(c.entries[i], false):
		case c.entries[i].model.Full():
			full[nfull] = i
			nfull++
		default:
			free[nfree] = i
			nfree++
		}
	}
	from, n := &free, nfree
	if n == 0 {
		from, n = &full, nfull
	}
	var at [2]int
	switch n {
	case 0:
		return nil, nil
	case 1:
		c.call.seen[0] = uint16(from[0])
		return c.entries[from[0]].model, nil
	default:
		if n == 2 || c.call.table.heaviest == 0 {
			at = c.call.pool.pair(n)
		} else {
			at = c.weighed(from[:n])
		}
	}
	c.call.seen = [2]uint16{uint16(from[at[0]]), uint16(from[at[1]])}
	if at[0] == at[1] {
		return c.entries[from[at[0]]].model, nil
	}
	return c.entries[from[at[0]]].model, c.entries[from[at[1]]].model
}

// weighed draws two of several entries by their weights, both times of all: one
// that has most of the weight gets most of the calls.
func (c Candidates) weighed(from []int) (two [2]int) {
	total := 0.
	for _, at := range from {
		total += c.entries[at].model.Weight()
	}
	for n := range two {
		left := c.call.pool.Rand() * total
		for i, at := range from {
			two[n] = i
			if left -= c.entries[at].model.Weight(); left < 0 {
				break
			}
		}
	}
	return two
}

// entry finds the one that a picker chose, most likely where it looked last.
func (c Candidates) entry(m *Model) (entry, bool) {
	for _, i := range c.call.seen {
		if int(i) < len(c.entries) && c.entries[i].model == m {
			return c.entries[i], c.allows(c.entries[i])
		}
	}
	for _, e := range c.call.table.entries {
		if e.model == m {
			return e, c.allows(e)
		}
	}
	return entry{}, false
}

// allows reports whether a picker may choose e, and notes if that is held.
func (c Candidates) allows(e entry) bool {
	if c.call.usable(e, false) {
		return true
	}
	c.call.lastResort = c.call.usable(e, true) && !e.model.manual(c.call.clock)
	return c.call.lastResort
}

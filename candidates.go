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

// Two returns two distinct usable models drawn at random; b is nil if there is
// only one, and a as well if there is none. It costs the same for 5 models and
// for 5,000, unless most are held.
func (c Candidates) Two() (a, b *Model) {
	n := len(c.entries)
	if n == 0 {
		return nil, nil
	}
	const draws = 16 // with 90 % held, all of them miss in 1 of 5 cases
	for range draws {
		m := c.At(c.call.pool.intn(n))
		switch {
		case m == nil || m == a:
		case a == nil:
			a = m
		default:
			return a, m
		}
	}
	first := c.call.pool.intn(n)
	for i := range n {
		m := c.At((first + i) % n)
		switch {
		case m == nil || m == a:
		case a == nil:
			a = m
		default:
			return a, m
		}
	}
	return a, nil
}

// entry finds the one that a picker chose, most likely where it looked last.
func (c Candidates) entry(m *Model) (entry, bool) {
	for _, i := range c.call.seen {
		if int(i) < len(c.entries) && c.entries[i].model == m {
			return c.entries[i], c.call.usable(c.entries[i], false)
		}
	}
	for _, e := range c.entries {
		if e.model == m {
			return e, c.call.usable(e, false)
		}
	}
	return entry{}, false
}

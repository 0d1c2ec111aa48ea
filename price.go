package resilience

import "cmp"

// Price is in US dollars per million tokens. The zero Price is unknown, not
// free; see Free. What no price can say, such as fees for searches, tools and
// batches, is for [Hooks].Cost.
type Price struct {
	Input       float64 `json:"input"`
	CachedInput float64 `json:"cachedInput"` // Input
	CacheWrite  float64 `json:"cacheWrite"`  // Input
	Output      float64 `json:"output"`
	Reasoning   float64 `json:"reasoning"` // Output
	Free        bool    `json:"free,omitempty"`

	// Long is the price of all of a call whose input, cached or not, has more
	// tokens than LongOver.
	LongOver int64  `json:"longOver,omitempty"`
	Long     *Price `json:"long,omitempty"`
}

// Cost returns what u costs at price p in US dollars, and whether p is known.
func (p Price) Cost(u Usage) (dollars float64, ok bool) { return costOf(&p, &u) }

// costOf is Cost without copies.
func costOf(p *Price, u *Usage) (dollars float64, ok bool) {
	switch {
	case p.Long != nil && u.Input > p.LongOver:
		return costOf(p.Long, u)
	case p.Free:
		return 0, true
	case *p == (Price{}):
		return 0, false
	}
	plain := max(0, u.Input-u.CachedInput-u.CacheWrite)
	spoken := max(0, u.Output-u.Reasoning)
	return (float64(plain)*p.Input + float64(u.CachedInput)*cmp.Or(p.CachedInput, p.Input) +
		float64(u.CacheWrite)*cmp.Or(p.CacheWrite, p.Input) +
		float64(spoken)*p.Output + float64(u.Reasoning)*cmp.Or(p.Reasoning, p.Output)) / 1e6, true
}

// flat reports whether p is so much a token, however many there are.
func flat(p *Price) bool { return p.Long == nil && p.Input+p.Output > 0 }

// problem says what is wrong with p, "" if nothing is.
func (p Price) problem() string {
	for _, price := range []float64{p.Input, p.CachedInput, p.CacheWrite, p.Output, p.Reasoning} {
		if !(price >= 0) || price > maxWeight {
			return "is negative or too large"
		}
	}
	switch {
	case p.Free && p != (Price{Free: true}):
		return "is free and has a price"
	case (p.Long == nil) != (p.LongOver == 0):
		return "needs both of long and longOver, or none"
	case p.LongOver < 0:
		return "has a negative longOver"
	case p.Long == nil:
		return ""
	case p.Long.Long != nil || p.Long.LongOver != 0:
		return "has a long price within the long one"
	case *p.Long == (Price{}):
		return "has an empty long price"
	default:
		return p.Long.problem()
	}
}

// Usage counts the tokens of a call. CachedInput and CacheWrite are parts of
// Input, Reasoning is part of Output.
type Usage struct{ Input, CachedInput, CacheWrite, Output, Reasoning int64 }

// unused reports whether u is zero, sooner than a comparison says so.
func unused(u *Usage) bool {
	return u.Input|u.CachedInput|u.CacheWrite|u.Output|u.Reasoning == 0
}

// add returns u + v.
func (u Usage) add(v Usage) Usage {
	return Usage{u.Input + v.Input, u.CachedInput + v.CachedInput, u.CacheWrite + v.CacheWrite, u.Output + v.Output, u.Reasoning + v.Reasoning}
}

// latest returns v with the fields of u where v says nothing.
func (u Usage) latest(v Usage) Usage {
	return Usage{
		cmp.Or(v.Input, u.Input), cmp.Or(v.CachedInput, u.CachedInput), cmp.Or(v.CacheWrite, u.CacheWrite),
		cmp.Or(v.Output, u.Output), cmp.Or(v.Reasoning, u.Reasoning),
	}
}

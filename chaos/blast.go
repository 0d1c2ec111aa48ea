package chaos

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
)

// Blast limits what faults may hit, all that are injected at the same time taken
// together. What would exceed it is refused, and never made smaller.
type Blast struct {
	// Models is how many models may be hit at once; all but one, or the only one.
	Models int `json:"models,omitempty" off:"no" zero:"all-but-one"`
	// Share is the part of the attempts that may be struck. More end the faults, once
	// there were twenty attempts.
	Share float64 `json:"share,omitempty" default:"1" max:"1" off:"no"`
	// For is how long faults may last, a week at most.
	For time.Duration `json:"for,omitempty" default:"10m" max:"168h" off:"no"`
}

// enough is how many attempts there must be for a share of them.
const enough = 20

// models is how many of so many models may be hit at once.
func (b Blast) models(of int) int {
	if b.Models != 0 {
		return b.Models
	}
	return max(of-1, 1)
}

// blast reports what of d exceeds b.
func (c *checker) blast(path string, b Blast, d *dose, models []*resilience.Model) {
	if d.ttl > b.For {
		c.bad(path+".for", "the faults last %v, and %v are allowed", d.ttl, b.For)
	}
	if n, most := worst([]*dose{d}, 0), b.models(len(models)); n > most {
		c.bad(path+".models", "%d models of %d would be hit at once, and %d are allowed", n, len(models), most)
	}
	for _, x := range d.injections {
		if b.Share < 1 && x.When.Rate > b.Share && len(x.models) == len(models) {
			c.bad(path+".share", "%s strikes %v of the attempts at every model, and %v is allowed", x, x.When.Rate, b.Share)
		}
	}
}

// together reports whether doses, the last of which is to begin, would hit more
// models at once than each of them may.
func (c *checker) together(doses []*dose, now time.Duration) {
	most := slices.MinFunc(doses, func(a, b *dose) int { return cmp.Compare(a.most, b.most) }).most
	if n := worst(doses, now); n > most {
		c.bad("blast.models", "with the faults that are injected already %d models would be hit at once, and %d are allowed", n, most)
	}
}

// worst is how many models doses hit at once, at worst, from now on.
func worst(doses []*dose, now time.Duration) (most int) {
	type hit struct {
		Span
		models map[string]bool
	}
	var hits []hit
	for _, d := range doses {
		hits = append(hits, hit{Span{d.start, d.ttl}, d.gone})
		for _, x := range d.injections {
			for _, w := range x.When.windows(d.ttl) {
				w.From += d.start
				hits = append(hits, hit{w, x.models})
			}
		}
	}
	hits = slices.DeleteFunc(hits, func(h hit) bool { return h.end() <= now })
	for _, h := range hits {
		at, models := max(h.From, now), map[string]bool{}
		for _, other := range hits {
			if other.has(at) {
				maps.Copy(models, other.models)
			}
		}
		most = max(most, len(models))
	}
	return most
}

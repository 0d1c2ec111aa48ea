package chaos

import (
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
)

// Blast limits what faults may hit. What would exceed it is refused, and never
// made smaller.
type Blast struct {
	// Models is how many models may be hit at once; all but one, or the only one.
	Models int `json:"models,omitempty" off:"no" zero:"all-but-one"`
	// Share is the part of the attempts that may be struck. More end the faults, once
	// there were twenty attempts.
	Share float64 `json:"share,omitempty" default:"1" max:"1" off:"no"`
	// For is how long faults may last.
	For time.Duration `json:"for,omitempty" default:"10m" off:"no"`
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

// blast reports what exceeds b.
func (c *checker) blast(path string, b Blast, ttl time.Duration, all []injected, models []*resilience.Model) {
	if ttl > b.For {
		c.bad(path+".for", "the faults last %v, and %v are allowed", ttl, b.For)
	}
	worst := map[string]bool{}
	for _, x := range all {
		for _, w := range x.When.windows(ttl) {
			hit := map[string]bool{}
			for _, y := range all {
				if !slices.ContainsFunc(y.When.windows(ttl), func(v Span) bool { return v.From <= w.From && w.From < v.From+v.For }) {
					continue
				}
				for id := range y.models {
					hit[id] = true
				}
			}
			if len(hit) > len(worst) {
				worst = hit
			}
		}
	}
	if most := b.models(len(models)); len(worst) > most {
		c.bad(path+".models", "%d models of %d would be hit at once, and %d are allowed", len(worst), len(models), most)
	}
	for _, x := range all {
		if b.Share < 1 && x.When.Rate > b.Share && len(x.models) == len(models) {
			c.bad(path+".share", "%s strikes %v of the attempts at every model, and %v is allowed", x, x.When.Rate, b.Share)
		}
	}
}

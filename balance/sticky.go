package balance

import (
	"math"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// bound is how far a model's load may be above its fair part before calls that
// prefer it go elsewhere, as in consistent hashing with bounded loads (Mirrokni,
// Thorup and Zadimoghaddam 2018).
const bound = 1.25

// sticky returns the model that key prefers among those with room within the
// bound: weighted rendezvous hashing, the same in every process. Models that
// fail come after the others.
func (v *view) sticky(key string) (preferred *resilience.Model) {
	load, weight, standing := 1., 0., 3
	for i := range v.from.Len() {
		m := v.at(i)
		if m == nil {
			continue
		}
		if s := v.standing(m); s > standing {
			continue
		} else if s < standing {
			load, weight, standing = 1, 0, s
		}
		load += float64(m.InFlight() + m.Queued())
		weight += m.Weight()
	}
	seed, most := hash(offset, key), math.Inf(-1)
	for i := range v.from.Len() {
		m := v.at(i)
		if m == nil || v.standing(m) != standing {
			continue
		}
		w := m.Weight()
		if float64(m.InFlight()+m.Queued())+1 > max(few, math.Ceil(bound*load*w/weight)) && !mutants.On("balance-affinity-without-bound") {
			continue
		}
		if score := -w / math.Log(unit(hash(seed, m.ID()))); score > most {
			preferred, most = m, score
		}
	}
	if preferred == nil { // loads have changed in between
		a, _ := v.two()
		return a
	}
	return preferred
}

// FNV-1a.
const offset, prime = 14695981039346656037, 1099511628211

func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return (h ^ 0xff) * prime // so that "ab", "c" is not "a", "bc"
}

// unit spreads h evenly over (0, 1), by the finalizer of SplitMix64.
func unit(h uint64) float64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return (float64(h>>12) + 0.5) / (1 << 52)
}

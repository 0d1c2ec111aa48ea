package bipadapter

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// A Voice is an answer that was given, in the form by which answers are
// compared, and the weight behind it. A weight that is not positive and finite
// is none.
type Voice struct {
	Answer string
	Weight float64
}

// A Stop says when enough voters have been asked. The zero value asks until what
// is left cannot change which answer leads.
type Stop struct {
	// Calls is how many voters are asked at most; off.
	Calls int `json:"calls"`

	// Risk stops earlier, once the leading answer is wrong with this probability
	// at most; off. That holds if weights are [LogOdds] of voters who err
	// independently and no answer was likelier than others beforehand. Where
	// voters make the same mistakes it is more.
	Risk float64 `json:"risk" max:"0.5"`

	// Options is how many answers there may be, for Risk; as in [Learned].
	Options float64 `json:"options" default:"2" min:"1" off:"no"`
}

// Enough reports whether voters of the weights left need not be asked any more.
// An answer leads for certain if the others together with all that is left stay
// below it: a tie decides nothing.
func (s Stop) Enough(heard []Voice, left []float64) bool {
	rest := 0.0
	for _, w := range left {
		rest += weight(w)
	}
	if rest == 0 || s.Calls > 0 && len(heard) >= s.Calls {
		return true
	}
	sums := tally(heard)
	if len(sums) == 0 {
		return false
	}
	slices.SortFunc(sums, func(a, b Voice) int { return cmp.Compare(b.Weight, a.Weight) })
	lead := sums[0].Weight
	if len(sums) > 1 {
		lead -= sums[1].Weight
	}
	return lead > rest*(1+1e-9) || s.Risk > 0 && s.doubt(sums) <= s.Risk
}

// doubt is the probability that the first of sums is wrong.
func (s Stop) doubt(sums []Voice) float64 {
	options := s.Options
	if !(options >= 1) {
		options = 2
	}
	others := max(0, options-float64(len(sums))) * math.Exp(-sums[0].Weight)
	for _, v := range sums[1:] {
		others += math.Exp(v.Weight - sums[0].Weight)
	}
	return others / (1 + others)
}

// Order is the order in which to ask voters of those weights, as their places:
// the weightiest first, so that few need to be asked, and those that weigh the
// same as the SHA-256 of the seed and their place as eight bytes, big-endian,
// has it.
func Order(weights []float64, seed [32]byte) []int {
	draws := make([][sha256.Size]byte, len(weights))
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
		draws[i] = sha256.Sum256(binary.BigEndian.AppendUint64(seed[:], uint64(i)))
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(weight(weights[b]), weight(weights[a])), bytes.Compare(draws[a][:], draws[b][:]))
	})
	return order
}

// Disagreement is the probability that two different voices, drawn by weight,
// give different answers: 0 if all agree, 1 if no two do. It is 1 where fewer
// than two have a weight: nothing confirms a lone answer.
func Disagreement(heard []Voice) float64 {
	top := 0.0
	for _, v := range heard {
		top = max(top, weight(v.Weight))
	}
	scaled := make([]Voice, 0, len(heard))
	all, squares := 0.0, 0.0
	for _, v := range heard {
		if w := weight(v.Weight); w > 0 {
			scaled = append(scaled, Voice{v.Answer, w / top})
			all += w / top
			squares += w / top * w / top
		}
	}
	if len(scaled) < 2 || all*all <= squares {
		return 1
	}
	same := -squares
	for _, v := range tally(scaled) {
		same += v.Weight * v.Weight
	}
	return min(max(1-same/(all*all-squares), 0), 1)
}

// Escalate reports whether voices disagree by more than a limit, so that more
// voters, weightier ones or people should be asked. What is no number is above
// every limit.
func Escalate(heard []Voice, limit float64) bool { return !(Disagreement(heard) <= limit) }

// tally is the weight behind each answer that has one, in the answers' order.
func tally(heard []Voice) (sums []Voice) {
	behind := make(map[string]float64)
	for _, v := range heard {
		if w := weight(v.Weight); w > 0 {
			behind[v.Answer] += w
		}
	}
	for _, answer := range slices.Sorted(maps.Keys(behind)) {
		sums = append(sums, Voice{answer, behind[answer]})
	}
	return sums
}

func weight(w float64) float64 {
	if w > 0 && !math.IsInf(w, 0) {
		return w
	}
	return 0
}

package anomaly

import (
	"math"
	"slices"
)

const (
	slowly = 0.001 // the weight of a row in what is usual
	outer  = 4     // deviations: what is beyond moves what is usual no further
	most   = 30    // deviations: nothing is further away than that
	level  = 1e-4  // of the mean: what does not move yet may move so far
	huge   = 1e100 // values are cut to it, so that no square overflows
)

// A usual is an exponentially weighted mean and variance that single rows
// cannot drag away: what they add is cut at four deviations.
type usual struct {
	Mean, Var float64
	N         int64
}

// deviation returns the standard deviation, which is no less than a
// ten-thousandth of the level and than floor, and never zero.
func (u *usual) deviation(floor float64) float64 {
	return math.Sqrt(u.Var) + max(floor, level*math.Abs(u.Mean), 1e-150)
}

// z returns how many deviations x is from the mean, most at most.
func (u *usual) z(x, floor float64) float64 {
	if u.N == 0 {
		return 0
	}
	return clamp((x-u.Mean)/u.deviation(floor), most)
}

func (u *usual) add(x float64) {
	u.N++
	if u.N == 1 {
		u.Mean = x
		return
	}
	a := max(slowly, 1/float64(u.N))
	d := x - u.Mean
	if u.N > cold && u.Var > 0 {
		d = clamp(d, outer*math.Sqrt(u.Var))
	}
	u.Mean += a * d
	u.Var = (1 - a) * (u.Var + a*d*d)
}

func clamp(x, limit float64) float64 { return max(-limit, min(x, limit)) }

// cold is how many rows are looked at together before anything is usual.
const cold = 32

// tame cuts the values of the first rows to eight deviations from their median,
// as the median of their distances from it tells: one wild value among the
// first would else be usual for long.
func tame(values *[cold]float64) {
	sorted := *values
	slices.Sort(sorted[:])
	median := sorted[cold/2]
	for i, x := range sorted {
		sorted[i] = math.Abs(x - median)
	}
	slices.Sort(sorted[:])
	limit := 8 * 1.4826 * sorted[cold/2]
	if limit == 0 {
		limit = sorted[cold*9/10]
	}
	for i, x := range values {
		values[i] = median + clamp(x-median, limit)
	}
}

package analytics

import (
	"errors"
	"math"
	"slices"
)

// A Forecast is what comes next, by a series' own past.
type Forecast struct {
	Next []Interval // one for each step

	// MASE is how far off forecasts of one step were within the past, as a part of how
	// far off the value before was (or the one a season before, where there are seasons).
	// Above 1 the past says nothing; it is 0 where nothing changes.
	MASE     float64
	Seasonal bool // the season is used
}

// An Interval is what a value is expected to be, and between what it lies in as many
// cases as were asked for.
type Interval struct{ Mean, Low, High float64 }

// leastPast is how many values a forecast needs.
const leastPast = 20

// maxPast is how many of the last values one looks at.
const maxPast = 2000

// largest is up to where sums of maxPast values do not overflow.
const largest = 1e300

// Predict forecasts so many steps of a series of values at an even pace, the latest
// last, by Holt's method with a damped trend (Gardner and McKenzie, Management Science
// 31, 1985): the weights are those that would have been off least within the past. A
// season is so many steps long, 168 for hours of a week, and used where it makes
// forecasts better; below 2 there is none. It is needed twice at least.
//
// Intervals hold a share of within cases, 0.9 for example. They are as wide as the
// forecasts of as many steps that the second half of the past allows were off, with the
// season of the first half, and so assume neither a distribution nor that the method is
// right; but they do assume that the future is like the past. Of many steps, for which
// there were few forecasts, they are widened by the square root of the steps.
//
// Values that are no numbers are taken for the one before. Fewer than 20 are an error, as
// are values beyond 10^300 and more than 2,000 steps.
func Predict(past []float64, steps, season int, within float64) (Forecast, error) {
	if !(within > 0 && within < 1) {
		return Forecast{}, errors.New("forecast: the share within is not between 0 and 1")
	}
	past = whole(past)
	if len(past) < leastPast {
		return Forecast{}, errors.New("forecast: there are fewer than 20 values")
	}
	if steps < 1 || steps > maxPast {
		return Forecast{}, errors.New("forecast: the steps are not between 1 and 2000")
	}
	if slices.ContainsFunc(past, func(v float64) bool { return math.Abs(v) > largest }) {
		return Forecast{}, errors.New("forecast: there are values beyond 1e300")
	}
	best := fit(past, nil, len(past)/4)
	judge := best // what the intervals are told by
	if season > 1 && len(past) >= 2*season {
		if half := fit(past, profile(past[:len(past)/2], season), len(past)/2); repeats(half) {
			best, judge = fit(past, profile(past, season), len(past)/4), half
		}
	}
	f := Forecast{Next: make([]Interval, steps), Seasonal: best.season != nil}
	lag := 1
	if f.Seasonal {
		lag = season
	}
	if naive := naiveError(past, lag); naive > 0 {
		f.MASE = best.off / naive
	}
	half := judge.halves(steps, within)
	for h := range steps {
		mean := best.ahead(len(past), h+1)
		f.Next[h] = Interval{mean, mean - half[h], mean + half[h]}
	}
	return f, nil
}

// whole returns the last values, without those that are no numbers.
func whole(past []float64) []float64 {
	past = slices.Clone(past[max(len(past)-maxPast, 0):])
	last, found := 0., false
	for i, v := range past {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			past[i] = last
			continue
		}
		if last = v; !found {
			found = true
			for j := range i { // before the first number
				past[j] = v
			}
		}
	}
	if !found {
		return nil
	}
	return past
}

// repeats reports whether the season of the first half makes forecasts of the second
// better.
func repeats(half *holt) bool {
	return half.off < .9*fit(half.past, nil, len(half.past)/2).off
}

// naiveError is how far off the value lag steps before is, in the mean.
func naiveError(past []float64, lag int) (off float64) {
	for i := lag; i < len(past); i++ {
		off += math.Abs(past[i] - past[i-lag])
	}
	return off / float64(len(past)-lag)
}

// profile is by how much each step of a season differs from the others: the median over
// seasons, of what is left beside a moving median.
func profile(past []float64, season int) []float64 {
	by := make([][]float64, season)
	for start := 0; start < len(past); start += season {
		block := past[start:min(start+season, len(past))]
		level := slices.Clone(past[max(min(start, len(past)-season), 0):min(start+season, len(past))])
		slices.Sort(level)
		middle := median(level)
		for i, v := range block {
			by[i] = append(by[i], v-middle)
		}
	}
	shape := make([]float64, season)
	for i := range by {
		slices.Sort(by[i])
		shape[i] = median(by[i])
	}
	return shape
}

// A holt is Holt's method, with what it knew at each step of the past.
type holt struct {
	past              []float64
	season            []float64
	alpha, beta, damp float64
	levels, slopes    []float64 // of the weights that are best
	off               float64   // in the mean, of one step
}

// weights that are tried.
var (
	alphas = [...]float64{.02, .05, .1, .2, .35, .5, .7, .9, 1}
	betas  = [...]float64{0, .02, .05, .1, .3}
	damps  = [...]float64{.8, .9, .98}
)

// fit returns the method with the weights that are off least from a value on.
func fit(past, season []float64, from int) *holt {
	n := len(past)
	best := &holt{off: math.Inf(1)}
	levels, slopes := make([]float64, n), make([]float64, n)
	for _, alpha := range alphas {
		for _, beta := range betas {
			for _, damp := range damps {
				h := holt{past: past, season: season, alpha: alpha, beta: beta, damp: damp, levels: levels, slopes: slopes}
				if h.run(from); h.off < best.off {
					*best = h
				}
				if beta == 0 {
					break // without a trend there is none to damp
				}
			}
		}
	}
	best.off = 0
	best.run(from) // the others have written over what it knew
	return best
}

func (h *holt) at(i int) float64 {
	if h.season == nil {
		return 0
	}
	return h.season[i%len(h.season)]
}

// run goes through the past, and counts how far off it is from a value on.
func (h *holt) run(from int) {
	n := len(h.past)
	first := slices.Clone(h.past[:leastPast/4])
	for i := range first {
		first[i] -= h.at(i)
	}
	slices.Sort(first)
	level, slope := median(first), 0.
	for i, v := range h.past {
		v -= h.at(i)
		expected := level + h.damp*slope
		if i >= from {
			h.off += math.Abs(v - expected)
		}
		next := expected + h.alpha*(v-expected)
		slope = h.damp*slope + h.beta*(next-level-h.damp*slope)
		level = next
		h.levels[i], h.slopes[i] = level, slope
	}
	h.off /= float64(n - from)
}

// ahead is what is expected so many steps after the first n values of the past.
func (h *holt) ahead(n, steps int) float64 {
	trend, damp := 0., h.damp
	for range min(steps, 500) { // nothing is left of it by then
		trend += damp
		damp *= h.damp
	}
	return h.levels[n-1] + trend*h.slopes[n-1] + h.at(n-1+steps)
}

// halves are the half widths of the intervals of each step.
func (h *holt) halves(steps int, within float64) []float64 {
	const enough = 20 // forecasts, to know how far off they are
	n := len(h.past)
	half := make([]float64, steps)
	for k := 1; k <= steps; k++ {
		var off []float64
		for from := n / 2; from+k <= n; from++ {
			off = append(off, math.Abs(h.past[from+k-1]-h.ahead(from, k)))
		}
		// Forecasts of k steps overlap: as good as one in k of them is news.
		if len(off) < enough || k > 1 && len(off)/k < 3 {
			half[k-1] = half[max(k-2, 0)] * math.Sqrt(float64(k)/float64(max(k-1, 1)))
			if k > 1 {
				continue
			}
		}
		slices.Sort(off)
		rank := int(math.Ceil(within*float64(len(off)+1))) - 1
		half[k-1] = off[min(max(rank, 0), len(off)-1)]
		if k > 1 {
			half[k-1] = max(half[k-1], half[k-2]*.98) // what is farther is hardly surer
		}
	}
	return half
}

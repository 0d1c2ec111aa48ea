package anomaly

import "math"

// A PageHinkley is the test of Page and Hinkley, two-sided: as a [CUSUM], but
// the mean that it compares with is that of all values since the last alarm, so
// none has to be known. The zero value is for a standard deviation of 1. It is
// not safe for concurrent use.
type PageHinkley struct {
	Delta  float64 // what a value may differ from the mean; 0.5 where zero
	Lambda float64 // of the sum that is an alarm; 10 where zero

	n        float64
	mean     float64
	up, down float64
}

// Observe takes in a value and returns 1 if the mean has risen, -1 if it has
// fallen, else 0. After an alarm the test begins anew, with the mean too. NaN
// and infinite values are ignored.
func (p *PageHinkley) Observe(x float64) int {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	p.n++
	p.mean += x/p.n - p.mean/p.n // x minus the mean could overflow
	delta, lambda := or(p.Delta, 0.5), or(p.Lambda, 10)
	p.up = max(0, p.up+x-p.mean-delta)
	p.down = max(0, p.down+p.mean-x-delta)
	switch {
	case p.up > lambda:
		p.Reset()
		return 1
	case p.down > lambda:
		p.Reset()
		return -1
	}
	return 0
}

// Reset forgets all values.
func (p *PageHinkley) Reset() { p.n, p.mean, p.up, p.down = 0, 0, 0, 0 }

package anomaly

import "math"

// A CUSUM is a two-sided tabular cumulative sum chart (Page 1954): it notices a
// mean that has moved a little for long. The zero value is for values of mean 0
// and standard deviation 1, notices a shift of 1 after 10.4 values and raises a
// false alarm in 465. It is not safe for concurrent use.
type CUSUM struct {
	Mean      float64 // of values in control
	Deviation float64 // their standard deviation; 1 where it is zero or less
	Slack     float64 // half the shift to notice, in deviations; 0.5 where zero
	Limit     float64 // of either sum, in deviations; 5 where zero

	sums sums
}

// Observe takes in a value and returns 1 if the mean has risen, -1 if it has
// fallen, else 0. After an alarm both sums begin anew. NaN is ignored; an
// infinite value is an alarm.
func (c *CUSUM) Observe(x float64) int {
	if math.IsNaN(x) {
		return 0
	}
	z := x - c.Mean
	if c.Deviation > 0 {
		z /= c.Deviation
	}
	c.sums.add(z, or(c.Slack, 0.5), 1)
	limit := or(c.Limit, 5)
	switch {
	case c.sums.Up > limit:
		c.Reset()
		return 1
	case c.sums.Down > limit:
		c.Reset()
		return -1
	}
	return 0
}

// Sums returns what has added up above and below the mean, in deviations.
func (c *CUSUM) Sums() (up, down float64) { return c.sums.Up, c.sums.Down }

// Reset forgets what has added up.
func (c *CUSUM) Reset() { c.sums = sums{} }

// sums are the two of a CUSUM.
type sums struct{ Up, Down float64 }

// add adds z beyond a slack to what is kept of both.
func (s *sums) add(z, slack, keep float64) {
	s.Up = max(0, s.Up*keep+z-slack)
	s.Down = max(0, s.Down*keep-z-slack)
}

// or returns x, or what zero means.
func or(x, zero float64) float64 {
	if x == 0 {
		return zero
	}
	return x
}

package health

import "math"

// betaCDF is the chance that a Beta(a, b) variable is at most x: the regularised
// incomplete beta function, by its continued fraction (Lentz).
func betaCDF(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - betaCDF(1-x, b, a)
	}
	const tiny = 1e-300
	apart := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1., 1/apart(1-(a+b)*x/(a+1))
	f := d
	for i := 1.; i < 500; i++ {
		t := i * (b - i) * x / ((a + 2*i - 1) * (a + 2*i))
		d, c = 1/apart(1+t*d), apart(1+t/c)
		f *= d * c
		t = -(a + i) * (a + b + i) * x / ((a + 2*i) * (a + 2*i + 1))
		d, c = 1/apart(1+t*d), apart(1+t/c)
		f *= d * c
		if math.Abs(d*c-1) < 1e-12 {
			break
		}
	}
	return math.Exp(logBeta(x, a, b)) * f / a
}

// logBeta is ln x^a (1-x)^b / B(a, b).
func logBeta(x, a, b float64) float64 {
	ab, _ := math.Lgamma(a + b)
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	return a*math.Log(x) + b*math.Log1p(-x) + ab - la - lb
}

// doubtless returns the x that a Beta(a, b) variable exceeds but for a chance of
// doubtful.
func doubtless(a, b float64) float64 {
	low, high := 0., 1.
	for high-low > 1e-9 {
		if mid := (low + high) / 2; betaCDF(mid, a, b) < doubtful {
			low = mid
		} else {
			high = mid
		}
	}
	return (low + high) / 2
}

// Against its peers a model is an outlier if it fails more often than they do by
// more than margin, with so much certainty.
const (
	margin    = 0.1
	certainty = 0.99
)

// outlier reports whether a model of whose calls failed of n did is worse than
// its peers, of whose peerFailed of peerN did: a test of two proportions, by
// their posteriors. Unlike a limit of so many deviations from the mean it works
// for two models.
func outlier(failed, n, peerFailed, peerN float64) bool {
	if n <= 0 || peerN <= 0 || failed/n <= peerFailed/peerN+margin {
		return false
	}
	return exceeds(1+failed, 1+n-failed, 1+peerFailed, 1+max(peerN-peerFailed, 0), margin) > certainty
}

// exceeds is the chance that a Beta(a, b) variable exceeds a Beta(c, d) variable
// by more than by, from a sum over the second one's density.
func exceeds(a, b, c, d, by float64) float64 {
	const steps = 128
	mean := c / (c + d)
	reach := 8 * math.Sqrt(mean*(1-mean)/(c+d+1))
	low, high := max(mean-reach, 0), min(mean+reach, 1)
	density := func(y float64) float64 { return (c-1)*math.Log(y) + (d-1)*math.Log1p(-y) } // its logarithm, but for a constant
	peak := density(mean)
	sum, all := 0., 0.
	for i := range steps {
		y := low + (high-low)*(float64(i)+.5)/steps
		part := math.Exp(density(y) - peak)
		all += part
		sum += part * (1 - betaCDF(y+by, a, b))
	}
	return sum / all
}

package health

import (
	"math"
	"time"
)

// An accrual tells how overdue the next of a series of events is: the phi accrual
// failure detector of Hayashibara and others (2004), with the normal distribution
// as it is where others approximate it. A suspicion of 8 is wrong once in 10⁸.
type accrual struct {
	n              int
	mean, variance float64 // of the gaps between events, in seconds
}

// memory is over how many gaps the mean moves.
const memory = 100

// observe takes in a gap.
func (a *accrual) observe(gap time.Duration) {
	a.n = min(a.n+1, memory)
	part := 1 / float64(a.n)
	d := gap.Seconds() - a.mean
	a.mean += part * d
	a.variance = (1 - part) * (a.variance + part*d*d)
}

// phi returns −log₁₀ of the chance that the next event comes later than so long
// after the last, the deviation of the gaps being least at least.
func (a *accrual) phi(since, least time.Duration) float64 {
	if a.n == 0 {
		return 0
	}
	deviation := max(math.Sqrt(a.variance), least.Seconds())
	return max(-math.Log10(math.Erfc((since.Seconds()-a.mean)/(deviation*math.Sqrt2))/2), 0)
}

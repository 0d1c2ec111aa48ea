package chaos

import (
	"errors"
	"fmt"
	"math"
)

// A Point says that a quantity is at most V with probability P.
type Point struct {
	P float64 `json:"p"`
	V float64 `json:"v"`
}

// A Law is a distribution given by some of its quantiles, in ascending order,
// as publications print them. Between two points the logarithm of the quantity
// is linear in the probability; beyond the first and the last it stays at
// their values, so that no tail is invented.
type Law []Point

// Always returns the law of a quantity that is v whatever happens.
func Always(v float64) Law { return Law{{0.5, v}} }

// At returns the quantile of probability p. An empty Law is zero everywhere.
func (l Law) At(p float64) float64 {
	if len(l) == 0 {
		return 0
	}
	if p <= l[0].P {
		return l[0].V
	}
	for i, b := range l[1:] {
		if p > b.P {
			continue
		}
		a := l[i]
		return a.V * math.Pow(b.V/a.V, (p-a.P)/(b.P-a.P))
	}
	return l[len(l)-1].V
}

// check reports what makes l no distribution.
func (l Law) check() error {
	for i, pt := range l {
		switch {
		case !(pt.P > 0 && pt.P < 1):
			return fmt.Errorf("quantile %v is not between 0 and 1", pt.P)
		case !(pt.V > 0) || math.IsInf(pt.V, 1):
			return fmt.Errorf("the quantity at %v is %v, want a positive number", pt.P, pt.V)
		case i > 0 && (pt.P <= l[i-1].P || pt.V < l[i-1].V):
			return errors.New("quantiles are not in ascending order")
		}
	}
	return nil
}

package analytics

import (
	"errors"
	"math"
)

// A Verdict is what a test has come to.
type Verdict int8

// Verdicts.
const (
	Undecided Verdict = iota
	Normal            // the rate is the normal one
	Raised            // it is the raised one
)

// String returns the verdict's name, the nearest one's for a value that is none.
func (v Verdict) String() string {
	return [...]string{"undecided", "normal", "raised"}[min(max(v, Undecided), Raised)]
}

// An SPRT is Wald's sequential test of an error rate: it decides between two rates after
// as few calls as the two errors that it may make allow, and so suits models that are
// called seldom. See A. Wald, Sequential Tests of Statistical Hypotheses (1945).
type SPRT struct {
	good, bad    float64 // what a success and a failure add
	lower, upper float64
	sum          float64
}

// NewSPRT returns a test of the rate normal against raised, which calls a normal rate
// raised in a share falsely of cases at most, and a raised one normal in a share missed.
// All are between 0 and 1, raised is above normal, and falsely and missed are below a
// half.
func NewSPRT(normal, raised, falsely, missed float64) (*SPRT, error) {
	if !(0 < normal && normal < raised && raised < 1) {
		return nil, errors.New("sprt: the rates are not 0 < normal < raised < 1")
	}
	if !(0 < falsely && falsely < .5 && 0 < missed && missed < .5) {
		return nil, errors.New("sprt: the errors are not between 0 and 0.5")
	}
	return &SPRT{
		good: math.Log((1 - raised) / (1 - normal)), bad: math.Log(raised / normal),
		lower: math.Log(missed / (1 - falsely)), upper: math.Log((1 - missed) / falsely),
	}, nil
}

// Observe takes in a call, and returns what is known by now. After a verdict the test
// begins anew.
func (s *SPRT) Observe(failed bool) Verdict {
	if failed {
		s.sum += s.bad
	} else {
		s.sum += s.good
	}
	switch {
	case s.sum >= s.upper:
		s.sum = 0
		return Raised
	case s.sum <= s.lower:
		s.sum = 0
		return Normal
	}
	return Undecided
}

// Evidence is how far the test is on its way: −1 is Normal, 1 is Raised.
func (s *SPRT) Evidence() float64 {
	if s.sum > 0 {
		return s.sum / s.upper
	}
	return -s.sum / s.lower
}

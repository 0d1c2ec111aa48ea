package provider

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// A Plan says how a model behaves. All its times are times of the world that
// is imitated, whatever the speed at which it is played. The zero Plan answers
// at once and never fails.
type Plan struct {
	Model      string
	FirstToken Law // seconds until the answer begins
	Rate       Law // tokens a second from there; empty: all come at once
	Failures   []Failure
	Incidents  []Incident
}

// A Failure is something that goes wrong at any time; anything but Throttled
// and Slow.
type Failure struct {
	Fault Fault
	Share float64 // of the attempts
	After Law     // seconds until it shows; empty: when an answer would have begun
}

// An Incident is a time in which more goes wrong. Of several at once the first
// that strikes an attempt decides.
type Incident struct {
	Fault     Fault
	From, For time.Duration // since the start
	Share     float64       // of the attempts, or of each minute if Throttled; 0 means all
	Slower    float64       // factor of the latency if Slow
	After     Law           // as in Failure
}

// Active reports whether i is under way at t.
func (i Incident) Active(t time.Duration) bool { return t >= i.From && t < i.From+i.For }

// A Try is an attempt at the model, as far as its outcome depends on it.
type Try struct {
	Call   string        // the same for all attempts of a call
	N      int           // counts the call's attempts at this model, from 0
	At     time.Duration // when it arrived, since the start
	Tokens int           // that the answer has
}

// An Outcome is what comes of a Try.
type Outcome struct {
	Fault      Fault
	After      time.Duration // until it shows; without meaning for Silent
	RetryAfter time.Duration // that the provider asks for; 0 if it does not
}

// A rate limit per minute starts anew with each minute.
const limitWindow = time.Minute

// Outcome decides what comes of t. It is a function of its arguments alone:
// clients that send the same calls meet the same fate, whatever else they do.
func (p *Plan) Outcome(seed uint64, t Try) Outcome {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%d", p.Model, t.Call, t.N)
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))

	// Always the same draws in the same order, so that an incident changes
	// nothing about the attempts that it does not strike.
	first, rate, failure := rng.Float64(), rng.Float64(), rng.Float64()
	begins := p.FirstToken.At(first)
	ends := begins
	if len(p.Rate) > 0 {
		ends += float64(t.Tokens) / p.Rate.At(rate)
	}
	after := func(l Law) time.Duration {
		if len(l) == 0 {
			return seconds(begins)
		}
		return seconds(l.At(first))
	}

	slower := 1.0
	for _, i := range p.Incidents {
		chance := rng.Float64()
		if !i.Active(t.At) {
			continue
		}
		switch i.Fault {
		case Throttled:
			if left := limitWindow - t.At%limitWindow; share(i.Share) >= left.Seconds()/limitWindow.Seconds() {
				return Outcome{Throttled, after(i.After), left}
			}
		case Slow:
			if chance < share(i.Share) {
				slower = max(slower, i.Slower)
			}
		default:
			if chance < share(i.Share) {
				return Outcome{Fault: i.Fault, After: after(i.After)}
			}
		}
	}
	for _, f := range p.Failures {
		if failure -= f.Share; failure < 0 {
			return Outcome{Fault: f.Fault, After: after(f.After)}
		}
	}
	if slower > 1 {
		return Outcome{Fault: Slow, After: seconds(ends * slower)}
	}
	return Outcome{After: seconds(ends)}
}

// Check reports everything wrong with p.
func (p *Plan) Check() error {
	var errs []error
	check := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	check("first token", p.FirstToken.Check())
	check("rate", p.Rate.Check())
	total := 0.0
	for _, f := range p.Failures {
		if f.Fault == Throttled || f.Fault == Slow {
			check(f.Fault.String(), errors.New("needs an incident"))
		}
		check(f.Fault.String(), errors.Join(checkFault(f.Fault), f.After.Check(), checkShare(f.Share)))
		total += f.Share
	}
	check("failures together", checkShare(total))
	for _, i := range p.Incidents {
		check(i.Fault.String(), errors.Join(checkFault(i.Fault), i.After.Check(), checkShare(i.Share)))
		if i.From < 0 || i.For <= 0 {
			check(i.Fault.String(), fmt.Errorf("from %v for %v is not a time to come", i.From, i.For))
		}
		if i.Fault == Slow && !(i.Slower > 1) {
			check(i.Fault.String(), fmt.Errorf("a factor of %v slows nothing down", i.Slower))
		}
	}
	return errors.Join(errs...)
}

func checkFault(f Fault) error {
	if f == None || int(f) >= len(meanings) {
		return errors.New("not a fault")
	}
	return nil
}

func checkShare(s float64) error {
	if !(s >= 0 && s <= 1) {
		return fmt.Errorf("a share of %v", s)
	}
	return nil
}

func share(s float64) float64 {
	if s == 0 {
		return 1
	}
	return s
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

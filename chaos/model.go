package chaos

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// A Model is a model of a [Provider], and how it behaves. All its times are
// times of the world that is imitated, whatever the speed at which it is
// played. The zero Model has any name, answers at once and never fails.
type Model struct {
	Name string `json:"name,omitempty"` // empty: every name that no other model has

	Text      string `json:"text,omitempty"`      // the healthy answer, a token a word; empty: as many one-byte tokens as the request allows, or 128
	Arguments string `json:"arguments,omitempty"` // JSON; of a call of the first tool that a request declares, instead of Text
	NoPrefill bool   `json:"noPrefill,omitempty"` // refuse, with 400, requests that end with an assistant's message

	FirstToken Law `json:"firstToken,omitempty"` // seconds until the answer begins
	Rate       Law `json:"rate,omitempty"`       // tokens a second from there; empty: all come at once

	Script    []Fault    `json:"script,omitempty"`    // one an attempt, in order, the zero Fault a healthy one; then comes what follows
	Failures  []Failure  `json:"failures,omitempty"`  // at any time
	Incidents []Incident `json:"incidents,omitempty"` // for a time
}

// A Failure is something that goes wrong at any time; anything but Throttled
// and Slow.
type Failure struct {
	Fault Fault   `json:"fault"`
	Share float64 `json:"share"`           // of the attempts; more than 0
	After Law     `json:"after,omitempty"` // seconds until it shows; empty: as Fault.After
}

// An Incident is a time in which more goes wrong. Of several at once the first
// that strikes an attempt decides.
type Incident struct {
	Fault  Fault         `json:"fault"`
	From   time.Duration `json:"from,omitempty"` // since the start
	For    time.Duration `json:"for"`
	Share  float64       `json:"share,omitempty"`  // of the attempts, or of each minute if Throttled; 0 means all
	Slower float64       `json:"slower,omitempty"` // factor of the latency if Slow
	After  Law           `json:"after,omitempty"`  // as in Failure
}

// Active reports whether i is under way at t.
func (i Incident) Active(t time.Duration) bool { return t >= i.From && t-i.From < i.For }

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
	Begins     time.Duration // until the first token of the answer, if one comes
	After      time.Duration // until its last, or until the fault shows; without meaning for Silent
	RetryAfter time.Duration // that the provider asks for; 0 if it does not
}

// A rate limit per minute starts anew with each minute.
const limitWindow = time.Minute

// Outcome decides what comes of t if no script does. It is a function of its
// arguments alone: clients that send the same calls meet the same fate,
// whatever else they do.
func (m *Model) Outcome(seed uint64, t Try) Outcome {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%d", m.Name, t.Call, t.N)
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))

	// Always the same draws in the same order, so that an incident changes
	// nothing about the attempts that it does not strike.
	first, rate, failure := rng.Float64(), rng.Float64(), rng.Float64()
	begins := m.FirstToken.At(first)
	ends := begins
	if len(m.Rate) > 0 {
		ends += float64(t.Tokens) / m.Rate.At(rate)
	}
	healthy := Outcome{Begins: seconds(begins), After: seconds(ends)}
	strikes := func(f Fault, l Law) Outcome {
		if len(l) > 0 {
			f.After = seconds(l.At(first))
		}
		return healthy.with(f, t.At)
	}

	slower := 1.0
	for _, i := range m.Incidents {
		chance := rng.Float64()
		if !i.Active(t.At) {
			continue
		}
		switch i.Fault.Name {
		case Throttled:
			if left := limitLeft(t.At); share(i.Share) >= left.Seconds()/limitWindow.Seconds() {
				return strikes(i.Fault, i.After)
			}
		case Slow:
			if chance < share(i.Share) {
				slower = max(slower, i.Slower)
			}
		default:
			if chance < share(i.Share) {
				return strikes(i.Fault, i.After)
			}
		}
	}
	for _, f := range m.Failures {
		if failure -= f.Share; failure < 0 {
			return strikes(f.Fault, f.After)
		}
	}
	if slower > 1 {
		return Outcome{Fault: Fault{Name: Slow}, Begins: seconds(begins * slower), After: seconds(ends * slower)}
	}
	return healthy
}

// with is what comes of a healthy attempt that f strikes at the time at.
func (o Outcome) with(f Fault, at time.Duration) Outcome {
	f = f.complete()
	spread := o.After - o.Begins
	o.Fault, o.RetryAfter = f, f.Wait
	switch {
	case f.Name == SlowStart:
		o.Begins = 0 // its delay is within the answer
	case f.After > 0:
		o.Begins = min(f.After, longest)
	}
	if f.Name == Throttled && f.Wait == 0 {
		o.RetryAfter = limitLeft(at)
	}
	o.After = o.Begins
	if f.answers() {
		o.After += spread
	}
	return o
}

// limitLeft is how long the rate limit of the minute of at still holds.
func limitLeft(at time.Duration) time.Duration { return limitWindow - at%limitWindow }

func share(s float64) float64 {
	if s == 0 {
		return 1
	}
	return s
}

// longest is the longest time: sums of a few are still times.
const longest = 50 * 365 * 24 * time.Hour

func seconds(s float64) time.Duration { return nanoseconds(s * float64(time.Second)) }

func nanoseconds(n float64) time.Duration { return time.Duration(min(n, float64(longest))) }

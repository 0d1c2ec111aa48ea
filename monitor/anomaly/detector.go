// Package anomaly finds values of a series that are not as usual while they
// come in, in bounded memory and without looking ahead.
package anomaly

import (
	"fmt"
	"math"
	"time"
)

// A Signal is one of the ways in which a series can be unusual.
type Signal int

// The signals, as [Config] describes them.
const (
	Spike Signal = iota
	Drop
	Shift
	Drift
	Shape
	signals
)

// String returns the signal's name.
func (s Signal) String() string {
	if s < 0 || s >= signals {
		return fmt.Sprintf("Signal(%d)", int(s))
	}
	return [signals]string{"spike", "drop", "shift", "drift", "shape"}[s]
}

// A Result is what a detector says of one row.
type Result struct {
	Score     float64 // from 0 to 1; 0.5 is the threshold
	Anomalous bool    // the score is over 0.5, and there has been enough to compare with
	Began     bool    // an incident begins with this row
	Incident  uint64  // the number of the incident that lasts, from 1; else 0
	Signal    Signal  // the strongest
	Why       string  // a sentence, where an incident began or a row was ignored

	// Signals are the values of all, before weights and past peaks.
	Signals [signals]float64
}

// A Detector watches one series. It takes less than 8 KB, and is not safe for
// concurrent use.
//
// A value is compared with what the detector has seen of this series alone:
// the level with its hours, where the hours of the day or of the week explain
// it, and the shapes of its curve. Each signal is measured by its own past
// peaks, which fade, so that what has happened lately is less remarkable. What
// is new is reported once, and becomes usual.
type Detector struct {
	cfg   Config
	keep  float64 // what is kept of a peak in a row
	state state
}

// state is all that a snapshot holds.
type state struct {
	N         int64 // rows
	Age       int64 // rows since an incident began
	Quiet     int64 // rows since the last anomaly
	Incidents uint64
	Early     [cold]early

	Level, Fast, Excess, Bent usual
	Recent                    float64 // mean of some 33 rows
	Sums                      sums
	Profile                   profile
	Shape                     shape
	Peaks                     [signals]float64
}

// An early row is one that waits for those it is looked at with.
type early struct {
	At    int64
	Value float64
}

// enough is how many rows are learned from before the first incident.
const enough = 100

// New returns a detector for one series. A cfg that [Config.Check] refuses
// counts as the zero Config.
func New(cfg Config) *Detector {
	cfg = cfg.filled()
	return &Detector{cfg: cfg, keep: math.Exp(-1 / float64(cfg.Memory))}
}

// Observe takes in the value at t and says what it makes of it. The first 32
// rows score nothing, and none of the first 100 is anomalous. Rows that have
// the time of the one before, or an earlier one, count as others do; after a gap
// in which more than a day and twenty rows are missing, drift and shape begin
// anew. A value that is not a finite number is ignored, and one beyond 1e100 is
// cut to that.
func (d *Detector) Observe(t time.Time, v float64) Result {
	s := &d.state
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Result{Incident: d.lasting(), Why: "ignored: not a finite number"}
	}
	at, v := t.Unix(), clamp(v, huge)
	if s.N < cold {
		s.Early[s.N].At, s.Early[s.N].Value = at, v
		if s.N++; s.N == cold {
			d.begin()
		}
		return Result{}
	}
	s.N++
	s.Age++
	s.Quiet++
	was := s.Level
	r := Result{Signals: s.measure(at, v)}
	strongest := d.strongest(&r)
	r.Score = strongest / (strongest + d.cfg.Threshold)
	r.Anomalous = strongest > d.cfg.Threshold && s.N > enough
	lasting := d.lasting() != 0
	if r.Anomalous {
		s.Quiet = 0
	}
	if r.Anomalous && !lasting {
		s.Incidents++
		s.Age = 0
		r.Began = true
		r.Why = fmt.Sprintf("%v at %.2g, over %.2g; the value is %.4g, usual %.4g ± %.2g",
			r.Signal, strongest, d.cfg.Threshold, v, was.Mean, was.deviation(0))
	}
	r.Incident = d.lasting()
	return r
}

// lasting returns the number of the incident that lasts, or zero.
func (d *Detector) lasting() uint64 {
	if hold := int64(d.cfg.Hold); d.state.Quiet > hold || d.state.Age > 2*hold {
		return 0
	}
	return d.state.Incidents
}

// begin learns from the first rows, of which none is far from the others then.
func (d *Detector) begin() {
	var values [cold]float64
	for i, row := range d.state.Early {
		values[i] = row.Value
	}
	tame(&values)
	for i, row := range d.state.Early {
		d.state.measure(row.At, values[i])
	}
}

// strongest finds the signal that is strongest for its past peaks, and lets
// those fade and rise.
func (d *Detector) strongest(r *Result) float64 {
	var strongest float64
	weights := [signals]float64{d.cfg.Spike, d.cfg.Drop, d.cfg.Shift, d.cfg.Drift, d.cfg.Shape}
	for k, weight := range weights {
		x := r.Signals[k] * max(0, weight)
		peak := &d.state.Peaks[k]
		if ratio := x / (1 + *peak); ratio > strongest {
			strongest, r.Signal = ratio, Signal(k)
		}
		*peak = max(*peak*d.keep, x)
	}
	return strongest
}

// measure takes in a row and returns all signals.
func (s *state) measure(at int64, x float64) (out [signals]float64) {
	if s.Level.N == 0 {
		s.Level.Mean, s.Recent = x, x
	}
	if s.Profile.pass(at) {
		s.Shape.gap()
		s.Sums = sums{}
	}
	mean, deviation := s.Level.Mean, s.Level.deviation(0)
	away := s.Level.z(x, 0)
	bent := math.Asinh(away / 0.3)
	out[Spike] = math.Abs(s.Bent.z(bent, 0.1))
	s.Bent.add(bent)
	out[Drop] = max(0, -away)

	excess := s.Profile.residual(at, x, mean, outer*deviation)
	z := clamp(s.Excess.z(excess, level*math.Abs(mean)), outer)
	s.Excess.add(excess)
	s.Sums.add(z, 0.75, 0.999)
	out[Drift] = max(s.Sums.Up, s.Sums.Down) / 8

	s.Recent += max(0.03, 1/float64(s.Level.N+1)) * (x - s.Recent)
	out[Shift] = math.Abs(s.Fast.z(s.Recent, 0))
	s.Fast.add(s.Recent)

	out[Shape] = s.Shape.add(x, deviation)
	s.Level.add(x)
	return out
}

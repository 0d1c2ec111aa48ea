package analytics

import (
	"math"
	"time"
)

// A Sign is what is seen of a model in a few seconds, by which its failure is foreseen.
// What is not known is 0.
type Sign struct {
	Time      time.Time
	Calls     int           // attempts that ended
	Failures  int           // of them, that speak against the model
	Throttled int           // of them, by limits
	P95       time.Duration // of how long they took; of streams, until the first chunk
	InFlight  int
	Capacity  int
	Queued    int
	Down      bool // the model is out of rotation, but not by hand
}

// failing reports whether the model fails by now.
func (s Sign) failing() bool {
	return s.Down || s.Calls >= minCalls && 2*s.Failures >= s.Calls
}

// minCalls is how many calls say whether a model fails.
const minCalls = 3

// What is looked at.
const (
	bias     = iota
	slower   // than it was: how often the latency has doubled
	slowing  // how much slower in a minute
	errs     // more errors than there were, in tenths
	throttle // more refusals by limits, in tenths
	crowd    // how often as many are under way, as doublings
	filling  // the room is in use
	queueing // calls wait
	healed   // it failed a moment ago, and what has waited is done first
	features
)

// prior is what the predictor begins with, before it has seen a failure: a model that is
// twice as slow as it was, and goes on slowing, is as likely to fail as not, and likelier
// if twice as many calls are under way.
var prior = [features]float64{bias: -5, slower: 2.5, slowing: 2.5, errs: 1.5, throttle: .8, crowd: 1.5, filling: 1, queueing: 1, healed: -8}

const (
	rate  = .02   // at which weights are learnt,
	pull  = .0005 // and drawn back to the prior
	fast  = 30 * time.Second
	slow  = 30 * time.Minute
	trend = time.Minute
	heals = 2 * time.Minute // that it is taken to be doing what has waited
)

// A Predictor says how likely a model is to fail soon: by more than half of its calls,
// or so that it is taken out of rotation. It is a logistic model of some signs that come
// before failures of overload and of providers that break down slowly, which begins with
// weights that make sense and learns from what it sees. Failures without a sign are not
// foreseen, and for some minutes after one the next is hardly: what has waited is done then,
// and looks like what comes before a failure. It is a hint: what share of failures it
// foresees, and how often it is wrong, depends on how a provider breaks down.
//
// A Predictor is made by [NewPredictor], takes 8 KB for a horizon of five minutes and a
// sign every five seconds, and is not safe for concurrent use.
type Predictor struct {
	horizon time.Duration
	weights [features]float64
	last    Sign
	seen    int
	failing bool
	failed  time.Time // when it last was

	short, long track
	paced       bool      // latencies are known
	before      []float64 // latencies, as logarithms, of the latest minute
	times       []time.Time

	now     float64 // the latest probability
	pending []pending
	score   Score
}

// track is what was usual over some time.
type track struct{ latency, errors, throttled, crowd float64 }

// pending is a probability whose truth is not known yet.
type pending struct {
	at time.Time
	x  [features]float64
	p  float64
}

// Score says how good a predictor's probabilities were, where what came is known.
type Score struct {
	Known    int     // probabilities
	Failures int     // of them before a failure
	brier    float64 // the sum of squares
}

// Brier is the mean square by which probabilities were off: 0 for one that knows all, and
// that of always saying the mean for one that knows nothing.
func (s Score) Brier() float64 {
	if s.Known == 0 {
		return 0
	}
	return s.brier / float64(s.Known)
}

// Skill is how much smaller Brier is than that of always saying the mean: 1 at best, and
// 0 or less where the predictor is of no use.
func (s Score) Skill() float64 {
	if s.Known == 0 || s.Failures == 0 || s.Failures == s.Known {
		return 0
	}
	mean := float64(s.Failures) / float64(s.Known)
	return 1 - s.Brier()/(mean*(1-mean))
}

// NewPredictor returns a predictor of failures within a horizon, five minutes if that is
// not above 0, and an hour at most.
func NewPredictor(horizon time.Duration) *Predictor {
	if horizon <= 0 {
		horizon = 5 * time.Minute
	}
	return &Predictor{horizon: min(horizon, time.Hour), weights: prior}
}

// Observe takes in what was seen since the sign before, and returns the probability that
// the model fails within the horizon. Signs come every few seconds; one that is not later
// than the one before is left out. While the model fails it is 1, and nothing is learnt.
func (p *Predictor) Observe(s Sign) float64 {
	if p.seen > 0 && !s.Time.After(p.last.Time) {
		return p.now
	}
	gap := s.Time.Sub(p.last.Time)
	if p.seen == 0 || gap > slow {
		gap = 0
		p.seen, p.pending, p.before, p.times = 0, nil, nil, nil
	}
	p.seen++
	p.last = s
	if s.failing() {
		if !p.failing {
			p.settle(s.Time, true)
		}
		p.failing, p.failed, p.now = true, s.Time, 1
		return 1
	}
	if p.failing { // it has been another model, as it were
		p.failing, p.pending, p.before, p.times = false, nil, nil, nil
		p.short = p.long
	}
	p.settle(s.Time, false)
	x := p.look(s, gap)
	z := 0.
	for i, v := range x {
		z += p.weights[i] * v
	}
	p.now = 1 / (1 + math.Exp(-z))
	if len(p.pending) < 1024 {
		p.pending = append(p.pending, pending{s.Time, x, p.now})
	}
	return p.now
}

// Probability is that of the latest sign.
func (p *Predictor) Probability() float64 { return p.now }

// Score says how good the probabilities were so far.
func (p *Predictor) Score() Score { return p.score }

// look turns a sign into what is looked at, and learns what is usual.
func (p *Predictor) look(s Sign, gap time.Duration) (x [features]float64) {
	x[bias] = 1
	if s.Calls > 0 {
		calls := float64(s.Calls)
		errors, throttled := float64(s.Failures)/calls, float64(s.Throttled)/calls
		if p.seen == 1 {
			p.short.errors, p.long.errors = errors, errors
			p.short.throttled, p.long.throttled = throttled, throttled
		}
		p.short.errors = toward(p.short.errors, errors, gap, fast/2)
		p.short.throttled = toward(p.short.throttled, throttled, gap, fast/2)
		p.long.errors = toward(p.long.errors, errors, gap, slow)
		p.long.throttled = toward(p.long.throttled, throttled, gap, slow)
		if s.P95 > 0 {
			p.pace(math.Log2(s.P95.Seconds()), s.Time, gap)
		}
	}
	under := math.Log2(1 + max(float64(s.InFlight), 0))
	if p.seen == 1 {
		p.short.crowd, p.long.crowd = under, under
	}
	p.short.crowd = toward(p.short.crowd, under, gap, fast)
	p.long.crowd = toward(p.long.crowd, under, gap, slow)
	x[crowd] = bound(p.short.crowd-p.long.crowd, -1, 3)
	x[slower] = bound(p.short.latency-p.long.latency, -1, 3)
	x[slowing] = bound(p.slope(), -1, 2)
	x[errs] = bound(10*(p.short.errors-p.long.errors), 0, 3)
	x[throttle] = bound(10*(p.short.throttled-p.long.throttled), 0, 3)
	if s.Capacity > 0 {
		x[filling] = bound(4*(float64(s.InFlight)/float64(s.Capacity)-.75), 0, 2)
	}
	if s.Queued > 0 {
		x[queueing] = bound(math.Log2(1+float64(s.Queued))/4, 0, 1)
	}
	if !p.failed.IsZero() {
		x[healed] = min(math.Exp(1-float64(s.Time.Sub(p.failed))/float64(heals)), 1)
	}
	return x
}

// pace takes in a latency, as a logarithm.
func (p *Predictor) pace(latency float64, at time.Time, gap time.Duration) {
	if !p.paced {
		p.paced = true
		p.short.latency, p.long.latency = latency, latency
	}
	p.short.latency = toward(p.short.latency, latency, gap, fast)
	p.long.latency = toward(p.long.latency, latency, gap, slow)
	p.before, p.times = append(p.before, p.short.latency), append(p.times, at)
	for len(p.times) > 1 && at.Sub(p.times[0]) > trend || len(p.times) > 64 {
		p.before, p.times = p.before[1:], p.times[1:]
	}
}

// slope is by how much the latency has grown in a minute, in doublings.
func (p *Predictor) slope() float64 {
	n := len(p.times)
	if n < 6 {
		return 0
	}
	took := p.times[n-1].Sub(p.times[0])
	if took < trend/2 {
		return 0
	}
	return (p.before[n-1] - p.before[0]) * float64(trend) / float64(took)
}

// settle learns from the probabilities whose truth is known: those from more than a
// horizon ago, and all where the model has failed.
func (p *Predictor) settle(now time.Time, failed bool) {
	known := 0
	for _, was := range p.pending {
		came := 0.
		if now.Sub(was.at) <= p.horizon {
			if !failed {
				break
			}
			came = 1
			p.score.Failures++
		}
		known++
		p.score.Known++
		p.score.brier += (was.p - came) * (was.p - came)
		for i := range p.weights {
			p.weights[i] += rate*(came-was.p)*was.x[i] + pull*(prior[i]-p.weights[i])
		}
	}
	p.pending = p.pending[known:]
	if len(p.pending) == 0 {
		p.pending = nil // what is before it
	}
}

// toward moves an average over some time to a new value.
func toward(old, v float64, gap, over time.Duration) float64 {
	return old + (v-old)*(1-math.Exp(-float64(gap)/float64(over)))
}

func bound(v, low, high float64) float64 { return min(max(v, low), high) }

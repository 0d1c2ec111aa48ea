package health

import (
	"math"
	"time"

	"github.com/cmmv-hive/resilience"
)

// A Result is the outcome of a check.
type Result struct {
	// Status is Unavailable or Maintenance if m is held, by whomever. It is Degraded if
	// m gets less than its normal traffic, is slow, is being tried after a hold, or
	// should be held but is not, as with ObserveOnly.
	Status resilience.Status

	// Score is from 0 to 1: the rate of success that calls and probes leave no doubt
	// about (the fifth percentile of what it may be, those of the last minutes counting
	// most), times the root of how fast the model is against the fastest of its peers,
	// by first chunks of streams or by token, times the share of answers that were good.
	// It is 0.05 without data, 0.37 after two successes, 0.75 after ten.
	Score float64

	Time    time.Time     // of the check
	Calls   int64         // it went by
	Probed  bool          // it went by a probe,
	Latency time.Duration // which took so long
	Reason  string        // of a Status other than Available, or why it was so last
	Since   time.Time     // Status by checks is what it is; zero if it has always been
	Err     error         // of the probe, or of Check itself
}

const (
	halfLife = 5 * time.Minute
	doubtful = 0.05 // quantile of a score's success
)

// result returns what is known of st. The caller has c.mu.
func (c *Checker) result(st *state, best pace) Result {
	now := c.pool.Now()
	r := Result{
		Status: st.model.Status(), Score: st.score(now, best), Calls: st.last.n, Probed: st.last.asked, Latency: st.last.took,
		Err: st.last.err,
	}
	if r.Status == resilience.Available && st.verdict != resilience.Available {
		r.Status = resilience.Degraded
	}
	if st.checked {
		r.Time = c.pool.At(st.last.at)
	}
	r.Reason = st.reason
	for _, h := range st.model.Holds() {
		if h.Key == "" && st.verdict != resilience.Unavailable {
			r.Reason = h.String()
			break
		}
	}
	if st.since != 0 {
		r.Since = c.pool.At(st.since)
	}
	return r
}

// A pace is how fast a model is, as far as it is known, in two measures that are not
// to be compared with each other.
type pace struct{ first, token time.Duration }

// least returns the faster of two paces, in each measure.
func (p pace) least(o pace) pace {
	shorter := func(a, b time.Duration) time.Duration {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	return pace{shorter(p.first, o.first), shorter(p.token, o.token)}
}

// against returns how fast p is, from 0 to 1, against the best: by token where that
// is known.
func (p pace) against(best pace) float64 {
	switch {
	case p.token > 0 && best.token > 0:
		return min(1, float64(best.token)/float64(p.token))
	case p.first > 0 && best.first > 0:
		return min(1, float64(best.first)/float64(p.first))
	}
	return 1
}

// decayed is what is left after so long of what was counted.
func decayed(d time.Duration) float64 { return math.Exp2(-float64(d) / float64(halfLife)) }

// score returns st's score against the best of its peers.
func (st *state) score(now time.Duration, best pace) float64 {
	left := decayed(now - st.countedAt)
	s, f := st.successes*left, st.failures*left
	good := 1.
	if all := st.successes + st.failures; all > 0 {
		good = 1 - min(st.malformed/all, 1)
	}
	return doubtless(1+s, 1+f) * math.Sqrt(st.pace.against(best)) * good
}

// bests returns a function that tells the best pace among a model and its peers.
func (c *Checker) bests() func(m *resilience.Model) pace {
	models := c.pool.Models()
	peers := peersOf(models)
	best := map[peer]pace{}
	for _, m := range models {
		st := c.of(m)
		c.mu.Lock()
		own := st.pace
		c.mu.Unlock()
		best[peers(m)] = best[peers(m)].least(own)
	}
	return func(m *resilience.Model) pace { return best[peers(m)] }
}

// A peer names those that a model is compared with.
type peer struct {
	name string
	tier int
}

// peersOf returns a function that names a model's peers: those of its name if there
// are others, else those of its tier.
func peersOf(models []*resilience.Model) func(m *resilience.Model) peer {
	named := map[string]int{}
	for _, m := range models {
		named[m.Name()]++
	}
	return func(m *resilience.Model) peer {
		if name := m.Name(); named[name] > 1 {
			return peer{name: name}
		}
		return peer{tier: m.Info().Tier}
	}
}

package health

import (
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/mutants"
)

// A mark is what a check says of a model.
type mark uint8

const (
	none mark = iota // nothing
	good
	bad
)

// A finding is what one check found.
type finding struct {
	at     time.Duration
	mark   mark
	reason string // of a bad one
	n      int64  // calls that it went by
	failed int64
	ask    bool // a probe
	asked  bool // there was one,
	took   time.Duration
	err    error
	calls  bool // it is calls that were bad

	weight          float64 // of the calls below: the part that no check has counted
	stats           resilience.CallStats
	pace            pace
	slow            bool
	slowWhy         string
	succeeds, fails float64
}

// bucket is what [resilience.Model.Stats] tells apart: it may leave out as much of a
// window.
const bucket = 10 * time.Second

// look is how far back a check looks: an interval at least.
func (r *rules) look() time.Duration {
	return min((r.interval+bucket-1)/bucket*bucket+bucket, 5*time.Minute)
}

// judge goes by calls, and says whether a probe is wanted. Only calls since a hold
// began, and then ended, count. Suspicion is a reason to probe a model that has had
// enough calls. The caller has the checker's mu.
func (st *state) judge(now time.Duration, phi float64) finding {
	r := &st.rules
	look, enough := r.look(), r.minCalls
	if st.trial || st.until != 0 {
		look = min(look, (now/bucket-(st.from+bucket-1)/bucket+1)*bucket) // whole ones
	}
	if st.trial {
		enough = (enough + 1) / 2
	}
	f := finding{at: now, stats: st.model.Stats(look)}
	s := &f.stats
	f.n, f.failed = s.Calls-s.Throttled, s.Failures
	f.weight = 1
	if st.checked {
		f.weight = min(float64(now-st.countedAt)/float64(r.look()-bucket/2), 1)
	}
	f.pace.token = s.PerToken
	if s.Streams > 0 && s.Streams*10 >= s.Calls*9 {
		f.pace.first = s.P95
	}
	switch {
	case r.slowFirst > 0 && f.pace.first >= r.slowFirst:
		f.slow, f.slowWhy = true, fmt.Sprintf("one first chunk in twenty takes %v", f.pace.first.Round(time.Millisecond))
	case r.slowToken > 0 && f.pace.token >= r.slowToken:
		f.slow, f.slowWhy = true, fmt.Sprintf("a token takes %v", f.pace.token.Round(time.Microsecond))
	}
	st.weigh(&f, enough, look)
	f.ask = (f.n < enough || phi >= suspicious || !st.model.Available()) && !st.left()
	return f
}

// left reports whether a model is left alone: somebody holds it by hand, or its
// provider asked to wait.
func (st *state) left() bool {
	for _, by := range [...]resilience.HoldBy{resilience.HoldManual, resilience.HoldLimit} {
		if _, held := st.model.HeldSince(by); held {
			return true
		}
	}
	return false
}

// mending reports whether recovery has a model, which then is its alone to probe.
func (st *state) mending() bool {
	_, held := st.model.HeldSince(resilience.HoldRecovery)
	return held
}

// weigh says what f's calls mean, if they are enough.
func (st *state) weigh(f *finding, enough int64, look time.Duration) {
	n, failed := float64(f.n), float64(f.failed)
	f.succeeds, f.fails = n-failed, failed
	if f.n < enough {
		return
	}
	f.mark = good
	if rate := st.rules.errorRate; rate > 0 && failed >= rate*n {
		f.mark, f.reason = bad, fmt.Sprintf("%d of %d calls failed in %v", f.failed, f.n, look)
		f.calls = true
		return
	}
	if p := st.peers; p != nil {
		peerN, peerFailed := p.n-st.counted.n, p.failed-st.counted.failed
		if outlier(failed, n, max(peerFailed, 0), peerN) {
			f.mark, f.reason = bad, fmt.Sprintf("%d of %d calls failed in %v, and %.0f of %.0f of its peers'", f.failed, f.n, look, peerFailed, peerN)
			f.calls = true
		}
	}
}

// probed takes in a probe. A good one does not speak for a model whose calls fail.
func (f *finding) probed(p resilience.Probed) {
	f.asked, f.took, f.err, f.at = true, p.Took, p.Err, p.At
	kind := resilience.KindOf(p.Err)
	switch {
	case p.Err == nil:
		f.succeeds++
		switch {
		case f.calls && !mutants.On("health-probe-refutes-calls"):
		case f.failed > 0 && 2*f.failed >= f.n:
			f.mark = none
		default:
			f.mark = good
		}
	case kind.Against() || kind == resilience.NotFound:
		f.fails++
		f.mark, f.reason = bad, "probe: "+kind.String()
	}
}

// note keeps f as the latest finding. The caller has the checker's mu.
func (st *state) note(f finding) {
	left := 1.
	if st.checked {
		left = decayed(f.at - st.countedAt)
	}
	if p := st.peers; p != nil {
		p.n += float64(f.n) - st.counted.n
		p.failed += float64(f.failed) - st.counted.failed
		st.counted = peers{n: float64(f.n), failed: float64(f.failed)}
	}
	extra := 0.
	if f.asked { // counted whole, unlike calls that two checks may see
		extra = 1 - f.weight
	}
	st.successes, st.failures, st.malformed = st.successes*left, st.failures*left, st.malformed*left
	st.successes += f.succeeds * f.weight
	st.failures += f.fails * f.weight
	st.malformed += float64(f.stats.Malformed) * f.weight
	if f.asked && f.err == nil {
		st.successes += extra
	} else if f.asked && f.fails > float64(f.failed) {
		st.failures += extra
	}
	if f.pace != (pace{}) {
		st.pace = f.pace
	}
	st.last, st.countedAt, st.checked = f, f.at, true
}

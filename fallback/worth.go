package fallback

import (
	"sync"
	"sync/atomic"
)

// What became of a hedge.
type outcome uint8

const (
	useful outcome = iota // it answered first, as soon as is normal
	idle                  // the other one did, by then
	slow                  // neither had
)

// worth is what hedges were worth lately. A call is hedged because its model is
// slow, because the request is, or for no reason: a model that is well has a
// tail. In the first case the other model answers soon, in the second neither
// does, in the third the same one does, mostly.
//
// So useful outcomes are set against slow ones. They are not weighted by the
// time that they saved: of two answers to a request that is slow by nature one
// comes much sooner by chance, and that would count most. The thresholds are from
// simulations of a lognormal latency (σ = 0.5) with 2 % of stalls, of which a part
// is the request's, once and twice hedged: with the memory of about two hundred
// outcomes the useful ones stay above where seven of ten stalls are the request's,
// and below where all are. TestPublishedFirstToken has both.
//
// A model that is well has few useful outcomes. Hedges stop below 1 in 20, too.
type worth struct {
	off   atomic.Bool
	asked atomic.Uint64 // while off

	mu                 sync.Mutex
	fired, won, missed float64 // outcomes, useful and slow ones
	calls, hedges      float64
}

const (
	memory = 0.995 // of an outcome, after one more
	enough = 78    // what a hundred outcomes come to

	stopBelow, resumeAbove         = 0.28, 0.34  // useful of useful and slow ones
	stopBelowOfAll, resumeAboveAll = 0.05, 0.065 // of all
	probeEvery                     = 20
)

// asks reports whether a call may be hedged.
func (w *worth) asks() bool { return !w.off.Load() || w.asked.Add(1)%probeEvery == 0 }

// learn takes in what became of a call's first hedge.
func (w *worth) learn(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range []*float64{&w.fired, &w.won, &w.missed} {
		*x *= memory
	}
	w.fired++
	switch o {
	case useful:
		w.won++
	case slow:
		w.missed++
	}
	if w.fired < enough {
		return
	}
	share := 1.0
	if w.won+w.missed > 0 {
		share = w.won / (w.won + w.missed)
	}
	if w.off.Load() {
		w.off.Store(share < resumeAbove || w.won < resumeAboveAll*w.fired)
	} else {
		w.off.Store(share < stopBelow || w.won < stopBelowOfAll*w.fired)
	}
}

// count takes in a call that had so many hedges.
func (w *worth) count(hedges int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls, w.hedges = w.calls*memory+1, w.hedges*memory+float64(hedges)
}

// perCall is how many hedges there are for a call that has any.
func (w *worth) perCall() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls < enough {
		return 1
	}
	return w.hedges / w.calls
}

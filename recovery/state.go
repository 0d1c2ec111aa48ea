package recovery

import (
	"math"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
)

// state is what holds a model, as recovery sees it.
type state struct {
	hand  bool // an operator has it
	ill   bool // it is to be brought back
	by    resilience.HoldBy
	why   string        // the hold's reason
	since time.Duration // of the first hold
	until time.Duration // the end of the last one; forever if that is open
	limit time.Duration // until when its provider wants to be left alone
	mine  time.Duration // until when recovery holds it
}

const forever = time.Duration(math.MaxInt64)

// look reads m, and lets what has run out go.
func (r *Recoverer) look(m *resilience.Model, w *watch) (s state) {
	if m.Available() {
		return s
	}
	for _, h := range m.Holds() {
		until := forever
		if !h.Until.IsZero() {
			until = h.Until.Sub(r.pool.At(0))
		}
		switch {
		case h.Key != "":
		case h.By == resilience.HoldManual, h.By == resilience.HoldBreaker && (until == forever || w.hand.Load()):
			s.hand = true
		case h.By == resilience.HoldLimit:
			s.limit = until
		case h.By == resilience.HoldRecovery:
			s.mine = until
		default:
			since := h.Since.Sub(r.pool.At(0))
			if int64(since) < w.anew.Load() {
				continue // it is being lifted
			}
			if !s.ill || since < s.since {
				s.by, s.why, s.since = h.By, h.Reason, since
			}
			s.ill = true
			s.until = max(s.until, until)
		}
	}
	return s
}

// cause says what a model failed for that is held so.
func (r *Recoverer) cause(m *resilience.Model, w *watch, s state) resilience.Kind {
	for kind := resilience.Canceled; kind <= resilience.Unknown; kind++ {
		if word, _, _ := strings.Cut(s.why, " "); s.by != resilience.HoldBreaker && word == kind.String() {
			return kind
		}
	}
	switch s.by {
	case resilience.HoldCredential:
		return resilience.Unauthorized
	case resilience.HoldQuota:
		return resilience.QuotaSpent
	case resilience.HoldHealth:
		if last, known := m.Probed(); known && last.Err != nil && last.At <= s.since {
			return resilience.KindOf(last.Err)
		}
	}
	if kind := resilience.Kind(w.kind.Load()); kind != 0 && int64(s.since)-w.last.Load() < int64(forgotten) {
		return kind
	}
	return resilience.Unknown
}

// lasting reports whether only people can mend a failure.
func lasting(kind resilience.Kind) bool {
	switch kind {
	case resilience.Unauthorized, resilience.QuotaSpent, resilience.NotFound:
		return true
	default:
		return false
	}
}

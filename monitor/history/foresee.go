package history

import (
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/analytics"
)

// foresight is how far ahead failures are looked for.
const foresight = 5 * time.Minute

// foresee takes in what m has done since the sample before. The caller has h.mu.
func (h *History) foresee(m *resilience.Model, s *series, r *record) {
	if s.watcher == nil || s.id == Others {
		return
	}
	if s.watcher.predictor == nil {
		s.watcher.predictor = analytics.NewPredictor(foresight)
	}
	row := r.row(lengthOf(fine))
	s.watcher.predictor.Observe(analytics.Sign{
		Time:  time.Unix(0, int64(h.pool.Now())), // by the pool's clock, which nobody sets
		Calls: int(row.Calls), Failures: int(row.Failures), Throttled: int(row.Throttled()), P95: row.P95,
		InFlight: int(m.InFlight()), Capacity: int(m.Capacity()), Queued: int(m.Queued()),
		Down: m.Status() == resilience.Unavailable,
	})
}

// FailureProbability is how likely m is to fail within five minutes: by more than half of
// its attempts, or so that it is taken out of rotation. See [analytics.Predictor]. It
// is of the latest sample, 1 while m fails, and 0 for a model that is not watched. What was
// learned is not in the file.
func (h *History) FailureProbability(m *resilience.Model) float64 {
	if m == nil {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.models[m.ID()]; s != nil && s.watcher != nil && s.watcher.predictor != nil {
		return s.watcher.predictor.Probability()
	}
	return 0
}

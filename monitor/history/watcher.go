package history

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/monitor/analytics"
	"github.com/cmmv-hive/resilience/monitor/anomaly"
)

// What is watched of a model.
const (
	watchErrors = iota
	watchTimes
	watchCalls
	measures
)

var measureNames = [measures]string{"error rate", "p95", "calls per minute"}

const (
	quiet = 30      // minutes that end what is unusual
	few   = 10      // attempts that say something of a share, and calls per minute of a change
	slow  = 1. / 64 // a minute's weight in what was of late
)

// A watcher looks for what is unusual in the minutes of a model.
type watcher struct {
	of [measures]struct {
		detector *anomaly.Detector
		late     float64   // the mean of late
		until    time.Time // the latest minute's end that was unusual; zero if none is
	}
	predictor *analytics.Predictor // made at the next sample
}

func newWatcher() *watcher {
	w := &watcher{}
	for i := range w.of {
		cfg := anomaly.Config{Hold: quiet, Threshold: 1}
		if i != watchCalls {
			cfg.Drop = -1 // nothing is wrong with fewer failures
		}
		w.of[i].detector = anomaly.New(cfg)
		w.of[i].late = math.NaN()
	}
	return w
}

// watch takes in a minute that is over. The caller has h.mu.
func (h *History) watch(s *series, minute *record) {
	most := h.config.Load().Watched
	if s == &h.whole || s.id == Others {
		return
	}
	if most < 0 {
		h.unwatch(s)
		return
	}
	row := minute.row(time.Minute)
	if s.watcher == nil {
		if row.Calls == 0 || h.watched >= most {
			return
		}
		h.watched++
		s.watcher = newWatcher()
	}
	for i := range s.watcher.of {
		m := &s.watcher.of[i]
		over := false
		if v, ok := measure(&row, i); ok {
			r := m.detector.Observe(row.Start, v)
			if r.Anomalous && worth(i, v, m.late) {
				why := fmt.Sprintf("%s, of late %s (%v)", inWords(i, v), inWords(i, m.late), r.Signal)
				h.incidents.begin(s.id, measureNames[i], why, row.Start)
				m.until = row.Start.Add(row.Step)
			}
			over = r.Incident == 0
			if math.IsNaN(m.late) {
				m.late = v
			}
			m.late += slow * (v - m.late)
		}
		if !m.until.IsZero() && (over || row.Start.Sub(m.until) > quiet*time.Minute) {
			h.incidents.end(s.id, measureNames[i], m.until)
			m.until = time.Time{}
		}
	}
}

// unwatch forgets what was usual of s. The caller has h.mu.
func (h *History) unwatch(s *series) {
	if s.watcher == nil {
		return
	}
	h.watched--
	for i := range s.watcher.of {
		if at := s.watcher.of[i].until; !at.IsZero() {
			h.incidents.end(s.id, measureNames[i], at)
		}
	}
	s.watcher = nil
}

// measure returns what is watched of a minute, if that says anything.
func measure(row *Row, what int) (v float64, ok bool) {
	switch what {
	case watchErrors:
		v, _ = part(row.Failures, row.Calls)
		return v, row.Calls >= few
	case watchTimes:
		return row.P95.Seconds(), row.Calls >= few
	default:
		free := row.Observed - row.Held
		return float64(row.Calls) * float64(time.Minute) / float64(max(free, 1)), free >= row.Step/2
	}
}

// worth reports whether people want to know that it is v.
func worth(what int, v, late float64) bool {
	more := v - late
	switch what {
	case watchErrors:
		return more >= 0.05
	case watchTimes:
		return more >= max(late/4, 0.05)
	default:
		return math.Abs(more) >= max(late/4, few)
	}
}

func inWords(what int, v float64) string {
	switch what {
	case watchErrors:
		return fmt.Sprintf("%.1f %%", 100*v)
	case watchTimes:
		return short(time.Duration(v * float64(time.Second)))
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// Anomalies returns what is unusual at present of the given models, or of any if none is
// given: incidents that go on. They begin and end with minutes.
func (h *History) Anomalies(of ...*resilience.Model) (list []Incident) {
	h.incidents.mu.Lock()
	defer h.incidents.mu.Unlock()
	for _, in := range h.incidents.list {
		at := func(m *resilience.Model) bool { return m.ID() == in.Model }
		if in.End.IsZero() && isAnomaly(in.What) && (len(of) == 0 || slices.ContainsFunc(of, at)) {
			list = append(list, in)
		}
	}
	return list
}

func isAnomaly(what string) bool { return slices.Contains(measureNames[:], what) }

// clone returns what there is to write of w, which may be nil.
func (w *watcher) clone() *watcher {
	if w == nil {
		return nil
	}
	c := *w
	for i := range c.of {
		d := *c.of[i].detector
		c.of[i].detector = &d
	}
	return &c
}

// append writes what w has learned; w may be nil.
func (w *watcher) append(b []byte) []byte {
	for i := range measures {
		var data []byte
		if w != nil {
			data, _ = w.of[i].detector.MarshalBinary() // of numbers alone
			data = binary.BigEndian.AppendUint64(data, math.Float64bits(w.of[i].late))
		}
		b = appendBytes(b, data)
	}
	return b
}

// watcher reads one, or nil. What another version of the detectors has learned is not of
// use, and the rest of the file is.
func (d *decoder) watcher() (w *watcher) {
	for i := range measures {
		data := d.bytes()
		if len(data) < 8 {
			continue
		}
		if w == nil {
			w = newWatcher()
		}
		rest := len(data) - 8
		late := math.Float64frombits(binary.BigEndian.Uint64(data[rest:]))
		if !math.IsInf(late, 0) && w.of[i].detector.UnmarshalBinary(data[:rest]) == nil {
			w.of[i].late = late
		}
	}
	return w
}

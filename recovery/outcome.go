package recovery

import (
	"slices"
	"sync"
	"time"

	"github.com/cmmv-hive/resilience"
)

// An Outcome is a recovery that has ended, or that is left to people.
type Outcome struct {
	Model     *resilience.Model
	Cause     resilience.Kind // what it failed for; Unknown if no call told
	Recovered bool            // if not, it needs a person
	Actions   []string        // that were taken, in order, with those that failed
	Start     time.Time       // of the hold
	Detected  time.Duration   // from the first failure to the hold
	Duration  time.Duration   // from the hold to all of the traffic, or until now
	Reason    string
}

// Times are distributions over the latest outcomes.
type Times struct {
	Outcomes int
	Detect   Spread  // Outcome.Detected
	Recover  Spread  // Outcome.Duration of what has recovered
	Manual   float64 // share of the outcomes that need a person
}

// A Spread is a distribution.
type Spread struct{ P50, P95, P99, Max time.Duration }

// spreadOf sorts ds and takes its nearest ranks.
func spreadOf(ds []time.Duration) Spread {
	n := len(ds)
	if n == 0 {
		return Spread{}
	}
	slices.Sort(ds)
	rank := func(percent int) time.Duration { return ds[max((n*percent+99)/100, 1)-1] }
	return Spread{rank(50), rank(95), rank(99), ds[n-1]}
}

// remembered is how many outcomes there are at most.
const remembered = 1000

// history is the latest outcomes.
type history struct {
	mu   sync.Mutex
	list []*Outcome // oldest first
}

// add adds o, or changes it if it is there.
func (h *history) add(o *Outcome, as Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*o = as
	if slices.Contains(h.list, o) {
		return
	}
	if len(h.list) == remembered {
		h.list = slices.Delete(h.list, 0, 1)
	}
	h.list = append(h.list, o)
}

// History returns the latest outcomes, at most a thousand, newest first. A model
// that was left to people and came back by itself has recovered. What people
// ended, or a reload that took the model away, is not among them.
func (r *Recoverer) History() []Outcome {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	list := make([]Outcome, 0, len(r.history.list))
	for _, o := range slices.Backward(r.history.list) {
		c := *o
		c.Actions = slices.Clone(o.Actions)
		list = append(list, c)
	}
	return list
}

// Times sums up [Recoverer.History].
func (r *Recoverer) Times() Times {
	var detect, back []time.Duration
	list := r.History()
	t := Times{Outcomes: len(list)}
	for _, o := range list {
		detect = append(detect, o.Detected)
		if o.Recovered {
			back = append(back, o.Duration)
		}
	}
	if len(list) > 0 {
		t.Manual = float64(len(list)-len(back)) / float64(len(list))
	}
	t.Detect, t.Recover = spreadOf(detect), spreadOf(back)
	return t
}

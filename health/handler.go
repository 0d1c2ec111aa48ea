package health

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/cmmv-hive/resilience"
)

// Handler serves readiness: 200 while at least so many models are held by nobody, one
// if least is less; 503 while they are not, or while the pool is draining. That models
// are full, or a budget is spent, makes nothing less ready: who takes a service out for
// that has the others do its work as well. The body says in JSON which model is in which state, why, since when,
// and until when as far as that is known. It names models, and by what they are held;
// whoever must not see that must not reach it. Answers are not to be stored; there
// are none to other methods than GET and HEAD.
//
// It goes by what is known, and asks no model.
func (c *Checker) Handler(least int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		v := c.view(max(least, 1))
		body, err := json.Marshal(v)
		if err != nil {
			http.Error(w, "health: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !v.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write(append(body, '\n'))
		}
	})
}

type view struct {
	Ready     bool        `json:"ready"`
	Available int         `json:"available"`
	Min       int         `json:"min"`
	Models    []modelView `json:"models"`
}

type modelView struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"`
	Score   float64   `json:"score"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Checked time.Time `json:"checked,omitzero"`
}

// view is what the pool can do now.
func (c *Checker) view(least int) view {
	v := view{Min: least, Models: []modelView{}}
	if c.pool == nil {
		return v
	}
	best := c.bests()
	for _, verdict := range c.pool.Explain("") {
		m := verdict.Model
		st := c.of(m)
		c.mu.Lock()
		r := c.result(st, best(m))
		c.mu.Unlock()
		one := modelView{ID: m.ID(), Status: r.Status.String(), Score: r.Score, Checked: r.Time, Until: verdict.Until, Since: r.Since}
		if r.Status == resilience.Degraded {
			one.Reason = r.Reason
		}
		if !verdict.Usable {
			one.Reason, one.Since = verdict.Reason, time.Time{}
		}
		held := false
		for _, h := range verdict.Holds {
			if h.Key == "" {
				held = true
				if one.Since.IsZero() || h.Since.Before(one.Since) {
					one.Since = h.Since
				}
			}
		}
		if !held {
			v.Available++
		}
		v.Models = append(v.Models, one)
	}
	v.Ready = v.Available >= least && !c.pool.Draining()
	return v
}

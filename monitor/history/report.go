package history

import (
	"slices"
	"time"
)

// A Report sums up a period. In JSON durations are nanoseconds.
type Report struct {
	Period    Period     `json:"period"`
	From      time.Time  `json:"from"`
	To        time.Time  `json:"to"`     // the period's end
	Until     time.Time  `json:"until"`  // how far it has come; To once it is over
	Pool      Summary    `json:"pool"`   // of calls
	Models    []Summary  `json:"models"` // of attempts, in the order of [History.Series]; those without any record are left out
	Incidents []Incident `json:"incidents,omitempty"`
	Trends    []Trend    `json:"trends,omitempty"`   // of a week or a month
	Expected  *Expected  `json:"expected,omitempty"` // by the hours of the last thirty days; nil if the period is over, or they are fewer than twenty or say nothing
}

// A Summary is the row of a series for a whole period, and of the period before as far
// as this one has come, which is what to compare it with.
type Summary struct {
	Series
	Row

	Answered  *float64 `json:"answeredShare,omitempty"`  // see [Row.Answered]; nil without calls
	Available *float64 `json:"availableShare,omitempty"` // see [Row.Available]; nil if it was not observed
	Before    *Before  `json:"before,omitempty"`         // nil if nothing was recorded
}

// Before is the row of the period before.
type Before struct {
	Row

	Answered  *float64 `json:"answeredShare,omitempty"`
	Available *float64 `json:"availableShare,omitempty"`
}

// Report sums up the period that at is in. Periods but an hour are made of hours that
// begin in them. What is of a time before thirty days ago is not there any more, and
// so a month may be less than the whole.
func (h *History) Report(period Period, at time.Time) Report {
	loc, now := time.UTC, at
	if h.pool != nil {
		now = h.wall()
	}
	if h.given.Location != nil {
		loc = h.given.Location
	}
	from, to := period.around(at.In(loc))
	start, _ := period.around(from.Add(-time.Second))
	until := to
	if now.Before(to) {
		until = now.In(loc)
		if until.Before(from) {
			until = from
		}
	}
	kind := hours
	if period == Hour && now.Sub(start) < time.Duration(shapes[minutes].keep)*time.Second {
		kind = minutes
	}
	rep := Report{Period: period, From: from, To: to, Until: until, Incidents: h.Incidents(from, until)}
	end := start.Add(until.Sub(from))
	if end.After(from) {
		end = from
	}
	for i, c := range h.every(kind) {
		s := Summary{Series: Series{Model: c.id, Name: c.name}}
		this, some := c.total(kind, from, until)
		s.Row = this.row(to.Sub(from))
		s.Start, s.Answered, s.Available = from, share(s.Row.Answered()), share(s.Row.Available())
		if last, ok := c.total(kind, start, end); ok {
			row := last.row(end.Sub(start))
			row.Start = start
			s.Before = &Before{row, share(row.Answered()), share(row.Available())}
		}
		rep.Trends = append(rep.Trends, c.trends(period, from, until)...)
		switch {
		case i == 0:
			rep.Pool = s
			if kind == hours {
				rep.Expected = c.expected(&s, until, to)
			}
		case some || s.Before != nil:
			rep.Models = append(rep.Models, s)
		}
	}
	return rep
}

// every returns one cut of each series.
func (h *History) every(kind int) (list []*cut) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.all() {
		list = append(list, cutOf(s, kind))
	}
	return slices.Clip(list)
}

// total adds up a time, and reports whether there was anything.
func (c *cut) total(kind int, from, to time.Time) (sum record, some bool) {
	c.each(kind, from.Unix(), to.Unix(), func(r *record) {
		sum.add(r)
		some = true
	})
	return sum, some
}

func share(v float64, ok bool) *float64 {
	if !ok {
		return nil
	}
	return &v
}

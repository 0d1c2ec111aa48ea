package history

import (
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience/monitor/analytics"
)

// A Trend is what rises or falls in a week or a month, as surely as 99 in 100.
type Trend struct {
	Series

	What   string  `json:"what"`   // "error rate", "p95", in seconds, or "calls per hour"
	PerDay float64 `json:"perDay"` // by how much
	Low    float64 `json:"low"`    // and between what in 95 of 100 cases
	High   float64 `json:"high"`
}

// String puts t in one line.
func (t Trend) String() string {
	who, more := t.Model, t.PerDay
	if who == "" {
		who = "pool"
	}
	verb := "rises"
	if more < 0 {
		verb, more = "falls", -more
	}
	var by string
	switch t.What {
	case measureNames[watchErrors]:
		by = fmt.Sprintf("%.2g points", 100*more)
	case measureNames[watchTimes]:
		by = fmt.Sprintf("%.2g s", more)
	default:
		by = fmt.Sprintf("%.2g", more)
	}
	return fmt.Sprintf("%s: %s %s by %s a day", who, t.What, verb, by)
}

// Expected is what a period will have come to for the pool.
type Expected struct {
	Calls int64   `json:"calls"`
	Cost  float64 `json:"cost"`
}

// blocks are how long a trend's points are, so that there are sixty at most: the
// pairs of a month's hours would take seconds for all models.
var blocks = map[Period]int64{Week: 4 * 3600, Month: 12 * 3600}

// trends looks at blocks of hours that are over.
func (c *cut) trends(p Period, from, until time.Time) (list []Trend) {
	long := blocks[p]
	if long == 0 {
		return nil // of a day it would be the time of day
	}
	var points [measures][]analytics.Point
	var sum record
	add := func() {
		row := sum.row(time.Duration(long) * time.Second)
		for what := range measures {
			v, ok := measure(&row, what)
			if what == watchCalls { // an hour, held or not
				v, ok = float64(row.Calls)*float64(time.Hour)/float64(row.Step), row.Observed >= row.Step/2
			}
			if ok {
				points[what] = append(points[what], analytics.Point{Time: row.Start, Value: v})
			}
		}
	}
	last := until.Unix() - until.Unix()%long
	c.each(hours, from.Unix(), last, func(r *record) {
		if start := r.start - r.start%long; start != sum.start {
			add()
			sum.reset(start)
		}
		sum.add(r)
	})
	add()
	for what, of := range points {
		t := analytics.FindTrend(of)
		if t.P >= 0.01 || t.PerHour == 0 {
			continue
		}
		name := measureNames[what]
		if what == watchCalls {
			name = "calls per hour"
		}
		list = append(list, Trend{Series{c.id, c.name}, name, 24 * t.PerHour, 24 * t.Low, 24 * t.High})
	}
	return list
}

// expected adds what is likely to come in the rest of a period, by the hours of thirty
// days, to what there is; nil if it is over, or those hours say nothing.
func (c *cut) expected(s *Summary, until, to time.Time) *Expected {
	var calls, cost []float64
	last := int64(0)
	c.each(hours, 0, until.Unix()-until.Unix()%3600, func(r *record) {
		for ; last != 0 && last+3600 < r.start; last += 3600 {
			calls, cost = append(calls, 0), append(cost, 0)
		}
		last = r.start
		row := r.row(time.Hour)
		calls, cost = append(calls, float64(row.Calls)), append(cost, row.Cost)
	})
	steps := int(to.Sub(until) / time.Hour)
	if steps < 1 {
		return nil
	}
	more := func(past []float64) (sum float64, ok bool) {
		f, err := analytics.Predict(past, steps, 24, 0.9)
		for _, next := range f.Next {
			sum += max(next.Mean, 0)
		}
		return sum, err == nil && f.MASE <= 1
	}
	n, ok := more(calls)
	dollars, known := more(cost)
	if !ok || !known {
		return nil
	}
	return &Expected{s.Calls + int64(n), s.Cost + dollars}
}

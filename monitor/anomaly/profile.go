package anomaly

import "math"

const (
	hour = 60 * 60
	day  = 24 * hour
	week = 7 * day

	hours = (day + week) / hour // of a day, then of a week

	// A profile counts where it leaves less than so much of the error.
	pays = 0.85
)

// A profile is the mean of each hour of the day and of the week, in UTC.
type profile struct {
	Mean                [hours]float64
	N                   [hours]uint16
	Flat, Daily, Weekly float64 // mean absolute error without any and with each
	First, Last         int64   // seconds
	Interval            float64 // of rows in seconds, smoothed
	Rows                int64
}

// add takes x into the mean of an hour.
func (p *profile) add(at int, x, limit, weight float64) {
	if p.N[at] < math.MaxUint16 {
		p.N[at]++
	}
	d := x - p.Mean[at]
	if p.N[at] > 12 {
		d = clamp(d, limit)
	}
	p.Mean[at] += max(weight, 1/float64(p.N[at])) * d
}

// pass goes on to the time of a row, and reports a gap in which more than a day
// and twenty rows are missing.
func (p *profile) pass(at int64) bool {
	if p.Rows++; p.Rows == 1 {
		p.First, p.Last = at, at
	}
	step := float64(at) - float64(p.Last)
	p.Last = at
	gap := step > day && step > 20*p.Interval && p.Interval > 0
	switch {
	case step <= 0:
	case p.Interval == 0:
		p.Interval = step
	default:
		p.Interval += (min(step, 8*p.Interval) - p.Interval) / 64
	}
	return gap
}

// residual takes in the value of a row, where level is usual and limit how far
// from it a value counts, and returns its distance from what is usual at that
// hour, as far as hours have been found to matter.
func (p *profile) residual(at int64, x, level, limit float64) float64 {
	ofDay, ofWeek := hourOf(at, day), day/hour+hourOf(at, week)
	flat, daily, weekly := x-level, x-p.Mean[ofDay], x-p.Mean[ofWeek]
	age := float64(at) - float64(p.First)
	if age > day && p.N[ofDay] > 0 {
		p.Flat += (math.Abs(clamp(flat, limit)) - p.Flat) / 200
		p.Daily += (math.Abs(clamp(daily, limit)) - p.Daily) / 200
	}
	if age > week && p.N[ofWeek] > 0 {
		p.Weekly += (math.Abs(clamp(weekly, limit)) - p.Weekly) / 200
	}
	weight := min(0.05, p.Interval/(100*300))
	p.add(ofDay, x, limit, weight)
	p.add(ofWeek, x, limit, weight)
	switch {
	case age > 2*week && p.Weekly < pays*min(p.Daily, p.Flat):
		return weekly
	case age > 2*day && p.Daily < pays*p.Flat:
		return daily
	}
	return flat
}

// hourOf returns the hour within a period, for times before 1970 too.
func hourOf(at, period int64) int { return int((at%period + period) % period / hour) }

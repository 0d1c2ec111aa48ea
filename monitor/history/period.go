package history

import "time"

// A Period is how long a report is for: a part of the calendar.
type Period string

// Periods. Days begin at midnight of [Config].Location, whatever their length, weeks
// on Monday.
const (
	Hour  Period = "hour"
	Day   Period = "day"
	Week  Period = "week"
	Month Period = "month"
)

// around returns the period that at is in, a day if p is none.
func (p Period) around(at time.Time) (from, to time.Time) {
	y, m, d := at.Date()
	midnight := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, at.Location()) }
	switch p {
	case Hour: // of UTC, as records are
		from = at.Truncate(time.Hour)
		return from, from.Add(time.Hour)
	case Week:
		d -= (int(at.Weekday()) + 6) % 7
		return midnight(y, m, d), midnight(y, m, d+7)
	case Month:
		return midnight(y, m, 1), midnight(y, m+1, 1)
	default:
		return midnight(y, m, d), midnight(y, m, d+1)
	}
}

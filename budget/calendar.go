package budget

import "time"

// around returns the calendar window that t is in: its first instant, and that
// of the next one.
func (w Window) around(t time.Time) (since, until time.Time) {
	loc := w.loc
	if loc == nil {
		loc = time.UTC
	}
	y, m, d := t.In(loc).Date()
	switch w.kind {
	case week:
		d -= (int(t.In(loc).Weekday()) + 6) % 7
		return midnight(y, m, d, loc), midnight(y, m, d+7, loc)
	case month:
		return midnight(y, m, 1, loc), midnight(y, m+1, 1, loc)
	default:
		return midnight(y, m, d, loc), midnight(y, m, d+1, loc)
	}
}

// midnight returns the first instant of a date. It need not be at 0:00: there are
// zones that put the clock forward at midnight, and back to it.
func midnight(y int, m time.Month, d int, loc *time.Location) time.Time {
	plain := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	var first, late time.Time
	for _, at := range [...]time.Time{plain.Add(-36 * time.Hour), plain.Add(36 * time.Hour)} {
		_, offset := at.In(loc).Zone()
		t := plain.Add(-time.Duration(offset) * time.Second).In(loc)
		if h, mi, s := t.Clock(); h == 0 && mi == 0 && s == 0 && t.Day() == plain.Day() && (first.IsZero() || t.Before(first)) {
			first = t
		}
		if late.IsZero() || t.After(late) {
			late = t
		}
	}
	if !first.IsZero() {
		return first
	}
	since, _ := late.ZoneBounds() // the clock jumped over it
	return since
}

// A span is a window as an account has it, in instants of the pool's clock.
type span struct {
	since, until int64
	end          time.Time // of a calendar window
}

// after returns the window that now is in, which comes after s. Wall tells the
// time of an instant. If that was set back, s is not given a second time: the
// next window begins early, and ends when it would have. If it was set forth,
// the next one begins late.
func (s span) after(w Window, now int64, wall func(int64) time.Time) span {
	if w.kind == "" {
		since := now - now%int64(w.d)
		return span{since: since, until: since + int64(w.d)}
	}
	t := wall(now)
	inside := t
	if inside.Before(s.end) {
		inside = s.end
	}
	since, end := w.around(inside)
	for at := inside; !end.After(inside); { // a date that came twice
		at = at.Add(time.Hour)
		since, end = w.around(at)
	}
	return span{since: now - int64(t.Sub(since)), until: now + int64(end.Sub(t)), end: end}
}

package budget

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Window is the time for which an amount is: one of [Every], [Sliding], [Day],
// [Week] and [Month]. The zero Window is none.
//
// As text, in files, it is "1h", "sliding 1h", "day", "week Europe/Berlin" or
// "month Europe/Lisbon". Without a zone days are those of UTC. Where the system
// has no time zones, the program imports time/tzdata.
type Window struct {
	kind string // "" is Every
	d    time.Duration
	loc  *time.Location // nil is UTC
}

const (
	sliding = "sliding"
	day     = "day"
	week    = "week"
	month   = "month"
)

// Every is a window that begins with the pool, and again every d.
func Every(d time.Duration) Window { return Window{d: d} }

// Sliding is the last d: what was spent counts for that long, and for up to a
// sixtieth more.
func Sliding(d time.Duration) Window { return Window{kind: sliding, d: d} }

// Day begins at midnight at loc; nil is UTC.
func Day(loc *time.Location) Window { return calendar(day, loc) }

// Week begins on Monday.
func Week(loc *time.Location) Window { return calendar(week, loc) }

// Month begins on the first.
func Month(loc *time.Location) Window { return calendar(month, loc) }

func calendar(kind string, loc *time.Location) Window {
	if loc == time.UTC {
		loc = nil
	}
	return Window{kind: kind, loc: loc}
}

const (
	shortest = time.Second
	longest  = 366 * 24 * time.Hour
)

// String returns the window as text.
func (w Window) String() string {
	switch {
	case w == Window{}:
		return "none"
	case w.kind == "":
		return brief(w.d)
	case w.kind == sliding:
		return sliding + " " + brief(w.d)
	case w.loc == nil:
		return w.kind
	}
	return w.kind + " " + w.loc.String()
}

// brief prints a duration without its empty parts.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText implements [encoding.TextMarshaler]. It fails for the zero Window
// and for zones that have no name by which they could be found again.
func (w Window) MarshalText() ([]byte, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	if w.loc != nil {
		if _, err := zone(w.loc.String()); err != nil {
			return nil, err
		}
	}
	return []byte(w.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (w *Window) UnmarshalText(text []byte) error {
	kind, rest, more := strings.Cut(string(text), " ")
	var next Window
	var err error
	switch kind {
	case day, week, month:
		next = Window{kind: kind}
		if more {
			next.loc, err = zone(rest)
		}
	case sliding:
		next = Window{kind: sliding}
		next.d, err = duration(rest)
	default:
		next.d, err = duration(string(text))
	}
	if err != nil {
		return err
	}
	if err := next.check(); err != nil {
		return err
	}
	*w = calendarOr(next)
	return nil
}

// calendarOr spells UTC in one way.
func calendarOr(w Window) Window {
	if w.loc != nil {
		return calendar(w.kind, w.loc)
	}
	return w
}

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf(`%q is no window such as "1h", "sliding 1h", "day", "week" or "month Europe/Lisbon"`, clip(text))
	}
	return d, nil
}

func zone(name string) (*time.Location, error) {
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" {
		return nil, fmt.Errorf("there is no time zone %q here; programs that take theirs along import time/tzdata", clip(name))
	}
	return loc, nil
}

func (w Window) check() error {
	switch {
	case w == Window{}:
		return errors.New(`is missing; say "day", for example`)
	case w.kind != "" && w.kind != sliding:
		return nil
	case w.d < shortest:
		return fmt.Errorf("%s is less than %s", brief(w.d), brief(shortest))
	case w.d > longest:
		return fmt.Errorf("%s is more than %s", brief(w.d), brief(longest))
	}
	return nil
}

package chaos

import "time"

// A Moment is a time in a [Result], since the faults began or of a call. It is
// text in JSON, in milliseconds at the finest, and "never" for Never.
type Moment time.Duration

// Never is the time of what did not happen.
const Never Moment = -1

// String returns m as a duration.
func (m Moment) String() string {
	if m < 0 {
		return "never"
	}
	return time.Duration(m).Round(time.Millisecond).String()
}

// MarshalText implements [encoding.TextMarshaler].
func (m Moment) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *Moment) UnmarshalText(text []byte) error {
	if string(text) == "never" {
		*m = Never
		return nil
	}
	d, err := time.ParseDuration(string(text))
	*m = Moment(d)
	return err
}

package sse

import (
	"encoding/json"
	"io"
)

// A Decoder reads events whose data is JSON of a T. It is not safe for
// concurrent use.
type Decoder[T any] struct {
	r       *Reader
	skipped int
	last    error // of the event before, if that was skipped
	done    bool
	err     error
}

// NewDecoder returns a Decoder of what r reads.
func NewDecoder[T any](r *Reader) *Decoder[T] { return &Decoder[T]{r: r} }

// Next returns the data of the next event. One event that is not JSON of a T is
// skipped and counted; a second directly after it ends the stream with a
// [*MalformedError].
//
// It returns io.EOF at [DONE] or where the stream ends between events, which
// Done tells apart, a [*StreamError] if an event reports a failure, and the
// other errors of [Reader.Next]. Every error ends the stream: further calls
// return the same.
func (d *Decoder[T]) Next() (T, error) {
	for d.err == nil {
		ev, err := d.r.Next()
		switch {
		case err != nil:
			d.err = err
		case Done(ev.Data):
			d.done, d.err = true, io.EOF
		default:
			d.err = Failure(ev)
		}
		if d.err != nil {
			break
		}
		var v T
		if err = json.Unmarshal(ev.Data, &v); err == nil {
			d.last = nil
			return v, nil
		}
		if d.last != nil {
			d.err = &MalformedError{err}
			break
		}
		d.last = err
		d.skipped++
	}
	var zero T
	return zero, d.err
}

// Done reports whether the stream has ended with [DONE].
func (d *Decoder[T]) Done() bool { return d.done }

// Skipped is the number of events that were skipped.
func (d *Decoder[T]) Skipped() int { return d.skipped }

// MalformedError says that two events in a row were not what was asked for.
type MalformedError struct {
	Err error // what is wrong with the second; its text may be the provider's
}

// Error begins with words that internal/classify takes for a malformed answer.
func (e *MalformedError) Error() string { return "malformed response: two bad events in a row" }

// Unwrap returns Err.
func (e *MalformedError) Unwrap() error { return e.Err }

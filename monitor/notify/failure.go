package notify

import (
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// A failure is what a channel's error means for the next try.
type failure struct {
	err       error
	permanent bool
	after     time.Duration // before it is worth another try
	unsent    bool          // the receiver certainly has not taken it
	text      string        // safe to keep
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Permanent marks an error of a channel that no other try would change, such as
// a refused key. The [Outbox] does not try again. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &failure{err: err, permanent: true, unsent: true}
}

// Retryable marks an error of a channel that is over after some time, 0 if it
// is not known, as when a receiver says that it has had too many. Meanwhile the
// [Outbox] leaves the channel alone. Errors that are not marked are tried again,
// too. Retryable(nil, after) is nil.
func Retryable(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &failure{err: err, after: min(max(after, 0), time.Hour)}
}

func failureOf(err error) failure {
	f := failure{err: err}
	if marked, ok := errors.AsType[*failure](err); ok {
		f = *marked
		f.err = err
	}
	return f
}

// read reads a channel's error, whose methods may do as they please.
func read(err error) *failure {
	f := failureOf(err)
	f.text = safeText(err)
	return &f
}

// textOf is what is kept of an error's text.
func textOf(err error) string {
	if f, ok := errors.AsType[*failure](err); ok && f.text != "" {
		return f.text
	}
	return safeText(err)
}

// maxText bounds what is kept of an error's text, in bytes, and maxRead what is
// looked at.
const (
	maxText = 200
	maxRead = 4096
)

var (
	address = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]*`)
	keylike = regexp.MustCompile(`[A-Za-z0-9+/=_-]{20,}`)
)

// safeText is the text of an error on a line, with the addresses in it cut down
// to their scheme, as their paths are keys, and without what looks like one.
func safeText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > maxRead { // the last word may be half a key
		text = text[:max(strings.LastIndexByte(text[:maxRead], ' '), 0)] + "…"
	}
	text = address.ReplaceAllStringFunc(text, func(s string) string {
		scheme, _, _ := strings.Cut(s, "://")
		return scheme + "://[redacted]"
	})
	text = keylike.ReplaceAllStringFunc(text, func(s string) string {
		if strings.ContainsAny(s, "0123456789") {
			return "[redacted]"
		}
		return s
	})
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return cut(text, maxText)
}

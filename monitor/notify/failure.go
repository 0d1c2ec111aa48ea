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
	if f, ok := errors.AsType[*failure](err); ok {
		return *f
	}
	return failure{err: err}
}

// maxText bounds what is kept of an error's text, in bytes.
const maxText = 200

var address = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]*`)

// safeText is the text of an error on a line, with the addresses in it cut down
// to their scheme: their paths are keys.
func safeText(err error) string {
	if err == nil {
		return ""
	}
	text := address.ReplaceAllStringFunc(err.Error(), func(s string) string {
		scheme, _, _ := strings.Cut(s, "://")
		return scheme + "://[redacted]"
	})
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return cut(text, maxText)
}

package resilience

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error is a failed attempt, in one line; %+v prints many. It unwraps to the
// provider's error, and is equal to its Kind for errors.Is. Its own text never
// contains a prompt, an answer or a key: of a foreign error it tells the kind,
// the status, the provider's code and the request ID, never the message.
type Error struct {
	Kind       Kind
	Model      string // its ID
	Key        string // the name of the key, if there was one
	Attempt    int    // of the call, from 1
	Status     int    // HTTP status, if any
	Code       string // the provider's code or type, if any
	RequestID  string // the provider's, if any
	RetryAfter time.Duration
	Delivered  int // chunks that the reader of a stream got before it broke
	Err        error

	reason  string // what is safe to say about Err
	gaveUp  bool
	refused bool   // surely before the provider accepted it
	final   bool   // the provider asked not to be asked again
	keyed   bool   // it says something of the key
	holds   HoldBy // the model then; see Call.Hold
	cut     bool   // not the model's doing: by the deadline of a call that had begun long before, by Hooks.Validate, or while the process slept
	overall bool   // by the end of the time that a stream may take
	ended   error  // context.Canceled or DeadlineExceeded, even if Err is not one
}

// Error returns one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Model != "" {
		b.WriteString(e.Model + inBrackets(e.Key) + ": ")
	}
	b.WriteString(e.Kind.String())
	if what := e.what(); what != "" {
		b.WriteString(": " + what)
	}
	if e.RequestID != "" {
		b.WriteString(", request " + e.RequestID)
	}
	if e.RetryAfter > 0 {
		b.WriteString(", retry in " + ceil(e.RetryAfter))
	}
	return b.String()
}

// what says what happened without repeating the kind.
func (e *Error) what() string {
	var parts []string
	if e.Status != 0 {
		parts = append(parts, strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		parts = append(parts, e.Code)
	}
	if e.reason != "" && e.reason != e.Code && e.reason != e.Kind.String() {
		parts = append(parts, e.reason)
	}
	return strings.Join(parts, " ")
}

// Unwrap returns the provider's error.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's kind or, if a context ended the
// attempt, that context's error.
func (e *Error) Is(target error) bool {
	if k, ok := target.(Kind); ok {
		return k == e.Kind
	}
	return e.ended != nil && (target == context.Canceled || target == context.DeadlineExceeded) && errors.Is(e.ended, target)
}

// Format implements [fmt.Formatter]: %+v prints a line per fact, everything
// else the one line.
func (e *Error) Format(f fmt.State, verb rune) {
	if verb != 'v' || !f.Flag('+') {
		format(f, verb, e.Error())
		return
	}
	var b strings.Builder
	b.WriteString(e.Error())
	fmt.Fprintf(&b, "\n    attempt %d", e.Attempt)
	for err, depth := e.Err, 0; err != nil && depth < 8; depth++ {
		fmt.Fprintf(&b, "\n    caused by %T", err)
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	_, _ = f.Write([]byte(b.String()))
}

// MarshalText returns the one line: JSON of an event or a report tells no more.
func (e *Error) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// LogValue implements [slog.LogValuer].
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("kind", e.Kind.String()), slog.String("model", e.Model), slog.Int("attempt", e.Attempt)}
	if e.Key != "" {
		attrs = append(attrs, slog.String("key", e.Key))
	}
	if what := e.what(); what != "" {
		attrs = append(attrs, slog.String("what", what))
	}
	if e.RequestID != "" {
		attrs = append(attrs, slog.String("request", e.RequestID))
	}
	if e.RetryAfter > 0 {
		attrs = append(attrs, slog.Duration("retryAfter", e.RetryAfter))
	}
	return slog.GroupValue(attrs...)
}

// ExhaustedError means that no model answered. It unwraps to the error of
// every attempt; its kind is that of the first one, unless that says nothing
// ([Rejected], [Unknown]) and a later one does.
type ExhaustedError struct {
	Kind       Kind
	Call       uint64
	Op         string
	Attempts   []Attempt
	Skipped    []Verdict     // models that were not tried because something holds them
	Duration   time.Duration // of the call
	RetryAfter time.Duration // the soonest that it may make sense; 0 if unknown

	last   error        // that ended the call, if not an attempt's
	budget *BudgetError // that kept the call from more
	gaveUp bool
}

// maxLine bounds the one-line form.
const maxLine = 1024

// Error returns one line of at most 1 KiB: what was tried, in order, why each
// attempt failed and what was done then, what was skipped and until when.
func (e *ExhaustedError) Error() string {
	var b strings.Builder
	b.WriteString(e.head())
	sep := ": "
	for i, a := range e.Attempts {
		b.WriteString(sep + "a" + strconv.Itoa(i+1) + " " + a.line())
		sep = "; "
	}
	for i, v := range e.Skipped {
		if i == 0 {
			sep += "skipped "
		}
		b.WriteString(sep + v.String())
		sep = ", "
	}
	tail := ""
	if e.RetryAfter > 0 {
		tail = "; retry in " + ceil(e.RetryAfter)
	}
	return clip(b.String(), maxLine-len(tail)) + tail
}

func (e *ExhaustedError) head() string {
	if len(e.Attempts) == 0 {
		return "resilience: " + e.Kind.String() + ", no model to ask"
	}
	return "resilience: " + e.Kind.String() + ", no answer in " + seconds(e.Duration)
}

// brief sums the error up within the line of an outer call's attempt.
func (e *ExhaustedError) brief() string {
	if n := len(e.Attempts); n > 0 {
		last := e.Attempts[n-1]
		what, _, _ := strings.Cut(last.Reason, arrow)
		return clip(fmt.Sprintf("(%d attempts within, the last at %v: %s %s)", n, last.Model, last.Kind, what), 160)
	}
	if len(e.Skipped) > 0 {
		return clip("("+e.Skipped[0].String()+")", 160)
	}
	return ""
}

// Unwrap returns the errors of all attempts, that of what ended the call if it was
// none of them, and a [*BudgetError] that kept it from more.
func (e *ExhaustedError) Unwrap() []error {
	var errs []error
	for _, a := range e.Attempts {
		if a.Err != nil {
			errs = append(errs, a.Err)
		}
	}
	if e.last != nil {
		errs = append(errs, e.last)
	}
	if e.budget != nil && !errors.Is(e.last, e.budget) {
		errs = append(errs, e.budget)
	}
	return errs
}

// Is reports whether target is the error's kind.
func (e *ExhaustedError) Is(target error) bool { k, ok := target.(Kind); return ok && k == e.Kind }

// Format implements [fmt.Formatter]: %+v prints a line per attempt and skipped
// model, everything else the one line.
func (e *ExhaustedError) Format(f fmt.State, verb rune) {
	if verb != 'v' || !f.Flag('+') {
		format(f, verb, e.Error())
		return
	}
	var b strings.Builder
	b.WriteString(e.head())
	for i, a := range e.Attempts {
		fmt.Fprintf(&b, "\n    a%d %s", i+1, a.line())
	}
	for _, v := range e.Skipped {
		b.WriteString("\n    skipped " + v.String())
	}
	if e.RetryAfter > 0 {
		b.WriteString("\n    retry in " + ceil(e.RetryAfter))
	}
	_, _ = f.Write([]byte(b.String()))
}

// MarshalText returns the one line.
func (e *ExhaustedError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// LogValue implements [slog.LogValuer].
func (e *ExhaustedError) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("kind", e.Kind.String()), slog.Uint64("call", e.Call)}
	if e.Op != "" {
		attrs = append(attrs, slog.String("op", e.Op))
	}
	attrs = append(attrs, slog.Duration("took", e.Duration))
	attrs = append(attrs, trailAttrs(e.Attempts, e.Skipped)...)
	if e.RetryAfter > 0 {
		attrs = append(attrs, slog.Duration("retryAfter", e.RetryAfter))
	}
	return slog.GroupValue(attrs...)
}

// ConfigError is one thing wrong with a configuration, at a path such as
// "breaker.models.gpt-5.openFor".
type ConfigError struct{ Path, Problem string }

// Error returns "path: problem".
func (e *ConfigError) Error() string { return e.Path + ": " + e.Problem }

// rejection is a refusal of ours.
type rejection struct {
	reason string
	after  time.Duration
	none   bool  // there was no model to try
	held   *Hold // the caller's own key
}

// Reject returns an error for a call or an attempt that a feature refuses. Its
// kind is [Rejected]; after is the time until it may be admitted, 0 if that is
// not known. For feature authors.
func Reject(reason string, after time.Duration) error {
	return &rejection{reason: reason, after: after}
}

func (r *rejection) Error() string {
	if r.after > 0 {
		return "refused: " + r.reason + ", retry in " + ceil(r.after)
	}
	return "refused: " + r.reason
}

func (r *rejection) Is(target error) bool { return target == Rejected }

// format prints a text with any verb as fmt would print a string.
func format(f fmt.State, verb rune, text string) {
	switch verb {
	case 'q':
		text = strconv.Quote(text)
	case 'x':
		text = fmt.Sprintf("%x", text)
	}
	_, _ = f.Write([]byte(text))
}

// inBrackets is what follows a model's ID where it was asked by a key.
func inBrackets(key string) string {
	if key == "" {
		return ""
	}
	return "[" + key + "]"
}

// counted is "1 call" or "2 calls".
func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.FormatInt(n, 10) + " " + what
}

// seconds prints a duration in tenths of a second, or minutes above one.
func seconds(d time.Duration) string {
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
}

// ceil prints a waiting time: whole seconds, rounded up so that nobody comes
// too early, or milliseconds below one.
func ceil(d time.Duration) string {
	unit := time.Second
	if d < time.Second {
		unit = time.Millisecond
	}
	return ((d + unit - 1) / unit * unit).String()
}

// oneLine makes spaces of line breaks and other control characters.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// clip shortens s to at most n bytes without splitting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const more = " …"
	s = s[:n-len(more)]
	return strings.ToValidUTF8(s, "") + more
}

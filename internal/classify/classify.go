// Package classify says what an error from a model client means: its kind, how
// long to wait, and whether the provider may have begun work.
//
// Evidence is gathered once, by shape, without importing any client (facts.go,
// body.go, text.go, transport.go), then judged by an ordered table (rules.go).
package classify

import (
	"net/http"
	"time"
)

// A Kind says what went wrong. Zero is success. The root package gives the
// values their public names and meanings.
type Kind uint8

const (
	Canceled Kind = iota + 1
	TimedOut
	RateLimited
	Overloaded
	Unreachable
	Unauthorized
	QuotaSpent
	NotFound
	Invalid
	TooLong
	Filtered
	Malformed
	Truncated
	Rejected // never returned by this package
	Unknown
)

// Facts are what an error says. All of it is safe to print.
type Facts struct {
	Kind Kind

	// Status is the HTTP status, or else the one that a body or a text names;
	// 0 if there is none. A failure inside a stream has 200.
	Status int

	// RetryAfter is how long the provider asks to wait, from 0 to 24 h. It is
	// meaningful if HasRetryAfter.
	RetryAfter    time.Duration
	HasRetryAfter bool

	RequestID string // [A-Za-z0-9._:/+=-]{1,128}, or empty
	Code      string // the provider's code or type, [A-Za-z0-9._-]{1,48}, or empty

	// Reason is a word of this package's own, such as "connection refused" or
	// "insufficient_quota", never a part of a foreign message.
	Reason string

	// Accepted is false only if the provider surely did no work: no connection
	// came about, or the request was refused at the door.
	Accepted bool

	// NoRetry means that the provider asks not to be asked again.
	NoRetry bool
}

// Of returns what err says, zero for nil. It never panics, whatever the methods
// of err do, looks at 4 KiB of text and 32 wrapped errors at most, and reads no
// clock: now serves dates in answers that do not carry their own.
//
// Whose cancellation or deadline a context error is, it cannot know.
func Of(err error, now time.Time) Facts {
	if err == nil {
		return Facts{}
	}
	return OfHTTP(err, 0, nil, now)
}

// OfHTTP is [Of] with the status and headers of the response, for clients whose
// errors have lost them. What err itself says comes first. A nil err stands for
// a response that is a failure by its status.
func OfHTTP(err error, status int, h http.Header, now time.Time) Facts {
	e := evidence{header: h, left: maxText}
	e.note(fromHTTP, status)
	e.gather(err)

	v := e.judge()
	f := Facts{
		Kind:      v.kind,
		Status:    e.status(),
		RequestID: e.id(),
		Code:      e.code(v),
		Reason:    v.reason,
		Accepted:  e.accepted(v),
		NoRetry:   headerIs(e.header, "X-Should-Retry", "false"),
	}
	f.RetryAfter, f.HasRetryAfter = e.retryAfter(v.kind, now)
	return f
}

// A verdict is a kind, why, and the code that decided it, if one did.
type verdict struct {
	kind   Kind
	reason string
	code   string
	unsent bool // by what it is: nothing can have reached the provider
}

// judge weighs the evidence: a cancellation first, then what the provider said,
// then what happened to the connection, then words alone.
func (e *evidence) judge() verdict {
	said := e.refusal() != 0 || e.known()
	if e.cause.kind == Canceled || e.cause.kind != 0 && !said {
		return e.cause
	}
	if v, ok := e.match(); ok {
		return v
	}
	if e.cause.kind != 0 {
		return e.cause
	}
	if e.html {
		return verdict{kind: Unreachable, reason: "HTML instead of an answer"}
	}
	return verdict{kind: Unknown, reason: "unknown error"}
}

// accepted reports whether the provider may have begun work.
func (e *evidence) accepted(v verdict) bool {
	if v.unsent {
		return false
	}
	if e.inBand || e.status() >= 100 && e.status() < 400 {
		return true
	}
	switch v.kind {
	case RateLimited, Unauthorized, QuotaSpent, NotFound, Invalid, TooLong:
		return false
	case Filtered:
		// Azure charges for prompts that its filter refuses with 400.
		return true
	}
	return true
}

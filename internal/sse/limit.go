package sse

import "strconv"

// A Limit names a limit of [Config].
type Limit string

const (
	EventBytes Limit = "bytes in an event"
	BodyBytes  Limit = "bytes"
	Events     Limit = "events"
)

// LimitError says that a stream has exceeded a limit.
type LimitError struct {
	Limit Limit
	Max   int64 // of what Limit names
}

// Error begins with words that internal/classify takes for a malformed answer.
func (e *LimitError) Error() string {
	return "malformed response: the stream has more than " + strconv.FormatInt(e.Max, 10) + " " + string(e.Limit)
}

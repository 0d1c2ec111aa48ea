package chaos

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// A WaitForm is a way for a refusal to ask for a wait.
type WaitForm string

// The ways to ask for a wait. The empty one is the provider's: Retry-After in
// whole seconds, rounded up, and from OpenAI Retry-After-Ms beside it; from
// Gemini a RetryInfo in the body.
const (
	WaitSeconds WaitForm = "seconds" // Retry-After, whole seconds, rounded up
	WaitMillis  WaitForm = "millis"  // Retry-After-Ms
	WaitDate    WaitForm = "date"    // Retry-After, an HTTP date
	WaitReset   WaitForm = "reset"   // x-ratelimit-*, or anthropic-ratelimit-*: none remaining, and when they come back
	WaitBody    WaitForm = "body"    // RetryInfo, or words in the message
)

// ask asks, in the headers, to wait for d of the clock's time.
func (w WaitForm) ask(h http.Header, k kind, d time.Duration, now time.Time) {
	whole := strconv.FormatFloat(math.Ceil(d.Seconds()), 'f', 0, 64)
	millis := strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 3, 64)
	switch {
	case w == WaitBody || w == "" && k == gemini:
	case w == WaitMillis:
		h.Set("Retry-After-Ms", millis)
	case w == WaitDate:
		h.Set("Retry-After", now.Add(d).UTC().Format(http.TimeFormat))
	case w == WaitReset && k == anthropic:
		h.Set("Anthropic-Ratelimit-Requests-Limit", "1000")
		h.Set("Anthropic-Ratelimit-Requests-Remaining", "0")
		h.Set("Anthropic-Ratelimit-Requests-Reset", now.Add(d).UTC().Format(time.RFC3339Nano))
	case w == WaitReset:
		h.Set("X-Ratelimit-Limit-Requests", "10000")
		h.Set("X-Ratelimit-Remaining-Requests", "0")
		h.Set("X-Ratelimit-Reset-Requests", d.String())
	default:
		h.Set("Retry-After", whole)
		if w == "" && k == openAI {
			h.Set("Retry-After-Ms", millis)
		}
	}
}

// inBody reports whether the body asks, and not a header.
func (w WaitForm) inBody(k kind) bool { return w == WaitBody || w == "" && k == gemini }

// limits are the headers that come with an answer while there is room.
func limits(h http.Header, k kind, now time.Time) {
	switch k {
	case openAI:
		h.Set("X-Ratelimit-Limit-Requests", "10000")
		h.Set("X-Ratelimit-Remaining-Requests", "9999")
		h.Set("X-Ratelimit-Reset-Requests", "6ms")
	case anthropic:
		h.Set("Anthropic-Ratelimit-Requests-Limit", "1000")
		h.Set("Anthropic-Ratelimit-Requests-Remaining", "999")
		h.Set("Anthropic-Ratelimit-Requests-Reset", now.Add(time.Second).UTC().Format(time.RFC3339))
	}
}

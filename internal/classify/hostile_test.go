package classify_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

type (
	panics     struct{ in string }
	cycle      struct{ next error }
	wide       struct{ errs []error }
	errorSlice []error // not comparable
	everything struct{}
	oddTypes   struct {
		StatusCode string
		Code       func()
		Message    []int
		Body       map[string]string
		Response   *http.Request
		Header     int
		Details    chan int
		RetryAfter string
		Status     *int
		Err        *cycle
		Event      any
	}
	self struct {
		InnerError *self
		Code       string
	}
)

func (e panics) do(method string) {
	if e.in == method || e.in == "all" {
		panic(method)
	}
}
func (e panics) Error() string   { e.do("Error"); return "status code: 429" }
func (e panics) Unwrap() error   { e.do("Unwrap"); return nil }
func (e panics) Is(error) bool   { e.do("Is"); return false }
func (e panics) Timeout() bool   { e.do("Timeout"); return false }
func (e panics) StatusCode() int { e.do("StatusCode"); return 0 }
func (e panics) Type() string    { e.do("Type"); return "" }
func (e panics) RawJSON() string { e.do("RawJSON"); return "" }

func (e *cycle) Error() string       { return "rate limit" }
func (e *cycle) Unwrap() error       { return e.next }
func (e wide) Error() string         { return "rate limit" }
func (e wide) Unwrap() []error       { return e.errs }
func (e errorSlice) Error() string   { return "rate limit" }
func (e errorSlice) Unwrap() []error { return e }
func (everything) Error() string     { return "x" }
func (everything) Is(error) bool     { return true }
func (e oddTypes) Error() string     { return "rate limit" }
func (e *self) Error() string        { return "rate limit" }

func TestHostile(t *testing.T) {
	of := func(err error) classify.Facts { return classify.Of(err, time.Time{}) }

	for _, in := range []string{"Error", "Unwrap", "Is", "Timeout", "StatusCode", "Type", "RawJSON", "all"} {
		f := of(fmt.Errorf("%w", panics{in}))
		require.NotZero(t, f.Kind, in)
		if in != "Error" && in != "all" {
			require.Equal(t, classify.RateLimited, f.Kind, in)
		}
	}

	loop := &cycle{}
	loop.next = loop
	require.Equal(t, classify.RateLimited, of(loop).Kind)
	require.Equal(t, classify.RateLimited, of(wide{make([]error, 1e6)}).Kind)
	bush := wide{errs: make([]error, 100)}
	for i := range bush.errs {
		bush.errs[i] = bush
	}
	require.Equal(t, classify.RateLimited, of(bush).Kind)
	require.Equal(t, classify.RateLimited, of(errorSlice{nil, errorSlice{}}).Kind)
	require.Equal(t, classify.Canceled, of(everything{}).Kind)
	require.Equal(t, classify.RateLimited, of(oddTypes{}).Kind)
	ring := &self{Code: "insufficient_quota"}
	ring.InnerError = ring
	require.Equal(t, classify.QuotaSpent, of(ring).Kind)

	for _, err := range []error{(*openaiError)(nil), (*cycle)(nil), (*net.DNSError)(nil), (*net.OpError)(nil), (*awsWrapper)(nil), &net.OpError{Op: "dial"}, errors.Join(nil, context.Canceled)} {
		require.NotZero(t, of(err).Kind, "%T", err)
	}
}

// Only the start of a long text is looked at, wherever it is.
func TestHuge(t *testing.T) {
	const mb = 1 << 20
	filler := strings.Repeat("lorem ipsum ", mb/12)
	for name, text := range map[string]string{
		"early":  "rate limit " + filler,
		"nested": "status code: 429 " + strings.Repeat(`{"error":`, mb/9),
		"lists":  "status code: 429 {\"error\":" + strings.Repeat("[", mb),
		"quotes": "status code: 429 {'" + strings.Repeat(`\'`, mb/2),
		"braces": "status code: 429 " + strings.Repeat("{", mb),
		"bodies": "status code: 429 " + strings.Repeat(`{"a":1}`, mb/7),
		"raw":    "status code: 429 " + strings.Repeat(`{"raw":"`, mb/8),
	} {
		start := time.Now()
		require.Equal(t, classify.RateLimited, classify.Of(errors.New(text), time.Time{}).Kind, name)
		require.Equal(t, classify.RateLimited, classify.Of(&openaiError{StatusCode: 429, Message: text}, time.Time{}).Kind, name)
		require.Less(t, time.Since(start), time.Second, name)
	}
	require.Equal(t, classify.Unknown, classify.Of(errors.New(filler+"rate limit"), time.Time{}).Kind)
}

// What is printed is never a part of a message.
func TestSafe(t *testing.T) {
	secret := "sk-proj-0123456789abcdef"
	for _, err := range []error{
		errors.New("status code: 401, Incorrect API key: " + secret),
		&openaiError{StatusCode: 401, Code: secret, Message: secret},
		&openaiError{StatusCode: 400, Code: "my prompt, in full", Type: "ünïcode"},
		&openaiError{StatusCode: 400, Code: "line\nbreak"},
		&goOpenAIError{HTTPStatusCode: 400, Code: "user-123456789"},
		&anthropicError{StatusCode: 400, RequestID: "id\r\nX-Evil: 1"},
		fmt.Errorf("Error code: 400 - {'type': '%s', 'request_id': 'a b', 'error': {'code': '%s'}}", strings.Repeat("a", 49), secret),
		classifyHeader{h: header("X-Request-Id", strings.Repeat("a", 129))},
	} {
		f := classify.Of(err, time.Time{})
		require.Empty(t, f.Code, "%T", err)
		require.Empty(t, f.RequestID, "%T", err)
		require.NotContains(t, f.Reason, secret)
	}

	f := classify.Of(&openaiError{StatusCode: 400, Code: "Some.New-code_2", Response: response(400, "X-Request-Id", "a/b=")}, time.Time{})
	require.Equal(t, "Some.New-code_2", f.Code)
	require.Equal(t, "a/b=", f.RequestID)
	// The reason is spelt as this package spells it.
	require.Equal(t, "insufficient_quota", classify.Of(&openaiError{StatusCode: 400, Code: "InsufficientQuota"}, time.Time{}).Reason)
}

type classifyHeader struct{ h http.Header }

func (classifyHeader) Error() string         { return "x" }
func (e classifyHeader) Header() http.Header { return e.h }

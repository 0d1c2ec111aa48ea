package classify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// The errors of clients, as they are seen: types with the same fields and
// methods as theirs.
type (
	openaiError struct {
		Code, Message, Param, Type string
		JSON                       struct{ raw string }
		StatusCode                 int
		Request                    *http.Request
		Response                   *http.Response
	}
	openaiStreamError struct {
		Message string
		Event   openaiEvent
	}
	openaiEvent struct {
		Type string
		Data []byte
	}

	anthropicType  string
	anthropicError struct {
		JSON       struct{ raw string }
		StatusCode int
		Request    *http.Request
		Response   *http.Response
		RequestID  string
		errorType  anthropicType
	}

	genaiError struct {
		Code    int
		Message string
		Status  string
		Details []map[string]any
	}

	goOpenAIError struct {
		Code           any
		Message        string
		Param          *string
		Type           string
		HTTPStatus     string
		HTTPStatusCode int
		InnerError     *goOpenAIInner
	}
	goOpenAIInner        struct{ Code string }
	goOpenAIRequestError struct {
		HTTPStatus     string
		HTTPStatusCode int
		Err            error
		Body           []byte
	}

	azureError struct {
		ErrorCode   string
		StatusCode  int
		RawResponse *http.Response
	}
	googleAPIError struct {
		Code    int
		Message string
		Body    string
		Header  http.Header
	}
	ollamaError struct {
		StatusCode           int
		Status, ErrorMessage string
	}
	awsError   struct{ code, message string }
	awsWrapper struct {
		status int
		id     string
		inner  error
	}
	embedded struct{ *anthropicError }
	waiting  struct{ RetryAfter time.Duration }
)

func (e *openaiError) Error() string {
	return fmt.Sprintf("OpenAI API error: %d %s", e.StatusCode, http.StatusText(e.StatusCode))
}
func (e *openaiError) RawJSON() string        { return e.JSON.raw }
func (e *openaiStreamError) Error() string    { return e.Message }
func (e *anthropicError) Error() string       { return e.Request.Method } // panics on a nil Request, as theirs
func (e *anthropicError) Type() anthropicType { return e.errorType }
func (e *anthropicError) RawJSON() string     { return e.JSON.raw }
func (e genaiError) Error() string {
	return fmt.Sprintf("Error %d, Message: %s, Status: %s, Details: %v", e.Code, e.Message, e.Status, e.Details)
}
func (e *goOpenAIError) Error() string         { return e.Message }
func (e *goOpenAIRequestError) Error() string  { return "error, " + e.HTTPStatus }
func (e *goOpenAIRequestError) Unwrap() error  { return e.Err }
func (e *azureError) Error() string            { return "RESPONSE " + e.ErrorCode }
func (e *googleAPIError) Error() string        { return "googleapi: " + e.Message }
func (e ollamaError) Error() string            { return e.ErrorMessage }
func (e *awsError) Error() string              { return "api error " + e.code }
func (e *awsError) ErrorCode() string          { return e.code }
func (e *awsError) ErrorMessage() string       { return e.message }
func (e *awsWrapper) Error() string            { return "https response error: " + e.inner.Error() }
func (e *awsWrapper) Unwrap() error            { return e.inner }
func (e *awsWrapper) HTTPStatusCode() int      { return e.status }
func (e *awsWrapper) ServiceRequestID() string { return e.id }
func (e waiting) Error() string                { return "rate limit" }

func response(status int, kv ...string) *http.Response {
	return &http.Response{StatusCode: status, Header: header(kv...)}
}

func TestShapes(t *testing.T) {
	badJSON := json.Unmarshal([]byte("<html>"), new(any))

	for name, c := range map[string]struct {
		err  error
		want classify.Facts
	}{
		"openai": {
			&openaiError{Code: "rate_limit_exceeded", Type: "requests", Message: "Rate limit reached.", StatusCode: 429,
				Response: response(429, "X-Request-Id", "req_1", "Retry-After-Ms", "750", "X-Should-Retry", "false")},
			classify.Facts{Kind: classify.RateLimited, Status: 429, RequestID: "req_1", Code: "rate_limit_exceeded", Reason: "rate limit",
				RetryAfter: 750 * time.Millisecond, HasRetryAfter: true, NoRetry: true},
		},
		"openai quota": {
			&openaiError{Code: "insufficient_quota", Type: "insufficient_quota", Message: "No.", StatusCode: 429},
			classify.Facts{Kind: classify.QuotaSpent, Status: 429, Code: "insufficient_quota", Reason: "insufficient_quota"},
		},
		"openai stream": {
			&openaiStreamError{Message: `received error while streaming: {"message":"Oops","type":"server_error"}`, Event: openaiEvent{Type: "error", Data: []byte(`{"error":{"type":"server_error"}}`)}},
			classify.Facts{Kind: classify.Unreachable, Code: "server_error", Reason: "server_error", Accepted: true},
		},
		"openai stream rate limit": {
			&openaiStreamError{Message: `received error while streaming: {"code":"rate_limit_exceeded"}`},
			classify.Facts{Kind: classify.RateLimited, Code: "rate_limit_exceeded", Reason: "rate_limit_exceeded", Accepted: true},
		},
		"anthropic": {
			&anthropicError{StatusCode: 529, RequestID: "req_2", errorType: "overloaded_error", Response: response(529, "Retry-After", "3")},
			classify.Facts{Kind: classify.Overloaded, Status: 529, RequestID: "req_2", Code: "overloaded_error", Reason: "overloaded_error",
				RetryAfter: 3 * time.Second, HasRetryAfter: true, Accepted: true},
		},
		"anthropic in band": {
			&anthropicError{StatusCode: 200, errorType: "rate_limit_error"},
			classify.Facts{Kind: classify.RateLimited, Status: 200, Code: "rate_limit_error", Reason: "rate_limit_error", Accepted: true},
		},
		"anthropic embedded": {
			embedded{&anthropicError{StatusCode: 404, errorType: "not_found_error"}},
			classify.Facts{Kind: classify.NotFound, Status: 404, Code: "not_found_error", Reason: "not found"},
		},
		"a page that a client cannot decode": {
			errors.New("expected destination type of 'string' or '[]byte' for responses with content-type 'text/html; charset=utf-8' that is not 'application/json'"),
			classify.Facts{Kind: classify.Unreachable, Reason: "HTML instead of an answer", Accepted: true},
		},
		"embedded nil": {
			embedded{},
			classify.Facts{Kind: classify.Unknown, Reason: "unknown error", Accepted: true},
		},
		"genai": {
			genaiError{Code: 429, Message: "Quota.", Status: "RESOURCE_EXHAUSTED", Details: []map[string]any{
				{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []any{map[string]any{"quotaId": "RequestsPerMinutePerUser"}}},
				{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}}},
			classify.Facts{Kind: classify.RateLimited, Status: 429, Code: "RESOURCE_EXHAUSTED", Reason: "quota_per_minute", RetryAfter: 34 * time.Second, HasRetryAfter: true},
		},
		"genai pointer, per day": {
			&genaiError{Code: 429, Status: "RESOURCE_EXHAUSTED", Details: []map[string]any{{"violations": []any{map[string]any{"quotaId": "RequestsPerDay"}}}}},
			classify.Facts{Kind: classify.QuotaSpent, Status: 429, Code: "RESOURCE_EXHAUSTED", Reason: "quota_per_day"},
		},
		"genai in band": {
			genaiError{Code: 503, Message: "Busy.", Status: "UNAVAILABLE"},
			classify.Facts{Kind: classify.Overloaded, Status: 503, Code: "UNAVAILABLE", Reason: "service unavailable", Accepted: true},
		},
		"go-openai": {
			&goOpenAIError{Code: "content_filter", Message: "Filtered.", HTTPStatusCode: 400, InnerError: &goOpenAIInner{Code: "ResponsibleAIPolicyViolation"}},
			classify.Facts{Kind: classify.Filtered, Status: 400, Code: "content_filter", Reason: "content_filter", Accepted: true},
		},
		"go-openai numeric code": {
			&goOpenAIError{Code: 404, Message: "?", HTTPStatusCode: 404},
			classify.Facts{Kind: classify.NotFound, Status: 404, Reason: "not found"},
		},
		"go-openai request error": {
			&goOpenAIRequestError{HTTPStatus: "502 Bad Gateway", HTTPStatusCode: 502, Err: badJSON, Body: []byte("<html><title>rate limit</title></html>")},
			classify.Facts{Kind: classify.Unreachable, Status: 502, Reason: "bad gateway", Accepted: true},
		},
		"azure sdk": {
			&azureError{ErrorCode: "DeploymentNotFound", StatusCode: 404, RawResponse: response(404, "X-Ms-Request-Id", "id-3")},
			classify.Facts{Kind: classify.NotFound, Status: 404, RequestID: "id-3", Code: "DeploymentNotFound", Reason: "DeploymentNotFound"},
		},
		"google api": {
			&googleAPIError{Code: 403, Message: "no", Header: header("Retry-After", "1")},
			classify.Facts{Kind: classify.Unauthorized, Status: 403, Reason: "forbidden", RetryAfter: time.Second, HasRetryAfter: true},
		},
		"ollama": {
			ollamaError{StatusCode: 404, Status: "404 Not Found", ErrorMessage: "model not found, try pulling it first"},
			classify.Facts{Kind: classify.NotFound, Status: 404, Reason: "no access to the model"},
		},
		"aws": {
			&awsWrapper{429, "id-4", &awsError{"ThrottlingException", "Too many requests."}},
			classify.Facts{Kind: classify.RateLimited, Status: 429, RequestID: "id-4", Code: "ThrottlingException", Reason: "rate limit"},
		},
		"joined": {
			errors.Join(errors.New("shutting down"), &openaiError{StatusCode: 401}),
			classify.Facts{Kind: classify.Unauthorized, Status: 401, Reason: "unauthorized"},
		},
		"duration": {
			waiting{5 * time.Second},
			classify.Facts{Kind: classify.RateLimited, Reason: "rate limit", RetryAfter: 5 * time.Second, HasRetryAfter: true},
		},
	} {
		require.Equal(t, c.want, classify.Of(c.err, noon), name)
		require.Equal(t, c.want, classify.Of(fmt.Errorf("asking: %w", c.err), noon), name)
	}
}

func TestOfHTTP(t *testing.T) {
	require.Equal(t, classify.Facts{}, classify.Of(nil, noon))

	// A client that has lost headers and status.
	h := header("X-Request-Id", "r", "Retry-After", "2", "X-Should-Retry", "false")
	require.Equal(t, classify.Facts{Kind: classify.Overloaded, Status: 503, RequestID: "r", Reason: "service unavailable",
		RetryAfter: 2 * time.Second, HasRetryAfter: true, NoRetry: true, Accepted: true},
		classify.OfHTTP(errors.New("failed"), 503, h, noon))

	// A response that is the failure.
	require.Equal(t, classify.RateLimited, classify.OfHTTP(nil, 429, nil, noon).Kind)
	// The error's own status is nearer than the last one a transport saw.
	require.Equal(t, 401, classify.OfHTTP(&openaiError{StatusCode: 401}, 200, nil, noon).Status)
	// Decoding an answer failed.
	f := classify.OfHTTP(json.Unmarshal([]byte("{"), new(any)), 200, nil, noon)
	require.Equal(t, classify.Malformed, f.Kind)
	require.True(t, f.Accepted)
}

func TestStatuses(t *testing.T) {
	want := map[int]classify.Kind{
		301: classify.Unknown, 400: classify.Invalid, 401: classify.Unauthorized, 402: classify.QuotaSpent, 403: classify.Unauthorized,
		404: classify.NotFound, 405: classify.Invalid, 407: classify.Unauthorized, 408: classify.TimedOut, 409: classify.Overloaded,
		410: classify.NotFound, 413: classify.TooLong, 418: classify.Invalid, 422: classify.Invalid, 424: classify.Unreachable,
		425: classify.Overloaded, 429: classify.RateLimited, 451: classify.Unauthorized, 498: classify.Overloaded, 499: classify.Unreachable,
		500: classify.Unreachable, 502: classify.Unreachable, 503: classify.Overloaded, 504: classify.Unreachable, 520: classify.Unreachable,
		524: classify.Unreachable, 529: classify.Overloaded, 599: classify.Unreachable, 600: classify.Unknown, -1: classify.Unknown, 99: classify.Unknown,
	}
	for status, kind := range want {
		f := classify.OfHTTP(nil, status, nil, noon)
		require.Equal(t, kind, f.Kind, status)
		begun := status < 400 || status >= 500 || kind == classify.TimedOut || kind == classify.Overloaded || kind == classify.Unreachable
		require.Equal(t, begun, f.Accepted, status)
	}
}

package sse

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

func TestDone(t *testing.T) {
	for _, s := range []string{"[DONE]", " [DONE]\n"} {
		require.True(t, Done([]byte(s)), s)
	}
	for _, s := range []string{"", "[done]", "DONE", `"[DONE]"`, "[DONE][DONE]", `["DONE"]`, "null"} {
		require.False(t, Done([]byte(s)), s)
	}
}

func TestFailure(t *testing.T) {
	for name, c := range map[string]struct {
		event, data string
		want        StreamError // without Body, which classify reads
		facts       classify.Facts
	}{
		"chat completions": {
			"", `{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}`,
			StreamError{Type: "server_error"},
			classify.Facts{Kind: classify.Unreachable, Code: "server_error"},
		},
		"chat completions, quota": {
			"", `{"error":{"message":"No.","type":"insufficient_quota","code":"insufficient_quota"}}`,
			StreamError{Code: "insufficient_quota", Type: "insufficient_quota"},
			classify.Facts{Kind: classify.QuotaSpent, Code: "insufficient_quota"},
		},
		"Anthropic": {
			"error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_011"}`,
			StreamError{Type: "overloaded_error", RequestID: "req_011"},
			classify.Facts{Kind: classify.Overloaded, Code: "overloaded_error", RequestID: "req_011"},
		},
		"Anthropic, unnamed": {
			"", `{"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}`,
			StreamError{Type: "api_error"},
			classify.Facts{Kind: classify.Unreachable, Code: "api_error"},
		},
		"Responses, error": {
			"error", `{"type":"error","code":"rate_limit_exceeded","message":"Please try again in 1.5s.","param":null,"sequence_number":4}`,
			StreamError{Code: "rate_limit_exceeded"},
			classify.Facts{Kind: classify.RateLimited, Code: "rate_limit_exceeded", RetryAfter: 1500 * time.Millisecond, HasRetryAfter: true},
		},
		"Responses, failed": {
			"response.failed", `{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"It failed."},"output":[]}}`,
			StreamError{Code: "server_error"},
			classify.Facts{Kind: classify.Unreachable, Code: "server_error"},
		},
		"Responses, failed, unnamed": {
			"", `{"type":"response.failed","response":{"error":{"code":"context_length_exceeded","message":"…"}}}`,
			StreamError{Code: "context_length_exceeded"},
			classify.Facts{Kind: classify.TooLong, Code: "context_length_exceeded"},
		},
		"Responses, error, unnamed": {
			"", `{"type":"error","code":"insufficient_quota","message":"No."}`,
			StreamError{Code: "insufficient_quota"},
			classify.Facts{Kind: classify.QuotaSpent, Code: "insufficient_quota"},
		},
		"Responses, failed, untyped": {
			"response.failed", `{"response":{"output":["overloaded"],"error":{"code":"insufficient_quota"}}}`,
			StreamError{Code: "insufficient_quota"},
			classify.Facts{Kind: classify.QuotaSpent, Code: "insufficient_quota"},
		},
		"Responses, failed, no reason": {
			"response.failed", `{"type":"response.failed","response":7}`,
			StreamError{}, classify.Facts{Kind: classify.Unknown},
		},
		"OpenRouter": {
			"", `{"id":"gen-1","error":{"code":502,"message":"Provider returned error"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`,
			StreamError{StatusCode: 502},
			classify.Facts{Kind: classify.Unreachable, Status: 502},
		},
		"Gemini": {
			"", `{"error":{"code":429,"message":"Quota.","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"34s"}]}}`,
			StreamError{StatusCode: 429, Code: "RESOURCE_EXHAUSTED"},
			classify.Facts{Kind: classify.RateLimited, Status: 429, Code: "RESOURCE_EXHAUSTED", RetryAfter: 34 * time.Second, HasRetryAfter: true},
		},
		"a text": {
			"", `{"error":"Model is overloaded","error_type":"overloaded"}`,
			StreamError{}, classify.Facts{Kind: classify.Overloaded},
		},
		"not JSON": {
			"error", "upstream connect error: connection reset",
			StreamError{}, classify.Facts{Kind: classify.Unreachable},
		},
		"nothing":    {"error", "", StreamError{}, classify.Facts{Kind: classify.Unknown}},
		"null":       {"error", "null", StreamError{}, classify.Facts{Kind: classify.Unknown}},
		"an array":   {"error", "[]", StreamError{}, classify.Facts{Kind: classify.Unknown}},
		"broken off": {"error", `{"type":"error","error":{"type":"overloaded_error","mess`, StreamError{}, classify.Facts{Kind: classify.Overloaded, Code: "overloaded_error"}},
		"code that is no status": {
			"", `{"error":{"object":"error","code":40301,"type":"BadRequestError","message":"?"}}`,
			StreamError{Type: "BadRequestError"}, classify.Facts{Kind: classify.Invalid, Code: "BadRequestError"},
		},
		"other types": {
			"", `{"type":["error"],"request_id":{},"error":{"code":{"a":1},"type":7,"status":{},"message":"Overloaded"}}`,
			StreamError{}, classify.Facts{Kind: classify.Overloaded},
		},
		"long words": {
			"", `{"request_id":"` + strings.Repeat("r", 200) + `","error":{"type":"` + strings.Repeat("t", 200) + `","message":"Overloaded"}}`,
			StreamError{}, classify.Facts{Kind: classify.Overloaded},
		},
		"type behind a long message": {
			"", `{"error":{"message":"` + strings.Repeat("m", 64<<10) + `","type":"overloaded_error"}}`,
			StreamError{Type: "overloaded_error"}, classify.Facts{Kind: classify.Overloaded, Code: "overloaded_error"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := Failure(Event{Name: c.event, Data: []byte(c.data)})
			e, ok := err.(*StreamError)
			require.True(t, ok, "%T", err)
			require.LessOrEqual(t, len(e.Body), maxBody)

			for _, status := range []int{0, 200} {
				f := classify.OfHTTP(fmt.Errorf("reading: %w", err), status, nil, time.Time{})
				require.NotEmpty(t, f.Reason)
				require.True(t, f.Accepted)
				want := c.facts
				want.Reason, want.Accepted = f.Reason, true
				if want.Status == 0 {
					want.Status = status
				}
				require.Equal(t, want, f, "%d", status)
			}

			require.NotContains(t, string(e.Body), `"output"`, "only the error's part")
			got := *e
			got.Body = nil
			require.Equal(t, c.want, got)
		})
	}
}

func TestNoFailure(t *testing.T) {
	for _, ev := range []Event{
		{},
		data(""),
		data("[DONE]"),
		data("{"),
		data(`{"error":`),
		data(`[{"error":{"code":500}}]`),
		data(`{"error":null,"choices":[]}`),
		data(`{"error":false}`), data(`{"error":0}`), data(`{"error":""}`), data(`{"error":{}}`), data(`{"error":[]}`),
		data(`{"choices":[{"delta":{"content":"{\"error\":{\"type\":\"server_error\"}}"}}]}`),
		data(`{"choices":[{"delta":{},"error":{"type":"server_error"}}]}`),
		data(`{"type":"response.created","response":{"error":null,"status":"in_progress"}}`),
		data(`{"type":"response.completed","response":{"error":{"code":"x"}},"note":"response.failed"}`),
		{Name: "ping", Data: []byte(`{"type":"ping"}`)},
		{Name: "Error", Data: []byte(`{"type":"x","level":"error"}`)},
	} {
		require.NoError(t, Failure(ev), "%s", ev.Data)
	}
}

// What the provider says may repeat what the user wrote.
func TestFailureIsSilent(t *testing.T) {
	err := Failure(data(`{"request_id":"canary","error":{"type":"canary","code":"canary","message":"canary"}}`))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		require.NotContains(t, fmt.Sprintf(verb, err), "canary", verb)
		require.NotContains(t, fmt.Sprintf(verb, err), fmt.Sprintf("%x", "canary"), verb)
	}
	b, jsonErr := json.Marshal(Failure(data(`{"error":{"message":"canary"}}`)))
	require.NoError(t, jsonErr)
	require.JSONEq(t, `{"StatusCode":0,"Code":"","Type":"","RequestID":""}`, string(b))
}

// The event's data is valid until the next call of Next; an error lives longer.
func TestFailureKeepsItsBody(t *testing.T) {
	for _, ev := range []Event{data(`{"error":{"type":"a"}}`), {Name: "error", Data: []byte("text")}} {
		err := Failure(ev)
		before := string(err.(*StreamError).Body)
		clear(ev.Data)
		require.Equal(t, before, string(err.(*StreamError).Body))
	}
}

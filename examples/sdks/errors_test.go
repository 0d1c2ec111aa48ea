// Package sdks_test runs the real clients of the providers against local
// servers, and checks what the library makes of their errors.
package sdks_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// ask makes one request of each client to a server, and returns its error.
var ask = map[string]func(ctx context.Context, url string, client *http.Client) error{
	"openai": func(ctx context.Context, url string, client *http.Client) error {
		c := openai.NewClient(openaioption.WithBaseURL(url), openaioption.WithAPIKey("k"), openaioption.WithMaxRetries(0), openaioption.WithHTTPClient(client))
		_, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")}})
		return err
	},
	"openai stream": func(ctx context.Context, url string, client *http.Client) error {
		c := openai.NewClient(openaioption.WithBaseURL(url), openaioption.WithAPIKey("k"), openaioption.WithMaxRetries(0), openaioption.WithHTTPClient(client))
		s := c.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")}})
		defer s.Close()
		for s.Next() {
		}
		return s.Err()
	},
	"anthropic": func(ctx context.Context, url string, client *http.Client) error {
		c := anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0), anthropicoption.WithHTTPClient(client))
		_, err := c.Messages.New(ctx, anthropicRequest)
		return err
	},
	"anthropic stream": func(ctx context.Context, url string, client *http.Client) error {
		c := anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0), anthropicoption.WithHTTPClient(client))
		s := c.Messages.NewStreaming(ctx, anthropicRequest)
		defer s.Close()
		for s.Next() {
		}
		return s.Err()
	},
	"genai": func(ctx context.Context, url string, client *http.Client) error {
		c, err := genaiClient(ctx, url, client)
		if err != nil {
			return err
		}
		_, err = c.Models.GenerateContent(ctx, "m", genai.Text("hi"), nil)
		return err
	},
	"genai stream": func(ctx context.Context, url string, client *http.Client) error {
		c, err := genaiClient(ctx, url, client)
		if err != nil {
			return err
		}
		for _, err := range c.Models.GenerateContentStream(ctx, "m", genai.Text("hi"), nil) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"go-openai": func(ctx context.Context, url string, client *http.Client) error {
		_, err := goOpenAIClient(url, client).CreateChatCompletion(ctx, goOpenAIRequest)
		return err
	},
	"go-openai stream": func(ctx context.Context, url string, client *http.Client) error {
		s, err := goOpenAIClient(url, client).CreateChatCompletionStream(ctx, goOpenAIRequest)
		if err != nil {
			return err
		}
		defer s.Close()
		for {
			if _, err = s.Recv(); err != nil {
				return err
			}
		}
	},
}

var (
	anthropicRequest = anthropic.MessageNewParams{Model: "m", MaxTokens: 8, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))}}
	goOpenAIRequest  = goopenai.ChatCompletionRequest{Model: "m", Messages: []goopenai.ChatCompletionMessage{{Role: "user", Content: "hi"}}}
)

func genaiClient(ctx context.Context, url string, client *http.Client) (*genai.Client, error) {
	return genai.NewClient(ctx, &genai.ClientConfig{APIKey: "k", Backend: genai.BackendGeminiAPI, HTTPClient: client, HTTPOptions: genai.HTTPOptions{BaseURL: url}})
}

func goOpenAIClient(url string, client *http.Client) *goopenai.Client {
	c := goopenai.DefaultConfig("k")
	c.BaseURL, c.HTTPClient = url, client
	return goopenai.NewClientWithConfig(c)
}

// A reply is what a server answers every request with.
type reply struct {
	status int
	header map[string]string
	body   string
}

func (r reply) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for k, v := range r.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body)
}

// seen keeps the last response, as a transport of the library does.
type seen struct {
	status int
	header http.Header
}

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		s.status, s.header = resp.StatusCode, resp.Header
	}
	return resp, err
}

// errorOf returns the client's error, and what a transport saw.
func errorOf(t *testing.T, client string, h http.Handler) (error, *seen) {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	tap := &seen{}
	err := ask[client](t.Context(), s.URL, &http.Client{Transport: tap})
	require.Error(t, err, client)
	return err, tap
}

const page = `<html><head><title>Bad Gateway</title></head><body>rate limit, invalid api key</body></html>`

func openaiBody(message, typ, code string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, typ, code)
}

func anthropicBody(typ, message string) string {
	return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_body_429"}`, typ, message)
}

func googleBody(status int, code, message, details string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q,"details":[%s]}}`, status, message, code, details)
}

func TestErrors(t *testing.T) {
	openaiID := map[string]string{"X-Request-Id": "req_1"}
	anthropicID := map[string]string{"Request-Id": "req_2"}
	quotaPerMinute := `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"RequestsPerMinute"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}`
	quotaPerDay := `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"RequestsPerDay"}]}`

	openaiLike := []struct {
		reply
		kind classify.Kind
		code string
	}{
		{reply{429, openaiID, openaiBody("Rate limit reached.", "requests", "rate_limit_exceeded")}, classify.RateLimited, "rate_limit_exceeded"},
		{reply{429, openaiID, openaiBody("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")}, classify.QuotaSpent, "insufficient_quota"},
		{reply{503, openaiID, openaiBody("Slow down.", "server_error", "")}, classify.Overloaded, "server_error"},
		{reply{500, openaiID, openaiBody("The server had an error.", "server_error", "")}, classify.Unreachable, "server_error"},
		{reply{401, openaiID, openaiBody("Incorrect API key provided.", "invalid_request_error", "invalid_api_key")}, classify.Unauthorized, "invalid_api_key"},
		{reply{404, openaiID, openaiBody("The model m does not exist or you do not have access to it.", "invalid_request_error", "model_not_found")}, classify.NotFound, "model_not_found"},
		{reply{400, openaiID, openaiBody("The maximum context length is 8192 tokens.", "invalid_request_error", "context_length_exceeded")}, classify.TooLong, "context_length_exceeded"},
		{reply{400, openaiID, openaiBody("The response was filtered.", "invalid_request_error", "content_filter")}, classify.Filtered, "content_filter"},
		{reply{400, openaiID, openaiBody("Invalid value: top_p.", "invalid_request_error", "invalid_value")}, classify.Invalid, "invalid_value"},
		{reply{502, openaiID, page}, classify.Unreachable, ""},
		{reply{503, openaiID, ""}, classify.Overloaded, ""},
	}
	for _, client := range []string{"openai", "openai stream", "go-openai", "go-openai stream"} {
		for _, c := range openaiLike {
			check(t, client, c.reply, c.kind, c.code, "req_1")
		}
	}

	for _, client := range []string{"anthropic", "anthropic stream"} {
		for _, c := range []struct {
			reply
			kind classify.Kind
			code string
		}{
			{reply{429, anthropicID, anthropicBody("rate_limit_error", "Too many of them.")}, classify.RateLimited, "rate_limit_error"},
			{reply{529, anthropicID, anthropicBody("overloaded_error", "Overloaded")}, classify.Overloaded, "overloaded_error"},
			{reply{500, anthropicID, anthropicBody("api_error", "Oops")}, classify.Unreachable, "api_error"},
			{reply{401, anthropicID, anthropicBody("authentication_error", "invalid x-api-key")}, classify.Unauthorized, "authentication_error"},
			{reply{404, anthropicID, anthropicBody("not_found_error", "model: m")}, classify.NotFound, "not_found_error"},
			{reply{400, anthropicID, anthropicBody("invalid_request_error", "Your credit balance is too low.")}, classify.QuotaSpent, "invalid_request_error"},
			{reply{400, anthropicID, anthropicBody("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")}, classify.TooLong, "invalid_request_error"},
			{reply{400, anthropicID, anthropicBody("invalid_request_error", "messages: roles must alternate")}, classify.Invalid, "invalid_request_error"},
			{reply{413, anthropicID, anthropicBody("request_too_large", "Too large")}, classify.TooLong, "request_too_large"},
			{reply{502, anthropicID, page}, classify.Unreachable, ""},
		} {
			check(t, client, c.reply, c.kind, c.code, "req_2")
		}
	}

	for _, client := range []string{"genai", "genai stream"} {
		for _, c := range []struct {
			reply
			kind classify.Kind
			code string
			wait time.Duration
		}{
			{reply{429, nil, googleBody(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", quotaPerMinute)}, classify.RateLimited, "RESOURCE_EXHAUSTED", 34 * time.Second},
			{reply{429, nil, googleBody(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", quotaPerDay)}, classify.QuotaSpent, "RESOURCE_EXHAUSTED", 0},
			{reply{503, nil, googleBody(503, "UNAVAILABLE", "The model is overloaded.", "")}, classify.Overloaded, "UNAVAILABLE", 0},
			{reply{500, nil, googleBody(500, "INTERNAL", "An internal error.", "")}, classify.Unreachable, "INTERNAL", 0},
			{reply{400, nil, googleBody(400, "INVALID_ARGUMENT", "API key not valid.", `{"reason":"API_KEY_INVALID"}`)}, classify.Unauthorized, "API_KEY_INVALID", 0},
			{reply{404, nil, googleBody(404, "NOT_FOUND", "models/m is not found.", "")}, classify.NotFound, "NOT_FOUND", 0},
			{reply{400, nil, googleBody(400, "INVALID_ARGUMENT", "The input token count exceeds the maximum.", "")}, classify.TooLong, "INVALID_ARGUMENT", 0},
			{reply{400, nil, googleBody(400, "INVALID_ARGUMENT", "top_k lies outside of 1..40.", "")}, classify.Invalid, "INVALID_ARGUMENT", 0},
			{reply{502, nil, page}, classify.Unreachable, "", 0},
		} {
			f := check(t, client, c.reply, c.kind, c.code, "")
			require.Equal(t, c.wait, f.RetryAfter, client)
		}
	}
}

func check(t *testing.T, client string, r reply, kind classify.Kind, code, id string) classify.Facts {
	t.Helper()
	err, tap := errorOf(t, client, r)
	for _, wrapped := range []error{err, fmt.Errorf("asking: %w", err)} {
		f := classify.OfHTTP(wrapped, tap.status, tap.header, time.Now())
		require.Equal(t, kind, f.Kind, "%s %d %s: %+v: %v (%T)", client, r.status, r.body, f, err, err)
		require.Equal(t, r.status, f.Status, client)
		require.Equal(t, id, f.RequestID, client)
		require.False(t, strings.Contains(f.Reason, "rate limit,"), client)
		// Clients that cannot decode a body lose its code with it.
		if code != "" {
			require.Equal(t, code, f.Code, "%s: %#v", client, err)
		}
	}
	// Without what the transport saw, only headers are missing.
	f := classify.Of(err, time.Now())
	require.Equal(t, kind, f.Kind, "%s alone: %+v: %v (%T)", client, f, err, err)
	require.Equal(t, r.status, f.Status, client)
	return f
}

func TestRetryAfter(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		header map[string]string
		lo, hi time.Duration
	}{
		"seconds":      {map[string]string{"Retry-After": "7"}, 7 * time.Second, 7 * time.Second},
		"fraction":     {map[string]string{"Retry-After": "1.5"}, 1500 * time.Millisecond, 1500 * time.Millisecond},
		"milliseconds": {map[string]string{"Retry-After-Ms": "250", "Retry-After": "1"}, 250 * time.Millisecond, 250 * time.Millisecond},
		"azure":        {map[string]string{"X-Ms-Retry-After-Ms": "900"}, 900 * time.Millisecond, 900 * time.Millisecond},
		"date":         {map[string]string{"Retry-After": in(time.Hour)}, time.Hour - 5*time.Second, time.Hour},
		"bucket": {map[string]string{
			"X-Ratelimit-Remaining-Requests": "5", "X-Ratelimit-Reset-Requests": "9m0s",
			"X-Ratelimit-Remaining-Tokens": "0", "X-Ratelimit-Reset-Tokens": "6m0s"}, 6 * time.Minute, 6 * time.Minute},
		"anthropic bucket": {map[string]string{
			"Anthropic-Ratelimit-Requests-Remaining": "0", "Anthropic-Ratelimit-Requests-Reset": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, time.Hour - 5*time.Second, time.Hour},
		"garbage": {map[string]string{"Retry-After": "soon"}, -1, -1},
	} {
		r := reply{429, c.header, `{"type":"error","error":{"type":"rate_limit_error","message":"Rate limited","code":"rate_limit_exceeded","status":"RESOURCE_EXHAUSTED"}}`}
		for client := range ask {
			err, tap := errorOf(t, client, r)
			ways := []classify.Facts{classify.OfHTTP(err, tap.status, tap.header, time.Now())}
			if client == "openai" || client == "anthropic" { // the others lose headers
				ways = append(ways, classify.Of(err, time.Now()))
			}
			for _, f := range ways {
				require.Equal(t, classify.RateLimited, f.Kind, "%s %s", client, name)
				require.Equal(t, c.lo >= 0, f.HasRetryAfter, "%s %s", client, name)
				if f.HasRetryAfter {
					require.True(t, f.RetryAfter >= c.lo && f.RetryAfter <= c.hi, "%s %s: %v", client, name, f.RetryAfter)
				}
			}
		}
	}

	err, tap := errorOf(t, "openai", reply{429, map[string]string{"X-Should-Retry": "false"}, openaiBody("No.", "requests", "rate_limit_exceeded")})
	require.True(t, classify.OfHTTP(err, tap.status, tap.header, time.Now()).NoRetry)
	err, _ = errorOf(t, "go-openai", reply{429, nil, openaiBody("Please try again in 1.5s.", "requests", "rate_limit_exceeded")})
	require.Equal(t, 1500*time.Millisecond, classify.Of(err, time.Now()).RetryAfter)
}

// A failure inside a stream comes after a status of 200.
func TestInBand(t *testing.T) {
	sse := map[string]string{"Content-Type": "text/event-stream"}
	for client, c := range map[string]struct {
		body string
		kind classify.Kind
	}{
		"openai stream":    {"data: {\"error\":{\"message\":\"Busy\",\"type\":\"overloaded_error\",\"code\":null}}\n\n", classify.Overloaded},
		"anthropic stream": {"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n", classify.Overloaded},
		"genai stream":     {"data: {\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":\"UNAVAILABLE\"}}\n\n", classify.Overloaded},
		"go-openai stream": {"data: {\"error\":{\"message\":\"Rate limit reached\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}\n\n", classify.RateLimited},
	} {
		err, tap := errorOf(t, client, reply{200, sse, c.body})
		f := classify.OfHTTP(err, tap.status, tap.header, time.Now())
		require.Equal(t, c.kind, f.Kind, "%s: %+v: %v (%T)", client, f, err, err)
		require.True(t, f.Accepted, client)
	}
}

func TestNoConnection(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = c.Close()
		}
	}))
	defer cut.Close()
	slow := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-slow }))
	defer hung.Close()
	defer close(slow)

	for client, call := range ask {
		f := classify.Of(call(t.Context(), closed.URL, http.DefaultClient), time.Now())
		require.Equal(t, classify.Facts{Kind: classify.Unreachable, Reason: "connection refused"}, f, client)

		f = classify.Of(call(t.Context(), cut.URL, http.DefaultClient), time.Now())
		require.Equal(t, classify.Unreachable, f.Kind, client)
		require.True(t, f.Accepted, client)

		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		f = classify.Of(call(ctx, hung.URL, http.DefaultClient), time.Now())
		require.Equal(t, classify.TimedOut, f.Kind, client)
		cancel()

		f = classify.Of(call(ctx, "http://\x7f", http.DefaultClient), time.Now())
		require.NotZero(t, f.Kind, client)

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		f = classify.Of(call(ctx, hung.URL, http.DefaultClient), time.Now())
		require.Equal(t, classify.Canceled, f.Kind, client)
	}
}

// An answer that is not what was asked for.
func TestMalformed(t *testing.T) {
	for _, client := range []string{"openai", "anthropic", "genai", "go-openai"} {
		for _, body := range []string{page, `{"choices": [`, `[]`} {
			s := httptest.NewServer(reply{200, nil, body})
			tap := &seen{}
			err := ask[client](t.Context(), s.URL, &http.Client{Transport: tap})
			s.Close()
			if err == nil {
				continue // some clients take anything
			}
			f := classify.OfHTTP(err, tap.status, tap.header, time.Now())
			require.Contains(t, []classify.Kind{classify.Malformed, classify.Unreachable}, f.Kind, "%s %s: %v (%T)", client, body, err, err)
			require.True(t, f.Accepted, client)
		}
	}
}

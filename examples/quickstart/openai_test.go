package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
)

// answering is a server that gives one answer to everything.
func answering(t *testing.T, status int, body string, headers ...string) Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return Server{Model: "m", URL: srv.URL + "/v1", HTTP: srv.Client()}
}

func TestChat(t *testing.T) {
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{{Name: "m"}}})
	require.NoError(t, err)
	var key string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("Authorization")
		p.ServeHTTP(w, r)
	}))
	defer srv.Close()
	s := Server{Model: "m", URL: srv.URL + "/v1", Key: "k", HTTP: srv.Client()}
	req := ChatRequest{Messages: []Message{{"user", "hello"}}, MaxCompletionTokens: 3}
	res, err := s.Chat(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, "aaa", res.Text())
	require.Equal(t, resilience.Usage{Input: 5, Output: 3}, tokens(req, res))
	require.Equal(t, "Bearer k", key)
	require.NoError(t, hasText(req, res))
	require.Empty(t, req.Model, "the request is not changed")
	s.Key = ""
	_, err = s.Chat(t.Context(), req)
	require.NoError(t, err)
	require.Empty(t, key)
}

// The library understands the errors of the client without being told.
func TestErrorsHaveKinds(t *testing.T) {
	const body = `{"error":{"message":"no","type":"%s","param":null,"code":%s}}`
	for name, c := range map[string]struct {
		server Server
		kind   resilience.Kind
		wait   time.Duration
	}{
		"rate limit": {answering(t, 429, fmt.Sprintf(body, "requests", `"rate_limit_exceeded"`), "Retry-After", "1", "Retry-After-Ms", "150.5"),
			resilience.RateLimited, 150500 * time.Microsecond},
		"quota":           {answering(t, 429, fmt.Sprintf(body, "insufficient_quota", `"insufficient_quota"`)), resilience.QuotaSpent, 0},
		"overloaded":      {answering(t, 503, fmt.Sprintf(body, "server_error", `null`)), resilience.Overloaded, 0},
		"529":             {answering(t, 529, fmt.Sprintf(body, "overloaded_error", `null`)), resilience.Overloaded, 0},
		"key":             {answering(t, 401, fmt.Sprintf(body, "invalid_request_error", `"invalid_api_key"`)), resilience.Unauthorized, 0},
		"no model":        {answering(t, 404, fmt.Sprintf(body, "invalid_request_error", `"model_not_found"`)), resilience.NotFound, 0},
		"code as number":  {answering(t, 400, fmt.Sprintf(body, "invalid_request_error", `400`)), resilience.Invalid, 0},
		"HTML of a proxy": {answering(t, 502, "<html>Bad Gateway</html>"), resilience.Unreachable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.server.Chat(t.Context(), ChatRequest{})
			require.Error(t, err)
			require.Equal(t, c.kind, resilience.KindOf(err), "%v", err)
			require.Equal(t, c.wait, resilience.RetryAfter(err))
		})
	}
}

func TestChatOddAnswers(t *testing.T) {
	for name, body := range map[string]string{"nothing": "", "HTML": "<html>", "another type": `{"choices":7}`} {
		t.Run(name, func(t *testing.T) {
			_, err := answering(t, 200, body).Chat(t.Context(), ChatRequest{})
			require.ErrorContains(t, err, "no chat completion")
		})
	}
	for name, body := range map[string]string{"no choice": `{"choices":[]}`, "blank": `{"choices":[{"message":{"content":""}}]}`, "other": `{}`} {
		t.Run(name, func(t *testing.T) {
			res, err := answering(t, 200, body).Chat(t.Context(), ChatRequest{})
			require.NoError(t, err)
			require.ErrorIs(t, hasText(ChatRequest{}, res), errNoText)
		})
	}
	require.Empty(t, (*ChatResponse)(nil).Text())
}

func TestAPIErrorIsShort(t *testing.T) {
	_, err := answering(t, 500, string(make([]byte, 1<<20))).Chat(t.Context(), ChatRequest{})
	require.Error(t, err)
	require.Less(t, len(err.Error()), 1000)
}

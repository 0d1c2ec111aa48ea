package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConverse(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-hidden")
	var asked []ChatRequest
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer sk-hidden" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		var req ChatRequest
		if json.NewDecoder(r.Body).Decode(&req) != nil {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		asked = append(asked, req)
		if len(asked) == 2 {
			http.Error(w, `{"error":{"message":"busy","type":"server_error"}}`, http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"1\u001b[3"}}],"usage":{"prompt_tokens":21,"completion_tokens":1}}`)
	}))
	defer srv.Close()
	for _, url := range []string{srv.URL + "/v1", srv.URL + "/v1/", srv.URL + "/v1/chat/completions"} {
		asked = nil
		code, stdout, stderr := quickstart(t, "-endpoint", url, "-model", "m")
		require.Zero(t, code, stderr)
		require.Empty(t, stderr)
		require.Regexp(t, `(?m)^m at http://127\.0\.0\.1:\d+/v1, through the library:

call      took  attempts  tokens in  tokens out   answer
   1 +\S+s         1         21           1   "1\\x1b\[3"
   2 +\S+s         2         21           1   "1\\x1b\[3"
   3 +\S+s         1         21           1   "1\\x1b\[3"
$`, stdout)
		require.NotContains(t, stdout, "sk-hidden")
		require.Len(t, asked, 4)
		require.Len(t, asked[3].Messages, 5, "a conversation")
		require.Equal(t, "m", asked[3].Model)
		require.Zero(t, asked[3].MaxCompletionTokens)
	}
}

func TestConverseFails(t *testing.T) {
	for name, c := range map[string]struct {
		server Server
		code   int
		want   string
	}{
		"bad key":         {answering(t, 401, `{"error":{"message":"Incorrect API key sk-x","code":"invalid_api_key"}}`), 1, "call 1: m: unauthorized: 401"},
		"no such model":   {answering(t, 404, `{"error":{"message":"no","code":"model_not_found"}}`), 2, "-endpoint: m: not_found: 404"},
		"no such path":    {answering(t, 404, "404 page not found"), 2, "-endpoint: m: not_found: 404"},
		"another service": {answering(t, 200, "<html>"), 1, "call 1: "},
		"no answer":       {answering(t, 200, `{"choices":[]}`), 1, "call 1: m: malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := quickstart(t, "-endpoint", c.server.URL, "-model", "m")
			require.Equal(t, c.code, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.want)
			require.Regexp(t, `^quickstart: .*\n$`, stderr)
		})
	}
}

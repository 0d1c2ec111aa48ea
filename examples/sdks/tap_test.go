package sdks_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestTap has every client meet a rate limit whose end only the headers name,
// some of which lose them.
func TestTap(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "7")
		w.Header().Set("X-Request-Id", "req_7")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"error": {"message": "later", "type": "rate_limit_error"}}`))
	}))
	defer server.Close()
	tapped := &http.Client{Transport: resilience.Tap(nil)}
	for name, call := range ask {
		t.Run(name, func(t *testing.T) {
			c := resilience.Wrap(resilience.FuncOf(func(ctx context.Context, url string) (string, error) {
				return "", call(ctx, url, tapped)
			}))
			_, rep, err := c.Do(t.Context(), server.URL, resilience.CallOptions{})
			require.ErrorIs(t, err, resilience.RateLimited)
			require.Equal(t, 7*time.Second, resilience.RetryAfter(err))
			require.Equal(t, 429, rep.Attempts[0].Status)
			require.Equal(t, "req_7", rep.Attempts[0].RequestID)
		})
	}
}

// TestTapWarnsOfRetries has a client whose own retries were left on.
func TestTapWarnsOfRetries(t *testing.T) {
	failures := 1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if failures > 0 {
			failures--
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"choices": [{"message": {"content": "hi"}}]}`))
	}))
	defer server.Close()
	client := openai.NewClient(openaioption.WithBaseURL(server.URL), openaioption.WithAPIKey("k"),
		openaioption.WithHTTPClient(&http.Client{Transport: resilience.Tap(nil)}))
	c := resilience.Wrap(resilience.SDK(client.Chat.Completions.New))
	sub := c.Pool().Subscribe(1, resilience.EventWarning)
	defer sub.Close()
	answer, err := c.Call(t.Context(), openai.ChatCompletionNewParams{
		Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
	})
	require.NoError(t, err)
	require.Equal(t, "hi", answer.Choices[0].Message.Content)
	require.True(t, strings.Contains((<-sub.C).Reason, "retries"))
}

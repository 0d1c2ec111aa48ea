package sdks_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/retry"
)

// guarded returns a client whose requests are calls of a pool.
func guarded(t *testing.T) *http.Client {
	t.Helper()
	pool, err := resilience.NewPool(resilience.Timeouts{}, retry.New(retry.Config{}), breaker.New(breaker.Config{}))
	require.NoError(t, err)
	t.Cleanup(func() { require.Zero(t, pool.InFlight()) })
	return &http.Client{Transport: pool.Transport(nil, nil)}
}

// plays answers with an event stream.
func plays(t *testing.T, events string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, events)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestTransportErrors: clients make the errors of theirs that they make without
// it, after three attempts.
func TestTransportErrors(t *testing.T) {
	for name, call := range ask {
		t.Run(name, func(t *testing.T) {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests++
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = w.Write([]byte(`{"error": {"message": "busy", "type": "overloaded_error"}}`))
			}))
			defer server.Close()
			bare := call(t.Context(), server.URL, &http.Client{})
			require.Equal(t, 1, requests)
			err := call(t.Context(), server.URL, guarded(t))
			require.IsType(t, bare, err)
			require.Equal(t, bare.Error(), err.Error())
			require.Equal(t, 1+3, requests)
		})
	}
}

const (
	openaiWord     = `data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}` + "\n\n"
	openaiStop     = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	anthropicStart = "event: message_start\n" + `data: {"type":"message_start","message":{"id":"m","role":"assistant","content":[]}}` + "\n\n"
	anthropicStop  = "event: message_stop\n" + `data: {"type":"message_stop"}` + "\n\n"
)

// TestTransportStreams: both clients take a stream without its end for a whole
// one, unless the transport tells them.
func TestTransportStreams(t *testing.T) {
	chat := func(ctx context.Context, url string, c *http.Client) error {
		client := openai.NewClient(openaioption.WithBaseURL(url), openaioption.WithAPIKey("k"), openaioption.WithMaxRetries(0), openaioption.WithHTTPClient(c))
		s := client.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
			Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
		})
		for s.Next() {
		}
		return s.Err()
	}
	message := func(ctx context.Context, url string, c *http.Client) error {
		client := anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0), anthropicoption.WithHTTPClient(c))
		s := client.Messages.NewStreaming(ctx, anthropic.MessageNewParams{
			Model: "m", MaxTokens: 9, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))},
		})
		for s.Next() {
		}
		return s.Err()
	}
	for name, tc := range map[string]struct {
		call   func(context.Context, string, *http.Client) error
		events string
		whole  bool
	}{
		"openai, whole":    {chat, openaiWord + openaiStop + "data: [DONE]\n\n", true},
		"openai, no DONE":  {chat, openaiWord + openaiStop, true},
		"openai, cut":      {chat, openaiWord, false},
		"anthropic, whole": {message, anthropicStart + anthropicStop, true},
		"anthropic, cut":   {message, anthropicStart, false},
	} {
		t.Run(name, func(t *testing.T) {
			url := plays(t, tc.events)
			require.NoError(t, tc.call(t.Context(), url, &http.Client{}))
			err := tc.call(t.Context(), url, guarded(t))
			if tc.whole {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, resilience.Truncated)
			}
		})
	}
}

package langchaingo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tmc/langchaingo/llms/anthropic"
	"github.com/tmc/langchaingo/llms/openai"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

// TestFramework has the framework's own models, which differ in how they
// stream, answer from a local server.
func TestFramework(t *testing.T) {
	const (
		text   = "data: {\"choices\": [{\"delta\": {\"content\": \"so blue\"}}]}\n\n"
		finish = "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\n" +
			"data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 5}}\n\ndata: [DONE]\n\n"
		claude = `data: {"type": "message_start", "message": {"id": "m", "model": "c", "role": "assistant", "type": "message", "usage": {"input_tokens": 7}}}
data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "as ever"}}
data: {"type": "content_block_stop", "index": 0}
data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
data: {"type": "message_stop"}
`
	)
	for name, c := range map[string]struct {
		status int
		gpt    string
		said   string
		model  string // "" for a failure
	}{
		"whole":          {200, text + finish, "so blue", "gpt"},
		"overloaded":     {503, `{"error": {"message": "later"}}`, "as ever", "claude"},
		"without text":   {200, "data: [DONE]\n\n", "as ever", "claude"},
		"without an end": {200, text, "so blue", ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				if r.URL.Path == "/messages" {
					_, _ = io.WriteString(w, claude)
					return
				}
				w.WriteHeader(c.status)
				_, _ = fmt.Fprint(w, c.gpt)
			}))
			defer server.Close()
			gpt, err := openai.New(openai.WithBaseURL(server.URL), openai.WithToken("k"), openai.WithModel("m"))
			require.NoError(t, err)
			claude, err := anthropic.New(anthropic.WithBaseURL(server.URL), anthropic.WithToken("k"), anthropic.WithModel("m"))
			require.NoError(t, err)
			p, err := resilience.NewPool(fallback.New(fallback.Config{}))
			require.NoError(t, err)
			l, err := New(p, Model{ID: "gpt", Model: gpt}, Model{ID: "claude", Model: claude})
			require.NoError(t, err)
			var rep resilience.Report
			l.Report = func(_ context.Context, r resilience.Report) { rep = r }
			var said string
			resp, err := l.GenerateContent(t.Context(), question, into(&said))
			require.Equal(t, c.said, said)
			if c.model == "" {
				require.ErrorIs(t, err, resilience.Truncated)
				require.Len(t, rep.Attempts, 1)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.model, rep.Model.ID())
			require.Equal(t, c.said, resp.Choices[0].Content)
			require.Equal(t, resilience.Usage{Input: 7, Output: 5}, rep.Usage)
		})
	}
}

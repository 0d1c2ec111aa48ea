package resilience_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
)

// TestTransportOpeningIsNoAnswer: what fails after message_start or a role, and
// before any of the answer, is retried, and the SDK does not notice.
func TestTransportOpeningIsNoAnswer(t *testing.T) {
	for name, tc := range map[string]struct{ url, body, end string }{
		"OpenAI":    {"https://api.openai.com/v1/chat/completions", `{"model":"m","stream":true,"messages":[{"role":"user","content":"?"}]}`, "[DONE]"},
		"Anthropic": {"https://api.anthropic.com/v1/messages", `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"?"}]}`, "message_stop"},
		"Gemini":    {"https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"?"}]}]}`, "STOP"},
	} {
		for fault, want := range map[chaos.Fault]resilience.Kind{
			{Name: chaos.StreamError}: resilience.Overloaded,
			{Name: chaos.Cut}:         resilience.Truncated,
			{Name: chaos.CutByReset}:  resilience.Truncated,
			{Name: chaos.Stall}:       resilience.TimedOut,
			{Name: chaos.SlowStart, After: time.Minute, KeepAlive: time.Second}: resilience.TimedOut,
		} {
			t.Run(name+" "+fault.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					provider, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{{Text: "one two three", Script: []chaos.Fault{fault}}}})
					require.NoError(t, err)
					defer provider.Close()
					p := stacked(t)
					ended := p.Subscribe(10, resilience.EventAttempt)
					defer ended.Close()
					client := &http.Client{Transport: p.Transport(provider.Client().Transport, always("m"))}
					resp, err := client.Post(tc.url, jsonType, strings.NewReader(tc.body))
					require.NoError(t, err)
					got, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
					require.Contains(t, string(got), tc.end)
					require.Len(t, provider.Attempts(), 2)
					require.Equal(t, want, resilience.KindOf((<-ended.C).Err))
					idle(t, p)
				})
			})
		}
	}
}

// What opens an answer may repeat a large request, and is not refused for it.
func TestTransportLargeOpening(t *testing.T) {
	created := `data: {"type":"response.created","response":{"instructions":"` + strings.Repeat("a", 900<<10) + `"}}` + "\n\n"
	body := created + created + created + `data: {"type":"response.completed"}` + "\n\n"
	_, got, err := post(t, newPool(t), replies(reply(200, body, "Content-Type", "text/event-stream")))
	require.NoError(t, err)
	require.Equal(t, body, got)
}

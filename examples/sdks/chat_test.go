package sdks

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

const gpt, claude, flash = "gpt-5", "claude-sonnet-5", "gemini-3-flash"

var hello = Chat{Turns: []Turn{{Text: question}}, MaxTokens: 100}

// chats ask models of three providers that share a pool: for whole answers, and
// for streams.
func chats(t *testing.T, url string, hooks resilience.StreamHooks[Chat, Part]) (whole, stream asker) {
	t.Helper()
	o, a, g := openAIAt(url, "key"), anthropicAt(url, "key"), geminiAt(t, url, "key")
	shared := pool(t, resilience.Timeouts{Attempt: time.Second, FirstChunk: time.Second, Gap: time.Second},
		fallback.New(fallback.Config{}), retry.New(retry.Config{Base: time.Millisecond}), breaker.New(breaker.Config{}))
	return plain(client(t, shared,
			resilience.Bind(gpt, ChatOpenAI(o, gpt)),
			resilience.Bind(claude, ChatAnthropic(a, claude)),
			resilience.Bind(flash, ChatGemini(g, flash))), hello, func(s string) string { return s }),
		streamed(client(t, shared,
			resilience.Bind(gpt, StreamOpenAI(o, gpt, hooks)),
			resilience.Bind(claude, StreamAnthropic(a, claude, hooks)),
			resilience.Bind(flash, StreamGemini(g, flash, hooks))), hello, ChatHooks.Text)
}

// steps are the attempts of a report in words.
func steps(rep resilience.Report) []string {
	var out []string
	for _, a := range rep.Attempts {
		out = append(out, a.Model.ID()+" "+a.Kind.String())
	}
	return out
}

func TestAcrossProviders(t *testing.T) {
	for _, way := range []string{"whole", "stream"} {
		t.Run(way, func(t *testing.T) {
			p, url := provider(t,
				chaos.Model{Name: gpt, Text: sentence, Script: []chaos.Fault{{Name: chaos.QuotaSpent}}},
				chaos.Model{Name: claude, Text: sentence, Script: []chaos.Fault{{Name: chaos.Overloaded}, {Name: chaos.Overloaded}}},
				chaos.Model{Name: flash, Text: sentence})
			ask, stream := chats(t, url, ChatHooks)
			if way == "stream" {
				ask = stream
			}
			got := ask(t.Context(), resilience.CallOptions{})
			require.NoError(t, got.err)
			require.Equal(t, sentence, got.text)
			require.Equal(t, []string{gpt + " quota_spent", claude + " overloaded", claude + " overloaded", flash + " ok"}, steps(got.rep))
			require.Equal(t, resilience.Usage{Input: int64(len(question)), Output: 20}, got.rep.Usage)

			got = ask(t.Context(), resilience.CallOptions{})
			require.NoError(t, got.err)
			require.Equal(t, []string{claude + " ok"}, steps(got.rep), "what was learnt of the quota counts")
			require.Len(t, p.Attempts(), 5)
		})
	}
}

// A pool knows of a model whatever the type of the client that found out.
func TestClientsShareWhatIsKnown(t *testing.T) {
	_, url := provider(t,
		chaos.Model{Name: gpt, Text: sentence, Script: []chaos.Fault{{Name: chaos.KeyRevoked}}}, chaos.Model{Text: sentence})
	whole, stream := chats(t, url, ChatHooks)
	require.NoError(t, whole(t.Context(), resilience.CallOptions{}).err)
	got := stream(t.Context(), resilience.CallOptions{})
	require.NoError(t, got.err)
	require.Equal(t, []string{claude + " ok"}, steps(got.rep))
}

// A stream that is cut at OpenAI goes on at Anthropic, and where that does not
// continue a message, by an answer that begins the same.
func TestRescueAcrossProviders(t *testing.T) {
	cut := chaos.Model{Name: gpt, Text: sentence, Script: []chaos.Fault{{Name: chaos.Cut, Tokens: 7}}}
	begun := sentence[:len("The sky looks blue because air scatters")]
	resume, text := ChatHooks, ChatHooks
	resume.Text, text.Resume = nil, nil
	none := resilience.StreamHooks[Chat, Part]{Meaningful: ChatHooks.Meaningful}
	for _, c := range []struct {
		name  string
		hooks resilience.StreamHooks[Chat, Part]
		next  chaos.Model // at Anthropic
		want  []string
		bytes []int // of the assistant's message that each request ended with
	}{
		{"continued", resume, chaos.Model{Name: claude, Text: sentence}, []string{gpt + " truncated", claude + " ok"}, []int{0, len(begun)}},
		{"asked again", text, chaos.Model{Name: claude, Text: sentence}, []string{gpt + " truncated", claude + " ok"}, []int{0, 0}},
		{"refused by all, then asked again", ChatHooks, chaos.Model{Name: claude, Text: sentence, NoPrefill: true},
			[]string{gpt + " truncated", claude + " invalid", flash + " invalid", claude + " ok"}, []int{0, len(begun), len(begun), 0}},
		{"begins with another text", text, chaos.Model{Name: claude, Text: "It is the air."}, []string{gpt + " truncated", claude + " canceled"}, []int{0, 0}},
		{"no hooks", none, chaos.Model{Name: claude, Text: sentence}, []string{gpt + " truncated"}, []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, url := provider(t, cut, c.next, chaos.Model{Name: flash, Text: sentence, NoPrefill: c.next.NoPrefill})
			_, ask := chats(t, url, c.hooks)
			got := ask(t.Context(), resilience.CallOptions{})
			require.Equal(t, c.want, steps(got.rep))
			var bytes []int
			for _, a := range p.Attempts() {
				bytes = append(bytes, a.Prefill)
			}
			require.Equal(t, c.bytes, bytes)
			if c.name == "no hooks" || strings.HasPrefix(c.name, "begins") {
				require.ErrorIs(t, got.err, resilience.Truncated)
				require.Equal(t, begun, got.text)
				require.False(t, got.rep.Rescued)
				return
			}
			require.NoError(t, got.err)
			require.Equal(t, sentence, got.text)
			require.True(t, got.rep.Rescued)
			require.Equal(t, claude, got.rep.Model.ID())
		})
	}
}

// What cannot be continued is not tried: a tool's call, and what Anthropic would
// refuse.
func TestNoResume(t *testing.T) {
	const args = `{"city": "Oslo", "days": [1, 2, 3, 4, 5]}`
	for _, w := range []string{"openai", "anthropic"} {
		p, url := provider(t, chaos.Model{Name: gpt, Arguments: args, Script: []chaos.Fault{{Name: chaos.Cut, Tokens: 2}}}, chaos.Model{Name: claude, Arguments: args})
		got := toolStreams(t, url)[w](t.Context(), resilience.CallOptions{})
		require.ErrorIs(t, got.err, resilience.Truncated, w)
		require.NotEqual(t, args, got.text)
		require.Len(t, p.Attempts(), 1, w)
	}
	_, ok := AnthropicHooks.Resume(anthropicQuestion, nil)
	require.True(t, ok)
	spaced := anthropicText(t, "The sky ")
	_, ok = AnthropicHooks.Resume(anthropicQuestion, spaced)
	require.False(t, ok, "text that ends in white space is refused")
}

package chaos

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const sentence = "One two three four five six."

// A dialect is a way to ask for the sentence.
type dialect struct {
	name, path, streamPath, body, streamBody string
	text                                     func(event string) string // of an event, or of an answer
	done                                     string                    // what a complete stream has in its last event
}

var dialects = []dialect{
	{
		"openai", "/v1/chat/completions", "/v1/chat/completions",
		`{"model":"m","messages":[{"role":"user","content":"Count."}]}`,
		`{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Count."}]}`,
		func(event string) string {
			var c openAIResponse
			_ = json.Unmarshal([]byte(event), &c)
			var b strings.Builder
			for _, x := range c.Choices {
				for _, d := range []*openAIDelta{x.Delta, x.Message} {
					if d != nil && d.Content != nil {
						b.WriteString(*d.Content)
					}
				}
			}
			return b.String()
		}, "[DONE]",
	},
	{
		"anthropic", "/v1/messages", "/v1/messages",
		`{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"Count."}]}`,
		`{"model":"m","max_tokens":100,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"Count."}]}]}`,
		func(event string) string {
			var c struct {
				Delta   struct{ Text string }
				Content []struct{ Text string }
			}
			_ = json.Unmarshal([]byte(event), &c)
			for _, x := range c.Content {
				c.Delta.Text += x.Text
			}
			return c.Delta.Text
		}, "message_stop",
	},
	{
		"gemini", "/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent?alt=sse",
		`{"contents":[{"role":"user","parts":[{"text":"Count."}]}]}`,
		`{"contents":[{"role":"user","parts":[{"text":"Count."}]}]}`,
		func(event string) string {
			var c geminiResponse
			_ = json.Unmarshal([]byte(event), &c)
			if len(c.Candidates) == 0 {
				return ""
			}
			return c.Candidates[0].Content.text()
		}, `"finishReason":"STOP"`,
	},
}

// A seen is what a client saw of a response.
type seen struct {
	*http.Response
	err    error // of the request or of its body
	body   string
	events []string // the data of those of a stream
	names  []string
	took   time.Duration
	first  time.Duration // until the first text of a stream
	said   string
}

// ask asks p in its dialect, reads the response to its end, and closes it.
func (d dialect) ask(t *testing.T, p *Provider, stream bool) seen {
	t.Helper()
	path, body := d.path, d.body
	if stream {
		path, body = d.streamPath, d.streamBody
	}
	return d.send(t, p, path, body)
}

func (d dialect) send(t *testing.T, p *Provider, path, body string) seen {
	t.Helper()
	began := time.Now()
	res, err := p.Client().Post("https://api.example.com"+path, "application/json", strings.NewReader(body))
	if err != nil {
		return seen{err: err, took: time.Since(began)}
	}
	defer res.Body.Close()
	out := seen{Response: res}
	var b strings.Builder
	buf := make([]byte, 1<<16)
	for out.err == nil {
		var n int
		n, out.err = res.Body.Read(buf)
		b.Write(buf[:n])
		if out.first == 0 && strings.Contains(b.String(), "One") {
			out.first = time.Since(began)
		}
	}
	if out.err == io.EOF {
		out.err = nil
	}
	out.body, out.took = b.String(), time.Since(began)
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		out.said = d.text(out.body)
		return out
	}
	for line := range strings.Lines(out.body) {
		line = strings.TrimSuffix(line, "\n")
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			out.events = append(out.events, data)
			out.said += d.text(data)
		}
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			out.names = append(out.names, name)
		}
	}
	return out
}

// complete reports whether a stream has its end marker.
func (d dialect) complete(s seen) bool {
	return len(s.events) > 0 && strings.Contains(s.events[len(s.events)-1], d.done)
}

// played is a provider whose model says the sentence, meets faults, and is
// closed with the test.
func played(t *testing.T, faults ...Fault) *Provider {
	t.Helper()
	return provider(t, Model{Text: sentence, Script: faults})
}

func provider(t *testing.T, models ...Model) *Provider {
	t.Helper()
	p, err := NewProvider(ProviderConfig{Models: models})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// A bubble is a test in virtual time, in a dialect, streaming or not.
type bubble struct {
	t       *testing.T
	dialect dialect
	stream  bool
}

// each runs f in a bubble for each dialect, streaming or not.
func each(t *testing.T, f func(bubble)) {
	t.Helper()
	for _, d := range dialects {
		for _, stream := range []bool{false, true} {
			name := d.name
			if stream {
				name += " stream"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { f(bubble{t, d, stream}) })
			})
		}
	}
}

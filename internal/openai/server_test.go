package openai

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/sse"
)

// reply is a server that says always the same.
func reply(t *testing.T, status int, body string) (Server, *http.Request) {
	t.Helper()
	var asked http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, _ := io.ReadAll(r.Body)
		asked = http.Request{Header: r.Header, URL: r.URL, Body: io.NopCloser(strings.NewReader(string(said)))}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return Server{HTTP: s.Client(), URL: s.URL + "/v1", Key: "sk", Model: "m"}, &asked
}

func TestAsk(t *testing.T) {
	s, asked := reply(t, 200, `{"id": "a", "choices": [{"message": {"content": "Yes."}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}`)
	c, err := s.Ask(t.Context(), &Request{})
	require.NoError(t, err)
	require.Equal(t, Usage{3, 1}, c.Usage)
	require.JSONEq(t, `{"id": "a", "choices": [{"message": {"content": "Yes."}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}`, string(c.Line(new(string))))
	body, _ := io.ReadAll(asked.Body)
	require.JSONEq(t, `{"model": "m"}`, string(body))
	require.Equal(t, "/v1/chat/completions", asked.URL.Path)
	require.Equal(t, "Bearer sk", asked.Header.Get("Authorization"))

	s, asked = reply(t, 200, `{"choices": [{}]}`)
	s.Key = ""
	_, err = s.Ask(t.Context(), &Request{})
	require.NoError(t, err)
	require.NotContains(t, asked.Header, "Authorization")
}

func TestAskFails(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   any
	}{
		"refused":        {400, `{"error": {"code": "x"}}`, new(*Error)},
		"created":        {201, `{}`, new(*Error)},
		"error with 200": {200, `{"error": {"code": "x"}}`, new(*sse.StreamError)},
		"no choices":     {200, `{"choices": []}`, &errNoChoices},
		"HTML":           {200, `<html>`, nil},
		"cut":            {200, `{"choices": [{"message`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := reply(t, c.status, c.body)
			got, err := s.Ask(t.Context(), &Request{})
			require.Error(t, err)
			require.Zero(t, got)
			if c.want != nil {
				require.ErrorAs(t, err, c.want)
			}
			require.NotContains(t, err.Error(), "code")
			for chunk, err := range s.Stream(t.Context(), &Request{}) {
				require.Error(t, err)
				require.Zero(t, chunk)
			}
		})
	}
}

func TestStream(t *testing.T) {
	event := func(list ...string) string { return "data: " + strings.Join(list, "\n\ndata: ") + "\n\n" }
	text := func(index, said string) string {
		return `{"choices":[{"index":` + index + `,"delta":{"content":"` + said + `"}}]}`
	}
	end := func(index string) string {
		return `{"choices":[{"index":` + index + `,"delta":{},"finish_reason":"stop"}]}`
	}
	for name, c := range map[string]struct {
		body    string
		last    []bool // which chunks end the answer
		skipped int
		broke   bool
	}{
		"whole":                 {event(role, text("0", "a"), end("0"), "[DONE]"), []bool{false, false, true, true}, 0, false},
		"without [DONE]":        {event(text("0", "a"), end("0")), []bool{false, true}, 0, false},
		"with [DONE] alone":     {event(text("0", "a"), "[DONE]"), []bool{false, true}, 0, false},
		"cut":                   {event(text("0", "a")), []bool{false}, 0, false},
		"two choices":           {event(text("0", "a"), text("1", "b"), end("0"), text("1", "c"), end("1")), []bool{false, false, false, false, true}, 0, false},
		"usage after the end":   {event(text("0", "a"), end("0"), `{"choices":[],"usage":{}}`), []bool{false, true, true}, 0, false},
		"one that is no JSON":   {event(text("0", "a"), "{", end("0")), []bool{false, true}, 1, false},
		"two that are no JSON":  {event(text("0", "a"), "{", "{", end("0")), []bool{false, false}, 1, true},
		"an error in the midst": {event(text("0", "a"), `{"error":{"code":503}}`, end("0")), []bool{false, false}, 0, true},
		"nothing":               {"", nil, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := reply(t, 200, c.body)
			skipped := 0
			s.Skipped = func(n int) { skipped = n }
			var last []bool
			var broke error
			for chunk, err := range s.Stream(t.Context(), &Request{}) {
				last, broke = append(last, chunk.Last()), err
			}
			require.Equal(t, c.last, last)
			require.Equal(t, c.skipped, skipped)
			require.Equal(t, c.broke, broke != nil)
		})
	}
}

func TestStreamIsLeft(t *testing.T) {
	s, _ := reply(t, 200, "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n")
	for range s.Stream(t.Context(), &Request{}) {
		break
	}
}

package openai

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestReadRequest(t *testing.T) {
	req, err := ReadRequest(strings.NewReader(`{"model": "a", "stream": true, "fallbacks": ["b"], "seed": 12345678901234567890, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": [{"type": "text", "text": "<é>"}]}]}`))
	require.NoError(t, err)
	require.Equal(t, "a", req.Model)
	require.Equal(t, []string{"b"}, req.Fallbacks)
	require.True(t, req.Stream)
	require.JSONEq(t, `{"model": "c", "stream": true, "seed": 12345678901234567890, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": [{"type": "text", "text": "<é>"}]}]}`, string(req.body("c")))
	require.Contains(t, string(req.body("c")), "12345678901234567890", "as it was written")
	require.Contains(t, string(req.body("d")), `"model":"d"`)
}

func TestReadRequestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		body io.Reader
		want string
	}{
		"nothing":   {strings.NewReader(""), "unexpected end of JSON input"},
		"no object": {strings.NewReader("[]"), "cannot unmarshal array"},
		"null":      {strings.NewReader("null"), "the body is null"},
		"a number":  {strings.NewReader(`{"model": 5}`), "model"},
		"objects":   {strings.NewReader(`{"fallbacks": [{"model": "a"}]}`), "fallbacks"},
		"broken":    {iotest.ErrReader(io.ErrClosedPipe), "closed pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadRequest(c.body)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestResume(t *testing.T) {
	req, err := ReadRequest(strings.NewReader(`{"messages": [{"role": "user", "content": "Why?"}], "top_p": 1}`))
	require.NoError(t, err)
	delivered := chunks(t, role, `{"choices":[{"delta":{"content":"Be"}}]}`, `{"choices":[{"delta":{"content":"cause \""}}]}`)
	rest, ok := req.Resume(delivered)
	require.True(t, ok)
	require.JSONEq(t, `{"model": "m", "top_p": 1, "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because \""}]}`, string(rest.body("m")))
	require.NotContains(t, string(req.body("m")), "assistant", "the request itself stays")

	for name, part := range map[string]string{
		"a tool's call":  `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]}`,
		"reasoning":      `{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}`,
		"another choice": `{"choices":[{"index":1,"delta":{"content":"x"}}]}`,
		"parts":          `{"choices":[{"delta":{"content":[{"type":"text","text":"x"}]}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := req.Resume(append(delivered, chunks(t, part)...))
			require.False(t, ok)
		})
	}
}

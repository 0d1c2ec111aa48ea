package openai

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

const role = `{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`

func chunks(t *testing.T, list ...string) (cs []Chunk) {
	t.Helper()
	for _, data := range list {
		var c Chunk
		require.NoError(t, json.Unmarshal([]byte(data), &c))
		cs = append(cs, c)
	}
	return cs
}

func TestChunk(t *testing.T) {
	for name, c := range map[string]struct {
		data, text string
		meaningful bool
	}{
		"role":           {role, "", false},
		"nothing":        {`{}`, "", false},
		"text":           {`{"choices":[{"delta":{"content":"a\u0062 <"}}]}`, "ab <", true},
		"role with text": {`{"choices":[{"delta":{"role":"assistant","content":"a"}}]}`, "a", true},
		"tool":           {`{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`, "", true},
		"refusal":        {`{"choices":[{"delta":{"refusal":"No."}}]}`, "", true},
		"the end":        {`{"choices":[{"delta":{},"finish_reason":"stop"}]}`, "", true},
		"usage":          {`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}`, "", false},
		"Azure's first":  {`{"id":"","choices":[],"prompt_filter_results":[]}`, "", false},
		"second choice":  {`{"choices":[{"index":1,"delta":{"content":"a"}}]}`, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			got := chunks(t, c.data)[0]
			require.Equal(t, c.text, got.Text)
			require.Equal(t, c.meaningful, got.Meaningful())
			require.False(t, got.Last(), "who reads the stream knows")
			require.Equal(t, c.data, string(got.Line(new(string))))
		})
	}
	require.Equal(t, Usage{3, 4}, chunks(t, `{"usage":{"prompt_tokens":3,"completion_tokens":4}}`)[0].Usage)
	require.Zero(t, chunks(t, `{"usage":null}`)[0].Usage)
	for _, bad := range []string{"[]", "5", `"x"`, `{"choices":[{"delta":5}]}`} {
		require.Error(t, json.Unmarshal([]byte(bad), new(Chunk)), bad)
	}
}

// TestLine is of an answer that goes on with another response.
func TestLine(t *testing.T) {
	id := ""
	lines := func(list ...string) (out []string) {
		for _, c := range chunks(t, list...) {
			out = append(out, string(c.Line(&id)))
		}
		return out
	}
	opening := []string{
		`{"id":"","choices":[]}`, role,
		`{"id":"a","model":"m1","choices":[{"index":0,"delta":{"content":"one"}}]}`,
	}
	require.Equal(t, opening, lines(opening...))
	require.Equal(t, []string{
		"", // does not begin anew
		`{"choices":[{"index":0,"delta":{"content":"two"}}],"id":"a","model":"m2"}`,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"id":"a","model":"m2"}`,
		`{"choices":[],"id":"a","model":"m2","usage":{"prompt_tokens":1}}`,
	}, lines(
		`{"id":"b","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`,
		`{"id": "b", "model":"m2","choices":[{"index":0,"delta":{"content":"two"}}]}`,
		`{"id":"b","model":"m2","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		`{"id":"b","model":"m2","choices":[],"usage":{"prompt_tokens":1}}`,
	))
}

func TestLineOfTextThatWasCut(t *testing.T) {
	for data, want := range map[string]string{
		`{"model":"content","choices":[{"delta":{"content": "content is"}}]}`:          `{"model":"content","choices":[{"delta":{"content":" is"}}]}`,
		`{"choices":[{"delta":{"role":"assistant","content":"caf\u00e9 \/ is"}}]}`:     `{"choices":[{"delta":{"role":"assistant","content":" is"}}]}`,
		"{\"choices\":[\n{\"delta\":{\n\"content\":\"x is\"}}],\n\"usage\":null}":      `{"choices":[{"delta":{"content":" is"}}],"usage":null}`,
		`{"choices":[{"logprobs":{"content":[]},"delta":{"content":"[] is \u0000"}}]}`: `{"choices":[{"logprobs":{"content":[]},"delta":{"content":" is"}}]}`,
	} {
		c := chunks(t, data)[0]
		c.Text = " is"
		line := c.Line(new(string))
		require.JSONEq(t, want, string(line))
	}
	require.Nil(t, Chunk{}.Line(new(string)), "[DONE]")
}

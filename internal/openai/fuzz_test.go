package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzChunk cuts the text of chunks, and gives them another ID.
func FuzzChunk(f *testing.F) {
	for _, seed := range []string{
		role,
		`{"id":"b","choices":[{"index":0,"delta":{"content":"caf\u00e9 \/\n"},"logprobs":{"content":[]}}],"usage":null}`,
		`{"choices":[{"delta":{"content":"content"}},{"delta":{"content":"content"}}],"content":"content","id":"content"}`,
		`{"ID":"a","Choices":[{"Delta":{"Content":"x"}}]}`,
		`{"choices":[{"delta":{"content":"x"}}],"choices":[{"delta":{"content":"y"}}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Chunk
		if json.Unmarshal(data, &c) != nil {
			return
		}
		first := "first"
		for _, id := range []*string{new(string), &first} {
			for _, text := range []string{c.Text, strings.ToValidUTF8(c.Text[len(c.Text)/2:], "")} {
				cut := c
				cut.Text = text
				line := cut.Line(id)
				if line == nil {
					continue
				}
				require.True(t, json.Valid(line), "%s", line)
				require.NotContains(t, string(line), "\n")
				var again Chunk
				require.NoError(t, json.Unmarshal(line, &again))
				if c.text != "" {
					require.Equal(t, text, again.Text, "%s", line)
				}
			}
		}
		require.False(t, bytes.Contains(c.data, []byte("\n")))
	})
}

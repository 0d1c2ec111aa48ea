package openai

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"

	"github.com/cmmv-hive/resilience/internal/sse"
)

// A Chunk is an event of a stream, or the whole of an answer.
type Chunk struct {
	ID    string
	Text  string // of a stream's first choice; may be cut
	Usage Usage

	data    []byte // as it came, in one line; nil at [DONE]
	text    string // as it came
	choices bool
	part    bool
	last    bool
}

// Usage counts tokens.
type Usage struct {
	Input  int64 `json:"prompt_tokens"`     //nolint:tagliatelle // OpenAI's name
	Output int64 `json:"completion_tokens"` //nolint:tagliatelle // likewise
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Chunk) UnmarshalJSON(data []byte) error {
	var line bytes.Buffer
	var doc, delta fields
	if err := errors.Join(json.Compact(&line, data), json.Unmarshal(data, &doc)); err != nil {
		return err
	}
	*c = Chunk{data: line.Bytes()}
	var choices []fields
	err := errors.Join(doc.get("id", &c.ID), doc.get("usage", &c.Usage), doc.get("choices", &choices))
	c.choices = len(choices) > 0
	if !c.choices || err != nil {
		return err
	}
	var place sse.Outline
	place.See(sse.Event{Data: data})
	c.part = place.Began()
	index := 0
	err = errors.Join(choices[0].get("index", &index), choices[0].get("delta", &delta))
	if index == 0 && delta.get("content", &c.text) == nil {
		c.Text = c.text
	}
	return err
}

// fields are those of a JSON object.
type fields map[string]json.RawMessage

// get reads a field, if there is one.
func (f fields) get(name string, v any) error {
	if raw, ok := f[name]; ok {
		return json.Unmarshal(raw, v)
	}
	return nil
}

// Meaningful reports whether c has part of an answer, or ends it.
func (c Chunk) Meaningful() bool { return c.part }

// Last reports whether c ends the answer.
func (c Chunk) Last() bool { return c.last }

// Line returns c for the client, or nil if it gets nothing. Id is that of the
// answer, empty before its first chunk. An answer that goes on with another
// response keeps its ID and does not begin anew.
func (c Chunk) Line(id *string) []byte {
	*id = cmp.Or(*id, c.ID)
	other := c.ID != "" && c.ID != *id
	switch {
	case other && c.choices && !c.part:
		return nil
	case !other && c.Text == c.text:
		return c.data
	}
	var doc, delta fields
	var choices []fields
	_ = json.Unmarshal(c.data, &doc) // it was read before
	if other {
		doc["id"] = Marshal(*id)
	}
	if c.Text != c.text {
		_ = errors.Join(doc.get("choices", &choices), choices[0].get("delta", &delta))
		delta["content"] = Marshal(c.Text)
		choices[0]["delta"] = Marshal(delta)
		doc["choices"] = Marshal(choices)
	}
	return Marshal(doc)
}

// Package openai reads chat completions of OpenAI's API as they pass by, and
// changes what a gateway must.
package openai

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
)

// A Request is a client's. What the fields do not say is sent as it is.
type Request struct {
	Model     string            `json:"model"`
	Fallbacks []string          `json:"fallbacks"` // models that may stand in; not sent
	Stream    bool              `json:"stream"`
	Messages  []json.RawMessage `json:"messages"`

	fields map[string]json.RawMessage
}

// ReadRequest reads a request's body.
func ReadRequest(r io.Reader) (*Request, error) {
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	req := &Request{fields: map[string]json.RawMessage{}}
	if err := errors.Join(json.Unmarshal(body, req), json.Unmarshal(body, &req.fields)); err != nil {
		return nil, err
	}
	if req.fields == nil {
		return nil, errors.New("the body is null")
	}
	delete(req.fields, "fallbacks")
	return req, nil
}

// body asks a model.
func (r *Request) body(model string) []byte { return Marshal(r.with("model", model).fields) }

// Resume asks for the rest of an answer that broke off, by its text so far as
// the assistant's message. It reports false where there was more than a text.
func (r *Request) Resume(delivered []Chunk) (*Request, bool) {
	var text strings.Builder
	for _, c := range delivered {
		if c.Meaningful() && c.Text == "" {
			return nil, false
		}
		text.WriteString(c.Text)
	}
	so := Marshal(map[string]string{"role": "assistant", "content": text.String()})
	return r.with("messages", append(slices.Clip(r.Messages), so)), true
}

// with returns a copy of r with a field.
func (r *Request) with(name string, value any) *Request {
	next := *r
	next.fields = map[string]json.RawMessage{}
	maps.Copy(next.fields, r.fields)
	next.fields[name] = Marshal(value)
	return &next
}

// Marshal returns the JSON of strings, and of what was read from JSON.
func Marshal(v any) json.RawMessage {
	data, _ := json.Marshal(v) //nolint:errchkjson // nothing of these fails
	return data
}

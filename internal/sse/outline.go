package sse

import (
	"bytes"
	"encoding/json"
	"strings"
)

// An Outline says how far the stream of an answer has come. It knows how the
// answers of OpenAI's chat completions and Responses, of Anthropic and of
// Gemini end; of other streams only [DONE]. The zero Outline is ready to use.
type Outline struct {
	opened   bool
	began    bool
	known    bool
	complete bool
	open     uint64 // choices that have begun, a bit each
	finished uint64 // choices that have ended
}

// marks are the parts of an event that tell of its place.
type marks struct {
	Type       json.RawMessage `json:"type"`
	Choices    []choice        `json:"choices"`
	Candidates []choice        `json:"candidates"`
	Block      struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Thinking string `json:"thinking"`
	} `json:"content_block"` //nolint:tagliatelle // Anthropic's name
}

type choice struct {
	Index        uint            `json:"index"`
	Delta        json.RawMessage `json:"delta"`
	FinishReason json.RawMessage `json:"finish_reason"` //nolint:tagliatelle // OpenAI's name
	Finish       json.RawMessage `json:"finishReason"`
}

// opens reports whether m only opens an answer, and has none of it.
func (m *marks) opens(kind string) bool {
	switch kind {
	case "message_start",
		"response.created", "response.queued", "response.in_progress", "response.output_item.added", "response.content_part.added":
		return true
	case "content_block_start":
		return (m.Block.Type == "text" || m.Block.Type == "thinking") && m.Block.Text == "" && m.Block.Thinking == ""
	case "":
	default:
		return false
	}
	for _, c := range m.Choices {
		var parts map[string]json.RawMessage
		if json.Unmarshal(c.Delta, &parts) != nil || says(c.FinishReason) {
			return false
		}
		for part, v := range parts {
			if part != "role" && says(v) {
				return false
			}
		}
	}
	return m.Choices != nil
}

// See takes in the next event, which is not a [Failure].
func (o *Outline) See(ev Event) {
	data := bytes.TrimSpace(ev.Data)
	var m marks
	switch {
	case Done(data):
		o.opened, o.began, o.complete = true, true, true
		return
	case len(data) == 0:
		return
	case json.Unmarshal(data, &m) != nil:
		m = marks{}
	}
	kind := word(m.Type)
	if idle(kind) || idle(ev.Name) {
		return
	}
	o.opened = true
	o.began = o.began || !m.opens(kind)
	switch {
	case kind == "message_start":
		o.known = true
	case kind == "message_stop":
		o.complete = true
	case strings.HasPrefix(kind, "response."):
		o.known = true
		switch kind {
		case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
			o.complete = true
		}
	}
	o.choices(m.Choices)
	o.choices(m.Candidates)
}

// idle reports whether events of this name are signs of life.
func idle(name string) bool { return name == "ping" || name == "keepalive" || name == "heartbeat" }

func (o *Outline) choices(list []choice) {
	for _, c := range list {
		bit := uint64(1) << (c.Index & 63)
		o.known = true
		o.open |= bit
		if says(c.FinishReason) || says(c.Finish) {
			o.finished |= bit
		}
	}
	if len(list) > 0 {
		o.complete = o.open == o.finished
	}
}

// Opened reports whether there was an event that is not a keep-alive.
func (o *Outline) Opened() bool { return o.opened }

// Began reports whether there was one that may have a part of the answer, and
// does not only open it, as those that name a role or repeat the request.
func (o *Outline) Began() bool { return o.began }

// Complete reports whether the answer is whole, or ended as its provider meant
// it to.
func (o *Outline) Complete() bool { return o.complete }

// Cut reports whether an answer has begun that is not complete.
func (o *Outline) Cut() bool { return o.known && !o.complete }

// Blind makes o claim no more that the answer is cut: part of it was not seen.
func (o *Outline) Blind() { o.began, o.known = true, false }

package chaos

import (
	"encoding/json"
	"net/http"
)

// Anthropic's messages, as far as a client of a fake may look at them.
type anthropicRequest struct {
	Model     string          `json:"model"`
	MaxTokens int             `json:"max_tokens"`
	System    content         `json:"system"`
	Messages  []openAIMessage `json:"messages"` // of the same shape
	Stream    bool            `json:"stream"`
	Tools     []struct {
		Name string `json:"name"`
	} `json:"tools"`
}

type anthropicMessage struct {
	ID           string           `json:"id"`
	Type         string           `json:"type"`
	Role         string           `json:"role"`
	Model        string           `json:"model"`
	Content      []anthropicBlock `json:"content"`
	StopReason   *string          `json:"stop_reason"`
	StopSequence *string          `json:"stop_sequence"`
	Usage        *anthropicUsage  `json:"usage,omitempty"`
}

type anthropicBlock struct {
	Type  string          `json:"type"`
	Text  *string         `json:"text,omitempty"`
	ID    string          `json:"id,omitempty"`
	Name  string          `json:"name,omitempty"`
	Input json.RawMessage `json:"input,omitempty"`
}

type anthropicUsage struct {
	Input  *int `json:"input_tokens,omitempty"`
	Output int  `json:"output_tokens"`
}

type anthropicDelta struct {
	Type         string  `json:"type,omitempty"`
	Text         *string `json:"text,omitempty"`
	PartialJSON  *string `json:"partial_json,omitempty"`
	StopReason   *string `json:"stop_reason,omitempty"`
	StopSequence *string `json:"stop_sequence,omitempty"`
}

type anthropicEvent struct {
	Type    string            `json:"type"`
	Message *anthropicMessage `json:"message,omitempty"`
	Index   *int              `json:"index,omitempty"`
	Block   *anthropicBlock   `json:"content_block,omitempty"`
	Delta   *anthropicDelta   `json:"delta,omitempty"`
	Usage   *anthropicUsage   `json:"usage,omitempty"`
}

type anthropicAPI struct{}

func (anthropicAPI) kind() kind { return anthropic }

func (anthropicAPI) read(_ *http.Request, body []byte) (*ask, *failure) {
	var req anthropicRequest
	if json.Unmarshal(body, &req) != nil {
		return nil, refused(http.StatusBadRequest, "", "", "The request body is not valid JSON.")
	}
	q := &ask{model: req.Model, stream: req.Stream, limit: max(req.MaxTokens, 0), prompt: len(req.System)}
	for _, m := range req.Messages {
		q.turn(m.Role == "assistant", string(m.Content))
	}
	if len(req.Tools) > 0 {
		q.tool = req.Tools[0].Name
	}
	return q, nil
}

func (anthropicAPI) check(q *ask) *failure {
	switch {
	case q.model == "":
		return refused(http.StatusBadRequest, "", "", "model: Field required")
	case q.limit == 0:
		return refused(http.StatusBadRequest, "", "", "max_tokens: Field required")
	case q.turns == 0:
		return refused(http.StatusBadRequest, "", "", "messages: at least one message is required")
	}
	return nil
}

func (anthropicAPI) stop(a *answer) *string {
	reason := [...]string{endStop: "end_turn", endLength: "max_tokens", endTool: "tool_use", endFilter: "refusal"}[a.end]
	return &reason
}

func (anthropicAPI) message(a *answer, output int) *anthropicMessage {
	m := &anthropicMessage{ID: "msg_" + a.id, Type: "message", Role: "assistant", Model: a.model, Content: []anthropicBlock{}}
	if a.usage {
		m.Usage = &anthropicUsage{&a.prompt, output}
	}
	return m
}

func (anthropicAPI) block(a *answer, text string) anthropicBlock {
	if a.tool == "" {
		return anthropicBlock{Type: "text", Text: &text}
	}
	if !json.Valid([]byte(text)) { // no server can send it so: it sends what it has read
		text = "{}"
	}
	return anthropicBlock{Type: "tool_use", ID: "toolu_" + a.id, Name: a.tool, Input: json.RawMessage(text)}
}

func (api anthropicAPI) plain(a *answer) any {
	m := api.message(a, a.tokens)
	m.StopReason = api.stop(a)
	if !a.empty {
		m.Content = append(m.Content, api.block(a, a.text()))
	}
	return m
}

func (api anthropicAPI) stream(a *answer) []frame {
	var fs []frame
	add := func(p part, ev anthropicEvent) { fs = append(fs, frame{part: p, data: event(ev.Type, ev)}) }
	add(opening, anthropicEvent{Type: "message_start", Message: api.message(a, min(1, a.tokens))})
	if a.empty {
		add(opening, anthropicEvent{Type: "ping"})
	} else {
		index := 0
		none := api.block(a, "")
		add(opening, anthropicEvent{Type: "content_block_start", Index: &index, Block: &none})
		add(opening, anthropicEvent{Type: "ping"})
		for _, text := range a.pieces {
			delta := &anthropicDelta{Type: "text_delta", Text: &text}
			if a.tool != "" {
				delta = &anthropicDelta{Type: "input_json_delta", PartialJSON: &text}
			}
			add(token, anthropicEvent{Type: "content_block_delta", Index: &index, Delta: delta})
		}
		add(closing, anthropicEvent{Type: "content_block_stop", Index: &index})
	}
	last := anthropicEvent{Type: "message_delta", Delta: &anthropicDelta{StopReason: api.stop(a)}}
	if a.usage {
		last.Usage = &anthropicUsage{Output: a.tokens}
	}
	add(closing, last)
	add(marker, anthropicEvent{Type: "message_stop"})
	return fs
}

func (anthropicAPI) keepAlive() string { return event("ping", anthropicEvent{Type: "ping"}) }

func (api anthropicAPI) inBand(e failure) string { return event("error", api.failure(e)) }

func (anthropicAPI) failure(e failure) any {
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	if e.wait != 0 {
		e.text += " Please try again in " + e.wait.String() + "."
	}
	return struct {
		Type      string `json:"type"`
		Error     detail `json:"error"`
		RequestID string `json:"request_id"`
	}{"error", detail{anthropicType(e.status), e.text}, "req_" + e.id}
}

func anthropicType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	case StatusOverloaded:
		return "overloaded_error"
	}
	if status >= http.StatusInternalServerError {
		return "api_error"
	}
	return "invalid_request_error"
}

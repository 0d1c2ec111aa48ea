package chaos

import (
	"encoding/json"
	"net/http"
)

// OpenAI's chat completions, as far as a client of a fake may look at them.
type openAIRequest struct {
	Model               string          `json:"model"`
	Messages            []openAIMessage `json:"messages"`
	MaxTokens           int             `json:"max_tokens"`
	MaxCompletionTokens int             `json:"max_completion_tokens"`
	Stream              bool            `json:"stream"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Tools []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
}

type openAIMessage struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

type openAIResponse struct {
	ID      string         `json:"id"`
	Object  string         `json:"object"`
	Created int64          `json:"created"`
	Model   string         `json:"model"`
	Choices []openAIChoice `json:"choices"`
	Usage   *openAIUsage   `json:"usage,omitempty"`
}

type openAIChoice struct {
	Index        int          `json:"index"`
	Message      *openAIDelta `json:"message,omitempty"`
	Delta        *openAIDelta `json:"delta,omitempty"`
	FinishReason *string      `json:"finish_reason"`
}

type openAIDelta struct {
	Role      string       `json:"role,omitempty"`
	Content   *string      `json:"content,omitempty"`
	Refusal   *string      `json:"refusal,omitempty"`
	ToolCalls []openAICall `json:"tool_calls,omitempty"`
}

type openAICall struct {
	Index    int    `json:"index"`
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Function struct {
		Name      string `json:"name,omitempty"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type openAIUsage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

type openAIAPI struct{}

func (openAIAPI) kind() kind { return openAI }

func (openAIAPI) read(_ *http.Request, body []byte) (*ask, *failure) {
	var req openAIRequest
	if json.Unmarshal(body, &req) != nil {
		return nil, refused(http.StatusBadRequest, "", "", "We could not parse the JSON body of your request.")
	}
	q := &ask{model: req.Model, stream: req.Stream, usage: req.StreamOptions.IncludeUsage}
	for _, m := range req.Messages {
		q.turn(m.Role == "assistant", string(m.Content))
	}
	for _, n := range []int{req.MaxTokens, req.MaxCompletionTokens} {
		if n > 0 {
			q.limit = n
		}
	}
	if len(req.Tools) > 0 {
		q.tool = req.Tools[0].Function.Name
	}
	return q, nil
}

func (openAIAPI) check(q *ask) *failure {
	switch {
	case q.model == "":
		return refused(http.StatusBadRequest, "", "model", "You must provide a model parameter.")
	case q.turns == 0:
		return refused(http.StatusBadRequest, "empty_array", "messages", "Invalid 'messages': empty array.")
	}
	return nil
}

func (openAIAPI) finish(a *answer) *string {
	reason := [...]string{endStop: "stop", endLength: "length", endTool: "tool_calls", endFilter: "content_filter"}[a.end]
	return &reason
}

func (openAIAPI) response(a *answer, object string) openAIResponse {
	return openAIResponse{ID: "chatcmpl-" + a.id, Object: object, Created: a.created, Model: a.model, Choices: []openAIChoice{}}
}

func (openAIAPI) call(a *answer, args string) openAICall {
	c := openAICall{ID: "call_" + a.id, Type: "function"}
	c.Function.Name, c.Function.Arguments = a.tool, args
	return c
}

func (openAIAPI) use(a *answer) *openAIUsage {
	if !a.usage {
		return nil
	}
	return &openAIUsage{a.prompt, a.tokens, a.prompt + a.tokens}
}

func (api openAIAPI) plain(a *answer) any {
	res := api.response(a, "chat.completion")
	res.Usage = api.use(a)
	if a.empty {
		return res
	}
	text := a.text()
	message := &openAIDelta{Role: "assistant", Content: &text}
	if a.tool != "" {
		message.Content, message.ToolCalls = nil, []openAICall{api.call(a, text)}
	}
	res.Choices = append(res.Choices, openAIChoice{FinishReason: api.finish(a), Message: message})
	return res
}

func (api openAIAPI) stream(a *answer) []frame {
	chunk := func(delta openAIDelta, finish *string) string {
		res := api.response(a, "chat.completion.chunk")
		res.Choices = append(res.Choices, openAIChoice{Delta: &delta, FinishReason: finish})
		return event("", res)
	}
	var fs []frame
	if !a.empty {
		none := ""
		first := openAIDelta{Role: "assistant", Content: &none}
		if a.tool != "" {
			first = openAIDelta{Role: "assistant", ToolCalls: []openAICall{api.call(a, "")}}
		}
		fs = append(fs, frame{part: opening, data: chunk(first, nil)})
		for _, text := range a.pieces {
			delta := openAIDelta{Content: &text}
			if a.tool != "" {
				c := openAICall{}
				c.Function.Arguments = text
				delta = openAIDelta{ToolCalls: []openAICall{c}}
			}
			fs = append(fs, frame{part: token, data: chunk(delta, nil)})
		}
		fs = append(fs, frame{part: closing, data: chunk(openAIDelta{}, api.finish(a))})
	}
	if u := api.use(a); u != nil && a.to.usage {
		res := api.response(a, "chat.completion.chunk")
		res.Usage = u
		fs = append(fs, frame{part: closing, data: event("", res)})
	}
	return append(fs, frame{part: marker, data: "data: [DONE]\n\n"})
}

func (openAIAPI) keepAlive() string { return ": keep-alive\n\n" }

func (api openAIAPI) inBand(e failure) string { return event("", api.failure(e)) }

func (openAIAPI) failure(e failure) any {
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	given := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	if e.wait != 0 {
		e.text += " Please try again in " + e.wait.String() + "."
	}
	return struct {
		Error detail `json:"error"`
	}{detail{e.text, e.kind, given(e.param), given(e.code)}}
}

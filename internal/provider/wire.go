package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// The parts of OpenAI's chat completions that a client of a fake may look at.

type request struct {
	Model               string    `json:"model"`
	Messages            []message `json:"messages"`
	MaxTokens           int       `json:"max_tokens"`
	MaxCompletionTokens int       `json:"max_completion_tokens"`
	Stream              bool      `json:"stream"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type response struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   usage    `json:"usage"`
}

type choice struct {
	Index        int     `json:"index"`
	Message      message `json:"message"`
	FinishReason string  `json:"finish_reason"`
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

const defaultTokens = 128

func (r *request) promptTokens() int {
	n := 0
	for _, m := range r.Messages {
		n += len(m.Content)
	}
	return n
}

// answerTokens is the length of the answer: the longest that the client allows.
func (r *request) answerTokens() int {
	for _, n := range []int{r.MaxCompletionTokens, r.MaxTokens} {
		if n > 0 {
			return min(n, maxTokens)
		}
	}
	return defaultTokens
}

func answer(id string, req *request, f Fault, now time.Time) response {
	res := response{
		ID: "chatcmpl-" + id, Object: "chat.completion", Created: now.Unix(), Model: req.Model,
		Choices: []choice{},
		Usage:   usage{Prompt: req.promptTokens()},
	}
	switch f {
	case NoChoices:
	case Blank:
		res.Choices = append(res.Choices, choice{FinishReason: "stop", Message: message{Role: "assistant"}})
	default:
		n := req.answerTokens()
		res.Usage.Completion = n
		res.Choices = append(res.Choices, choice{FinishReason: "stop", Message: message{"assistant", strings.Repeat("a", n)}})
	}
	res.Usage.Total = res.Usage.Prompt + res.Usage.Completion
	return res
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // plain structs of strings and numbers marshal
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone, which is its right
}

func writeError(w http.ResponseWriter, status int, kind, code, param, text string) {
	ptr := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	writeJSON(w, status, errorBody{errorDetail{text, kind, ptr(param), ptr(code)}})
}

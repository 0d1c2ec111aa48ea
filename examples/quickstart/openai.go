package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/cmmv-hive/resilience"
)

// ChatRequest and ChatResponse are what this program needs of OpenAI's chat
// completions. Yours are your SDK's types.
type ChatRequest struct {
	Model               string    `json:"model"`
	Messages            []Message `json:"messages"`
	MaxCompletionTokens int       `json:"max_completion_tokens,omitempty"`
}

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// ChatResponse is an answer.
type ChatResponse struct {
	ID      string `json:"id"`
	Model   string `json:"model"`
	Choices []struct {
		Message      Message `json:"message"`
		FinishReason string  `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
	} `json:"usage"`
}

// Text returns the answer's text.
func (r *ChatResponse) Text() string {
	if r == nil || len(r.Choices) == 0 {
		return ""
	}
	return r.Choices[0].Message.Content
}

// APIError is an answer that is not one. The library reads it by its shape, as
// it does the errors of the SDKs.
type APIError struct {
	StatusCode int
	Type       string
	Code       string
	Message    string
	Header     http.Header
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.StatusCode, http.StatusText(e.StatusCode), e.Message)
}

// A Server is a model at an OpenAI-compatible server.
type Server struct {
	Model string
	Price resilience.Price
	URL   string // up to and without /chat/completions
	Key   string
	HTTP  *http.Client
}

// maxResponse bounds what is read of a response.
const maxResponse = 16 << 20

// Chat asks s for a completion.
func (s Server) Chat(ctx context.Context, in ChatRequest) (*ChatResponse, error) {
	in.Model = s.Model
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if s.Key != "" {
		req.Header.Set("Authorization", "Bearer "+s.Key)
	}
	res, err := s.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxResponse))
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, apiError(res, text)
	}
	var out ChatResponse
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("the answer is no chat completion: %w", err)
	}
	return &out, nil
}

// apiError reads what OpenAI-compatible servers say, or what else there is.
func apiError(res *http.Response, text []byte) *APIError {
	e := &APIError{StatusCode: res.StatusCode, Header: res.Header}
	var body struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Code    any    `json:"code"` // some servers send a number
		} `json:"error"`
	}
	if json.Unmarshal(text, &body) == nil && body.Error.Message != "" {
		e.Message, e.Type = body.Error.Message, body.Error.Type
		e.Code, _ = body.Error.Code.(string)
		return e
	}
	e.Message = fmt.Sprintf("%.200q", text)
	return e
}

// errNoText means that a response arrived, and has no answer in it.
var errNoText = errors.New("the response has no text")

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/sse"
)

// ChatRequest and Chunk are what this program needs of OpenAI's chat
// completions. Yours are your SDK's types.
type ChatRequest struct {
	Model         string        `json:"model"`
	Messages      []Message     `json:"messages"`
	Stream        bool          `json:"stream"`
	StreamOptions StreamOptions `json:"stream_options"`
}

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// StreamOptions ask for what a stream has only if it is asked for.
type StreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// Chunk is a part of an answer.
type Chunk struct {
	Choices []struct {
		Delta        Message `json:"delta"`
		FinishReason string  `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
	} `json:"usage"`
}

// APIError is an answer that is not one. The library reads it by its shape, as
// it does the errors of the SDKs.
type APIError struct {
	StatusCode int
	Type, Code string
	Header     http.Header
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%d %s", e.StatusCode, http.StatusText(e.StatusCode))
}

// A Server is a model at an OpenAI-compatible server.
type Server struct {
	Model string
	URL   string
	HTTP  *http.Client
}

// Stream asks for an answer in parts.
func (s Server) Stream(ctx context.Context, in ChatRequest) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		res, err := s.post(ctx, in)
		if err != nil {
			yield(Chunk{}, err)
			return
		}
		defer res.Body.Close()
		// Yours is your SDK. This decoder skips one event that is no JSON.
		events := sse.NewDecoder[Chunk](sse.NewReader(res.Body, sse.Config{}))
		for {
			chunk, err := events.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(chunk, err) || err != nil {
				return
			}
		}
	}
}

func (s Server) post(ctx context.Context, in ChatRequest) (*http.Response, error) {
	in.Model, in.Stream, in.StreamOptions.IncludeUsage = s.Model, true, true
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var doc struct {
		Error struct {
			Type string `json:"type"`
			Code string `json:"code"`
		} `json:"error"`
	}
	_ = json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&doc) // the status says enough
	return nil, &APIError{StatusCode: res.StatusCode, Type: doc.Error.Type, Code: doc.Error.Code, Header: res.Header}
}

// hooks say what the chunks mean. Continuing and asking again are what the
// library may do for this source; leave them out, and a break is an error.
var hooks = resilience.StreamHooks[ChatRequest, Chunk]{
	Meaningful: func(c Chunk) bool { return *text(&c) != "" },
	Terminal:   func(c Chunk) bool { return len(c.Choices) > 0 && c.Choices[0].FinishReason != "" },
	Usage: func(c Chunk) (resilience.Usage, bool) {
		if c.Usage == nil {
			return resilience.Usage{}, false
		}
		return resilience.Usage{Input: c.Usage.PromptTokens, Output: c.Usage.CompletionTokens}, true
	},
	Resume: func(req ChatRequest, delivered []Chunk) (ChatRequest, bool) {
		so := Message{Role: "assistant"}
		for _, c := range delivered {
			so.Content += *text(&c)
		}
		req.Messages = append(slices.Clip(req.Messages), so)
		return req, true
	},
	Text: text,
}

// text is where c has its text.
func text(c *Chunk) *string {
	if len(c.Choices) == 0 {
		return new(string)
	}
	return &c.Choices[0].Delta.Content
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/cmmv-hive/resilience"
)

// Message and Chunk are what this service needs of OpenAI's chat completions.
// Yours are your SDK's types.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Chunk is a part of an answer.
type Chunk struct {
	Choices []struct {
		Delta        Message `json:"delta"`
		FinishReason string  `json:"finish_reason"`
	} `json:"choices"`
}

func (c *Chunk) text() *string {
	if len(c.Choices) == 0 {
		return new(string)
	}
	return &c.Choices[0].Delta.Content
}

// hooks say what chunks mean, and how an answer that broke off goes on.
var hooks = resilience.StreamHooks[[]Message, Chunk]{
	Meaningful: func(c Chunk) bool { return *c.text() != "" },
	Terminal:   func(c Chunk) bool { return len(c.Choices) > 0 && c.Choices[0].FinishReason != "" },
	Text:       (*Chunk).text,
	Resume: func(messages []Message, delivered []Chunk) ([]Message, bool) {
		so := Message{Role: "assistant"}
		for _, c := range delivered {
			so.Content += *c.text()
		}
		return append(slices.Clip(messages), so), true
	},
}

const maxLine = 1 << 20

// An api asks models over HTTP. Its client has no timeout: the pool does.
type api struct{ client *http.Client }

func newAPI(over http.RoundTripper) api {
	return api{&http.Client{Transport: resilience.Tap(over)}}
}

// A refusal has its StatusCode where those of SDKs have theirs, so that its kind
// is known.
type refusal struct {
	StatusCode int
	text       string
}

// Error returns what the provider said.
func (r *refusal) Error() string { return r.text }

// do asks m, whose labels say where it is. Its keys are named after the variables
// of the environment that have them.
func (a api) do(ctx context.Context, m *resilience.Model, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, m.Info().Labels["baseURL"]+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+os.Getenv(resilience.KeyFrom(ctx)))
	res, err := a.client.Do(req)
	if err == nil && res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status says enough
		return nil, &refusal{res.StatusCode, string(text)}
	}
	return res, err
}

// list is the pool's probe. It costs nothing but the request.
func (a api) list(ctx context.Context, m *resilience.Model) error {
	res, err := a.do(ctx, m, http.MethodGet, "/models", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxLine))
	return err
}

// ask streams an answer of m.
func (a api) ask(ctx context.Context, m *resilience.Model, messages []Message) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		body, _ := json.Marshal(map[string]any{"model": m.Name(), "messages": messages, "stream": true}) // nothing in it can fail
		res, err := a.do(ctx, m, http.MethodPost, "/chat/completions", body)
		if err != nil {
			yield(Chunk{}, err)
			return
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok || data == "[DONE]" {
				continue
			}
			var c Chunk
			if err := json.Unmarshal([]byte(data), &c); !yield(c, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Chunk{}, err)
		}
	}
}

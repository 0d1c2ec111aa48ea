package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/retry"
)

// bare is a transport as it is.
func bare(base http.RoundTripper) (http.RoundTripper, error) { return base, nil }

// protected is one with the library around it. The gap is short because the
// fake is quick; leave it out.
func protected(base http.RoundTripper) (http.RoundTripper, error) {
	pool, err := resilience.NewPool(
		resilience.Timeouts{Gap: 500 * time.Millisecond}, retry.New(retry.Config{}), breaker.New(breaker.Config{}))
	if err != nil {
		return nil, err
	}
	return pool.Transport(base, modelOf), nil
}

// modelOf says which model a request is for: what its body asks for.
func modelOf(req *http.Request) string {
	if req.GetBody == nil {
		return ""
	}
	body, err := req.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	var doc struct {
		Model string `json:"model"`
	}
	_ = json.NewDecoder(body).Decode(&doc) // what has no model is passed on
	return doc.Model
}

// patience is how long the client waits for an answer to end.
const patience = 3 * time.Second

const answer = `The sky looks blue because air scatters short waves of light far more than long ones. ` +
	`Sunlight holds all colors; the blue part is thrown about and reaches the eye from all over, ` +
	`while red and yellow go straight on. At dusk the path through the air is longer, most blue is lost on it, ` +
	`and what remains is red.`

// meet asks a provider to which w happens, and says what came of it and how
// many requests the provider saw.
func (w way) meet(ctx context.Context, around func(http.RoundTripper) (http.RoundTripper, error)) (string, error) {
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{{Name: "atlas-large", Text: answer, Script: w.script}}})
	if err != nil {
		return "", err
	}
	defer p.Close()
	transport, err := around(p.Client().Transport)
	if err != nil {
		return "", err
	}
	text, err := ask(ctx, &http.Client{Transport: transport, Timeout: patience})
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	said := fmt.Sprintf("%d words", len(strings.Fields(text)))
	if err != nil {
		said += ", " + brief(err)
	}
	if n := len(p.Attempts()); n > 1 {
		said += fmt.Sprintf(", %d requests", n)
	}
	return said, nil
}

// brief is an error without its request's URL.
func brief(err error) string {
	if e, ok := errors.AsType[*resilience.Error](err); ok {
		return e.Kind.String()
	}
	if t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && t.Timeout() {
		return "timed out after " + patience.String()
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err.Error()
}

// ask streams an answer as SDKs do: an error of the provider's is one, and a
// stream that ends is at its end.
func ask(ctx context.Context, client *http.Client) (text string, err error) {
	body := []byte(`{"model": "atlas-large", "stream": true, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://provider/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, res.Body)
		return "", fmt.Errorf("status %d", res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
			Error *struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return text, err
		}
		if chunk.Error != nil {
			return text, errors.New(chunk.Error.Message)
		}
		for _, c := range chunk.Choices {
			text += c.Delta.Content
		}
	}
	return text, lines.Err()
}

package sdks

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
)

// sentence is what every model says: 20 words.
const sentence = "The sky looks blue because air scatters short waves of light far more than long ones, and those are blue."

// provider serves models over loopback, until the test ends.
func provider(t *testing.T, models ...chaos.Model) (*chaos.Provider, string) {
	t.Helper()
	return keyed(t, chaos.ProviderConfig{Models: models})
}

func keyed(t *testing.T, cfg chaos.ProviderConfig) (*chaos.Provider, string) {
	t.Helper()
	p, err := chaos.NewProvider(cfg)
	require.NoError(t, err)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	t.Cleanup(p.Close) // first: what is under way there ends
	return p, server.URL
}

func pool(t *testing.T, features ...resilience.Feature) *resilience.Pool {
	t.Helper()
	p, err := resilience.NewPool(features...)
	require.NoError(t, err)
	return p
}

func client[Req, Resp any](t *testing.T, p *resilience.Pool, opts ...resilience.ClientOption[Req, Resp]) *resilience.Client[Req, Resp] {
	t.Helper()
	c, err := resilience.NewClient(p, opts...)
	require.NoError(t, err)
	return c
}

func openAIAt(url, key string) openai.Client {
	return NewOpenAI(key, openaioption.WithBaseURL(url+"/v1"))
}

func anthropicAt(url, key string) anthropic.Client {
	return NewAnthropic(key, anthropicoption.WithBaseURL(url))
}

func geminiAt(t *testing.T, url, key string) *genai.Client {
	t.Helper()
	c, err := NewGemini(t.Context(), key, url)
	require.NoError(t, err)
	return c
}

const question = "Why is the sky blue?"

var (
	openAIQuestion = openai.ChatCompletionNewParams{
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)},
	}
	anthropicQuestion = anthropic.MessageNewParams{
		MaxTokens: 100, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(question))},
	}
	geminiQuestion = GeminiRequest{Contents: genai.Text(question)}
)

// A result is what a caller gets.
type result struct {
	text string
	rep  resilience.Report
	err  error
}

// An asker makes one call.
type asker func(ctx context.Context, opts resilience.CallOptions) result

// plain asks for a whole answer.
func plain[Req, Resp any](c *resilience.Client[Req, Resp], req Req, text func(Resp) string) asker {
	return func(ctx context.Context, opts resilience.CallOptions) result {
		resp, rep, err := c.Do(ctx, req, opts)
		r := result{rep: rep, err: err}
		if err == nil {
			r.text = text(resp)
		}
		return r
	}
}

// streamed asks for an answer in chunks, and reads it to its end.
func streamed[Req, Chunk any](c *resilience.Client[Req, *resilience.Stream[Chunk]], req Req, text func(*Chunk) *string) asker {
	return func(ctx context.Context, opts resilience.CallOptions) result {
		s, rep, err := c.Do(ctx, req, opts)
		if err != nil {
			return result{rep: rep, err: err}
		}
		var b strings.Builder
		for chunk, e := range s.All() {
			if e != nil {
				err = e
				break
			}
			if part := text(&chunk); part != nil {
				b.WriteString(*part)
			}
		}
		return result{b.String(), s.Report(), err}
	}
}

package sdks

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/cmmv-hive/resilience"
)

// NewOpenAI returns a client that leaves retries to the library, and shows it
// status and headers.
func NewOpenAI(key string, more ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{
		option.WithAPIKey(key), option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{Transport: resilience.Tap(nil)}),
	}, more...)...)
}

// OpenAIChat asks a model for an answer.
func OpenAIChat(client openai.Client, model string) resilience.Func[openai.ChatCompletionNewParams, *openai.ChatCompletion] {
	return func(ctx context.Context, req openai.ChatCompletionNewParams) (*openai.ChatCompletion, error) {
		req.Model = model
		answer, err := client.Chat.Completions.New(ctx, req)
		if err != nil {
			return nil, err
		}
		resilience.ReportUsage(ctx, openAIUsage(answer.Usage))
		if len(answer.Choices) == 0 {
			return nil, fmt.Errorf("%w: an answer without choices", resilience.Malformed)
		}
		c := answer.Choices[0]
		if err := openAIFiltered(c.FinishReason, c.Message.Refusal); err != nil {
			return nil, err
		}
		return answer, nil
	}
}

// OpenAIStream asks a model for an answer in chunks.
func OpenAIStream(client openai.Client, model string) func(context.Context, openai.ChatCompletionNewParams) iter.Seq2[openai.ChatCompletionChunk, error] {
	open := resilience.SDKStream(client.Chat.Completions.NewStreaming)
	return func(ctx context.Context, req openai.ChatCompletionNewParams) iter.Seq2[openai.ChatCompletionChunk, error] {
		req.Model = model
		req.StreamOptions.IncludeUsage = openai.Bool(true)
		return until(open(ctx, req), func(c openai.ChatCompletionChunk) error {
			if len(c.Choices) == 0 {
				return nil
			}
			return openAIFiltered(c.Choices[0].FinishReason, c.Choices[0].Delta.Refusal)
		})
	}
}

// OpenAIHooks say what the chunks mean. The server must continue an assistant's
// message for Resume to be of use: many compatible ones do, OpenAI's own begins
// anew. Leave Resume out for that.
var OpenAIHooks = resilience.StreamHooks[openai.ChatCompletionNewParams, openai.ChatCompletionChunk]{
	Meaningful: func(c openai.ChatCompletionChunk) bool {
		return len(c.Choices) > 0 && (c.Choices[0].Delta.Content != "" || len(c.Choices[0].Delta.ToolCalls) > 0)
	},
	Terminal: func(c openai.ChatCompletionChunk) bool {
		return len(c.Choices) > 0 && c.Choices[0].FinishReason != ""
	},
	Usage: func(c openai.ChatCompletionChunk) (resilience.Usage, bool) {
		return openAIUsage(c.Usage), c.Usage.TotalTokens > 0
	},
	Resume: func(req openai.ChatCompletionNewParams, delivered []openai.ChatCompletionChunk) (openai.ChatCompletionNewParams, bool) {
		var text strings.Builder
		for _, c := range delivered {
			if len(c.Choices) == 0 {
				continue
			}
			if len(c.Choices[0].Delta.ToolCalls) > 0 {
				return req, false
			}
			text.WriteString(c.Choices[0].Delta.Content)
		}
		n := len(req.Messages)
		req.Messages = append(req.Messages[:n:n], openai.AssistantMessage(text.String()))
		return req, true
	},
	Text: func(c *openai.ChatCompletionChunk) *string {
		if len(c.Choices) == 0 {
			return nil
		}
		return &c.Choices[0].Delta.Content
	},
}

// OpenAIEmbed asks a model for vectors.
func OpenAIEmbed(client openai.Client, model string) resilience.Func[openai.EmbeddingNewParams, *openai.CreateEmbeddingResponse] {
	return func(ctx context.Context, req openai.EmbeddingNewParams) (*openai.CreateEmbeddingResponse, error) {
		req.Model = model
		return client.Embeddings.New(ctx, req)
	}
}

// openAIFiltered is the error of an answer that a filter ended, with status 200.
func openAIFiltered(finish, refusal string) error {
	switch {
	case refusal != "":
		return fmt.Errorf("%w: the model refused", resilience.Filtered)
	case finish == "content_filter":
		return fmt.Errorf("%w: the answer was cut off", resilience.Filtered)
	}
	return nil
}

func openAIUsage(u openai.CompletionUsage) resilience.Usage {
	return resilience.Usage{
		Input: u.PromptTokens, CachedInput: u.PromptTokensDetails.CachedTokens,
		Output: u.CompletionTokens, Reasoning: u.CompletionTokensDetails.ReasoningTokens,
	}
}

package sdks

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"unicode"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/cmmv-hive/resilience"
)

// NewAnthropic returns a client that leaves retries to the library, and shows
// it status and headers.
func NewAnthropic(key string, more ...option.RequestOption) anthropic.Client {
	return anthropic.NewClient(append([]option.RequestOption{
		option.WithAPIKey(key), option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{Transport: resilience.Tap(nil)}),
	}, more...)...)
}

// AnthropicChat asks a model for an answer.
func AnthropicChat(client anthropic.Client, model string) resilience.Func[anthropic.MessageNewParams, *anthropic.Message] {
	return func(ctx context.Context, req anthropic.MessageNewParams) (*anthropic.Message, error) {
		req.Model = model
		answer, err := client.Messages.New(ctx, req)
		if err != nil {
			return nil, err
		}
		u := answer.Usage
		resilience.ReportUsage(ctx, anthropicUsage(u.InputTokens, u.CacheReadInputTokens, u.CacheCreationInputTokens, u.OutputTokens))
		if err := anthropicFiltered(answer.StopReason); err != nil {
			return nil, err
		}
		if len(answer.Content) == 0 {
			return nil, fmt.Errorf("%w: an answer without content", resilience.Malformed)
		}
		return answer, nil
	}
}

// AnthropicStream asks a model for an answer in events.
func AnthropicStream(client anthropic.Client, model string) func(context.Context, anthropic.MessageNewParams) iter.Seq2[anthropic.MessageStreamEventUnion, error] {
	open := resilience.SDKStream(client.Messages.NewStreaming)
	return func(ctx context.Context, req anthropic.MessageNewParams) iter.Seq2[anthropic.MessageStreamEventUnion, error] {
		req.Model = model
		return until(open(ctx, req), func(e anthropic.MessageStreamEventUnion) error {
			return anthropicFiltered(e.Delta.StopReason)
		})
	}
}

// AnthropicHooks say what the events mean. Models that do not continue an
// assistant's message refuse the request of Resume, and Text takes its turn.
var AnthropicHooks = resilience.StreamHooks[anthropic.MessageNewParams, anthropic.MessageStreamEventUnion]{
	Meaningful: func(e anthropic.MessageStreamEventUnion) bool {
		return e.Delta.Text != "" || e.Delta.Thinking != "" || e.Delta.PartialJSON != "" || e.ContentBlock.Type == "tool_use"
	},
	Terminal: func(e anthropic.MessageStreamEventUnion) bool {
		return e.Delta.StopReason != "" || e.Type == "message_stop"
	},
	Usage: func(e anthropic.MessageStreamEventUnion) (resilience.Usage, bool) {
		switch e.Type {
		case "message_start":
			u := e.Message.Usage
			return anthropicUsage(u.InputTokens, u.CacheReadInputTokens, u.CacheCreationInputTokens, u.OutputTokens), true
		case "message_delta": // the input is there only if it has changed
			return resilience.Usage{Output: e.Usage.OutputTokens}, true
		}
		return resilience.Usage{}, false
	},
	Resume: func(req anthropic.MessageNewParams, delivered []anthropic.MessageStreamEventUnion) (anthropic.MessageNewParams, bool) {
		var text strings.Builder
		for _, e := range delivered {
			if e.Type == "content_block_start" && e.ContentBlock.Type != "text" {
				return req, false
			}
			text.WriteString(e.Delta.Text)
		}
		so := text.String()
		if strings.TrimRightFunc(so, unicode.IsSpace) != so {
			return req, false // is refused
		}
		n := len(req.Messages)
		req.Messages = append(req.Messages[:n:n], anthropic.NewAssistantMessage(anthropic.NewTextBlock(so)))
		return req, true
	},
	Text: func(e *anthropic.MessageStreamEventUnion) *string { return &e.Delta.Text },
}

// anthropicFiltered is the error of an answer that ended as a refusal, with
// status 200.
func anthropicFiltered(stop anthropic.StopReason) error {
	if stop == anthropic.StopReasonRefusal {
		return fmt.Errorf("%w: the model refused", resilience.Filtered)
	}
	return nil
}

// anthropicUsage counts what Anthropic counts apart as parts of the input.
func anthropicUsage(input, read, written, output int64) resilience.Usage {
	return resilience.Usage{Input: input + read + written, CachedInput: read, CacheWrite: written, Output: output}
}

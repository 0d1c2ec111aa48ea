package sdks

import (
	"context"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
	"google.golang.org/genai"

	"github.com/cmmv-hive/resilience"
)

// A Chat is a conversation, whoever answers.
type Chat struct {
	Turns     []Turn
	MaxTokens int64
}

// A Turn is what one side said.
type Turn struct {
	Assistant bool
	Text      string
}

// A Part is a part of an answer that comes as a stream.
type Part struct{ Text string }

// ChatHooks let a stream that broke go on, at the same provider or another.
var ChatHooks = resilience.StreamHooks[Chat, Part]{
	Meaningful: func(p Part) bool { return p.Text != "" },
	Resume: func(c Chat, delivered []Part) (Chat, bool) {
		var so strings.Builder
		for _, p := range delivered {
			so.WriteString(p.Text)
		}
		n := len(c.Turns)
		c.Turns = append(c.Turns[:n:n], Turn{Assistant: true, Text: so.String()})
		return c, true
	},
	Text: func(p *Part) *string { return &p.Text },
}

// ChatOpenAI is [OpenAIChat] of the common types.
func ChatOpenAI(client openai.Client, model string) resilience.Func[Chat, string] {
	return resilience.Adapt(OpenAIChat(client, model), toOpenAI, func(answer *openai.ChatCompletion) (string, error) {
		return answer.Choices[0].Message.Content, nil
	})
}

// StreamOpenAI is [OpenAIStream] of the common types. Its hooks are [ChatHooks].
func StreamOpenAI(client openai.Client, model string, hooks resilience.StreamHooks[Chat, Part]) resilience.Func[Chat, *resilience.Stream[Part]] {
	return resilience.AdaptStream(resilience.StreamOf(OpenAIStream(client, model), OpenAIHooks), toOpenAI,
		func(c openai.ChatCompletionChunk) (Part, bool, error) { return part(OpenAIHooks.Text(&c)) }, hooks)
}

func toOpenAI(_ context.Context, _ *resilience.Model, c Chat) (openai.ChatCompletionNewParams, error) {
	req := openai.ChatCompletionNewParams{MaxCompletionTokens: openai.Int(c.MaxTokens)}
	for _, t := range c.Turns {
		if t.Assistant {
			req.Messages = append(req.Messages, openai.AssistantMessage(t.Text))
		} else {
			req.Messages = append(req.Messages, openai.UserMessage(t.Text))
		}
	}
	return req, nil
}

// ChatAnthropic is [AnthropicChat] of the common types.
func ChatAnthropic(client anthropic.Client, model string) resilience.Func[Chat, string] {
	return resilience.Adapt(AnthropicChat(client, model), toAnthropic, func(answer *anthropic.Message) (string, error) {
		var text strings.Builder
		for _, block := range answer.Content {
			text.WriteString(block.Text)
		}
		return text.String(), nil
	})
}

// StreamAnthropic is [AnthropicStream] of the common types. Its hooks are
// [ChatHooks].
func StreamAnthropic(client anthropic.Client, model string, hooks resilience.StreamHooks[Chat, Part]) resilience.Func[Chat, *resilience.Stream[Part]] {
	return resilience.AdaptStream(resilience.StreamOf(AnthropicStream(client, model), AnthropicHooks), toAnthropic,
		func(e anthropic.MessageStreamEventUnion) (Part, bool, error) { return part(&e.Delta.Text) }, hooks)
}

func toAnthropic(_ context.Context, _ *resilience.Model, c Chat) (anthropic.MessageNewParams, error) {
	req := anthropic.MessageNewParams{MaxTokens: c.MaxTokens}
	for _, t := range c.Turns {
		if t.Assistant {
			req.Messages = append(req.Messages, anthropic.NewAssistantMessage(anthropic.NewTextBlock(t.Text)))
		} else {
			req.Messages = append(req.Messages, anthropic.NewUserMessage(anthropic.NewTextBlock(t.Text)))
		}
	}
	return req, nil
}

// ChatGemini is [GeminiChat] of the common types.
func ChatGemini(client *genai.Client, model string) resilience.Func[Chat, string] {
	return resilience.Adapt(GeminiChat(client, model), toGemini, func(answer *genai.GenerateContentResponse) (string, error) {
		return answer.Text(), nil
	})
}

// StreamGemini is [GeminiStream] of the common types. Its hooks are [ChatHooks].
func StreamGemini(client *genai.Client, model string, hooks resilience.StreamHooks[Chat, Part]) resilience.Func[Chat, *resilience.Stream[Part]] {
	return resilience.AdaptStream(resilience.StreamOf(GeminiStream(client, model), GeminiHooks), toGemini,
		func(r *genai.GenerateContentResponse) (Part, bool, error) { return part(GeminiHooks.Text(&r)) }, hooks)
}

func toGemini(_ context.Context, _ *resilience.Model, c Chat) (GeminiRequest, error) {
	req := GeminiRequest{Config: &genai.GenerateContentConfig{MaxOutputTokens: int32(min(c.MaxTokens, 1<<20))}}
	for _, t := range c.Turns {
		role := genai.Role(genai.RoleUser)
		if t.Assistant {
			role = genai.RoleModel
		}
		req.Contents = append(req.Contents, genai.NewContentFromText(t.Text, role))
	}
	return req, nil
}

// part is a chunk's text, if it has any.
func part(text *string) (p Part, ok bool, err error) {
	if text == nil || *text == "" {
		return Part{}, false, nil
	}
	return Part{*text}, true, nil
}

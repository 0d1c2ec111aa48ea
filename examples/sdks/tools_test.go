package sdks

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/shared"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// object is the schema of a tool's arguments and of structured answers.
var object = map[string]any{
	"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
}

// openAITools and those below declare a tool.
func openAITools() openai.ChatCompletionNewParams {
	req := openAIQuestion
	req.Tools = []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "weather", Parameters: object}),
	}
	return req
}

func anthropicTools() anthropic.MessageNewParams {
	req := anthropicQuestion
	req.Tools = []anthropic.ToolUnionParam{
		anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{Properties: object["properties"], Required: []string{"city"}}, "weather"),
	}
	return req
}

func geminiTools() GeminiRequest {
	req := geminiQuestion
	req.Config = &genai.GenerateContentConfig{Tools: []*genai.Tool{{
		FunctionDeclarations: []*genai.FunctionDeclaration{{Name: "weather", ParametersJsonSchema: object}},
	}}}
	return req
}

// steady is a pool that is quick to go on.
func steady(t *testing.T, more ...resilience.Feature) *resilience.Pool {
	t.Helper()
	return pool(t, append([]resilience.Feature{
		resilience.Timeouts{Attempt: 5 * time.Second, FirstChunk: 5 * time.Second},
		fallback.New(fallback.Config{}), retry.New(retry.Config{Base: time.Millisecond}), breaker.New(breaker.Config{}),
	}, more...)...)
}

// toolStreams ask two models, and return the arguments of the tool's call.
func toolStreams(t *testing.T, url string) map[string]asker {
	t.Helper()
	o, a, g := openAIAt(url, "key"), anthropicAt(url, "key"), geminiAt(t, url, "key")
	return map[string]asker{
		"openai": streamed(client(t, steady(t),
			resilience.BindStream(gpt, OpenAIStream(o, gpt), OpenAIHooks), resilience.BindStream(claude, OpenAIStream(o, claude), OpenAIHooks)),
			openAITools(), func(c *openai.ChatCompletionChunk) *string {
				if len(c.Choices) == 0 || len(c.Choices[0].Delta.ToolCalls) == 0 {
					return nil
				}
				return &c.Choices[0].Delta.ToolCalls[0].Function.Arguments
			}),
		"anthropic": streamed(client(t, steady(t),
			resilience.BindStream(gpt, AnthropicStream(a, gpt), AnthropicHooks), resilience.BindStream(claude, AnthropicStream(a, claude), AnthropicHooks)),
			anthropicTools(), func(e *anthropic.MessageStreamEventUnion) *string { return &e.Delta.PartialJSON }),
		"gemini": streamed(client(t, steady(t),
			resilience.BindStream(gpt, GeminiStream(g, gpt), GeminiHooks), resilience.BindStream(claude, GeminiStream(g, claude), GeminiHooks)),
			geminiTools(), func(r **genai.GenerateContentResponse) *string {
				calls := (*r).FunctionCalls()
				if len(calls) == 0 {
					return nil
				}
				return new(string(must(json.Marshal(calls[0].Args))))
			}),
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// anthropicText are the events of a text.
func anthropicText(t *testing.T, text string) []anthropic.MessageStreamEventUnion {
	t.Helper()
	var e anthropic.MessageStreamEventUnion
	require.NoError(t, json.Unmarshal(fmt.Appendf(nil, `{"type": "content_block_delta", "delta": {"type": "text_delta", "text": %q}}`, text), &e))
	return []anthropic.MessageStreamEventUnion{e}
}

// Arguments of more than 64 KiB come whole, in many parts or in one line, also
// from the model that answers in another's place.
func TestTools(t *testing.T) {
	long := `{"city":"` + strings.Repeat("Llanfairpwllgwyngyll ", 4000) + `"}`
	require.Greater(t, len(long), 80_000)
	for name, ask := range map[string]func(url string) asker{
		"openai":    func(url string) asker { return toolStreams(t, url)["openai"] },
		"anthropic": func(url string) asker { return toolStreams(t, url)["anthropic"] },
		"gemini":    func(url string) asker { return toolStreams(t, url)["gemini"] },
	} {
		for _, f := range []chaos.Fault{{}, {Name: chaos.LongLine}} {
			t.Run(name+" "+f.String(), func(t *testing.T) {
				p, url := provider(t,
					chaos.Model{Name: gpt, Script: []chaos.Fault{{Name: chaos.QuotaSpent}}},
					chaos.Model{Name: claude, Arguments: long, Script: []chaos.Fault{f}})
				got := ask(url)(t.Context(), resilience.CallOptions{})
				require.NoError(t, got.err)
				require.Equal(t, long, got.text)
				require.Equal(t, claude, got.rep.Model.ID())
				require.Len(t, p.Attempts(), 2)
			})
		}
	}
}

// forecast is a structured answer.
type forecast struct {
	City string `json:"city"`
}

// A model's answer that does not fit the schema goes to the next model.
func TestStructuredOutput(t *testing.T) {
	p, url := provider(t,
		chaos.Model{Name: gpt, Text: `{"city": 7}`},
		chaos.Model{Name: claude, Text: `{"city": "Oslo"}`})
	c := openAIAt(url, "key")
	valid := func(_ openai.ChatCompletionNewParams, answer *openai.ChatCompletion) error {
		var f forecast
		if err := json.Unmarshal([]byte(answer.Choices[0].Message.Content), &f); err != nil {
			return err
		}
		if f.City == "" {
			return errors.New("no city")
		}
		return nil
	}
	chat := client(t, steady(t),
		resilience.Bind(gpt, OpenAIChat(c, gpt)), resilience.Bind(claude, OpenAIChat(c, claude)),
		resilience.Hooks[openai.ChatCompletionNewParams, *openai.ChatCompletion]{Validate: valid})
	req := openAIQuestion
	req.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{
		OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: "forecast", Schema: object, Strict: openai.Bool(true),
		}},
	}
	answer, rep, err := chat.Do(t.Context(), req, resilience.CallOptions{})
	require.NoError(t, err)
	require.JSONEq(t, `{"city": "Oslo"}`, answer.Choices[0].Message.Content)
	require.Equal(t, []string{gpt + " malformed", claude + " ok"}, steps(rep))
	require.Len(t, p.Attempts(), 2)

	_, err = chat.Pin(gpt).Call(t.Context(), req)
	require.ErrorIs(t, err, resilience.Malformed)
	require.True(t, chat.Pool().Model(gpt).Available(), "it says nothing against the model")
}

// Vectors of two models do not mix: a call names the model, and its deployments
// stand in for each other.
func TestEmbeddings(t *testing.T) {
	const small, large = "text-embedding-3-small", "text-embedding-3-large"
	p, url := provider(t,
		chaos.Model{Name: "east", Script: []chaos.Fault{{Name: chaos.QuotaSpent}}}, chaos.Model{Name: "west"},
		chaos.Model{Name: large}, chaos.Model{Name: gpt, Text: sentence})
	c := openAIAt(url, "key")
	shared := steady(t, resilience.Models(
		resilience.ModelInfo{ID: "small-east", Name: small}, resilience.ModelInfo{ID: "small-west", Name: small},
		resilience.ModelInfo{ID: large}, resilience.ModelInfo{ID: gpt}))
	chat := client(t, shared, resilience.Bind(gpt, OpenAIChat(c, gpt)))
	embed := client(t, shared, resilience.Bind("small-east", OpenAIEmbed(c, "east")),
		resilience.Bind("small-west", OpenAIEmbed(c, "west")), resilience.Bind(large, OpenAIEmbed(c, large)))

	req := openai.EmbeddingNewParams{Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("sky")}}
	vectors, rep, err := embed.Do(t.Context(), req, resilience.CallOptions{Model: small})
	require.NoError(t, err)
	require.NotEmpty(t, vectors.Data[0].Embedding)
	require.Equal(t, []string{"small-east quota_spent", "small-west ok"}, steps(rep))

	require.NoError(t, shared.Model("small-west").Drain(t.Context(), resilience.Control{Actor: "test", Reason: "gone"}))
	_, rep, err = embed.Do(t.Context(), req, resilience.CallOptions{Model: small})
	require.ErrorIs(t, err, resilience.Rejected)
	require.Empty(t, rep.Attempts)
	for _, a := range p.Attempts() {
		require.NotEqual(t, large, a.Model)
	}
	_, err = chat.Call(t.Context(), openAIQuestion)
	require.NoError(t, err)
}

// Each key is a deployment of the same model. One that is revoked or spent is
// held, and the others go on.
func TestSeveralKeys(t *testing.T) {
	for fault, by := range map[chaos.FaultName]resilience.HoldBy{
		chaos.KeyRevoked: resilience.HoldCredential, chaos.QuotaSpent: resilience.HoldQuota,
	} {
		t.Run(string(fault), func(t *testing.T) {
			p, url := keyed(t, chaos.ProviderConfig{
				Models: []chaos.Model{{Text: sentence}}, Keys: map[string]chaos.Fault{"sk-1": {Name: fault}},
			})
			shared := steady(t, resilience.Models(
				resilience.ModelInfo{ID: "gpt-5/1", Name: gpt}, resilience.ModelInfo{ID: "gpt-5/2", Name: gpt}))
			chat := client(t, shared,
				resilience.Bind("gpt-5/1", OpenAIChat(openAIAt(url, "sk-1"), gpt)),
				resilience.Bind("gpt-5/2", OpenAIChat(openAIAt(url, "sk-2"), gpt)))
			for range 5 {
				_, rep, err := chat.Do(t.Context(), openAIQuestion, resilience.CallOptions{Model: gpt})
				require.NoError(t, err)
				require.Equal(t, "gpt-5/2", rep.Model.ID())
				require.False(t, rep.Substituted, "it is the same model")
			}
			require.Equal(t, by, shared.Model("gpt-5/1").Holds()[0].By)
			require.Empty(t, shared.Model("gpt-5/2").Holds())
			keys := map[string]int{}
			for _, a := range p.Attempts() {
				keys[a.Key]++
			}
			require.Equal(t, map[string]int{chaos.Fingerprint("sk-1"): 1, chaos.Fingerprint("sk-2"): 5}, keys)
		})
	}
}

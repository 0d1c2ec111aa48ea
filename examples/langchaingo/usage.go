package langchaingo

import (
	"cmp"
	"reflect"

	"github.com/tmc/langchaingo/llms"

	"github.com/cmmv-hive/resilience"
)

// usage reads what the framework's packages for OpenAI, Anthropic, Gemini and
// Ollama note beside an answer. Choices of one answer repeat it. Anthropic
// counts what its cache read and wrote apart from the input.
func usage(answer *llms.ContentResponse) resilience.Usage {
	if answer == nil || len(answer.Choices) == 0 || answer.Choices[0] == nil {
		return resilience.Usage{}
	}
	count := func(name string) int64 {
		if v := reflect.ValueOf(answer.Choices[0].GenerationInfo[name]); v.CanInt() {
			return v.Int()
		}
		return 0
	}
	read, written := count("CacheReadInputTokens"), count("CacheCreationInputTokens")
	return resilience.Usage{
		Input:       cmp.Or(count("PromptTokens"), count("InputTokens")+read+written),
		CachedInput: cmp.Or(count("PromptCachedTokens"), read),
		CacheWrite:  written,
		Output:      cmp.Or(count("CompletionTokens"), count("OutputTokens")),
		Reasoning:   count("ReasoningTokens"),
	}
}

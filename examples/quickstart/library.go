package main

import (
	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

// Chat asks whichever model is best placed to answer.
type Chat = *resilience.Client[ChatRequest, *ChatResponse]

// protect puts the library between a service and the models that it may ask,
// the preferred one first. The config would be empty but for the pace, at which
// an hour of trouble passes in half a minute, and the last resort.
func protect(models []Server, at pace) (Chat, error) {
	pool, err := resilience.NewPool(stack.New(at.stack()), declared(models))
	if err != nil {
		return nil, err
	}
	options := []resilience.ClientOption[ChatRequest, *ChatResponse]{
		resilience.Hooks[ChatRequest, *ChatResponse]{Usage: tokens, Validate: hasText},
	}
	for _, m := range models {
		options = append(options, resilience.BindFunc(m.Model, m.Chat))
	}
	return resilience.NewClient(pool, options...)
}

// protectOne is the library for a service of one model that wants retries and
// no more.
func protectOne(model Server, at pace) Chat {
	return resilience.Wrap(resilience.FuncOf(model.Chat), retry.New(at.retry()))
}

func declared(models []Server) resilience.Feature {
	infos := make([]resilience.ModelInfo, len(models))
	for i, m := range models {
		infos[i] = resilience.ModelInfo{ID: m.Model, Tier: i, Price: m.Price}
	}
	return resilience.Models(infos...)
}

func tokens(_ ChatRequest, res *ChatResponse) resilience.Usage {
	return resilience.Usage{Input: res.Usage.PromptTokens, Output: res.Usage.CompletionTokens}
}

// hasText rejects what arrived and is no answer; another model may do better.
func hasText(_ ChatRequest, res *ChatResponse) error {
	if res.Text() == "" {
		return errNoText
	}
	return nil
}

package langchaingo

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tmc/langchaingo/llms"

	"github.com/cmmv-hive/resilience"
)

var blue = &scripted{words: []string{"so ", "blue"}, stop: "stop"}

func TestGenerateContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, rep := protect(t, newPool(t), &scripted{broken: overloaded}, blue)
		resp, err := l.GenerateContent(resilience.WithOptions(t.Context(), resilience.CallOptions{Op: "ask"}), question)
		require.NoError(t, err)
		require.Equal(t, "so blue", resp.Choices[0].Content)
		require.Equal(t, "b", rep.Model.ID())
		require.Equal(t, "ask", rep.Op)
		require.Equal(t, resilience.Overloaded, rep.Attempts[0].Kind)
		require.Equal(t, 529, rep.Attempts[0].Status)
		require.Equal(t, used, rep.Usage)
	})
}

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, rep := protect(t, newPool(t), &scripted{broken: overloaded}, blue)
		l.Report = nil
		said, err := l.Call(t.Context(), "why?")
		require.NoError(t, err)
		require.Equal(t, "so blue", said)
		require.Zero(t, *rep)
	})
}

// TestAllFail gives one error, the providers' own behind it.
func TestAllFail(t *testing.T) {
	var said string
	for name, options := range map[string][]llms.CallOption{"whole": nil, "streamed": {into(&said)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, rep := protect(t, newPool(t), &scripted{broken: overloaded}, &scripted{broken: overloaded})
				_, err := l.GenerateContent(t.Context(), question, options...)
				require.ErrorIs(t, err, resilience.Overloaded)
				require.ErrorIs(t, err, overloaded)
				require.Nil(t, rep.Model)
				require.GreaterOrEqual(t, len(rep.Attempts), 2)
				require.Empty(t, said)
			})
		})
	}
}

// TestCanceledByTheCaller says nothing against the model, and asks no other.
func TestCanceledByTheCaller(t *testing.T) {
	var said string
	for name, c := range map[string]struct {
		a       *scripted
		options []llms.CallOption
	}{
		"whole":             {&scripted{hang: true}, nil},
		"before any text":   {&scripted{hang: true}, []llms.CallOption{into(&said)}},
		"after text":        {&scripted{words: []string{"so "}, hang: true}, []llms.CallOption{into(&said)}},
		"taken for the end": {&scripted{words: []string{"so "}, hang: true, deaf: true, stop: "stop"}, []llms.CallOption{into(&said)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t)
				b := &scripted{}
				l, rep := protect(t, p, c.a, b)
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					synctest.Wait()
					cancel()
				}()
				_, err := l.GenerateContent(ctx, question, c.options...)
				require.ErrorIs(t, err, resilience.Canceled)
				require.ErrorIs(t, err, context.Canceled)
				require.Len(t, rep.Attempts, 1)
				require.Zero(t, b.calls)
				require.Zero(t, p.Model("a").Stats(time.Minute).Failures)
				require.NoError(t, p.Drain(t.Context()))
			})
		})
	}
}

// TestOptions go to every model, but for a name that only one would know.
func TestOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said string
		a, b := &scripted{broken: overloaded}, &scripted{words: []string{"so"}, stop: "stop"}
		l, rep := protect(t, newPool(t), a, b)
		tools := []llms.Tool{{Type: "function", Function: &llms.FunctionDefinition{Name: "weather"}}}
		for _, more := range [][]llms.CallOption{nil, {into(&said)}} {
			_, err := l.GenerateContent(t.Context(), question, append(more, llms.WithTools(tools), llms.WithTemperature(0.5))...)
			require.NoError(t, err)
			for _, m := range []*scripted{a, b} {
				require.Equal(t, tools, m.asked.Tools)
				require.InDelta(t, 0.5, m.asked.Temperature, 0)
				require.Equal(t, "its own", m.asked.Model)
				require.Equal(t, more != nil, m.asked.StreamingFunc != nil)
				require.Nil(t, m.asked.StreamingReasoningFunc)
			}
		}
		a.calls = 0
		for _, more := range [][]llms.CallOption{nil, {into(&said)}} {
			_, err := l.GenerateContent(t.Context(), question, append(more, llms.WithModel("b"))...)
			require.NoError(t, err)
			require.Len(t, rep.Attempts, 1)
			require.Equal(t, "its own", b.asked.Model)
			require.Zero(t, a.calls)
		}
		_, err := l.Call(t.Context(), "why?", llms.WithModel("bb"))
		require.ErrorIs(t, err, resilience.NotFound)
		require.ErrorContains(t, err, `no model "bb" is bound`)
	})
}

func TestNewRefuses(t *testing.T) {
	for want, models := range map[string][]Model{
		"langchaingo.models.a: the model is nil": {{ID: "a"}},
		"client: binds no model":                 nil,
		"name is empty":                          {{Model: blue}},
		"client.bind.a: is bound twice":          {{ID: "a", Model: blue}, {ID: "a", Model: blue}},
	} {
		_, err := New(newPool(t), models...)
		require.ErrorContains(t, err, want)
	}
}

// TestUsage reads what each of the framework's packages writes.
func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		info map[string]any
		want resilience.Usage
	}{
		"openai":    {map[string]any{"PromptTokens": 7, "PromptCachedTokens": 2, "CompletionTokens": 5, "ReasoningTokens": 1, "ThinkingTokens": 1}, used},
		"anthropic": {map[string]any{"InputTokens": 3, "CacheReadInputTokens": 2, "CacheCreationInputTokens": 4, "OutputTokens": 5}, resilience.Usage{Input: 9, CachedInput: 2, CacheWrite: 4, Output: 5}},
		"googleai":  {map[string]any{"PromptTokens": int32(7), "CacheReadInputTokens": int32(2), "CompletionTokens": int32(5), "ThinkingTokens": 0}, resilience.Usage{Input: 7, CachedInput: 2, Output: 5}},
		"another":   {map[string]any{"PromptTokens": "7", "CompletionTokens": nil}, resilience.Usage{}},
	} {
		require.Equal(t, c.want, usage(&llms.ContentResponse{Choices: []*llms.ContentChoice{{GenerationInfo: c.info}, {GenerationInfo: c.info}}}), name)
	}
	require.Zero(t, usage(nil))
	require.Zero(t, usage(&llms.ContentResponse{}))
	require.Zero(t, usage(&llms.ContentResponse{Choices: []*llms.ContentChoice{nil}}))
}

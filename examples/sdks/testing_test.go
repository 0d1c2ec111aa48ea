package sdks

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"
	"gopkg.in/dnaeon/go-vcr.v4/pkg/cassette"
	"gopkg.in/dnaeon/go-vcr.v4/pkg/recorder"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/chaos/chaostest"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

// Two models that do as they are told, in order.
func TestByScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := &resilience.Error{Kind: resilience.RateLimited, RetryAfter: 3 * time.Second}
		first := chaos.Script[string, string](chaos.Fail(busy), chaos.Reply("Air scatters blue."), chaos.Fail(resilience.QuotaSpent))
		second := chaos.Script[string, string](chaos.Reply("It is the air."), chaos.Fail(resilience.Overloaded))
		chat := fallback.Wrap(fallback.Config{}, retry.Wrap(first, retry.Config{}), second)

		start := time.Now()
		answer, err := chat.Call(t.Context(), "Why is the sky blue?")
		require.NoError(t, err)
		require.Equal(t, "Air scatters blue.", answer)
		require.GreaterOrEqual(t, time.Since(start), 3*time.Second) // of the bubble's time

		answer, err = chat.Call(t.Context(), "Why is the sky blue?")
		require.NoError(t, err)
		require.Equal(t, "It is the air.", answer)

		_, err = chat.Call(t.Context(), "Why is the sky blue?")
		require.ErrorIs(t, err, resilience.QuotaSpent, "the last step is played again and again")
		require.Len(t, first.Requests(), 4)
	})
}

// What the service's features make of ten kinds of trouble.
func TestMyStackSurvives(t *testing.T) {
	chaostest.Suite(t, func() []resilience.Feature {
		return []resilience.Feature{stack.New(stack.Config{Retry: retry.Config{Attempts: 2}})}
	})
}

// service is what is under test: two models behind a pool, through the SDK.
func service(transport http.RoundTripper, more ...option.RequestOption) (*resilience.Client[openai.ChatCompletionNewParams, *resilience.Stream[openai.ChatCompletionChunk]], error) {
	pool, err := resilience.NewPool(resilience.Timeouts{},
		fallback.New(fallback.Config{}), retry.New(retry.Config{}), breaker.New(breaker.Config{}))
	if err != nil {
		return nil, err
	}
	client := NewOpenAI("any", append(more, option.WithHTTPClient(&http.Client{Transport: resilience.Tap(transport)}))...)
	return resilience.NewClient(pool,
		resilience.BindStream("gpt-5", OpenAIStream(client, "gpt-5"), OpenAIHooks),
		resilience.BindStream("gpt-5-mini", OpenAIStream(client, "gpt-5-mini"), OpenAIHooks))
}

// read asks the service, and returns the whole text.
func read(ctx context.Context, chat *resilience.Client[openai.ChatCompletionNewParams, *resilience.Stream[openai.ChatCompletionChunk]]) (string, resilience.Report, error) {
	stream, rep, err := chat.Do(ctx, openai.ChatCompletionNewParams{
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Why is the sky blue?")},
	}, resilience.CallOptions{})
	if err != nil {
		return "", rep, err
	}
	var text string
	for chunk, err := range stream.All() {
		if err != nil {
			return text, stream.Report(), err
		}
		if part := OpenAIHooks.Text(&chunk); part != nil {
			text += *part
		}
	}
	return text, stream.Report(), nil
}

// A model that falls silent costs half a minute: here it takes no time.
func TestInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{
			{Name: "gpt-5", Text: "Air scatters blue most.", Script: []chaos.Fault{{Name: chaos.Stall, Tokens: 2}}},
			{Name: "gpt-5-mini", Text: "Air scatters blue most."},
		}})
		require.NoError(t, err)
		defer p.Close()
		chat, err := service(p.Client().Transport)
		require.NoError(t, err)

		start := time.Now()
		text, rep, err := read(t.Context(), chat)
		require.NoError(t, err)
		require.Equal(t, "Air scatters blue most.", text)
		require.True(t, rep.Rescued)
		require.Equal(t, "gpt-5-mini", rep.Model.ID())
		require.Equal(t, 30*time.Second, time.Since(start).Round(time.Second)) // Timeouts.Gap

		seen := p.Attempts()
		require.Len(t, seen, 2)
		require.Equal(t, len("Air scatters"), seen[1].Prefill, "it was asked to continue")
	})
}

// A server of its own is for what runs in another process, and for what only
// sockets do. Its time is real, so its faults should be quick.
func TestOverLoopback(t *testing.T) {
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{
		{Name: "gpt-5", Text: "Air scatters blue most.", Script: []chaos.Fault{{Name: chaos.CutByReset, Tokens: 2}}},
		{Name: "gpt-5-mini", Text: "Air scatters blue most."},
	}})
	require.NoError(t, err)
	defer p.Close()
	server := httptest.NewServer(p)
	defer server.Close()
	chat, err := service(nil, option.WithBaseURL(server.URL+"/v1"))
	require.NoError(t, err)

	text, rep, err := read(t.Context(), chat)
	require.NoError(t, err)
	require.Equal(t, "Air scatters blue most.", text)
	require.True(t, rep.Rescued)
}

// tape records what goes to next, or replays it without next. It keeps no key.
func tape(name string, mode recorder.Mode, next http.RoundTripper) (*recorder.Recorder, error) {
	return recorder.New(name, recorder.WithMode(mode), recorder.WithRealTransport(next),
		recorder.WithSkipRequestLatency(true),
		recorder.WithMatcher(func(r *http.Request, rec cassette.Request) bool {
			body, err := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			return err == nil && r.Method == rec.Method && r.URL.String() == rec.URL && string(body) == rec.Body
		}),
		recorder.WithHook(func(i *cassette.Interaction) error {
			i.Request.Headers.Del("Authorization")
			return nil
		}, recorder.AfterCaptureHook))
}

func TestRecordAndReplay(t *testing.T) {
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{ // or the real thing, once
		{Name: "gpt-5", Text: "Air scatters blue most.", Script: []chaos.Fault{{Status: 429, Wait: 20 * time.Millisecond, WaitAs: chaos.WaitMillis}}},
	}})
	require.NoError(t, err)
	defer p.Close()
	server := httptest.NewServer(p)
	defer server.Close()
	name := filepath.Join(t.TempDir(), "sky") // or testdata

	for _, mode := range []recorder.Mode{recorder.ModeRecordOnly, recorder.ModeReplayOnly} {
		rec, err := tape(name, mode, http.DefaultTransport)
		require.NoError(t, err)
		chat, err := service(rec, option.WithBaseURL(server.URL+"/v1"))
		require.NoError(t, err)

		text, rep, err := read(t.Context(), chat)
		require.NoError(t, err)
		require.Equal(t, "Air scatters blue most.", text)
		require.Len(t, rep.Attempts, 2)
		require.Equal(t, resilience.RateLimited, rep.Attempts[0].Kind)
		require.NotEmpty(t, rep.Attempts[0].RequestID, "the tap is above the tape")
		require.NoError(t, rec.Stop())
		server.Close() // the second time nobody is asked
	}
	tape, err := os.ReadFile(name + ".yaml")
	require.NoError(t, err)
	require.NotContains(t, string(tape), "Bearer")
}

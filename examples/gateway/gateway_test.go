package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/internal/failoverbench"
)

// before starts a gateway before models of a fake provider; settings are those
// beside the models.
func before(t *testing.T, settings string, models ...chaos.Model) (*running, *chaos.Provider) {
	t.Helper()
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: models})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	at := startServer(t, p)
	var infos []string
	for i, m := range models {
		infos = append(infos, fmt.Sprintf(`{"id": %q, "name": "chat", "tier": %d, "labels": {"url": "%s/v1"}}`, m.Name, i, at))
	}
	return startGateway(t, `{"models": [`+strings.Join(infos, ",")+`]`+settings+`}`), p
}

const text = "The sky is blue since air scatters blue light most."

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := newClient(t).Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestBodyPassesThrough(t *testing.T) {
	t.Setenv("GATEWAY_TEST_KEY", "sk-1")
	const answered = `{"id":"x","model":"qwen3-2026","choices":[{"message":{"content":"Yes."}}],"service_tier":"flex"}`
	type seen struct{ body, key string }
	requests := make(chan seen, 1)
	upstream := startServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{string(body), r.Header.Get("Authorization")}
		_, _ = io.WriteString(w, answered)
	}))
	g := startGateway(t, `{"models": [
		{"id": "own", "labels": {"url": "`+upstream+`", "model": "qwen3", "keyEnv": "GATEWAY_TEST_KEY"}},
		{"id": "b", "tier": 1, "labels": {"url": "`+upstream+`"}}]}`)
	for _, c := range []struct{ model, fallbacks, sent, key string }{
		{`"own"`, `["b"]`, `"qwen3"`, "Bearer sk-1"},
		{`"b"`, `[]`, `"b"`, ""},
		{`""`, `null`, `"qwen3"`, "Bearer sk-1"}, // any model
	} {
		const rest = `"seed": 12345678901234567890, "stop": ["\n"], "tools": [{"x": 1.50}], "messages": [{"role": "user", "content": "<é>"}], "x": null}`
		a := send(t.Context(), newClient(t), g.base, json.RawMessage(`{"model": `+c.model+`, "fallbacks": `+c.fallbacks+`, `+rest))
		require.NoError(t, a.Broke)
		require.Equal(t, []string{answered}, a.events)
		got := <-requests
		require.JSONEq(t, `{"model": `+c.sent+`, `+rest, got.body)
		require.Contains(t, got.body, "12345678901234567890")
		require.Equal(t, c.key, got.key)
	}
}

// TestShared asks for a name that two models share.
func TestShared(t *testing.T) {
	ill := chaos.Model{Name: "ill", Failures: []chaos.Failure{{Fault: chaos.Fault{Status: 401}, Share: 1}}}
	g, p := before(t, "", ill, chaos.Model{Name: "well", Text: text})
	for _, stream := range []bool{true, false} {
		a := ask(t.Context(), newClient(t), g.base, failoverbench.Question{Model: "chat", Stream: stream})
		require.NoError(t, a.Broke)
		require.Equal(t, []any{200, text, "well", ""}, []any{a.status, a.Text, a.Model, a.Failed})
	}
	require.Len(t, p.Attempts(), 3, "one is held after its first refusal")
}

func TestErrors(t *testing.T) {
	const body = `{"model": "%s", "messages": [{"role": "user", "content": "a secret"}]}`
	fails := func(name string, f chaos.Fault) chaos.Model {
		return chaos.Model{Name: name, Failures: []chaos.Failure{{Fault: f, Share: 1}}}
	}
	models := []chaos.Model{
		fails("limited", chaos.Fault{Status: 429, RetryAfter: "90", Text: "not for clients"}),
		fails("down", chaos.Fault{Status: 503, Text: "not for clients"}),
		fails("unpaid", chaos.Fault{Name: chaos.QuotaSpent, Text: "not for clients"}),
		fails("long", chaos.Fault{Name: chaos.TooLong, Text: "of the prompt"}),
		fails("bad", chaos.Fault{Status: 400, Text: "of the prompt"}),
		{Name: "html", Script: []chaos.Fault{{Name: chaos.HTML}}},
	}
	plain, _ := before(t, `, "retry": {"attempts": -1}`, models...)
	streams, _ := before(t, `, "retry": {"attempts": -1}`, models...)
	for _, c := range []struct {
		body, contains string
		status         int
		retryAfter     string
	}{
		{"{", "unexpected end of JSON input", 400, ""},
		{`{"stream": "yes"}`, "stream", 400, ""},
		{`{"model": "down", "fallbacks": [{"model": "bad"}]}`, "fallbacks", 400, ""},
		{`{"fallbacks": ["bad"]}`, "without a Model", 400, ""},
		{fmt.Sprintf(body, "dawn"), `did you mean \"down\"?`, 404, ""},
		{fmt.Sprintf(body, "limited"), `"code":"rate_limited"`, 429, "90"},
		{fmt.Sprintf(body, "down"), `"code":"overloaded"`, 503, ""},
		{fmt.Sprintf(body, "unpaid"), `"code":"quota_spent"`, 503, ""},
		{fmt.Sprintf(body, "long"), `"message":"of the prompt`, 400, ""},
		{fmt.Sprintf(body, "bad"), `"message":"of the prompt`, 400, ""},
		{fmt.Sprintf(body, "html"), `"message":"html: `, 502, ""},
	} {
		for _, g := range []*running{plain, streams} {
			sent := c.body
			if g == streams {
				sent = strings.Replace(sent, `{"m`, `{"stream": true, "m`, 1)
			}
			resp, err := newClient(t).Post(g.base+"/v1/chat/completions", "application/json", strings.NewReader(sent))
			require.NoError(t, err)
			said, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, c.status, resp.StatusCode, "%s %s", sent, said)
			require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
			require.Contains(t, string(said), c.contains)
			require.NotContains(t, string(said), "secret")
			require.NotContains(t, string(said), "not for clients")
			require.Equal(t, c.retryAfter, resp.Header.Get("Retry-After"))
			var doc struct {
				Error struct{ Message, Type, Code string }
			}
			require.NoError(t, json.Unmarshal(said, &doc))
			require.NotEmpty(t, doc.Error.Message)
		}
	}
}

// TestBreaks is of streams that nobody can go on with.
func TestBreaks(t *testing.T) {
	cut := chaos.Model{Name: "cut", Arguments: `{"city": "Oslo"}`, Failures: []chaos.Failure{{Fault: chaos.Fault{Name: chaos.Cut, Tokens: 2}, Share: 1}}}
	g, _ := before(t, "", cut, chaos.Model{Name: "well", Arguments: `{"city": "Oslo"}`})
	body := body(failoverbench.Question{Model: "cut", Fallbacks: []string{"well"}, Stream: true})
	body["tools"] = []any{map[string]any{"type": "function", "function": map[string]string{"name": "weather"}}}
	a := send(t.Context(), newClient(t), g.base, body)
	require.NoError(t, a.Broke)
	require.Contains(t, a.Failed, `"code":"truncated"`)
	require.False(t, a.done)

	body["model"] = "well"
	a = send(t.Context(), newClient(t), g.base, body)
	require.NoError(t, a.Broke)
	require.Empty(t, a.Failed)
	require.True(t, a.done)
	require.Contains(t, strings.Join(a.events, ""), `"finish_reason":"tool_calls"`)
}

// TestRescue shows which model a part of an answer is of, and that it is one
// answer for its client.
func TestRescue(t *testing.T) {
	cut := chaos.Model{Name: "cut", Text: text, Failures: []chaos.Failure{{Fault: chaos.Fault{Name: chaos.Cut, Tokens: 4}, Share: 1}}}
	for _, noPrefill := range []bool{false, true} {
		g, p := before(t, "", cut, chaos.Model{Name: "well", Text: text, NoPrefill: noPrefill})
		a := ask(t.Context(), newClient(t), g.base, failoverbench.Question{Model: "chat", Stream: true})
		require.NoError(t, a.Broke)
		require.Equal(t, text, a.Text)
		require.Len(t, a.IDs, 1)
		require.Equal(t, 1, a.Roles)
		require.True(t, a.done)
		for i, event := range a.events {
			model := map[bool]string{true: "cut", false: "well"}[i < 5] // a role and four words
			require.Contains(t, event, `"model":"`+model+`"`)
		}
		require.Positive(t, p.Attempts()[1].Prefill)
		require.Len(t, p.Attempts(), map[bool]int{false: 2, true: 3}[noPrefill])
	}
}

func TestModelsAndReload(t *testing.T) {
	g, _ := before(t, "", chaos.Model{Name: "a"})
	_, body := get(t, g.base+"/v1/models")
	require.JSONEq(t, `{"object": "list", "data": [{"id": "a", "object": "model", "owned_by": ""}]}`, body)
	config, err := os.ReadFile(g.file)
	require.NoError(t, err)
	more := strings.Replace(string(config), "[", `[{"id": "b"},`, 1)
	require.NoError(t, os.WriteFile(g.file, []byte(more), 0o600))
	require.Eventually(t, func() bool {
		_, body := get(t, g.base+"/v1/models")
		return strings.Contains(body, `"id":"b"`)
	}, 5*time.Second, 10*time.Millisecond)
}

func TestReady(t *testing.T) {
	g, _ := before(t, "", chaos.Model{Name: "a", Script: []chaos.Fault{{Status: 401}}}, chaos.Model{Name: "b", Script: []chaos.Fault{{Status: 401}}})
	status, body := get(t, g.base+"/readyz")
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"held": {}}`, body)
	require.Equal(t, 502, ask(t.Context(), newClient(t), g.base, failoverbench.Question{Model: "a"}).status)
	status, body = get(t, g.base+"/readyz")
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"held": {"a": "held by credential (unauthorized)"}}`, body)
	require.Equal(t, 502, ask(t.Context(), newClient(t), g.base, failoverbench.Question{Model: "b"}).status)
	status, _ = get(t, g.base+"/readyz")
	require.Equal(t, 503, status)
}

// TestDrain ends a gateway in the middle of a stream.
func TestDrain(t *testing.T) {
	g, p := before(t, "", chaos.Model{Name: "a", Text: text, Rate: chaos.Always(10)})
	answered := make(chan answer)
	go func() {
		answered <- ask(context.Background(), newClient(t), g.base, failoverbench.Question{Model: "a", Stream: true})
	}()
	require.Eventually(t, func() bool {
		seen := p.Attempts()
		return len(seen) > 0 && seen[0].Tokens > 0
	}, 5*time.Second, time.Millisecond)
	stopped := make(chan error)
	go func() { stopped <- g.stop() }()
	require.Eventually(t, func() bool {
		status, body := get(t, g.base+"/readyz")
		return status == 503 && strings.Contains(body, "draining")
	}, 5*time.Second, time.Millisecond)
	require.Equal(t, 503, ask(t.Context(), newClient(t), g.base, failoverbench.Question{Model: "a", Stream: true}).status)
	a := <-answered
	require.Equal(t, text, a.Text)
	require.True(t, a.done)
	require.Equal(t, http.ErrServerClosed, <-stopped)
}

func TestOffline(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- offline(ctx, ln) }()
	a := ask(t.Context(), newClient(t), "http://"+ln.Addr().String(), failoverbench.Question{Model: "atlas", Fallbacks: []string{"boreal"}, Stream: true})
	require.NoError(t, a.Broke)
	require.Equal(t, "Air scatters blue light more than red.", a.Text)
	cancel()
	require.Equal(t, http.ErrServerClosed, <-done)
}

func TestServeRefuses(t *testing.T) {
	file := t.TempDir() + "/models.json"
	require.NoError(t, os.WriteFile(file, []byte(`{"modles": []}`), 0o600))
	_, err := newGateway(nil, resilience.ConfigFile(file, -1))
	require.ErrorContains(t, err, `did you mean "models"?`)
}

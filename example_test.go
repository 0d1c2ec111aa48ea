package resilience_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// statusError has the shape of an SDK's error.
type statusError struct {
	StatusCode int
	Code       string
	Header     http.Header
}

func (e *statusError) Error() string { return "the provider's own words, which may quote the prompt" }

func askGPT(context.Context, string) (string, error) {
	return "", &statusError{StatusCode: 429, Code: "insufficient_quota", Header: http.Header{"X-Request-Id": {"req_8Kd"}}}
}

func askClaude(context.Context, string) (string, error) {
	return "", &statusError{StatusCode: 529, Code: "overloaded_error"}
}

func askGemini(_ context.Context, prompt string) (string, error) { return "Gemini: " + prompt, nil }

// Three lines protect one caller.
func Example() {
	chat := resilience.Wrap(resilience.FuncOf(askGemini), retry.New(retry.Config{}), breaker.New(breaker.Config{}))
	answer, err := chat.Call(context.Background(), "Why is the sky blue?")
	fmt.Println(answer, err)
	// Output: Gemini: Why is the sky blue? <nil>
}

// A pool of models answers while some of them fail.
func ExampleNewPool() {
	pool, err := resilience.NewPool(
		resilience.Timeouts{},
		fallback.New(fallback.Config{}),
		breaker.New(breaker.Config{}))
	if err != nil {
		fmt.Println(err) // everything that is wrong with the settings
		return
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("gpt-5", askGPT),
		resilience.BindFunc("gemini-3", askGemini))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, report, err := chat.Do(context.Background(), "Why is the sky blue?", resilience.CallOptions{Op: "ask"})
	fmt.Println(answer, err)
	fmt.Println(report.Model, "after", len(report.Attempts)-1, "that failed")
	// Output:
	// Gemini: Why is the sky blue? <nil>
	// gemini-3 after 1 that failed
}

// failing is a client of two models that fail and one that was drained.
func failing() *resilience.Client[string, string] {
	pool, err := resilience.NewPool(fallback.New(fallback.Config{}))
	if err != nil {
		panic(err)
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("gpt-5", askGPT),
		resilience.BindFunc("claude-sonnet-5", askClaude),
		resilience.BindFunc("gemini-3", askGemini))
	if err != nil {
		panic(err)
	}
	by := resilience.Control{Actor: "operator-2", Reason: "INC-4411"}
	if err := pool.Model("gemini-3").Drain(context.Background(), by); err != nil {
		panic(err)
	}
	return chat
}

// A failed call says what was tried, in order, why each attempt failed, what
// was skipped and until when. It never says what was asked or answered.
func ExampleExhaustedError() {
	chat := failing()
	_, err := chat.Call(context.Background(), "a secret prompt")

	fmt.Println(err)
	fmt.Printf("%+v\n", err)

	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: noTimes}))
	log.Warn("call failed", "err", err)

	for _, verdict := range chat.Pool().Explain("") {
		fmt.Println(verdict)
	}
	// Output:
	// resilience: quota_spent, no answer in 0.0s: a1 gpt-5 quota_spent 429 insufficient_quota after 0.0s req_8Kd → elsewhere; a2 claude-sonnet-5 overloaded 529 overloaded_error after 0.0s; skipped gemini-3 held by manual (operator-2: INC-4411) until lifted
	// resilience: quota_spent, no answer in 0.0s
	//     a1 gpt-5 quota_spent 429 insufficient_quota after 0.0s req_8Kd → elsewhere
	//     a2 claude-sonnet-5 overloaded 529 overloaded_error after 0.0s
	//     skipped gemini-3 held by manual (operator-2: INC-4411) until lifted
	// level=WARN msg="call failed" err.kind=quota_spent err.call=1 err.a1="gpt-5 quota_spent 429 insufficient_quota after 0.0s req_8Kd → elsewhere" err.a2="claude-sonnet-5 overloaded 529 overloaded_error after 0.0s" err.skipped="gemini-3 held by manual (operator-2: INC-4411) until lifted"
	// gpt-5 usable
	// claude-sonnet-5 usable
	// gemini-3 held by manual (operator-2: INC-4411) until lifted
}

// noTimes leaves out what differs from run to run.
func noTimes(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "took" {
		return slog.Attr{}
	}
	return a
}

// A Kind is an error, so errors.Is tells what to do.
func ExampleKind() {
	_, err := failing().Call(context.Background(), "Why?")
	switch {
	case errors.Is(err, resilience.Canceled):
		fmt.Println("the caller went away")
	case errors.Is(err, resilience.Overloaded):
		fmt.Println("at least one attempt met an overload; the call as a whole:", resilience.KindOf(err))
	}
	code, _ := resilience.HTTPStatus(err)
	fmt.Println("pass on as", code)
	// Output:
	// at least one attempt met an overload; the call as a whole: quota_spent
	// pass on as 503
}

// An error of one's own has a kind if it wraps one.
func ExampleHooks() {
	pool, err := resilience.NewPool(fallback.New(fallback.Config{}), resilience.Models(
		resilience.ModelInfo{ID: "small", Price: resilience.Price{Input: 0.15, Output: 0.60}},
		resilience.ModelInfo{ID: "large", Price: resilience.Price{Input: 3, Output: 15}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("small", func(context.Context, string) (string, error) { return "", nil }),
		resilience.BindFunc("large", func(context.Context, string) (string, error) { return "A fine answer.", nil }),
		resilience.Hooks[string, string]{
			Usage: func(prompt, answer string) resilience.Usage {
				return resilience.Usage{Input: int64(len(prompt)), Output: int64(len(answer))}
			},
			Validate: func(_, answer string) error {
				if answer == "" {
					return errors.New("empty")
				}
				return nil
			},
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, report, err := chat.Do(context.Background(), "Why?", resilience.CallOptions{})
	fmt.Println(answer, err)
	fmt.Printf("%s for $%.6f\n", report.Attempts[0].Kind, report.Cost)
	// Output:
	// A fine answer. <nil>
	// malformed for $0.000223
}

// A configuration is taken as a whole or refused as a whole.
func ExamplePool_Reload() {
	pool, err := resilience.NewPool(
		resilience.Models(resilience.ModelInfo{ID: "gpt-5"}),
		resilience.Timeouts{}, breaker.New(breaker.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	by := resilience.Control{Actor: "operator-2", Reason: "CHG-17"}
	err = pool.Reload(context.Background(), []byte(`{
		"timeouts": {"atempt": "20s"},
		"breaker":  {"openFor": 15}
	}`), by)
	fmt.Println(err)
	fmt.Println("generation", pool.Generation())

	err = pool.Reload(context.Background(), []byte(`{"timeouts": {"attempt": "20s"}}`), by)
	fmt.Println(err, "generation", pool.Generation())
	// Output:
	// breaker.openFor: want a duration such as "15s", not a number
	// timeouts.atempt: unknown key; did you mean "attempt"?
	// generation 1
	// <nil> generation 2
}

// Options travel in the context through code that knows only ModelCaller.
func ExampleWithOptions() {
	chat := resilience.Wrap(resilience.FuncOf(func(ctx context.Context, prompt string) (string, error) {
		return resilience.CallFrom(ctx).Op() + ": " + prompt, nil
	}))
	ctx := resilience.WithOptions(context.Background(), resilience.CallOptions{Op: "summarize"})
	fmt.Println(chat.Call(ctx, "a long text"))
	// Output: summarize: a long text <nil>
}

// A secret prints as redacted.
func ExampleSecret() {
	key := resilience.NewSecret("sk-123")
	fmt.Printf("%v %+v %#v %q\n", key, key, key, key)
	// Output: [redacted] [redacted] [redacted] "[redacted]"
}

// A tap knows what an SDK hides: here one that says no more than that it failed.
func ExampleTap() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	client := &http.Client{Transport: resilience.Tap(nil)}
	chat := resilience.Wrap(resilience.FuncOf(func(ctx context.Context, _ string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }()
		return "", errors.New("it failed")
	}))
	_, err := chat.Call(context.Background(), "Why?")
	fmt.Println(err)
	// Output: model: rate_limited: 429 too many requests, retry in 2s
}

// A model has two keys, of which one was revoked. Whoever asks it looks the key
// up by its name; the library never has it.
func ExampleKeyFrom() {
	keys := map[string]string{"first": "sk-revoked", "second": "sk-good"}
	ask := func(ctx context.Context, prompt string) (string, error) {
		if keys[resilience.KeyFrom(ctx)] == "sk-revoked" {
			return "", &statusError{StatusCode: 401, Code: "invalid_api_key"}
		}
		return "answer to " + prompt, nil
	}
	pool, err := resilience.NewPool(breaker.New(breaker.Config{}),
		resilience.Models(resilience.ModelInfo{ID: "gpt-5", Provider: "openai", Keys: []string{"first", "second"}}))
	if err != nil {
		panic(err)
	}
	chat, err := resilience.NewClient(pool, resilience.BindFunc("gpt-5", ask))
	if err != nil {
		panic(err)
	}
	for range 2 {
		answer, report, err := chat.Do(context.Background(), "Why?", resilience.CallOptions{})
		for _, a := range report.Attempts {
			fmt.Println(a.Key+":", a.Kind)
		}
		fmt.Println(answer, err)
	}
	fmt.Println(pool.Explain("gpt-5")[0])
	// Output:
	// first: unauthorized
	// second: ok
	// answer to Why? <nil>
	// second: ok
	// answer to Why? <nil>
	// gpt-5 usable; key first held by credential (unauthorized 401 invalid_api_key) until lifted
}

// A transport protects whatever takes an http.Client. Here an overload is
// retried, and a stream that lacks its end is an error, which SDKs would take
// for the end of the answer.
func ExamplePool_Transport() {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"Rayleigh"},"finish_reason":null}]}`+"\n\n")
	}))
	defer server.Close()
	pool, err := resilience.NewPool(retry.New(retry.Config{}), breaker.New(breaker.Config{}))
	if err != nil {
		panic(err)
	}
	modelOf := func(r *http.Request) string {
		if r.GetBody == nil {
			return "" // no question to a model
		}
		body, err := r.GetBody()
		if err != nil {
			return ""
		}
		defer func() { _ = body.Close() }()
		var asked struct {
			Model string `json:"model"`
		}
		_ = json.NewDecoder(body).Decode(&asked)
		return asked.Model
	}
	client := &http.Client{Transport: pool.Transport(nil, modelOf)}

	resp, err := client.Post(server.URL, "application/json", strings.NewReader(`{"model":"gpt-5","stream":true}`))
	if err != nil {
		panic(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(requests, "requests,", len(body), "bytes")
	fmt.Println(err)
	// Output:
	// 2 requests, 85 bytes
	// gpt-5: truncated: ended without its end marker after 1 chunks
}

// A stream passes the same layers as any call. Until its first meaningful chunk
// it is moved on like any other; after that a break is an error, never an end.
func ExampleBindStream() {
	words := func(last ...string) func(context.Context, string) iter.Seq2[string, error] {
		return func(context.Context, string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for _, word := range append([]string{"Rayleigh", "scattering"}, last...) {
					if !yield(word, nil) {
						return
					}
				}
			}
		}
	}
	busy := func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) { yield("", resilience.Overloaded) }
	}
	marks := resilience.StreamHooks[string, string]{Terminal: func(word string) bool { return word == "." }}

	pool, err := resilience.NewPool(fallback.New(fallback.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, open := range []func(context.Context, string) iter.Seq2[string, error]{words("."), words()} {
		chat, err := resilience.NewClient(pool,
			resilience.BindStream("gpt-5", busy, marks),
			resilience.BindStream("gemini-3", open, marks))
		if err != nil {
			fmt.Println(err)
			return
		}
		stream, err := chat.Call(context.Background(), "Why is the sky blue?")
		if err != nil {
			fmt.Println(err)
			return
		}
		for word, err := range stream.All() {
			if err != nil {
				fmt.Println(err)
				break
			}
			fmt.Print(word, " ")
		}
		fmt.Println("by", stream.Report().Model)
	}
	// Output:
	// Rayleigh scattering . by gemini-3
	// Rayleigh scattering gemini-3: truncated: ended without its end marker after 2 chunks
	// by gemini-3
}

// A stream that breaks goes on at another model where the source's hooks say
// how to ask for the rest. Its reader notices nothing; the report tells.
func ExampleStreamHooks() {
	type request struct{ Question, SoFar string }
	words := func(ctx context.Context, req request, all ...string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, word := range all {
				if !strings.Contains(req.SoFar, word) && !yield(word, nil) {
					return
				}
			}
		}
	}
	cut := func(ctx context.Context, req request) iter.Seq2[string, error] {
		return words(ctx, req, "Rayleigh", "scattering")
	}
	well := func(ctx context.Context, req request) iter.Seq2[string, error] {
		return words(ctx, req, "Rayleigh", "scattering", "of", "light", ".")
	}
	hooks := resilience.StreamHooks[request, string]{
		Terminal: func(word string) bool { return word == "." },
		Resume: func(req request, delivered []string) (request, bool) {
			req.SoFar = strings.Join(delivered, " ")
			return req, true
		},
	}
	pool, err := resilience.NewPool(fallback.New(fallback.Config{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool, resilience.BindStream("gpt-5", cut, hooks), resilience.BindStream("gemini-3", well, hooks))
	if err != nil {
		fmt.Println(err)
		return
	}
	stream, err := chat.Call(context.Background(), request{Question: "Why is the sky blue?"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for word, err := range stream.All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(word, " ")
	}
	report := stream.Report()
	fmt.Println("by", report.Model, "after", report.Attempts[0].Err)
	// Output:
	// Rayleigh scattering of light . by gemini-3 after gpt-5: truncated: ended without its end marker after 2 chunks
}

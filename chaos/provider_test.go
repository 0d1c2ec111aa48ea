package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const hello = `{"model":"fake","messages":[{"role":"user","content":"Hello, you"}],"max_completion_tokens":5}`

// failing is a plan in which every attempt meets f.
func failing(f FaultName) ProviderConfig {
	i := Incident{Fault: Fault{Name: f}, For: time.Hour}
	if f == Slow {
		i.Slower = 2
	}
	return only(Model{Incidents: []Incident{i}})
}

func only(m Model) ProviderConfig {
	m.Name = "fake"
	return ProviderConfig{Models: []Model{m}}
}

func serve(t *testing.T, cfg ProviderConfig) *httptest.Server {
	t.Helper()
	p, err := NewProvider(cfg)
	require.NoError(t, err)
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	return srv
}

func post(t *testing.T, srv *httptest.Server, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/v1/chat/completions", strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := srv.Client().Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(text)
}

func TestProviderAnswers(t *testing.T) {
	srv := serve(t, only(Model{}))
	res, text := post(t, srv, hello, HeaderCall, "c1")
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.NotEmpty(t, res.Header.Get("X-Request-Id"))
	var got openAIResponse
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	require.Equal(t, "chat.completion", got.Object)
	require.Equal(t, "fake", got.Model)
	require.True(t, strings.HasPrefix(got.ID, "chatcmpl-"))
	require.Equal(t, &openAIUsage{Prompt: 10, Completion: 5, Total: 15}, got.Usage)
	require.Len(t, got.Choices, 1)
	require.Equal(t, "stop", *got.Choices[0].FinishReason)
	require.Equal(t, "aaaaa", *got.Choices[0].Message.Content)
}

func TestProviderZeroConfig(t *testing.T) {
	srv := serve(t, ProviderConfig{})
	res, text := post(t, srv, `{"model":"anything","messages":[{"role":"user","content":""}]}`)
	require.Equal(t, 200, res.StatusCode)
	require.Contains(t, text, `"prompt_tokens":0,"completion_tokens":128`)
	require.Contains(t, text, `"model":"anything"`)
}

func TestProviderNamesCalls(t *testing.T) {
	srv := serve(t, ProviderConfig{Seed: 1})
	id := func(headers ...string) string {
		res, _ := post(t, srv, hello, headers...)
		return res.Header.Get("X-Request-Id")
	}
	require.Equal(t, id(HeaderCall, "c1"), id(HeaderCall, "c1", HeaderTry, "0"))
	require.Equal(t, id(HeaderCall, "c1"), id(HeaderCall, "c1", HeaderTry, "no number"))
	require.NotEqual(t, id(HeaderCall, "c1"), id(HeaderCall, "c1", HeaderTry, "1"))
	require.NotEqual(t, id(HeaderCall, "c1"), id(HeaderCall, "c2"))
	first, second := id(), id()
	require.NotEqual(t, first, second, "without a name each is a call of its own")
}

func TestProviderErrorBodies(t *testing.T) {
	for _, c := range []struct {
		fault              FaultName
		status             int
		kind, code, phrase string
	}{
		{ServerError, 500, "server_error", "", "had an error"},
		{BadGateway, 502, "server_error", "bad_gateway", "invalid response"},
		{Unavailable, 503, "server_error", "service_unavailable", "overloaded"},
		{GatewayTimeout, 504, "server_error", "gateway_timeout", "in time"},
		{Overloaded, 529, "overloaded_error", "overloaded", "Overloaded"},
		{RateLimited, 429, "requests", "rate_limit_exceeded", "temporarily limiting"},
		{Throttled, 429, "requests", "rate_limit_exceeded", "requests per minute"},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			res, text := post(t, serve(t, failing(c.fault)), hello)
			require.Equal(t, c.status, res.StatusCode)
			require.NotEmpty(t, res.Header.Get("X-Request-Id"))
			require.Equal(t, c.fault == Throttled, res.Header.Get("Retry-After") != "")
			var got struct {
				Error struct {
					Message, Type string
					Param, Code   *string
				}
			}
			require.NoError(t, json.Unmarshal([]byte(text), &got))
			require.Contains(t, got.Error.Message, c.phrase)
			require.Equal(t, c.kind, got.Error.Type)
			require.Nil(t, got.Error.Param)
			if c.code == "" {
				require.Nil(t, got.Error.Code)
			} else {
				require.Equal(t, c.code, *got.Error.Code)
			}
		})
	}
}

func TestProviderEmptyAnswers(t *testing.T) {
	_, text := post(t, serve(t, failing(NoChoices)), hello)
	require.Contains(t, text, `"choices":[]`)
	require.Contains(t, text, `"completion_tokens":0`)
	_, text = post(t, serve(t, failing(Blank)), hello)
	require.Contains(t, text, `"content":""`)
	_, text = post(t, serve(t, failing(Slow)), hello)
	require.Contains(t, text, `"completion_tokens":5`)
}

func TestProviderReset(t *testing.T) {
	srv := serve(t, failing(Reset))
	_, err := srv.Client().Post(srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(hello))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestProviderSilentUntilTheClientLeaves(t *testing.T) {
	p, err := NewProvider(failing(Silent))
	require.NoError(t, err)
	left := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		p.ServeHTTP(w, r)
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/v1/chat/completions", strings.NewReader(hello))
	require.NoError(t, err)
	_, err = srv.Client().Do(req)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	select {
	case <-left:
	case <-time.After(5 * time.Second):
		require.Fail(t, "the handler is still there")
	}
}

// handle runs one request through a provider without a network, so that it may
// be done in a bubble.
func handle(ctx context.Context, p *Provider) (res *httptest.ResponseRecorder, aborted bool) {
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			aborted = true
		}
	}()
	res = httptest.NewRecorder()
	p.ServeHTTP(res, httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/chat/completions", strings.NewReader(hello)))
	return res, false
}

func TestProviderTime(t *testing.T) {
	for name, c := range map[string]struct {
		speed float64
		want  time.Duration
	}{"as it is": {0, 10 * time.Second}, "fast": {100, 100 * time.Millisecond}, "slow": {0.5, 20 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, err := NewProvider(ProviderConfig{Speed: c.speed, Models: []Model{{FirstToken: Always(9), Rate: Always(5)}}})
				require.NoError(t, err)
				start := time.Now()
				res, _ := handle(t.Context(), p)
				require.Equal(t, 200, res.Code)
				require.Equal(t, c.want, time.Since(start))
				require.Equal(t, "10000", res.Header().Get("Openai-Processing-Ms"), "in the plan's time")
			})
		})
	}
}

func TestProviderIncidentsByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		models := []Model{{Incidents: []Incident{{Fault: Fault{Name: Unavailable}, From: time.Minute, For: time.Minute}}}}
		p, err := NewProvider(ProviderConfig{Speed: 60, Models: models})
		require.NoError(t, err)
		var got []int
		for range 4 {
			res, _ := handle(t.Context(), p)
			got = append(got, res.Code)
			time.Sleep(time.Second)
		}
		require.Equal(t, []int{200, 503, 200, 200}, got)
		p, err = NewProvider(ProviderConfig{Models: models, Now: func() time.Duration { return 90 * time.Second }})
		require.NoError(t, err)
		res, _ := handle(t.Context(), p)
		require.Equal(t, 503, res.Code, "by the clock that it was given")
	})
}

func TestProviderRetryAfterIsScaled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := failing(Throttled)
		cfg.Speed = 40
		p, err := NewProvider(cfg)
		require.NoError(t, err)
		res, _ := handle(t.Context(), p)
		require.Equal(t, "1500.000", res.Header().Get("Retry-After-Ms"))
		require.Equal(t, "2", res.Header().Get("Retry-After"), "never too early")
	})
}

func TestProviderStopsWhenTheClientLeaves(t *testing.T) {
	for _, cfg := range []ProviderConfig{failing(Silent), only(Model{FirstToken: Always(3600)})} {
		synctest.Test(t, func(t *testing.T) {
			p, err := NewProvider(cfg)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			_, aborted := handle(ctx, p)
			require.True(t, aborted)
			require.Equal(t, time.Second, time.Since(start))
		})
	}
}

func TestProviderRefusesRequests(t *testing.T) {
	srv := serve(t, only(Model{FirstToken: Always(3600)}))
	for name, c := range map[string]struct {
		body   string
		status int
		phrase string
	}{
		"no JSON":         {"hello", 400, "could not parse"},
		"empty":           {"", 400, "could not parse"},
		"cut":             {hello[:20], 400, "could not parse"},
		"more than one":   {hello + hello, 400, "could not parse"},
		"other types":     {`{"model":7}`, 400, "could not parse"},
		"no model":        {`{"messages":[{"role":"user"}]}`, 400, "must provide a model"},
		"another model":   {`{"model":"gpt","messages":[{}]}`, 404, `The model \"gpt\" does not exist`},
		"no messages":     {`{"model":"fake"}`, 400, "empty array"},
		"larger than 4MB": {`"` + strings.Repeat("x", maxBody) + `"`, 413, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			res, text := post(t, srv, c.body)
			require.Equal(t, c.status, res.StatusCode)
			require.Contains(t, text, c.phrase)
			require.Contains(t, text, `"type":"invalid_request_error"`)
		})
	}
}

func TestProviderOtherRequests(t *testing.T) {
	srv := serve(t, only(Model{}))
	for _, c := range []struct {
		path   string
		status int
		phrase string
	}{
		{"/v1/models", 200, `"id":"fake"`},
		{"/v1/chat/completions", 405, "Not allowed to GET"},
		{"/nowhere", 404, "chaos.Provider does not serve GET /nowhere"},
	} {
		res, err := srv.Client().Get(srv.URL + c.path)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, errors.Join(err, res.Body.Close()))
		require.Equal(t, c.status, res.StatusCode)
		require.Contains(t, string(text), c.phrase)
	}
}

func TestProviderAnswersAreBounded(t *testing.T) {
	srv := serve(t, ProviderConfig{})
	_, text := post(t, srv, `{"model":"m","messages":[{}],"max_tokens":2000000000}`)
	require.Contains(t, text, `"completion_tokens":100000`)
}

func TestProviderConcurrent(t *testing.T) {
	p, err := NewProvider(ProviderConfig{Seed: 5, Models: []Model{{Failures: []Failure{{Fault: Fault{Name: ServerError}, Share: 0.5}}}}})
	require.NoError(t, err)
	run := func() (codes [50]int) {
		var wg sync.WaitGroup
		for i := range codes {
			wg.Go(func() {
				req := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(hello))
				req.Header.Set(HeaderCall, strconv.Itoa(i))
				res := httptest.NewRecorder()
				p.ServeHTTP(res, req)
				codes[i] = res.Code
			})
		}
		wg.Wait()
		return codes
	}
	first := run()
	require.Equal(t, first, run())
	require.Contains(t, first, 200)
	require.Contains(t, first, 500)
}

// An answer that comes at once and without tokens can be late like others.
func TestSlowStartOfEmbeddings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := played(t, Fault{Name: SlowStart, After: 5 * time.Second})
		s := dialects[0].send(t, p, "/v1/embeddings", `{"model":"m","input":"x"}`)
		require.NoError(t, s.err)
		require.Equal(t, 5*time.Second, s.took)
		require.Contains(t, s.body, `"embedding":[`)
	})
}

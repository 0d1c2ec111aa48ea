package provider

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
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const hello = `{"model":"fake","messages":[{"role":"user","content":"Hello, you"}],"max_completion_tokens":5}`

// failing is a plan in which every attempt meets f.
func failing(f Fault) Plan {
	return Plan{Model: "fake", Incidents: []Incident{{Fault: f, For: time.Hour, Slower: 2}}}
}

func serve(t *testing.T, cfg Config) *httptest.Server {
	t.Helper()
	p, err := New(cfg)
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
	srv := serve(t, Config{Plan: Plan{Model: "fake"}})
	res, text := post(t, srv, hello, HeaderCall, "c1")
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.NotEmpty(t, res.Header.Get("X-Request-Id"))
	var got response
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	require.Equal(t, "chat.completion", got.Object)
	require.Equal(t, "fake", got.Model)
	require.True(t, strings.HasPrefix(got.ID, "chatcmpl-"))
	require.Equal(t, usage{Prompt: 10, Completion: 5, Total: 15}, got.Usage)
	require.Len(t, got.Choices, 1)
	require.Equal(t, "stop", got.Choices[0].FinishReason)
	require.Len(t, got.Choices[0].Message.Content, 5)
}

func TestProviderZeroConfig(t *testing.T) {
	srv := serve(t, Config{})
	res, text := post(t, srv, `{"model":"anything","messages":[{"role":"user","content":""}]}`)
	require.Equal(t, 200, res.StatusCode)
	require.Contains(t, text, `"prompt_tokens":0,"completion_tokens":128`)
	require.Contains(t, text, `"model":"anything"`)
}

func TestProviderNamesCalls(t *testing.T) {
	srv := serve(t, Config{Seed: 1, Plan: Plan{Model: "fake"}})
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
		fault              Fault
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
		t.Run(c.fault.String(), func(t *testing.T) {
			res, text := post(t, serve(t, Config{Plan: failing(c.fault)}), hello)
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
	_, text := post(t, serve(t, Config{Plan: failing(NoChoices)}), hello)
	require.Contains(t, text, `"choices":[]`)
	require.Contains(t, text, `"completion_tokens":0`)
	_, text = post(t, serve(t, Config{Plan: failing(Blank)}), hello)
	require.Contains(t, text, `"content":""`)
	_, text = post(t, serve(t, Config{Plan: failing(Slow)}), hello)
	require.Contains(t, text, `"completion_tokens":5`)
}

func TestProviderReset(t *testing.T) {
	srv := serve(t, Config{Plan: failing(Reset)})
	_, err := srv.Client().Post(srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(hello))
	require.ErrorIs(t, err, io.EOF)
}

func TestProviderSilentUntilTheClientLeaves(t *testing.T) {
	p, err := New(Config{Plan: failing(Silent)})
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
				p, err := New(Config{Speed: c.speed, Plan: Plan{Model: "fake", FirstToken: Always(9), Rate: Always(5)}})
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
		plan := Plan{Model: "fake", Incidents: []Incident{{Fault: Unavailable, From: time.Minute, For: time.Minute}}}
		p, err := New(Config{Speed: 60, Plan: plan})
		require.NoError(t, err)
		var got []int
		for range 4 {
			res, _ := handle(t.Context(), p)
			got = append(got, res.Code)
			time.Sleep(time.Second)
		}
		require.Equal(t, []int{200, 503, 200, 200}, got)
		p, err = New(Config{Plan: plan, Now: func() time.Duration { return 90 * time.Second }})
		require.NoError(t, err)
		res, _ := handle(t.Context(), p)
		require.Equal(t, 503, res.Code, "by the clock that it was given")
	})
}

func TestProviderRetryAfterIsScaled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Speed: 40, Plan: failing(Throttled)})
		require.NoError(t, err)
		res, _ := handle(t.Context(), p)
		require.Equal(t, "1500.000", res.Header().Get("Retry-After-Ms"))
		require.Equal(t, "2", res.Header().Get("Retry-After"), "never too early")
	})
}

func TestProviderStopsWhenTheClientLeaves(t *testing.T) {
	for _, plan := range []Plan{failing(Silent), {Model: "fake", FirstToken: Always(3600)}} {
		synctest.Test(t, func(t *testing.T) {
			p, err := New(Config{Plan: plan})
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
	srv := serve(t, Config{Plan: Plan{Model: "fake", FirstToken: Always(3600)}})
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
		"wants a stream":  {strings.Replace(hello, "{", `{"stream":true,`, 1), 400, "does not stream"},
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
	srv := serve(t, Config{Plan: Plan{Model: "fake"}})
	for _, c := range []struct {
		path   string
		status int
		phrase string
	}{
		{"/v1/models", 200, `"id":"fake"`},
		{"/v1/chat/completions", 405, "Not allowed to GET"},
		{"/nowhere", 404, "Unknown request URL: GET /nowhere"},
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
	srv := serve(t, Config{})
	_, text := post(t, srv, `{"model":"m","messages":[{}],"max_tokens":2000000000}`)
	require.Contains(t, text, `"completion_tokens":100000`)
}

func TestProviderConcurrent(t *testing.T) {
	p, err := New(Config{Seed: 5, Plan: Plan{Model: "fake", Failures: []Failure{{Fault: ServerError, Share: 0.5}}}})
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

func TestNewReportsWhatIsWrong(t *testing.T) {
	_, err := New(Config{Speed: -1, Plan: Plan{Model: "m", FirstToken: Always(-1)}})
	require.ErrorContains(t, err, "provider m: first token")
	require.ErrorContains(t, err, "a speed of -1")
}

package resilience_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/retry"
)

// TestTransport meets a provider in every state, alone, so that retry asks the
// same model again.
func TestTransport(t *testing.T) {
	errBody := func(code string) string {
		return `{"error":{"message":"no","type":"` + code + `","code":"` + code + `"}}`
	}
	limited := errBody("rate_limit_exceeded")
	ok := replyWith(200, jsonType, okJSON)
	page := "<!doctype html><html>hello</html>"
	for name, tc := range map[string]struct {
		handlers []http.HandlerFunc
		requests int
		status   int             // handed on
		body     string          // handed on
		kind     resilience.Kind // of the first failed attempt, or else of the end
		err      bool
		took     time.Duration
	}{
		"an answer":                {[]http.HandlerFunc{ok}, 1, 200, okJSON, 0, false, 0},
		"429, seconds":             {[]http.HandlerFunc{replyWith(429, jsonType, limited, "Retry-After", "2"), ok}, 2, 200, okJSON, resilience.RateLimited, false, 2 * time.Second},
		"429, milliseconds":        {[]http.HandlerFunc{replyWith(429, jsonType, limited, "Retry-After-Ms", "1500"), ok}, 2, 200, okJSON, resilience.RateLimited, false, 1500 * time.Millisecond},
		"429, date":                {[]http.HandlerFunc{replyWith(429, jsonType, limited, "Date", "Mon, 02 Jan 2006 15:04:05 GMT", "Retry-After", "Mon, 02 Jan 2006 15:04:08 GMT"), ok}, 2, 200, okJSON, resilience.RateLimited, false, 3 * time.Second},
		"429, in the body":         {[]http.HandlerFunc{replyWith(429, jsonType, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"4s"}]}}`), ok}, 2, 200, okJSON, resilience.RateLimited, false, 4 * time.Second},
		"429, too long a wait":     {[]http.HandlerFunc{replyWith(429, jsonType, limited, "Retry-After", "60"), ok}, 1, 429, limited, resilience.RateLimited, false, 0},
		"529":                      {[]http.HandlerFunc{replyWith(529, jsonType, errBody("overloaded_error")), ok}, 2, 200, okJSON, resilience.Overloaded, false, 0},
		"529 for good":             {[]http.HandlerFunc{replyWith(529, jsonType, errBody("overloaded_error"))}, 3, 529, errBody("overloaded_error"), resilience.Overloaded, false, 0},
		"spent quota":              {[]http.HandlerFunc{replyWith(429, jsonType, errBody("insufficient_quota"))}, 1, 429, errBody("insufficient_quota"), resilience.QuotaSpent, false, 0},
		"revoked key":              {[]http.HandlerFunc{replyWith(401, jsonType, errBody("invalid_api_key"))}, 1, 401, errBody("invalid_api_key"), resilience.Unauthorized, false, 0},
		"context too long":         {[]http.HandlerFunc{replyWith(400, jsonType, errBody("context_length_exceeded"))}, 1, 400, errBody("context_length_exceeded"), resilience.TooLong, false, 0},
		"content filtered":         {[]http.HandlerFunc{replyWith(400, jsonType, errBody("content_filter"))}, 1, 400, errBody("content_filter"), resilience.Filtered, false, 0},
		"asked not to retry":       {[]http.HandlerFunc{replyWith(503, jsonType, "{}", "X-Should-Retry", "false")}, 1, 503, "{}", resilience.Overloaded, false, 0},
		"a large error":            {[]http.HandlerFunc{replyWith(400, jsonType, strings.Repeat("x", 3<<20))}, 1, 400, strings.Repeat("x", 3<<20), resilience.Invalid, false, 0},
		"HTML":                     {[]http.HandlerFunc{replyWith(200, "text/html", page), ok}, 2, 200, okJSON, resilience.Unreachable, false, 0},
		"HTML for good":            {[]http.HandlerFunc{replyWith(200, "text/html; charset=utf-8", page)}, 3, 0, "", resilience.Unreachable, true, 0},
		"JSON that breaks off":     {[]http.HandlerFunc{replyWith(200, jsonType, okJSON[:20]), ok}, 2, 200, okJSON, resilience.Truncated, false, 0},
		"JSON that is not there":   {[]http.HandlerFunc{streamed(jsonType, ""), ok}, 2, 200, okJSON, resilience.Truncated, false, 0},
		"JSON that is none":        {[]http.HandlerFunc{replyWith(200, jsonType, "{oops}")}, 1, 0, "", resilience.Malformed, true, 0},
		"JSON, several":            {[]http.HandlerFunc{replyWith(200, jsonType, "{}\n{}\n")}, 1, 200, "{}\n{}\n", 0, false, 0},
		"a connection that breaks": {[]http.HandlerFunc{streamed(jsonType, okJSON[:20], "cut"), ok}, 2, 200, okJSON, resilience.Truncated, false, 0},
		"silence":                  {[]http.HandlerFunc{streamed(jsonType, "1h"), ok}, 2, 200, okJSON, resilience.TimedOut, false, time.Minute},
		"a slow drip of JSON":      {[]http.HandlerFunc{streamed(jsonType, "[", "40s", "1", "40s", "]"), ok}, 2, 200, okJSON, resilience.TimedOut, false, time.Minute},
		"sound":                    {[]http.HandlerFunc{streamed("audio/mpeg", "la", "20s", "la", "20s", "la", "20s", "la")}, 1, 200, "lalalala", 0, false, time.Minute},
		"nothing to say":           {[]http.HandlerFunc{replyWith(204, jsonType, "")}, 1, 204, "", 0, false, 0},

		"a stream":                    {[]http.HandlerFunc{streams(word, word, stop, done)}, 1, 200, word + word + stop + done, 0, false, 0},
		"a stream, no DONE":           {[]http.HandlerFunc{streams(word, stop)}, 1, 200, word + stop, 0, false, 0},
		"a stream, no last newline":   {[]http.HandlerFunc{streams(word, strings.TrimSpace(stop))}, 1, 200, word + strings.TrimSpace(stop), 0, false, 0},
		"a stream, error before text": {[]http.HandlerFunc{streams(alive, inBand), streams(word, stop)}, 2, 200, word + stop, resilience.Overloaded, false, 0},
		"a stream, errors for good":   {[]http.HandlerFunc{streams(alive, inBand)}, 3, 200, alive + inBand, resilience.Overloaded, false, 0},
		"a stream, error after text":  {[]http.HandlerFunc{streams(word, inBand, done)}, 1, 200, word + inBand + done, resilience.Truncated, false, 0},
		"a stream, nothing":           {[]http.HandlerFunc{streams(), streams(word, stop)}, 2, 200, word + stop, resilience.Truncated, false, 0},
		"a stream, nothing for good":  {[]http.HandlerFunc{streams()}, 3, 0, "", resilience.Truncated, true, 0},
		"a stream, cut before text":   {[]http.HandlerFunc{streams(alive, "cut"), streams(word, stop)}, 2, 200, word + stop, resilience.Truncated, false, 0},
		"a stream, no end marker":     {[]http.HandlerFunc{streams(word, word)}, 1, 200, word + word, resilience.Truncated, true, 0},
		"a stream, cut":               {[]http.HandlerFunc{streams(word, "cut")}, 1, 200, word, resilience.Truncated, true, 0},
		"a stream, cut after its end": {[]http.HandlerFunc{streams(stop, "cut")}, 1, 200, stop, 0, false, 0},
		"a stream, stalled":           {[]http.HandlerFunc{streams(word, "1h")}, 1, 200, word, resilience.Truncated, true, 30 * time.Second},
		"a stream, keep-alives only":  {[]http.HandlerFunc{streams(alive, "20s", alive, "20s", alive), streams(word, stop)}, 2, 200, word + stop, resilience.TimedOut, false, 30 * time.Second},
		"a stream, slow keep-alives":  {[]http.HandlerFunc{streams(word, "20s", alive, "20s", alive, "20s", stop)}, 1, 200, word + alive + alive + stop, 0, false, time.Minute},
		"a stream of something else":  {[]http.HandlerFunc{streams("data: a\n\n")}, 1, 200, "data: a\n\n", 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := stacked(t)
				ended := p.Subscribe(10, resilience.EventAttempt)
				defer ended.Close()
				f := newFake(t, tc.handlers...)
				start := time.Now()
				resp, body, err := post(t, p, f.base)
				took := time.Since(start)
				require.Equal(t, tc.err, err != nil, "%v", err)
				require.Len(t, f.sent(), tc.requests)
				for _, sent := range f.sent() {
					require.Equal(t, "question", sent, "the body is replayed")
				}
				if tc.status != 0 {
					require.Equal(t, tc.status, resp.StatusCode)
					require.Equal(t, "http://provider.test/v1/chat", resp.Request.URL.String())
				}
				require.Equal(t, tc.body, body)
				require.GreaterOrEqual(t, took, tc.took)
				require.Less(t, took, tc.took+3*time.Second, "but for backoff")
				if tc.err {
					require.Equal(t, tc.kind, resilience.KindOf(err))
				}
				if tc.kind != 0 {
					require.Equal(t, tc.kind, resilience.KindOf((<-ended.C).Err))
				}
				idle(t, p)
				if tc.status == 200 && tc.kind != resilience.Truncated && tc.kind != resilience.TimedOut && !strings.HasPrefix(name, "a stream, ") {
					require.Equal(t, 1, f.dials, "bodies are drained, so connections serve again")
				}
			})
		})
	}
}

// counter is a body that is closed a number of times.
type counter struct {
	io.Reader
	closed int
}

func (c *counter) Close() error { c.closed++; return nil }

func TestTransportBodyWithoutGetBody(t *testing.T) {
	p := stacked(t)
	n := 0
	tr := p.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
		n++
		_ = r.Body.Close()
		return reply(503, "busy")(r)
	}), always("m"))
	body := &counter{Reader: strings.NewReader("question")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	require.NoError(t, err)
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, 503, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 1, n, "it cannot be sent again")
	require.Equal(t, 1, body.closed)
}

func TestTransportClosesABodyThatItNeverSends(t *testing.T) {
	p := stacked(t)
	require.NoError(t, p.Drain(t.Context()))
	for name, tr := range map[string]http.RoundTripper{
		"refused": p.Transport(replies(reply(200, "")), always("m")),
		"unknown": newPool(t, models("a")).Transport(replies(reply(200, "")), always("m")),
	} {
		body := &counter{Reader: strings.NewReader("question")}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
		require.NoError(t, err)
		_, err = tr.RoundTrip(req)
		require.Error(t, err, name)
		require.Equal(t, 1, body.closed, name)
	}
}

func TestTransportLeavesTheRequestAlone(t *testing.T) {
	p := stacked(t)
	tr := p.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
		require.Empty(t, r.Header.Get("X-Added"), "each attempt has a copy of its own")
		r.Header.Set("X-Added", "by a base that ought not to")
		r.URL.Path = "/elsewhere"
		return reply(503, "")(r)
	}), always("m"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("?"))
	require.NoError(t, err)
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Empty(t, req.Header)
	require.Equal(t, url, req.URL.String())
	require.Same(t, req, resp.Request)
}

func TestTransportModels(t *testing.T) {
	do := func(p *resilience.Pool, modelOf func(*http.Request) string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		require.NoError(t, err)
		resp, err := p.Transport(replies(reply(200, "")), modelOf).RoundTrip(req)
		if err == nil {
			require.NoError(t, resp.Body.Close())
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		return err
	}
	open := newPool(t)
	require.NoError(t, do(open, nil))
	require.NotNil(t, open.Model("provider.test"), "the host")
	require.NoError(t, do(open, always("m")))
	require.NoError(t, do(open, always("m")))
	require.Equal(t, int64(2), open.Model("m").Stats(time.Minute).Calls)
	require.NoError(t, do(open, always("")))
	require.Len(t, open.Models(), 2)
	require.ErrorIs(t, do(open, always("a b")), resilience.Invalid)
	require.ErrorContains(t, do(open, always("m\n")), `modelOf returned "m\n", which is longer`)

	infos := []resilience.ModelInfo{{ID: "gpt-east", Name: "gpt"}, {ID: "gpt-west", Name: "gpt"}, {ID: "sonnet-east", Name: "sonnet"}}
	closed := newPool(t, resilience.Models(infos...))
	require.NoError(t, do(closed, always("gpt-west")))
	require.NoError(t, do(closed, always("sonnet")))
	require.Equal(t, int64(1), closed.Model("sonnet-east").Stats(time.Minute).Calls)
	require.ErrorContains(t, do(closed, always("gpt")), "by ID")
	require.ErrorContains(t, do(closed, always("gpt-west ")), `modelOf returned "gpt-west "`)
	require.ErrorContains(t, do(closed, nil), `no model "provider.test": modelOf is nil, so the host stands for the model`)
	err := do(closed, always("gpt-eats"))
	require.ErrorIs(t, err, resilience.NotFound)
	require.ErrorContains(t, err, `did you mean "gpt-east"?`)

	require.NoError(t, closed.Reload(t.Context(), []byte(`{"models":[{"id":"gpt-east"}]}`), by), "requests bind no model for good")
	require.ErrorIs(t, do(closed, always("gpt-west")), resilience.NotFound)

	many := newPool(t)
	for i := range 1000 {
		require.NoError(t, do(many, always(fmt.Sprint("m", i))))
	}
	require.ErrorIs(t, do(many, always("one-more")), resilience.NotFound)
	require.Len(t, many.Models(), 1000)
}

// TestTransportStaysWithItsHost: fallback has another model, and the request
// with its credentials must not go there.
func TestTransportStaysWithItsHost(t *testing.T) {
	p := stacked(t, models("m", "other"))
	tr := p.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
		require.Equal(t, "provider.test", r.URL.Host)
		require.Equal(t, "Bearer key", r.Header.Get("Authorization"))
		return reply(401, "{}")(r)
	}), always("m"))
	req, err := http.NewRequestWithContext(resilience.WithOptions(t.Context(), resilience.CallOptions{Model: "m", Fallbacks: []string{"other"}}), http.MethodPost, url, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer key")
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 401, resp.StatusCode)
	require.Zero(t, p.Model("other").Stats(time.Minute).Calls)
	require.False(t, p.Model("m").Available(), "the key is held")
	_, err = tr.RoundTrip(req)
	require.ErrorIs(t, err, resilience.Rejected)
}

func TestTransportWithoutAResponse(t *testing.T) {
	p := stacked(t)
	n := 0
	_, _, err := post(t, p, roundTrip(func(r *http.Request) (*http.Response, error) {
		if n++; n == 1 {
			return reply(503, "busy")(r)
		}
		return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
	}))
	require.Error(t, err)
	var all *resilience.ExhaustedError
	require.ErrorAs(t, err, &all)
	require.Equal(t, 503, all.Attempts[0].Status)

	_, _, err = post(t, newPool(t), roundTrip(func(*http.Request) (*http.Response, error) { return nil, nil })) //nolint:nilnil // what a base must not do
	require.ErrorIs(t, err, resilience.Malformed)
}

func TestTransportBomb(t *testing.T) {
	endless := func(contentType string, uncompressed bool) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			body := io.NopCloser(io.MultiReader(strings.NewReader(`"`), io.LimitReader(repeat('a'), 40<<20), strings.NewReader(`"`)))
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {contentType}}, Body: body, Uncompressed: uncompressed, ContentLength: -1, Request: r}, nil
		})
	}
	_, _, err := post(t, newPool(t), endless(jsonType, true))
	require.ErrorIs(t, err, resilience.Malformed)
	require.ErrorContains(t, err, "32 MiB")

	_, _, err = post(t, newPool(t), roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusBadRequest, Body: io.NopCloser(repeat('a')), Request: r}, nil
	}))
	require.ErrorContains(t, err, "the body of a failure has more than 32 MiB", "and does not just end")

	_, body, err := post(t, newPool(t), endless(jsonType, false))
	require.NoError(t, err)
	require.Len(t, body, 40<<20+2, "a large one that came as it is passes")
}

type repeat byte

func (b repeat) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{byte(b)}, len(p)))
	return len(p), nil
}

func TestTransportPassesUpgrades(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	for name, edit := range map[string]func(*http.Request){
		"CONNECT":    func(r *http.Request) { r.Method = http.MethodConnect },
		"an upgrade": func(r *http.Request) { r.Header.Set("Upgrade", "websocket") },
		"unasked":    func(*http.Request) {},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		require.NoError(t, err)
		edit(req)
		p := stacked(t)
		resp, err := p.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: here, Request: r}, nil
		}), always("m")).RoundTrip(req)
		require.NoError(t, err)
		require.Same(t, here, resp.Body, name)
		require.Equal(t, name == "unasked", len(p.Models()) == 1 && p.Models()[0].Stats(time.Minute).Calls == 1, name)
		idle(t, p)
	}
}

func TestTransportBypassed(t *testing.T) {
	p := stacked(t)
	require.NoError(t, p.Reload(t.Context(), []byte(`{"bypass":true}`), by))
	resp, body, err := post(t, p, replies(reply(503, "busy")))
	require.NoError(t, err)
	require.Equal(t, 503, resp.StatusCode)
	require.Equal(t, "busy", body)
	require.Zero(t, p.Model("m").Stats(time.Minute).Calls)
}

// TestTransportNested: one layer retries, whether the pool around is the same.
func TestTransportNested(t *testing.T) {
	for name, same := range map[string]bool{"same pool": true, "another pool": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := stacked(t)
				outer := inner
				if !same {
					outer = stacked(t)
				}
				f := newFake(t, replyWith(529, jsonType, "{}"))
				sdk := &http.Client{Transport: inner.Transport(resilience.Tap(f.base), always("m"))}
				c := newClient(t, outer, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
					resp, body, err := postWith(ctx, sdk)
					if err == nil && resp.StatusCode != http.StatusOK {
						err = fmt.Errorf("the SDK's own: status %d", resp.StatusCode)
					}
					return body, err
				}))
				_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
				require.ErrorIs(t, err, resilience.Overloaded)
				require.Len(t, f.sent(), 3)
				require.Equal(t, same, len(rep.Attempts) == 3)
				idle(t, inner)
				idle(t, outer)
			})
		})
	}
}

func TestTransportOverATap(t *testing.T) {
	p := stacked(t)
	warnings := p.Subscribe(10, resilience.EventWarning)
	defer warnings.Close()
	_, _, err := post(t, p, resilience.Tap(replies(reply(503, ""), reply(200, okJSON, "Content-Type", jsonType))))
	require.NoError(t, err)
	require.Empty(t, warnings.C, "each attempt made one request")

	tap := resilience.Tap(replies(reply(503, ""), reply(200, okJSON, "Content-Type", jsonType)))
	_, _, err = post(t, p, roundTrip(func(r *http.Request) (*http.Response, error) {
		if _, err := tap.RoundTrip(r); err != nil {
			return nil, err
		}
		return tap.RoundTrip(r)
	}))
	require.NoError(t, err)
	require.Len(t, warnings.C, 1, "of a base that retries by itself")
}

// TestTransportHeeds what a request says of itself.
func TestTransportHeeds(t *testing.T) {
	ok := replyWith(200, jsonType, okJSON)
	none := resilience.CallOptions{}
	for name, tc := range map[string]struct {
		opts     resilience.CallOptions
		edit     func(*http.Request)
		first    http.HandlerFunc
		requests int
		took     time.Duration
		err      resilience.Kind
	}{
		"a stream that it asks for": {none, func(r *http.Request) { r.Header.Set("Accept", "text/event-stream") }, streamed(jsonType, "1h"), 2, time.Minute, 0},
		"a stream, no header":       {none, func(r *http.Request) { r.Header.Set("Accept", "text/event-stream") }, silent, 2, 30 * time.Second, 0},
		"either":                    {none, func(r *http.Request) { r.Header.Set("Accept", "application/json, text/event-stream") }, silent, 2, time.Minute, 0},
		"Expect":                    {none, func(r *http.Request) { r.Header.Set("Expect", "100-continue") }, replyWith(503, jsonType, ""), 2, 0, 0},
		"Once":                      {resilience.CallOptions{Once: true}, func(*http.Request) {}, replyWith(503, jsonType, ""), 1, 0, 0},
		"a bound of the whole":      {resilience.CallOptions{Timeout: 5 * time.Second}, func(*http.Request) {}, silent, 1, 5 * time.Second, resilience.TimedOut},
		"a body that cannot be had": {none, func(r *http.Request) { r.GetBody = func() (io.ReadCloser, error) { return nil, errBroken } }, replyWith(503, jsonType, ""), 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := stacked(t)
				f := newFake(t, tc.first, ok)
				req, err := http.NewRequestWithContext(resilience.WithOptions(t.Context(), tc.opts), http.MethodPost, url, strings.NewReader("question"))
				require.NoError(t, err)
				tc.edit(req)
				start := time.Now()
				resp, err := p.Transport(f.base, always("m")).RoundTrip(req)
				require.InDelta(t, tc.took, time.Since(start), float64(time.Second))
				require.Len(t, f.sent(), tc.requests)
				if tc.err != 0 {
					require.Equal(t, tc.err, resilience.KindOf(err), "%v", err)
				} else {
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
				}
				idle(t, p)
			})
		})
	}
}

func TestTransportConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, retry.New(retry.Config{Budget: -1}), resilience.Timeouts{})
		var handlers []http.HandlerFunc
		for range 25 {
			handlers = append(handlers, streams(word, word, stop), replyWith(503, jsonType, ""), replyWith(200, jsonType, okJSON), streams(word))
		}
		f := newFake(t, handlers...)
		client := &http.Client{Transport: p.Transport(f.base, nil)}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 2 {
					_, _, _ = postWith(t.Context(), client)
				}
			})
		}
		wg.Wait()
		idle(t, p)
		require.GreaterOrEqual(t, p.Models()[0].Stats(time.Minute).Calls, int64(100))
	})
}

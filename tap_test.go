package resilience_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// replies answers request i with the i-th reply, the last one from then on.
func replies(all ...func(*http.Request) (*http.Response, error)) http.RoundTripper {
	var mu sync.Mutex
	n := 0
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		reply := all[min(n, len(all)-1)]
		n++
		return reply(r)
	})
}

func reply(status int, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func hungUp(*http.Request) (*http.Response, error) { return nil, errors.New("hungUp") }

// opaque is a client that makes its requests one after the other, and tells
// nothing of what it got but that it failed.
func opaque(base http.RoundTripper, urls ...string) resilience.Func[string, string] {
	client := &http.Client{Transport: resilience.Tap(base)}
	return func(ctx context.Context, _ string) (string, error) {
		failed := false
		for _, url := range urls {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
			if err != nil {
				return "", err
			}
			resp, err := client.Do(req)
			if err != nil {
				failed = true
				continue
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			failed = resp.StatusCode >= 400
		}
		if failed {
			return "", errors.New("it did not work")
		}
		return "fine", nil
	}
}

const url = "http://provider.test/v1/chat"

func TestTapTellsWhatAClientHides(t *testing.T) {
	c := resilience.Wrap(opaque(replies(reply(429, "{}", "Retry-After", "3", "X-Request-Id", "req_7")), url))
	_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
	require.ErrorIs(t, err, resilience.RateLimited)
	require.Equal(t, 3*time.Second, resilience.RetryAfter(err))
	require.Equal(t, 429, rep.Attempts[0].Status)
	require.Equal(t, "req_7", rep.Attempts[0].RequestID)

	c = resilience.Wrap(opaque(replies(reply(200, "{}", "Request-Id", "req_8\nforged")), url))
	_, rep, err = c.Do(t.Context(), "?", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, 200, rep.Attempts[0].Status)
	require.NotContains(t, rep.Attempts[0].RequestID, "\n")

	// Without the tap it is a failure like any other.
	c = resilience.Wrap(resilience.FuncOf(func(context.Context, string) (string, error) { return "", errors.New("it did not work") }))
	_, err = c.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Unknown)
}

func TestTapLeavesTheErrorItsSay(t *testing.T) {
	client := &http.Client{Transport: resilience.Tap(replies(reply(200, "<html>")))}
	c := resilience.Wrap(resilience.FuncOf(func(ctx context.Context, _ string) (any, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		var v any
		return v, json.NewDecoder(resp.Body).Decode(&v)
	}))
	_, err := c.Call(t.Context(), "?")
	require.ErrorIs(t, err, resilience.Malformed, "a 200 is no answer")

	c2 := resilience.Wrap(opaque(replies(reply(500, ""), hungUp), url, url+"/other"))
	_, rep, err := c2.Do(t.Context(), "?", resilience.CallOptions{})
	require.Error(t, err)
	require.Zero(t, rep.Attempts[0].Status, "the latest request counts, and it had no response")
}

func TestTapWarnsOfClientsThatRetry(t *testing.T) {
	for name, tc := range map[string]struct {
		base    http.RoundTripper
		urls    []string
		repeats string
	}{
		"after a status":      {replies(reply(503, ""), reply(429, ""), reply(200, "")), []string{url, url, url}, "2 times"},
		"after no response":   {replies(hungUp, reply(200, "")), []string{url, url}, "1 times"},
		"another request":     {replies(reply(503, ""), reply(200, "")), []string{url, url + "/other"}, ""},
		"after a success":     {replies(reply(200, "")), []string{url, url, url}, ""},
		"after a caller's":    {replies(reply(400, ""), reply(200, "")), []string{url, url}, ""},
		"a redirect":          {replies(reply(307, "", "Location", url), reply(200, "")), []string{url}, ""},
		"a single one failed": {replies(reply(503, "")), []string{url}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p, err := resilience.NewPool(resilience.Logger(slog.New(slog.NewTextHandler(&out, nil))))
			require.NoError(t, err)
			sub := p.Subscribe(10, resilience.EventWarning)
			defer sub.Close()
			base := tc.base
			c, err := resilience.NewClient(p, resilience.BindFunc("m", opaque(base, tc.urls...)))
			require.NoError(t, err)
			_, _ = c.Call(t.Context(), "?")
			if tc.repeats == "" {
				require.Empty(t, sub.C)
				require.Empty(t, out.String())
				return
			}
			e := <-sub.C
			require.Equal(t, "m", e.Model.ID())
			require.Contains(t, e.Reason, tc.repeats)
			require.NotContains(t, out.String(), "provider.test")
			again, err := resilience.NewClient(p, resilience.BindFunc("m", opaque(replies(hungUp), url, url)))
			require.NoError(t, err)
			_, _ = again.Call(t.Context(), "?")
			require.Empty(t, sub.C, "once a model")
			require.Equal(t, 1, strings.Count(out.String(), "\n"))
		})
	}
}

func TestTapOutsideOfAttempts(t *testing.T) {
	client := &http.Client{Transport: resilience.Tap(replies(reply(200, "fine")))}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.NoError(t, resp.Body.Close())

	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:0", http.NoBody)
	require.NoError(t, err)
	_, err = resilience.Tap(nil).RoundTrip(req)
	require.Error(t, err, "a nil base is the default transport")
}

func TestTapConcurrently(t *testing.T) {
	client := &http.Client{Transport: resilience.Tap(replies(reply(200, "")))}
	c := resilience.Wrap(resilience.FuncOf(func(ctx context.Context, _ string) (string, error) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprint(url, "/", i), http.NoBody)
				if err != nil {
					return
				}
				if resp, err := client.Do(req); err == nil {
					_ = resp.Body.Close()
				}
				resilience.ReportUsage(ctx, resilience.Usage{Output: 1})
			})
		}
		wg.Wait()
		return "fine", nil
	}))
	_, rep, err := c.Do(t.Context(), "?", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, int64(20), rep.Usage.Output)
	require.Equal(t, 200, rep.Attempts[0].Status)
}

// TestTapTellsOfWhatWeEnd has a stream that our own timer ends: the error has
// the ID by which to ask the provider.
func TestTapTellsOfWhatWeEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tapped := resilience.Tap(replies(reply(http.StatusOK, "", "X-Request-Id", "req_9")))
		open := func(ctx context.Context, _ string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://model", http.NoBody)
				require.NoError(t, err)
				resp, err := tapped.RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				if yield("one", nil) {
					<-ctx.Done()
					yield("", context.Cause(ctx))
				}
			}
		}
		c := resilience.Wrap(resilience.StreamOf(open), resilience.Timeouts{})
		s, err := c.Call(t.Context(), "?")
		require.NoError(t, err)
		_, err = readAll(s)
		require.EqualError(t, err, "model: truncated: timed out after 30s (Timeouts.Gap) after 1 chunks, request req_9")
		require.Equal(t, "req_9", s.Report().Attempts[0].RequestID)
		require.Equal(t, http.StatusOK, s.Report().Attempts[0].Status)
	})
}

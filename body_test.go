package resilience_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

// get makes a request through p and returns its response, unread.
func get(ctx context.Context, t *testing.T, p *resilience.Pool, base http.RoundTripper) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://provider.test", http.NoBody)
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: p.Transport(base, always("m"))}).Do(req)
	require.NoError(t, err)
	return resp
}

func TestBodyHoldsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stacked(t)
		f := newFake(t, streams(word, "1m", stop))
		resp := get(t.Context(), t, p, f.base)
		require.Equal(t, int64(1), p.InFlight())
		require.Equal(t, int64(1), p.Model("m").InFlight())
		drained := make(chan error, 1)
		go func() { drained <- p.Drain(t.Context()) }()
		synctest.Wait()
		require.Empty(t, drained)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, <-drained)
		require.NoError(t, resp.Body.Close(), "again")
		idle(t, p)
		_, err := resp.Body.Read(make([]byte, 1))
		require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
		require.Zero(t, p.Model("m").Stats(time.Minute).Failures, "who leaves says nothing about the model")
	})
}

func TestBodyPassesWithoutDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, streams(word, "1s", "data: ha", "1s", "lf\n", "1s", "\n", done))
		resp := get(t.Context(), t, stacked(t), f.base)
		start := time.Now()
		buf := make([]byte, 1<<10)
		for i, want := range []string{word, "data: ha", "lf\n"} {
			n, err := resp.Body.Read(buf)
			require.NoError(t, err)
			require.Equal(t, want, string(buf[:n]))
			require.Equal(t, time.Duration(i)*time.Second, time.Since(start))
		}
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "\n"+done, string(rest))
		require.NoError(t, resp.Body.Close())
	})
}

// An SDK that knows the end when it sees it closes there.
func TestBodyClosedAtItsEndMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stacked(t)
		resp := get(t.Context(), t, p, newFake(t, streams(word, stop, "1h")).base)
		_, err := io.ReadFull(resp.Body, make([]byte, len(word+stop)))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, int64(1), p.Model("m").Stats(time.Minute).Calls, "it has succeeded")
		idle(t, p)
	})
}

func TestBodyReaderMayBeSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resp := get(t.Context(), t, stacked(t), newFake(t, streams(word, word, stop)).base)
		buf := make([]byte, len(word))
		for range 2 {
			_, err := io.ReadFull(resp.Body, buf)
			require.NoError(t, err)
			time.Sleep(time.Hour)
		}
		_, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	})
}

func TestBodyCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stacked(t)
		ctx, cancel := context.WithCancel(t.Context())
		resp := get(ctx, t, p, newFake(t, streams(word, "1h")).base)
		time.AfterFunc(time.Second, cancel)
		_, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, resilience.Canceled)
		require.ErrorIs(t, err, context.Canceled)
		_, again := resp.Body.Read(make([]byte, 1))
		require.Equal(t, err, again)
		require.NoError(t, resp.Body.Close())
		idle(t, p)
		require.Zero(t, p.Model("m").Stats(time.Minute).Failures)
	})
}

func TestCallerLeavesWhileRetriesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stacked(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, _, err := postWith(ctx, &http.Client{Transport: p.Transport(newFake(t, replyWith(429, jsonType, "{}", "Retry-After", "4")).base, always("m"))})
		require.ErrorIs(t, err, context.Canceled, "not the response that is to be waited out")
		idle(t, p)
	})
}

func TestBodyClosedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stacked(t)
		resp := get(t.Context(), t, p, newFake(t, streams(word, "1h")).base)
		for range 2 {
			time.AfterFunc(time.Second, func() { _ = resp.Body.Close() })
		}
		start := time.Now()
		_, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, resilience.Canceled)
		require.Equal(t, time.Second, time.Since(start))
		idle(t, p)
	})
}

// A base may not heed the request's context once there is a response.
func TestBodyClosedByAnotherUnblocksTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stacked(t)
		src, never := io.Pipe()
		defer func() { _ = never.Close() }()
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			body := struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(word), src), src}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body, Request: r}, nil
		})
		resp := get(t.Context(), t, p, base)
		time.AfterFunc(time.Second, func() { _ = resp.Body.Close() })
		_, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, resilience.Canceled)
		idle(t, p)
	})
}

func TestBodyTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, resilience.Timeouts{Total: time.Minute})
		pieces := []string{word}
		for range 100 {
			pieces = append(pieces, "1s", word)
		}
		resp := get(t.Context(), t, p, newFake(t, streams(pieces...)).base)
		_, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, resilience.Truncated)
		require.ErrorContains(t, err, "Timeouts.Total")
		require.NoError(t, resp.Body.Close())
	})
}

func TestBodiesThatBreakOpenTheBreaker(t *testing.T) {
	for name, pieces := range map[string][]string{"cut": {word}, "in band": {word, inBand}} {
		synctest.Test(t, func(t *testing.T) {
			b := breaker.New(breaker.Config{Consecutive: 3})
			p := newPool(t, b)
			f := newFake(t, streams(pieces...))
			for range 3 {
				resp := get(t.Context(), t, p, f.base)
				_, _ = io.ReadAll(resp.Body)
				require.NoError(t, resp.Body.Close())
			}
			require.Equal(t, breaker.Open, b.State(p.Model("m")), name)
		})
	}
}

// A stream whose events are too large to follow is not called cut.
func TestBodyOfLargeEvents(t *testing.T) {
	huge := "data: \"" + strings.Repeat("a", 2<<20) + "\"\n\n"
	resp := get(t.Context(), t, stacked(t), replies(reply(200, word+huge+word, "Content-Type", "text/event-stream")))
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, word+huge+word, string(got))
	require.NoError(t, resp.Body.Close())
}

func TestKeepAlivesAreBounded(t *testing.T) {
	endless := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(repeat('\n')), Request: r}, nil
	})
	_, _, err := post(t, newPool(t), endless)
	require.ErrorIs(t, err, resilience.Malformed)
}

func TestBodyPanics(t *testing.T) {
	p := newPool(t)
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader("a"), bomb{})), Request: r}, nil
	})
	resp := get(t.Context(), t, p, base)
	require.Panics(t, func() { _, _ = io.ReadAll(resp.Body) })
	require.NoError(t, resp.Body.Close())
	idle(t, p)
	require.Equal(t, int64(1), p.Model("m").Stats(time.Minute).Failures)
}

type bomb struct{}

func (bomb) Read([]byte) (int, error) { panic("boom") }

// TestTransportProtocols goes over loopback: resets, HTTP/2, lost bodies.
func TestTransportProtocols(t *testing.T) {
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			script := make(chan http.HandlerFunc, 10)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				(<-script)(w, r)
			}))
			server.EnableHTTP2 = two
			server.StartTLS()
			defer server.Close()
			p := stacked(t)
			client := server.Client()
			defer client.CloseIdleConnections()
			client.Transport = p.Transport(client.Transport, nil)
			do := func() (string, error) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("?"))
				require.NoError(t, err)
				resp, err := client.Do(req)
				if err != nil {
					return "", err
				}
				require.Equal(t, two, resp.ProtoMajor == 2)
				defer func() { _ = resp.Body.Close() }()
				body, err := io.ReadAll(resp.Body)
				return string(body), err
			}
			reset := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			script <- reset
			script <- replyWith(200, jsonType, okJSON)
			got, err := do()
			require.NoError(t, err)
			require.JSONEq(t, okJSON, got)

			script <- streams(word, "cut")
			got, err = do()
			require.ErrorIs(t, err, resilience.Truncated)
			require.Equal(t, word, got)

			trailers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				streams(word, stop)(w, r)
				w.Header().Set(http.TrailerPrefix+"X-Last", "word")
			})
			script <- trailers
			func() {
				resp, err := client.Get(server.URL)
				require.NoError(t, err)
				defer func() { _ = resp.Body.Close() }()
				_, err = io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "word", resp.Trailer.Get("X-Last"))
			}()
			idle(t, p)

			script <- streams(word, "1h")
			func() {
				_, err := client.Get(server.URL)
				require.NoError(t, err)
			}()
			require.Equal(t, int64(1), p.InFlight())
			require.Eventually(t, func() bool {
				runtime.GC()
				return p.InFlight() == 0
			}, 10*time.Second, time.Millisecond)
		})
	}
}

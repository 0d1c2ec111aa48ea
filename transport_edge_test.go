package resilience_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// TestTransportWithoutAnAnswer: what carries no answer is none that is broken,
// whatever its headers call it.
func TestTransportWithoutAnAnswer(t *testing.T) {
	for proto, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for name, tc := range map[string]struct {
			status int
			body   string
		}{
			"no content":   {http.StatusNoContent, ""},
			"not modified": {http.StatusNotModified, ""},
			"moved":        {http.StatusTemporaryRedirect, ""},
			"found":        {http.StatusFound, "Found"},
		} {
			t.Run(proto+" "+name, func(t *testing.T) {
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", jsonType)
					w.WriteHeader(tc.status)
					_ = http.NewResponseController(w).Flush()
					_, _ = io.WriteString(w, tc.body)
				}))
				server.EnableHTTP2 = two
				server.StartTLS()
				defer server.Close()
				defer server.Client().CloseIdleConnections()
				p := stacked(t)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, server.URL, http.NoBody)
				require.NoError(t, err)
				resp, err := p.Transport(server.Client().Transport, nil).RoundTrip(req)
				require.NoError(t, err)
				require.Equal(t, tc.status, resp.StatusCode)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, tc.body, string(body))
				require.NoError(t, resp.Body.Close())
				idle(t, p)
			})
		}
	}
}

// TestTransportCompressedForTheSDK: net/http unpacks only what it has asked for.
func TestTransportCompressedForTheSDK(t *testing.T) {
	for name, tc := range map[string]struct{ contentType, body string }{
		"JSON":     {jsonType, okJSON},
		"a stream": {"text/event-stream", word + stop},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var packed bytes.Buffer
				z := gzip.NewWriter(&packed)
				_, err := io.WriteString(z, tc.body)
				require.NoError(t, err)
				require.NoError(t, z.Close())
				p := stacked(t)
				f := newFake(t, replyWith(200, tc.contentType, packed.String(), "Content-Encoding", "gzip"))
				for _, own := range []bool{false, true} {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
					require.NoError(t, err)
					want := tc.body
					if own {
						req.Header.Set("Accept-Encoding", "gzip")
						want = packed.String()
					}
					resp, err := p.Transport(f.base, always("m")).RoundTrip(req)
					require.NoError(t, err, "own: %v", own)
					got, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
					require.Equal(t, want, string(got))
					idle(t, p)
				}
			})
		})
	}
}

// TestTransportTrailers: those of a failure, and those of the request, which are
// set as its body is read.
func TestTransportTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got string
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Trailer.Get("X-Sum")
			replyWith(400, jsonType, "{}")(w, r)
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Last", "word")
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
		require.NoError(t, err)
		req.Trailer = http.Header{"X-Sum": nil}
		req.ContentLength = -1
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("question"), atEnd(func() { req.Trailer.Set("X-Sum", "42") })))
		resp, err := stacked(t).Transport(f.base, always("m")).RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "word", resp.Trailer.Get("X-Last"))
		require.Equal(t, "42", got)
	})
}

// atEnd is called as a body ends.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) { f(); return 0, io.EOF }

// TestTransportEmptyAnswers: an answer of no bytes is none, however its length is
// told.
func TestTransportEmptyAnswers(t *testing.T) {
	for _, contentType := range []string{jsonType, "text/event-stream"} {
		for name, header := range map[string][]string{"no length": nil, "a length of 0": {"Content-Length", "0"}} {
			t.Run(contentType+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
						replyWith(200, contentType, "", header...)(w, r)
						_ = http.NewResponseController(w).Flush()
					}, replyWith(200, jsonType, okJSON))
					_, body, err := post(t, stacked(t), f.base)
					require.NoError(t, err)
					require.JSONEq(t, okJSON, body)
				})
			})
		}
	}
}

// TestTransportLargeFirstEvent: an event that is too large to follow begins an
// answer, wherever the reads happen to end.
func TestTransportLargeFirstEvent(t *testing.T) {
	body := alive + "data: \"" + strings.Repeat("a", 1<<20) + "\"\n\n"
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}},
			Body: io.NopCloser(iotest.OneByteReader(strings.NewReader(body))), Request: r,
		}, nil
	})
	_, got, err := post(t, newPool(t), base)
	require.NoError(t, err)
	require.Equal(t, body, got)
}

// TestTransportLayerThatAnswersItself has no response to answer with.
func TestTransportLayerThatAnswersItself(t *testing.T) {
	for _, at := range []resilience.Layer{resilience.LayerFault, resilience.LayerRetry} {
		p := newPool(t, layer(at, func(context.Context, *resilience.Call, resilience.Handler) error { return nil }))
		_, _, err := post(t, p, replies(reply(200, "")))
		require.ErrorIs(t, err, resilience.Malformed)
		idle(t, p)
	}
}

// TestTransportPanics: of whoever is asked.
func TestTransportPanics(t *testing.T) {
	boom := func(*http.Request) (*http.Response, error) { panic("boom") }
	for name, tr := range map[string]func(p *resilience.Pool) http.RoundTripper{
		"base": func(p *resilience.Pool) http.RoundTripper { return p.Transport(roundTrip(boom), always("m")) },
		"modelOf": func(p *resilience.Pool) http.RoundTripper {
			return p.Transport(nil, func(*http.Request) string { panic("boom") })
		},
		"a JSON body": func(p *resilience.Pool) http.RoundTripper {
			return p.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {jsonType}}, Body: io.NopCloser(bomb{}), Request: r}, nil
			}), always("m"))
		},
		"a stream": func(p *resilience.Pool) http.RoundTripper {
			return p.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(bomb{}), Request: r}, nil
			}), always("m"))
		},
	} {
		p := stacked(t)
		require.Panics(t, func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("?"))
			require.NoError(t, err)
			resp, err := tr(p).RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
		}, name)
		idle(t, p)
	}
}

// TestTransportAlreadyLeft closes the body of a request that nobody waits for.
func TestTransportAlreadyLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := &counter{Reader: strings.NewReader("question")}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	require.NoError(t, err)
	p := stacked(t)
	resp, err := p.Transport(replies(reply(200, "")), always("m")).RoundTrip(req)
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, resp)
	require.Equal(t, 1, body.closed)
	idle(t, p)
}

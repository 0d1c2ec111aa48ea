package notify

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func testPoster(t *testing.T, h HTTP) *poster {
	t.Helper()
	p, problems := newPoster("notify.http", h)
	require.Empty(t, problems)
	return p
}

// local posts to servers of the test.
func local(t *testing.T) *poster {
	t.Helper()
	return testPoster(t, HTTP{AllowHTTP: true, Allow: loopback, Timeout: 2 * time.Second})
}

func send(t *testing.T, p *poster, to string) error {
	t.Helper()
	return p.post(t.Context(), to, "application/json", []byte(`{}`), http.Header{"X-A": {"b"}})
}

func TestPost(t *testing.T) {
	var got *http.Request
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	require.Nil(t, local(t).client.Transport.(*http.Transport).Proxy, "a proxy would be dialed in place of what is guarded")
	require.NoError(t, send(t, local(t), strings.Replace(s.URL, "http://", "http://user:pass@", 1)+"/a?b=c"))
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "/a?b=c", got.RequestURI)
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.Equal(t, "b", got.Header.Get("X-A"))
	user, pass, _ := got.BasicAuth()
	require.Equal(t, "user pass", user+" "+pass)
	require.Equal(t, "{}", body)
	require.True(t, got.Close, "an idle connection is left")
}

func TestPostByTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	tls := s.Client().Transport.(*http.Transport).TLSClientConfig
	require.NoError(t, send(t, testPoster(t, HTTP{Allow: loopback, TLS: tls}), s.URL))
	err := send(t, testPoster(t, HTTP{Allow: loopback}), s.URL)
	require.ErrorContains(t, err, "certificate")
	require.True(t, failureOf(err).unsent)
	require.False(t, failureOf(err).permanent)
}

func TestPostStatuses(t *testing.T) {
	for _, c := range []struct {
		code                      int
		wait                      string
		permanent, unsent, isOver bool
		after                     time.Duration
	}{
		{code: 200, isOver: true}, {code: 204, isOver: true}, {code: 299, isOver: true},
		{code: 301}, {code: 302}, {code: 307}, {code: 308},
		{code: 400, permanent: true, unsent: true}, {code: 401, permanent: true, unsent: true},
		{code: 403, permanent: true, unsent: true}, {code: 404, permanent: true, unsent: true},
		{code: 408}, {code: 409},
		{code: 410, permanent: true, unsent: true}, {code: 413, permanent: true, unsent: true}, {code: 422, permanent: true, unsent: true},
		{code: 429, unsent: true}, {code: 429, wait: "30", unsent: true, after: 30 * time.Second},
		{code: 429, wait: "99999999", unsent: true, after: time.Hour}, {code: 429, wait: "-5", unsent: true}, {code: 429, wait: "soon", unsent: true},
		{code: 429, wait: "Thu, 01 Jan 1970 00:00:00 GMT", unsent: true}, {code: 429, wait: "Fri, 31 Dec 9999 23:59:59 GMT", unsent: true, after: time.Hour},
		{code: 500}, {code: 502}, {code: 503, wait: "7", after: 7 * time.Second}, {code: 504}, {code: 599},
	} {
		t.Run(http.StatusText(c.code)+c.wait, func(t *testing.T) {
			var asked atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Location", "/secret-elsewhere")
				if c.wait != "" {
					w.Header().Set("Retry-After", c.wait)
				}
				w.WriteHeader(c.code)
				if c.code != http.StatusNoContent {
					_, _ = io.WriteString(w, "secret-answer")
				}
			}))
			defer s.Close()
			err := send(t, local(t), s.URL+"/T0/secret-path?key=secret-query")
			require.EqualValues(t, 1, asked.Load(), "a redirect is not followed")
			if c.isOver {
				require.NoError(t, err)
				return
			}
			f := failureOf(err)
			require.Equal(t, failure{err: f.err, permanent: c.permanent, unsent: c.unsent, after: c.after}, f)
			require.NotContains(t, err.Error(), "secret")
			require.Contains(t, err.Error(), strings.TrimPrefix(s.URL, "http://"))
			require.Equal(t, err.Error(), safeText(err))
		})
	}
}

// raw serves each connection by f.
func raw(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

func request(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) }

// wait waits for the other end to give up.
func wait(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestPostToWhatMisbehaves(t *testing.T) {
	flood := strings.Repeat("x", 32<<10)
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string // "" is delivered
	}{
		"hangs":           {func(c net.Conn) { request(c); wait(c) }, "no answer in time"},
		"drops":           {request, "the connection broke"},
		"drops at once":   {func(net.Conn) {}, "the connection broke"},
		"half a header":   {func(c net.Conn) { request(c); _, _ = io.WriteString(c, "HTTP/1.1 200 O") }, "the connection broke"},
		"not HTTP":        {func(c net.Conn) { request(c); _, _ = io.WriteString(c, "SSH-2.0-secret\r\n\r\n") }, "not HTTP"},
		"floods its body": {func(c net.Conn) { request(c); floods(c, "HTTP/1.1 200 OK\r\n\r\n", flood) }, ""},
		"floods an error": {func(c net.Conn) { request(c); floods(c, "HTTP/1.1 500 No\r\n\r\n", flood) }, "answered 500"},
		"floods headers":  {func(c net.Conn) { request(c); floods(c, "HTTP/1.1 200 OK\r\n", "X: "+flood+"\r\n") }, "not HTTP"},
		"body hangs":      {func(c net.Conn) { request(c); _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nx"); wait(c) }, ""},
		"body breaks": {func(c net.Conn) {
			request(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := HTTP{AllowHTTP: true, Allow: loopback, Timeout: 300 * time.Millisecond}
			if strings.HasPrefix(name, "floods") {
				h.Timeout = time.Minute
			}
			start := time.Now()
			err := send(t, testPoster(t, h), raw(t, c.serve)+"/secret")
			require.Less(t, time.Since(start), 30*time.Second, "there is an end to what is read")
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "secret")
			require.False(t, failureOf(err).unsent, "it may have been taken")
			require.False(t, failureOf(err).permanent)
		})
	}
}

// floods writes until the other end has had enough.
func floods(c net.Conn, head, more string) {
	_, err := io.WriteString(c, head)
	for err == nil {
		_, err = io.WriteString(c, more)
	}
}

func TestPostThatNeverArrives(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone := "http://" + l.Addr().String() + "/secret"
	require.NoError(t, l.Close())
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx       context.Context
		p         *poster
		to, want  string
		permanent bool
	}{
		"refused":     {t.Context(), local(t), gone, "connection refused", false},
		"no name":     {t.Context(), local(t), "http://nowhere.invalid/secret", "nowhere.invalid", false},
		"canceled":    {canceled, local(t), gone, "given up", false},
		"blocked":     {t.Context(), testPoster(t, HTTP{AllowHTTP: true}), "http://localhost:1/secret", "is not public", false},
		"not allowed": {t.Context(), testPoster(t, HTTP{AllowHTTP: true}), gone, "is not public", true},
		"plain":       {t.Context(), testPoster(t, HTTP{}), "http://a.example/secret", "not https", true},
		"scheme":      {t.Context(), local(t), "file:///secret", "not https", true},
		"no URL":      {t.Context(), local(t), "https://[secret", "not a URL", true},
		"opaque":      {t.Context(), local(t), "https:secret", "not a URL", true},
		"no host":     {t.Context(), local(t), "https:///secret", "no host", true},
		"number":      {t.Context(), local(t), "http://2130706433/secret", "form", true},
		"missing":     {t.Context(), local(t), "", "missing", true},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.p.post(c.ctx, c.to, "text/plain", nil, nil)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "secret")
			require.Equal(t, c.permanent, failureOf(err).permanent)
			require.True(t, failureOf(err).unsent)
		})
	}
	require.ErrorIs(t, local(t).post(canceled, gone, "", nil, nil), context.Canceled)
}

// A name is looked at when it is connected to: it may have been public before.
func TestPostLooksAtWhatIsDialed(t *testing.T) {
	p := testPoster(t, HTTP{})
	for address, ok := range map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1]:443": true,
		"127.0.0.1:443": false, "[::ffff:10.0.0.1]:443": false, "[fe80::1%eth0]:443": false, "": false, "x": false,
	} {
		err := p.control(t.Context(), "tcp", address, nil)
		require.Equal(t, ok, err == nil, address)
		require.True(t, ok || errors.As(err, new(errBlocked)))
	}
}

package classify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

type timeoutError struct{}

func (timeoutError) Error() string { return "too slow" }
func (timeoutError) Timeout() bool { return true }

func TestTransport(t *testing.T) {
	post := func(err error) error { return &url.Error{Op: "Post", URL: "https://rate-limit.example/429", Err: err} }
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	read := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	sys := func(n syscall.Errno) error { return os.NewSyscallError("connect", n) }

	for _, c := range []struct {
		err    error
		kind   classify.Kind
		reason string
		begun  bool
	}{
		{context.Canceled, classify.Canceled, "canceled", true},
		{post(context.Canceled), classify.Canceled, "canceled", true},
		{errors.Join(&openaiError{StatusCode: 429}, context.Canceled), classify.Canceled, "canceled", true},
		{context.DeadlineExceeded, classify.TimedOut, "deadline exceeded", true},
		{post(context.DeadlineExceeded), classify.TimedOut, "deadline exceeded", true},
		{fmt.Errorf("reading: %w", os.ErrDeadlineExceeded), classify.TimedOut, "deadline exceeded", true},
		{errors.Join(&openaiError{StatusCode: 429}, context.DeadlineExceeded), classify.RateLimited, "too many requests", false},
		{timeoutError{}, classify.TimedOut, "timeout", true},

		{post(dial(sys(syscall.ECONNREFUSED))), classify.Unreachable, "connection refused", false},
		{post(dial(sys(syscall.ENETUNREACH))), classify.Unreachable, "network unreachable", false},
		{post(dial(os.ErrDeadlineExceeded)), classify.Unreachable, "dial timeout", false},
		{post(dial(errors.New("operation went wrong"))), classify.Unreachable, "dial failed", false},
		{post(dial(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true})), classify.Unreachable, "no such host", false},
		{&net.DNSError{Err: "slow", IsTimeout: true}, classify.Unreachable, "DNS timeout", false},
		{&net.DNSError{Err: "server misbehaving"}, classify.Unreachable, "DNS failure", false},
		{post(&net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial(sys(syscall.ECONNREFUSED))}), classify.Unreachable, "connection refused", false},
		{post(read(sys(syscall.ECONNRESET))), classify.Unreachable, "connection reset", true},
		{post(read(os.ErrDeadlineExceeded)), classify.TimedOut, "deadline exceeded", true},
		{post(&net.OpError{Op: "write", Err: sys(syscall.EPIPE)}), classify.Unreachable, "broken pipe", true},
		{syscall.ENOENT, classify.Unknown, "unknown error", true},
		{net.ErrClosed, classify.Unreachable, "connection closed", true},
		{post(io.EOF), classify.Unreachable, "EOF", true},
		{fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), classify.Unreachable, "unexpected EOF", true},

		{json.Unmarshal([]byte("{"), new(any)), classify.Malformed, "invalid JSON", true},
		{fmt.Errorf("answer: %w", json.Unmarshal([]byte(`"a"`), new(int))), classify.Malformed, "invalid JSON", true},
		{encodingError(), classify.Invalid, "request cannot be encoded", false},
	} {
		f := classify.Of(c.err, time.Time{})
		require.Equal(t, classify.Facts{Kind: c.kind, Reason: c.reason, Accepted: c.begun, Status: f.Status}, f, "%v", c.err)
	}
}

func encodingError() error {
	_, err := json.Marshal(math.Inf(1))
	return err
}

// Failures of real connections, through net/http.
func TestTransportReal(t *testing.T) {
	server := func(tls bool, h http.HandlerFunc) string {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		if tls {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s.URL
	}
	hijack := func(write string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, write)
			_ = c.Close()
		}
	}
	closed := httptest.NewServer(nil)
	closed.Close()

	for _, c := range []struct {
		name, url string
		reason    string
		kind      classify.Kind
		begun     bool
	}{
		{"refused", closed.URL, "connection refused", classify.Unreachable, false},
		{"hung up", server(false, hijack("")), "EOF", classify.Unreachable, true},
		{"garbage", server(false, hijack("garbage\r\n\r\n")), "malformed HTTP", classify.Unreachable, true},
		{"cut body", server(false, hijack("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")), "unexpected EOF", classify.Unreachable, true},
		{"unknown authority", server(true, hijack("")), "TLS certificate", classify.Unreachable, false},
		{"TLS to plain", "https" + server(false, hijack(""))[len("http"):], "TLS handshake", classify.Unreachable, false},
		{"no scheme", "nonsense://x", "bad URL", classify.NotFound, false},
		{"no host", "http:///x", "bad URL", classify.NotFound, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.Post(c.url, "application/json", nil)
			if err == nil {
				_, err = io.ReadAll(r.Body)
				require.NoError(t, r.Body.Close())
			}
			require.Error(t, err)
			f := classify.Of(err, time.Time{})
			require.Equal(t, classify.Facts{Kind: c.kind, Reason: c.reason, Accepted: c.begun}, f, "%v (%T)", err, err)
		})
	}

	t.Run("header timeout", func(t *testing.T) {
		done := make(chan struct{})
		u := server(false, func(http.ResponseWriter, *http.Request) { <-done })
		defer close(done)
		client := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 10 * time.Millisecond}}
		_, err := client.Get(u)
		require.Equal(t, classify.TimedOut, classify.Of(err, time.Time{}).Kind, "%v", err)
	})
	t.Run("client timeout", func(t *testing.T) {
		done := make(chan struct{})
		u := server(false, func(http.ResponseWriter, *http.Request) { <-done })
		defer close(done)
		_, err := (&http.Client{Timeout: 10 * time.Millisecond}).Get(u)
		require.Equal(t, classify.TimedOut, classify.Of(err, time.Time{}).Kind, "%v", err)
	})
}

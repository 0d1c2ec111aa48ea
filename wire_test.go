package resilience_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// pipes is a listener whose connections stay within a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// A fake is a provider over pipes that answers request i with the i-th handler,
// the last one from then on.
type fake struct {
	base  *http.Transport
	dials int

	mu     sync.Mutex
	bodies []string
}

func (f *fake) sent() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.bodies...)
}

func newFake(t *testing.T, handlers ...http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{}
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		h := handlers[min(len(f.bodies), len(handlers)-1)]
		f.bodies = append(f.bodies, string(body))
		f.mu.Unlock()
		h(w, r)
	})}
	f.base = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		f.mu.Lock()
		f.dials++
		f.mu.Unlock()
		select {
		case l.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.done:
			return nil, net.ErrClosed
		}
	}}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		f.base.CloseIdleConnections()
		_ = server.Close()
		wg.Wait()
	})
	return f
}

// replyWith writes a response, and what comes after waits.
func replyWith(status int, contentType, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(header); i += 2 {
			w.Header()[header[i]] = []string{header[i+1]}
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// streams writes an event stream piece by piece; a piece that is a duration is
// waited for, and "cut" breaks the connection.
func streams(pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for _, piece := range pieces {
			if piece == "cut" {
				panic(http.ErrAbortHandler)
			}
			if d, err := time.ParseDuration(piece); err == nil {
				select {
				case <-time.After(d):
				case <-r.Context().Done():
					return
				}
				continue
			}
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

const (
	jsonType = "application/json"
	okJSON   = `{"choices":[{"index":0,"message":{"content":"fine"}}]}`
	word     = `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}` + "\n\n"
	stop     = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	done     = "data: [DONE]\n\n"
	inBand   = `data: {"error":{"type":"overloaded_error","message":"no"}}` + "\n\n"
	alive    = ": alive\n\n"
)

// stack is what most pools have.
func stacked(t *testing.T, more ...resilience.Feature) *resilience.Pool {
	t.Helper()
	return newPool(t, append(more, resilience.Timeouts{}, fallback.New(fallback.Config{}), retry.New(retry.Config{}), breaker.New(breaker.Config{}))...)
}

func always(model string) func(*http.Request) string {
	return func(*http.Request) string { return model }
}

// post sends a body through p, and returns the response read to its end.
func post(t *testing.T, p *resilience.Pool, base http.RoundTripper) (*http.Response, string, error) {
	t.Helper()
	return postWith(t.Context(), &http.Client{Transport: p.Transport(base, always("m"))})
}

func postWith(ctx context.Context, c *http.Client) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://provider.test/v1/chat", strings.NewReader("question"))
	if err != nil {
		return nil, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// streamed is streams with another type of content.
func streamed(contentType string, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		streams(pieces...)(typed{w, contentType}, r)
	}
}

type typed struct {
	http.ResponseWriter
	contentType string
}

func (w typed) WriteHeader(status int) {
	w.Header().Set("Content-Type", w.contentType)
	w.ResponseWriter.WriteHeader(status)
}

func (w typed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// silent answers nothing.
func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

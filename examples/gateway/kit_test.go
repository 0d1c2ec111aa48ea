package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/failoverbench"
	"github.com/cmmv-hive/resilience/internal/leaktest"
	"github.com/cmmv-hive/resilience/internal/openai"
)

func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }

var quiet = log.New(io.Discard, "", 0)

// startServer serves h on loopback until the test ends, and returns its URL.
func startServer(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// A running gateway is served on loopback.
type running struct {
	base string
	file string       // of its configuration
	stop func() error // as a signal does
}

// startGateway serves a gateway with a configuration until the test ends.
func startGateway(t *testing.T, config string) *running {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.json")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- serve(ctx, ln, newClient(t).Transport, resilience.ConfigFile(file, 10*time.Millisecond))
	}()
	stop := func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() { require.Equal(t, http.ErrServerClosed, stop()) })
	return &running{"http://" + ln.Addr().String(), file, stop}
}

// body is q as a request.
func body(q failoverbench.Question) map[string]any {
	return map[string]any{
		"model": q.Model, "fallbacks": q.Fallbacks, "stream": q.Stream, "stream_options": map[string]bool{"include_usage": true},
		"messages": []map[string]string{{"role": "user", "content": "What happens at six?"}},
	}
}

// An answer is what a client got.
type answer struct {
	failoverbench.Answer

	status int
	events []string
	done   bool // ended with [DONE]
}

func ask(ctx context.Context, client *http.Client, base string, q failoverbench.Question) answer {
	return send(ctx, client, base, body(q))
}

// send posts a body as clients do.
func send(ctx context.Context, client *http.Client, base string, body any) (a answer) {
	began := time.Now()
	defer func() { a.Took = time.Since(began) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", bytes.NewReader(openai.Marshal(body)))
	if err != nil {
		return broken(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return broken(err)
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	switch {
	case a.status != http.StatusOK:
		text, err := io.ReadAll(resp.Body)
		a.Failed, a.Broke = cmp.Or(string(text), "nothing"), err
	case resp.Header.Get("Content-Type") == "application/json":
		text, err := io.ReadAll(resp.Body)
		if a.Broke = err; err == nil {
			a.Broke = a.read(string(text))
		}
	default:
		a.stream(resp.Body)
	}
	return a
}

// stream reads events up to their end. What sends one that is no JSON has
// broken off for its clients.
func (a *answer) stream(body io.Reader) {
	lines := bufio.NewScanner(body)
	for lines.Scan() && a.Broke == nil {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok:
		case a.done:
			a.Broke = errors.New("an event after [DONE]")
		case data == "[DONE]":
			a.done = true
		default:
			a.Broke = a.read(data)
		}
	}
	a.Broke = errors.Join(a.Broke, lines.Err())
}

func (a *answer) read(data string) error {
	a.events = append(a.events, data)
	return a.Read([]byte(data))
}

func broken(err error) answer { return answer{Answer: failoverbench.Answer{Broke: err}} }

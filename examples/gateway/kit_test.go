package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
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

// A question is a request of a client of these tests.
type question struct {
	model     string
	fallbacks []string
	stream    bool
}

func (q question) body() map[string]any {
	return map[string]any{
		"model": q.model, "fallbacks": q.fallbacks, "stream": q.stream, "stream_options": map[string]bool{"include_usage": true},
		"messages": []map[string]string{{"role": "user", "content": "What happens at six?"}},
	}
}

// An answer is what a client got.
type answer struct {
	status int
	text   string
	model  string // the last that was named
	tokens int    // of the usage
	ids    []string
	roles  int // how often the answer began
	events []string
	done   bool   // ended with [DONE]
	failed string // the error that was sent, as it was
	broke  error  // what was no clean end
	took   time.Duration
}

// document is what a client reads of an answer, or of an event.
type document struct {
	ID      string `json:"id"`
	Model   string `json:"model"`
	Choices []struct {
		Message struct{ Content string }       `json:"message"`
		Delta   struct{ Role, Content string } `json:"delta"`
	} `json:"choices"`
	Usage struct {
		Tokens int `json:"total_tokens"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

func ask(ctx context.Context, client *http.Client, base string, q question) answer {
	return send(ctx, client, base, q.body())
}

// send posts a body as clients do.
func send(ctx context.Context, client *http.Client, base string, body any) (a answer) {
	began := time.Now()
	defer func() { a.took = time.Since(began) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", bytes.NewReader(openai.Marshal(body)))
	if err != nil {
		return answer{broke: err}
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{broke: err}
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	switch {
	case a.status != http.StatusOK:
		text, err := io.ReadAll(resp.Body)
		a.failed, a.broke = cmp.Or(string(text), "nothing"), err
	case resp.Header.Get("Content-Type") == "application/json":
		text, err := io.ReadAll(resp.Body)
		if a.broke = err; err == nil {
			a.broke = a.read(string(text))
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
	for lines.Scan() && a.broke == nil {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok:
		case a.done:
			a.broke = errors.New("an event after [DONE]")
		case data == "[DONE]":
			a.done = true
		default:
			a.broke = a.read(data)
		}
	}
	a.broke = errors.Join(a.broke, lines.Err())
}

func (a *answer) read(data string) error {
	var doc document
	if err := json.Unmarshal([]byte(data), &doc); err != nil {
		return err
	}
	if doc.Error != nil {
		a.failed = string(doc.Error)
	}
	if doc.ID != "" && !slices.Contains(a.ids, doc.ID) {
		a.ids = append(a.ids, doc.ID)
	}
	a.events = append(a.events, data)
	a.model, a.tokens = cmp.Or(doc.Model, a.model), cmp.Or(doc.Usage.Tokens, a.tokens)
	for _, c := range doc.Choices {
		a.text += c.Message.Content + c.Delta.Content
		if c.Delta.Role != "" {
			a.roles++
		}
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

// asItself is set where the tests' binary is to be the program that they test.
const asItself = "PRODUCTION_EXAMPLE"

// fake is a provider of m, on loopback.
func fake(t *testing.T, m chaos.Model) string {
	t.Helper()
	m.Text = sky
	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{m}})
	require.NoError(t, err)
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	t.Cleanup(p.Close)
	return srv.URL
}

// model is an entry of the file.
func model(id, provider string, tier int, url string) string {
	return fmt.Sprintf(`{"id": %q, "provider": %q, "tier": %d, "labels": {"baseURL": %q}}`, id, provider, tier, url+"/v1")
}

// file is a configuration with these models and more sections.
func file(more string, models ...string) string {
	return fmt.Sprintf(`{"models": [%s], "retry": {"base": "1ms"}%s}`, strings.Join(models, ", "), more)
}

// pair are two models of which the other one stands by.
func pair(first, other string) string {
	return file("", model("atlas-large", "atlas", 0, first), model("boreal-chat", "boreal", 1, other))
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resilience.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// replace puts a file in the place of path as a whole.
func replace(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.Rename(write(t, text), path))
}

// output is what a program writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// has waits until the output has each of these.
func (o *output) has(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		until(t, func() bool { return strings.Contains(o.String(), part) }, "%s in\n%s", part, o)
	}
}

func until(t *testing.T, done func() bool, format string, args ...any) {
	t.Helper()
	for late := time.Now().Add(5 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(late) {
			require.Failf(t, "it never comes", format, args...)
		}
	}
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// address waits until the program listens.
func (o *output) address(t *testing.T) (base string) {
	t.Helper()
	o.has(t, "msg=listening")
	return "http://" + listening.FindStringSubmatch(o.String())[1]
}

// A program is one that runs within the test.
type program struct {
	output
	base string
	stop context.CancelFunc
	code chan int
}

func begin(t *testing.T, config string, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &program{stop: stop, code: make(chan int, 1)}
	args = append([]string{"-addr", "127.0.0.1:0", "-every", "5ms", "-config", config}, args...)
	go func() {
		defer close(p.code)
		p.code <- run(ctx, args, p)
	}()
	t.Cleanup(func() {
		stop()
		<-p.code
	})
	p.base = p.address(t)
	return p
}

// post asks a question, and returns the response with its body still to read.
func post(t *testing.T, base string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/chat", strings.NewReader(url.Values{"q": {"Why?"}}.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	return res
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(text)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	return res.StatusCode, body(t, res)
}

// ready returns the status of readiness, and what it says of each model.
func ready(t *testing.T, base string) (code int, reasons map[string]string) {
	t.Helper()
	code, text := get(t, base+"/readyz")
	return code, reasonsOf(t, text)
}

// reasonsOf returns what readiness says of each model.
func reasonsOf(t *testing.T, text string) map[string]string {
	t.Helper()
	var v struct{ Models []struct{ ID, Reason string } }
	require.NoError(t, json.Unmarshal([]byte(text), &v))
	reasons := map[string]string{}
	for _, m := range v.Models {
		reasons[m.ID] = m.Reason
	}
	return reasons
}

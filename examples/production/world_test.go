package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

// A world is the service on the clock of a test, its models in memory.
type world struct {
	*testing.T
	output
	handler http.Handler
	models  http.RoundTripper

	state sync.Mutex
	dead  map[string]bool // hosts
	seen  map[string][]string
}

// RoundTrip implements [http.RoundTripper].
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := req.GetBody()
	text, _ := io.ReadAll(body)
	w.state.Lock()
	dead := w.dead[req.URL.Host]
	w.seen[req.URL.Host] = append(w.seen[req.URL.Host], string(text))
	w.state.Unlock()
	if dead {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return w.models.RoundTrip(req)
}

// asked returns the requests for answers that host has got since it was asked last.
func (w *world) asked(host string) (requests []string) {
	w.state.Lock()
	defer w.state.Unlock()
	for _, text := range w.seen[host] {
		if text != "" { // no probe
			requests = append(requests, text)
		}
	}
	w.seen[host] = nil
	return requests
}

func (w *world) kill(host string, dead bool) {
	w.state.Lock()
	defer w.state.Unlock()
	w.dead[host] = dead
}

func (w *world) chat(headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/chat", strings.NewReader("q=Why%3F"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res := httptest.NewRecorder()
	w.handler.ServeHTTP(res, req.WithContext(w.Context()))
	return res
}

// ready returns what readiness says, with the reason of each model.
func (w *world) ready() (code int, reasons map[string]string) {
	res := httptest.NewRecorder()
	w.handler.ServeHTTP(res, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return res.Code, reasonsOf(w.T, res.Body.String())
}

// bubble runs f with the service and models that answer as m does.
func bubble(t *testing.T, config string, m chaos.Model, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m.Text = sky
		p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{m}})
		require.NoError(t, err)
		defer p.Close()
		w := &world{T: t, models: p.Client().Transport, dead: map[string]bool{}, seen: map[string][]string{}}
		log := slog.New(slog.NewTextHandler(w, nil))
		metrics := prometheus.NewRegistry()
		pool, checker, err := newPool(options{config: write(t, config), every: -1}, newAPI(w), metrics, log)
		require.NoError(t, err)
		s, err := newService(pool, checker, newAPI(w), metrics, log)
		require.NoError(t, err)
		w.handler = s.handler()
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- pool.Run(ctx) }()
		f(w)
		stop()
		require.NoError(t, <-ran)
	})
}

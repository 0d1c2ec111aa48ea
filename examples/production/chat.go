package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/health"
)

const (
	maxQuestion = 1 << 20
	patience    = 30 * time.Second // with a client that takes no more of a stream
)

// A service answers questions over HTTP.
type service struct {
	client  *resilience.Client[[]Message, *resilience.Stream[Chunk]]
	ready   http.Handler
	metrics http.Handler
	log     *slog.Logger
}

// newService returns a service that asks all of the pool's models in the same way.
// Those of a provider that takes another one are bound by BindProviderStream.
func newService(pool *resilience.Pool, checker *health.Checker, a api, metrics prometheus.Gatherer, log *slog.Logger) (*service, error) {
	client, err := resilience.NewClient(pool,
		resilience.BindAllStreams(a.answer, hooks),
		resilience.Hooks[[]Message, *resilience.Stream[Chunk]]{Reduce: shorter})
	return &service{client, checker.Handler(1), promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}), log}, err
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /chat", s.chat)
	mux.Handle("GET /readyz", s.ready)
	mux.Handle("GET /metrics", s.metrics) // for those inside alone
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// chat answers the q of a form: with text or, if that is accepted, a stream of
// events. X-Tenant, X-Session and X-Priority are from a gateway in front, which has
// checked them.
func (s *service) chat(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxQuestion)
	q := r.PostFormValue("q")
	if q == "" {
		http.Error(w, "want a form with q", http.StatusBadRequest)
		return
	}
	priority, ok := priorities[r.Header.Get("X-Priority")]
	if !ok {
		http.Error(w, "want an X-Priority of low, normal, high or critical", http.StatusBadRequest)
		return
	}
	opts := resilience.CallOptions{Op: "chat", Tenant: r.Header.Get("X-Tenant"), Affinity: r.Header.Get("X-Session"), Priority: priority}
	stream, rep, err := s.client.Do(r.Context(), []Message{{"user", q}}, opts)
	sayDegraded(w.Header(), rep)
	switch {
	case err != nil:
		refuse(w, err)
	case strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		err = sendEvents(w, stream, rep.Model)
	default:
		err = sendText(w, stream, rep.Model)
	}
	if err != nil {
		s.log.Warn("no answer", "tenant", opts.Tenant, "err", err)
		return
	}
	if !rep.Bypassed {
		rep = stream.Report() // of the whole
	}
	s.log.Info("answered", "tenant", opts.Tenant, "report", rep)
}

func sendText(w http.ResponseWriter, stream *resilience.Stream[Chunk], began *resilience.Model) error {
	var text strings.Builder
	for chunk, err := range stream.All() {
		if err != nil {
			refuse(w, err)
			return err
		}
		text.WriteString(*chunk.text())
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Model", cmp.Or(stream.Model(), began).ID())
	fmt.Fprint(w, text.String())
	return nil
}

// sendEvents sends JSON strings. The last event is done, with the model that
// ended what the one in X-Model began, or error; without either the connection
// broke.
func sendEvents(w http.ResponseWriter, stream *resilience.Stream[Chunk], began *resilience.Model) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Model", began.ID())
	out := http.NewResponseController(w)
	event := func(name, text string) error {
		_ = out.SetWriteDeadline(time.Now().Add(patience))
		fmt.Fprintf(w, "event: %s\ndata: ", name)
		if err := json.NewEncoder(w).Encode(text); err != nil {
			return err
		}
		fmt.Fprintln(w)
		return out.Flush()
	}
	for chunk, err := range stream.All() {
		if text := *chunk.text(); err == nil && text != "" {
			err = event("message", text)
		}
		if err != nil {
			_ = event("error", resilience.KindOf(err).String())
			return err
		}
	}
	return event("done", cmp.Or(stream.Model(), began).ID())
}

// refuse tells a client the kind of err, and no more.
func refuse(w http.ResponseWriter, err error) {
	code, wait := resilience.HTTPStatus(err)
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	http.Error(w, resilience.KindOf(err).String(), code)
}

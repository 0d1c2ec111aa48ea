package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/internal/openai"
	"github.com/cmmv-hive/resilience/stack"
)

// protection moves on sooner than the defaults, since each call has models to go to.
var protection = stack.Config{
	Timeouts: resilience.Timeouts{Attempt: 30 * time.Second, FirstChunk: 12 * time.Second, Gap: 15 * time.Second},
	Breaker:  breaker.Config{Consecutive: 2, OpenFor: 30 * time.Second},
}

// A gateway is a pool with clients for whole answers and for streams.
type gateway struct {
	http.ServeMux
	pool    *resilience.Pool
	wholes  *resilience.Client[*openai.Request, openai.Chunk]
	streams *resilience.Client[*openai.Request, *resilience.Stream[openai.Chunk]]
}

func newGateway(base http.RoundTripper, models resilience.Feature) (*gateway, error) {
	pool, err := resilience.NewPool(stack.New(protection), models, resilience.Logger(slog.Default()))
	if err != nil {
		return nil, err
	}
	g, to := &gateway{pool: pool}, upstream{http.Client{Transport: resilience.Tap(base)}}
	g.HandleFunc("POST /v1/chat/completions", g.chat)
	g.HandleFunc("GET /v1/models", g.models)
	g.HandleFunc("GET /readyz", g.ready)
	if g.wholes, err = resilience.NewClient(pool, resilience.BindAll(to.whole)); err == nil {
		g.streams, err = resilience.NewClient(pool, resilience.BindAllStreams(to.stream, hooks))
	}
	return g, err
}

func (g *gateway) chat(w http.ResponseWriter, r *http.Request) {
	req, err := openai.ReadRequest(http.MaxBytesReader(w, r.Body, 32<<20))
	if err != nil {
		respond(w, 0, nil, fmt.Errorf("%w: %w", resilience.Invalid, err))
		return
	}
	opts := resilience.CallOptions{Model: req.Model, Fallbacks: req.Fallbacks}
	if !req.Stream {
		whole, _, err := g.wholes.Do(r.Context(), req, opts)
		respond(w, http.StatusOK, whole.Line(new(string)), err)
		return
	}
	stream, _, err := g.streams.Do(r.Context(), req, opts)
	if err != nil {
		respond(w, 0, nil, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	id, end := "", json.RawMessage("[DONE]")
	for c, err := range stream.All() {
		if err != nil {
			end = explain(err)
		} else if line := c.Line(&id); line != nil {
			fmt.Fprintf(w, "data: %s\n\n", line)
			_ = http.NewResponseController(w).Flush() // a client that is gone has ended its context
		}
	}
	fmt.Fprintf(w, "data: %s\n\n", end)
}

func (g *gateway) models(w http.ResponseWriter, _ *http.Request) {
	data := []map[string]string{}
	for _, m := range g.wholes.Models() {
		data = append(data, map[string]string{"id": m.ID(), "object": "model", "owned_by": m.Info().Provider})
	}
	respond(w, http.StatusOK, openai.Marshal(map[string]any{"object": "list", "data": data}), nil)
}

func (g *gateway) ready(w http.ResponseWriter, _ *http.Request) {
	status, held := http.StatusServiceUnavailable, map[string]string{}
	for _, v := range g.pool.Explain("") {
		if v.Usable {
			status = http.StatusOK
		} else {
			held[v.Model.ID()] = v.Reason
		}
	}
	respond(w, status, openai.Marshal(map[string]any{"held": held}), nil)
}

func respond(w http.ResponseWriter, status int, body json.RawMessage, err error) {
	if err != nil {
		var wait time.Duration
		if status, wait = resilience.HTTPStatus(err); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		}
		body = explain(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone, which is its right
}

// explain is err as OpenAI has errors. What is wrong with a request is in the
// provider's words.
func explain(err error) json.RawMessage {
	kind, e := resilience.KindOf(err), &openai.Error{}
	if status, _ := resilience.HTTPStatus(err); status == http.StatusBadRequest && errors.As(err, &e) && json.Valid(e.Body) {
		return e.Body
	}
	return openai.Marshal(map[string]any{"error": map[string]string{"message": err.Error(), "type": kind.String(), "code": kind.String()}})
}

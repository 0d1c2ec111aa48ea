// Package provider imitates an AI provider: an HTTP handler that answers chat
// completions as OpenAI-compatible servers do, with the latencies and failures
// of a plan. It counts each byte of a text as a token.
package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Headers by which a client says which attempt of which call a request is.
// OpenAI's API and SDKs have both. A request without HeaderCall is a call of
// its own, named by its number among these.
const (
	HeaderCall = "X-Client-Request-Id"
	HeaderTry  = "X-Stainless-Retry-Count"
)

const (
	maxBody   = 4 << 20
	maxTokens = 100_000
)

// Config configures a [Provider]. The zero value answers at once, for any
// model, and never fails.
type Config struct {
	Plan  Plan
	Seed  uint64
	Speed float64 // of the plan's time against the clock's; 1

	// Now is the plan's time; by default what has passed since New, by Speed.
	Now func() time.Duration
}

// A Provider is a fake provider of one model. It is an http.Handler, and safe
// for concurrent use.
type Provider struct {
	cfg   Config
	mux   *http.ServeMux
	calls atomic.Int64 // that did not name themselves
}

// New returns a provider, or what is wrong with cfg.
func New(cfg Config) (*Provider, error) {
	err := cfg.Plan.Check()
	if cfg.Speed < 0 || math.IsNaN(cfg.Speed) || math.IsInf(cfg.Speed, 1) {
		err = errors.Join(err, fmt.Errorf("a speed of %v", cfg.Speed))
	}
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", cfg.Plan.Model, err)
	}
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.Now == nil {
		start := time.Now()
		cfg.Now = func() time.Duration { return time.Duration(float64(time.Since(start)) * cfg.Speed) }
	}
	p := &Provider{cfg: cfg, mux: http.NewServeMux()}
	p.mux.HandleFunc("/v1/chat/completions", p.chat)
	p.mux.HandleFunc("GET /v1/models", p.models)
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, "invalid_request_error", "unknown_url", "",
			fmt.Sprintf("Unknown request URL: %s %s.", r.Method, r.URL.Path))
	})
	return p, nil
}

func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

func (p *Provider) models(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID     string `json:"id"`
		Object string `json:"object"`
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []model{{p.cfg.Plan.Model, "model"}}})
}

func (p *Provider) chat(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	req, ok := p.read(w, r)
	if !ok {
		return
	}
	try := Try{Call: r.Header.Get(HeaderCall), At: p.cfg.Now(), Tokens: req.answerTokens()}
	if try.Call == "" {
		try.Call = "#" + strconv.FormatInt(p.calls.Add(1), 10)
	}
	try.N, _ = strconv.Atoi(r.Header.Get(HeaderTry)) // no number: the first attempt
	out := p.cfg.Plan.Outcome(p.cfg.Seed, try)

	if out.Fault == Silent {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if !sleepUntil(r, arrived.Add(p.clock(out.After))) || out.Fault == Reset {
		panic(http.ErrAbortHandler)
	}
	id := requestID(p.cfg.Seed, p.cfg.Plan.Model, try)
	w.Header().Set("X-Request-Id", "req_"+id)
	w.Header().Set("Openai-Processing-Ms", strconv.FormatInt(out.After.Milliseconds(), 10))
	if out.RetryAfter > 0 {
		p.retryAfter(w.Header(), out.RetryAfter)
	}
	if status := out.Fault.Status(); status != http.StatusOK {
		m := meanings[out.Fault]
		writeError(w, status, m.kind, m.code, "", m.message)
		return
	}
	writeJSON(w, http.StatusOK, answer(id, req, out.Fault, arrived))
}

// read reads the request, or answers it with what is wrong with it.
func (p *Provider) read(w http.ResponseWriter, r *http.Request) (*request, bool) {
	refuse := func(status int, code, param, format string, args ...any) (*request, bool) {
		writeError(w, status, "invalid_request_error", code, param, fmt.Sprintf(format, args...))
		return nil, false
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, "method_not_supported", "", "Not allowed to %s on /v1/chat/completions.", r.Method)
	}
	// Read to its end: net/http notices that a client leaves only from there on.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(http.StatusRequestEntityTooLarge, "", "", "The request body is larger than %d bytes.", maxBody)
	}
	var req request
	if err != nil || json.Unmarshal(body, &req) != nil {
		return refuse(http.StatusBadRequest, "", "", "We could not parse the JSON body of your request.")
	}
	switch want := p.cfg.Plan.Model; {
	case req.Model == "":
		return refuse(http.StatusBadRequest, "", "model", "You must provide a model parameter.")
	case want != "" && req.Model != want:
		return refuse(http.StatusNotFound, "model_not_found", "model", "The model %q does not exist or you do not have access to it.", req.Model)
	case len(req.Messages) == 0:
		return refuse(http.StatusBadRequest, "empty_array", "messages", "Invalid 'messages': empty array.")
	case req.Stream:
		return refuse(http.StatusBadRequest, "unsupported_value", "stream", "This model does not stream.")
	}
	return &req, true
}

// retryAfter asks to wait for d of the plan's time: in whole seconds as the
// standard has it, and exactly in the header that OpenAI's SDKs read first.
func (p *Provider) retryAfter(h http.Header, d time.Duration) {
	wait := p.clock(d)
	h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10))
	h.Set("Retry-After-Ms", strconv.FormatFloat(float64(wait)/float64(time.Millisecond), 'f', 3, 64))
}

// clock turns a time of the plan into one of the clock.
func (p *Provider) clock(d time.Duration) time.Duration {
	return time.Duration(float64(d) / p.cfg.Speed)
}

// sleepUntil reports whether the client is still there at t.
func sleepUntil(r *http.Request, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return r.Context().Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func requestID(seed uint64, model string, t Try) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%s\x00%d", seed, model, t.Call, t.N)
	return fmt.Sprintf("%x", h.Sum(nil))
}

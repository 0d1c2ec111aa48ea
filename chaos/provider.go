// Package chaos breaks AI models on purpose: at the wire, within the process,
// and as experiments that judge what becomes of the calls.
//
// # At the wire
//
// A [Provider] is a fake provider to test a service against. It speaks HTTP as
// OpenAI, Anthropic and Gemini do, plain and streaming, and fails as they do. It
// is played from plain data: a [Model] says how a model answers and which
// [Fault] its attempts meet.
//
//	p, err := chaos.NewProvider(chaos.ProviderConfig{Models: []chaos.Model{
//		{Name: "gpt-5", Script: []chaos.Fault{{Status: 429, Wait: 2 * time.Second}}},
//		{Name: "claude-sonnet-5"},
//	}})
//	defer p.Close()
//	client := openai.NewClient(option.WithHTTPClient(p.Client()), option.WithAPIKey("any"))
//
// The first request for gpt-5 is refused, those that follow are answered.
// [Provider.Client] needs no port and no base URL, and works in a bubble of
// testing/synctest, where an outage of an hour takes a millisecond. A Provider
// is an http.Handler, too, for clients in other processes.
// [Provider.Attempts] tells what the provider saw.
//
// Each byte of a prompt counts as a token.
//
// # Within the process
//
// An [Injector] is a feature of a pool that makes attempts at its models go
// wrong, whatever client is behind them, and ends by itself:
//
//	injector := chaos.NewInjector(chaos.InjectorConfig{Enabled: true})
//	pool, err := resilience.NewPool(stack.New(stack.Config{}), injector)
//	stop, err := injector.Inject(time.Minute, chaos.Injection{
//		Fault: chaos.Fault{Status: 429, Wait: 2 * time.Second},
//		Where: chaos.Where{Providers: []string{"openai"}},
//		When:  chaos.Schedule{Rate: 0.3},
//	})
//
// [Script] is a model for tests that plays steps.
//
// # Experiments
//
// An [Experiment] is plain data: calls, what breaks, and what must hold.
// [Injector.Run] runs it, without faults first, and judges by named checks how
// the calls ended and how they behaved. There are ten standard ones, see
// [Standard]; package chaostest runs a stack through them in virtual time.
package chaos

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Headers by which a client says which attempt of which call a request is.
// OpenAI's API and SDKs have both. A request without HeaderCall is a call of
// its own, named by its number among these. One that is sent again unchanged,
// as by a transport that retries, is the same attempt and meets the same fault:
// such clients do without HeaderCall.
const (
	HeaderCall = "X-Client-Request-Id"
	HeaderTry  = "X-Stainless-Retry-Count"
)

// ProviderConfig configures a [Provider]. The zero value answers at once, for
// any model and key, and never fails.
type ProviderConfig struct {
	Models []Model          `json:"models,omitempty"` // empty: any, of zero behavior
	Keys   map[string]Fault `json:"keys,omitempty"`   // what requests with an API key meet, before any script; other keys are well
	Seed   uint64           `json:"seed,omitempty"`   // of all chance
	Speed  float64          `json:"speed,omitempty"`  // of the models' time against the clock's; 1

	// Now is the models' time; by default what has passed since NewProvider, by
	// Speed.
	Now func() time.Duration `json:"-"`
}

// A Provider is a fake provider. It is an http.Handler that serves
//
//	POST /v1/chat/completions                          OpenAI
//	POST /v1/embeddings
//	POST /v1/messages                                  Anthropic
//	POST /v1beta/models/{model}:generateContent        Gemini
//	POST /v1beta/models/{model}:streamGenerateContent
//	GET  /v1/models, /v1beta/models
//
// A request to continue an assistant's message is answered with the rest of the
// model's text if the message is how it begins, and with all of it otherwise.
// Where a script says what comes next, a request that names its call has the
// step of its number in the call, others the next that no other had.
//
// All its methods are safe for concurrent use.
type Provider struct {
	cfg     ProviderConfig
	mux     *http.ServeMux
	models  map[string]*served
	calls   atomic.Int64 // that did not name themselves
	refused atomic.Int64 // requests that were not as they should be
	journal journal
	memory  memory
}

// served is a model, and how far its script has been played.
type served struct {
	Model
	calm Model // without anything that goes wrong
	next atomic.Int64
}

// NewProvider returns a provider. If cfg is wrong it returns one joined error
// that has a [resilience.ConfigError] for each thing.
func NewProvider(cfg ProviderConfig) (*Provider, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.Now == nil {
		start := time.Now()
		cfg.Now = func() time.Duration { return nanoseconds(float64(time.Since(start)) * cfg.Speed) }
	}
	if len(cfg.Models) == 0 {
		cfg.Models = []Model{{}}
	}
	p := &Provider{cfg: cfg, mux: http.NewServeMux(), models: map[string]*served{}, journal: journal{counts: map[string]int{}}}
	for _, m := range cfg.Models {
		calm := m
		calm.Failures, calm.Incidents = nil, nil
		p.models[m.Name] = &served{Model: m, calm: calm}
	}
	p.memory.init(p)
	p.mux.HandleFunc("/v1/chat/completions", p.post(openAIAPI{}))
	p.mux.HandleFunc("/v1/embeddings", p.post(embeddingsAPI{}))
	p.mux.HandleFunc("/v1/messages", p.post(anthropicAPI{}))
	p.mux.HandleFunc("POST /v1beta/models/{call...}", p.post(geminiAPI{}))
	p.mux.HandleFunc("GET /v1/models", p.list)
	p.mux.HandleFunc("GET /v1beta/models", p.list)
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.refuse(w, apiOf(r), refused(http.StatusNotFound, "unknown_url", "", "chaos.Provider does not serve %s %s; its documentation lists what it does.", r.Method, r.URL.Path))
	})
	return p, nil
}

// apiOf guesses whose API a request means that has none of their paths.
func apiOf(r *http.Request) api {
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1beta"):
		return geminiAPI{}
	case r.Header.Get("Anthropic-Version") != "":
		return anthropicAPI{}
	}
	return openAIAPI{}
}

// ServeHTTP implements [http.Handler].
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// post serves requests to a model.
func (p *Provider) post(api api) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		arrived, at := time.Now(), p.cfg.Now()
		q, wrong := read(w, r, api)
		rec := p.journal.begin(Attempt{
			Time: arrived, Path: r.URL.Path, Model: q.model, Key: Fingerprint(keyOf(r)), Stream: q.stream, Prefill: len(q.prefill),
		})
		defer rec.end()
		m := p.model(q.model)
		fault, struck := p.cfg.Keys[keyOf(r)]
		switch {
		case wrong != nil:
		case struck && m == nil:
			m = &served{}
		case struck:
		case m == nil && q.model == "" && api.check(q) != nil:
			wrong = api.check(q)
		case m == nil:
			wrong = refused(http.StatusNotFound, "model_not_found", "model", "The model %q does not exist or you do not have access to it.", q.model)
		default:
			wrong = api.check(q)
		}
		if wrong == nil && !struck && m.NoPrefill && q.goesOn {
			wrong = refused(http.StatusBadRequest, "", "messages", "The last message must be the user's: this model does not continue one of the assistant's.")
		}
		if wrong != nil {
			rec.status(wrong.status)
			p.refuse(w, api, wrong)
			return
		}
		a := m.answer(q)
		try := p.try(r, at, len(a.pieces))
		out := p.outcome(m, try, fault, struck)
		if again := reused(r.Context()); out.Fault.Name == StaleConnection && !again {
			out.Fault = Fault{}
		}
		rec.play(out.Fault)
		a.id, a.created = requestID(p.cfg.Seed, m.Name, try), arrived.Unix()
		play := &player{
			w: w, ctx: r.Context(), ended: p.memory.ended, clock: p.clock, due: arrived, api: api, attempt: rec,
		}
		p.respond(play, q, a, out)
	}
}

// model returns the model of that name, or nil.
func (p *Provider) model(name string) *served {
	if m := p.models[name]; m != nil {
		return m
	}
	return p.models[""]
}

// try says which attempt a request is.
func (p *Provider) try(r *http.Request, at time.Duration, tokens int) Try {
	t := Try{Call: r.Header.Get(HeaderCall), At: at, Tokens: tokens}
	if t.Call == "" {
		t.Call = "#" + strconv.FormatInt(p.calls.Add(1), 10)
	}
	t.N, _ = strconv.Atoi(r.Header.Get(HeaderTry)) // no number: the first attempt
	return t
}

// outcome decides by the key, the script, and what the model does otherwise.
func (p *Provider) outcome(m *served, t Try, fault Fault, struck bool) Outcome {
	if !struck {
		step := int64(t.N)
		if strings.HasPrefix(t.Call, "#") {
			step = m.next.Add(1) - 1
		}
		if step < 0 || step >= int64(len(m.Script)) {
			return m.Outcome(p.cfg.Seed, t)
		}
		fault = m.Script[step]
	}
	return m.calm.Outcome(p.cfg.Seed, t).with(fault, t.At)
}

// read reads a request as far as it can be, and says what is wrong with it.
func read(w http.ResponseWriter, r *http.Request, api api) (*ask, *failure) {
	if r.Method != http.MethodPost {
		return &ask{}, refused(http.StatusMethodNotAllowed, "method_not_supported", "", "Not allowed to %s on %s.", r.Method, r.URL.Path)
	}
	// Read to its end: net/http notices that a client leaves only from there on.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &ask{}, refused(http.StatusRequestEntityTooLarge, "", "", "The request body is larger than %d bytes.", maxBody)
	}
	q, wrong := api.read(r, body)
	if err != nil {
		wrong = refused(http.StatusBadRequest, "", "", "The request body could not be read to its end.")
	}
	if q == nil {
		q = &ask{}
	}
	return q, wrong
}

package resilience

import (
	"net/http"
	"slices"
	"strconv"
)

// Transport returns a transport that makes each request a call of the pool, for
// SDKs that take an [net/http.Client]. A nil base is [http.DefaultTransport].
//
//	client := openai.NewClient(option.WithMaxRetries(0),
//		option.WithHTTPClient(&http.Client{Transport: pool.Transport(nil, modelOf)}))
//
// ModelOf says by ID which of the pool's models a request is for; a name will do
// that only one of them has. A request for "" is passed on untouched: what is no
// call of a model, such as a look at a file, should be. A nil modelOf takes the
// host for the model. ModelOf must not read the request's body but through
// GetBody, which is nil for a request that has none. A pool that was not given
// its models learns up to 1,000 of them from requests; any other refuses those
// that it does not know, as [NotFound].
//
// The call is pinned to its model and its URL: retry, breaker, limits and
// timeouts apply, fallback does not, and no header reaches another host. A body
// is sent again by GetBody; a request that has a body and no GetBody is sent
// once. [WithOptions] on the request's context applies. A base that signs
// requests finds the name of the key by [KeyFrom], in the context of the request
// that it is given.
//
// A status of 400 and above is a failure. When the pool has nothing left to try,
// the latest response is handed on as it is, so that the SDK makes its own error
// of it; RoundTrip returns an error of this package where no response came, or
// one that is no answer: HTML, or JSON that is broken, under a status of success.
//
// An answer in JSON is read whole, within the attempt and [Timeouts].Attempt, up
// to 32 MiB: one that breaks off is retried. What is longer is handed on as it
// comes, or is [Malformed] if base has decompressed it; a base with
// DisableCompression leaves that to the SDK. What is said here of JSON and of
// events is not looked for in a body that is still compressed when it comes, as
// to a request with an Accept-Encoding of its own.
//
// The call of an event stream has succeeded at the first event that may have a
// part of the answer: neither a keep-alive nor one that only opens it, such as
// message_start, response.created or a role. Within [Timeouts].FirstChunk that
// is waited for, and what fails before it is retried. Then the bytes pass
// unchanged, under [Timeouts].Gap and Total; other bodies are treated alike from
// their first byte on. MinRate and HoldBack have no effect here. The wait for
// headers is bounded by FirstChunk if the request asks for a stream, by Accept,
// by its path or by the field stream of its body, else by Attempt. The attempt is over when the body is read to
// its end or closed. The body of an answer in the format of OpenAI, Anthropic or
// Gemini that ends without its end marker ends with an error, [Truncated],
// instead of io.EOF. Failures that an event reports later are the SDK's to
// tell, and count against the model.
//
// A request made within an attempt of the pool at the same model, as by a
// [Client], is part of that attempt and passed on. So are CONNECT and upgrades.
func (p *Pool) Transport(base http.RoundTripper, modelOf func(*http.Request) string) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	t := &transport{base: base, modelOf: modelOf, pool: p, byHost: modelOf == nil}
	if modelOf == nil {
		t.modelOf = func(r *http.Request) string { return printable(r.URL.Host) }
	}
	t.calls = &binding[*asked, *reply]{pool: p, nilness: byValue, streams: true}
	t.calls.bound = []Binding[*asked, *reply]{{all: true, call: t.ask}}
	return t
}

type transport struct {
	base    http.RoundTripper
	modelOf func(*http.Request) string
	pool    *Pool
	byHost  bool
	calls   *binding[*asked, *reply]
}

// asked is a request on its way through a call.
type asked struct {
	*http.Request
	sent            bool           // base has the body, and closes it
	looked, streams bool           // it asks for a stream, if that was looked for
	last            *http.Response // of the latest attempt, to hand on
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	k := &asked{Request: req}
	defer k.close()
	id := ""
	if req.URL != nil && req.Method != http.MethodConnect && req.Header.Get("Upgrade") == "" {
		id = t.modelOf(req)
	}
	if id == "" {
		k.sent = true
		return t.base.RoundTrip(req)
	}
	id, err := t.find(id)
	if err != nil {
		return nil, err
	}
	outer, within := req.Context().Value(attemptKey{}).(*attempt)
	if within && outer.pool == t.pool && outer.model.id == id {
		k.sent = true
		return t.base.RoundTrip(req)
	}
	var opts *CallOptions
	if !k.replays() {
		opts = &CallOptions{Attempts: 1}
	}
	c := &Client[*asked, *reply]{binding: t.calls, pinned: id}
	r, err := c.send(req.Context(), k, opts, nil)
	if within {
		outer.jot(func(n *note) { n.gaveUp = outer.call.GaveUp(err) })
	}
	switch {
	case err == nil && r == nil: // a layer's own success
		return nil, &Error{Kind: Malformed, reason: errNil.Error(), gaveUp: true}
	case err == nil:
		return r.resp, nil
	case k.last != nil && req.Context().Err() == nil:
		return k.last, nil
	default:
		return nil, err
	}
}

// CloseIdleConnections does what it does for base; [http.Client] asks for it.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// replays reports whether the request can be sent again.
func (k *asked) replays() bool { return !k.hasBody() || k.GetBody != nil }

func (k *asked) hasBody() bool { return k.Body != nil && k.Body != http.NoBody }

// close closes the body of a request that was never sent.
func (k *asked) close() {
	if !k.sent && k.Body != nil {
		_ = k.Body.Close()
	}
}

// maxLearnt bounds the models that a pool learns from requests, which may say
// anything.
const maxLearnt = 1000

// find returns the ID of the model that goes by this ID or name, which the pool
// learns if it may.
func (t *transport) find(name string) (string, error) {
	v := t.calls.current()
	if v.one(name) != nil {
		return name, nil
	}
	if sub := v.only[name]; sub != nil {
		if len(sub.entries) == 1 {
			return sub.entries[0].model.id, nil
		}
		return "", refusedModel(Invalid, strconv.Quote(printable(name))+" is the name of several models: modelOf must tell which, by ID")
	}
	p := t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.roster.Load()
	switch {
	case r.byID[name] != nil: // by now
		return name, nil
	case printable(name) != name:
		return "", refusedModel(Invalid, "modelOf returned "+strconv.QuoteToASCII(name[:min(len(name), 64)])+", which "+notAnID)
	case p.setup.closed && t.byHost:
		return "", refusedModel(NotFound, "no model "+strconv.Quote(name)+": modelOf is nil, so the host stands for the model")
	case p.setup.closed:
		return "", p.unknown(name, v.table)
	case len(r.models) >= maxLearnt:
		return "", refusedModel(NotFound, "no model "+strconv.Quote(name)+", and the pool learns no more than "+strconv.Itoa(maxLearnt)+" from requests")
	}
	next := make([]ModelInfo, 0, len(r.models)+1)
	for _, m := range r.models {
		next = append(next, m.Info())
	}
	info := ModelInfo{ID: name}
	if !slices.ContainsFunc(p.setup.learnt, func(i ModelInfo) bool { return i.ID == name }) {
		p.setup.learnt = append(p.setup.learnt, info)
	}
	p.publish(append(next, info), r.config)
	return name, nil
}

func refusedModel(k Kind, reason string) error {
	return &Error{Kind: k, reason: reason, refused: true, gaveUp: true}
}

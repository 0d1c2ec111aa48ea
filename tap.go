package resilience

import (
	"net/http"
	"strconv"
	"time"

	"github.com/cmmv-hive/resilience/internal/classify"
)

// Tap returns a transport that does what base does and notes on the attempt
// that a request belongs to the status, the headers and the provider's request
// ID, so that they are known even where an SDK hides them. It changes nothing,
// except that [Timeouts].Connect holds where a tap is. A nil base is
// [http.DefaultTransport].
//
//	client := openai.NewClient(option.WithHTTPClient(&http.Client{Transport: resilience.Tap(nil)}))
//
// A request is an attempt's if it is made with the attempt's context or one
// derived from it; if these go to several hosts, the first is the model's. An
// SDK that repeats a request which failed does what is the library's to do:
// there is one [EventWarning] and one line of log a model.
func Tap(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return tap{base}
}

type tap struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t tap) RoundTrip(req *http.Request) (*http.Response, error) {
	a, ok := req.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return t.base.RoundTrip(req)
	}
	timers := a.connecting()
	resp, err := t.base.RoundTrip(req)
	for _, timer := range timers {
		timer.Stop()
	}
	a.heard(req, resp)
	return resp, err
}

// connecting bounds the time until a stream's headers, for the attempt and those
// that it is within.
func (a *attempt) connecting() (timers []*time.Timer) {
	for a != nil {
		within := a
		a, _ = a.call.parent.Value(attemptKey{}).(*attempt)
		t := within.pool.timeouts.Load()
		if t == nil || t.observe || !within.call.streams || within.notes().firstChunk > 0 {
			continue
		}
		if b := t.of(within.call); b.forConnect > 0 {
			timers = append(timers, time.AfterFunc(b.forConnect, func() { within.expire(b.connectCause) }))
		}
	}
	return timers
}

// heard is what a tap notes.
type heard struct {
	host, method, url string
	status            int // 0 if there was no response
	header            http.Header
	repeats           int // requests that repeated one that failed
}

// heard notes a response, or with nil that there was none.
func (a *attempt) heard(req *http.Request, resp *http.Response) {
	h := heard{host: req.URL.Host, method: req.Method, url: req.URL.String()}
	if resp != nil {
		h.status, h.header = resp.StatusCode, resp.Header
	}
	a.jot(func(n *note) {
		if n.host != "" && n.host != h.host {
			return // a tool's, not the model's
		}
		h.repeats = n.repeats
		if n.method == h.method && n.url == h.url && n.failed() {
			h.repeats++
		}
		n.heard = h
	})
}

// requestID is the provider's, as its headers have it.
func (h *heard) requestID() string {
	return printable(classify.RequestID(h.header))
}

// failed reports whether the noted request is one that SDKs repeat.
func (h *heard) failed() bool {
	if h.url == "" {
		return false
	}
	switch h.status {
	case 0, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	default:
		return h.status >= http.StatusInternalServerError
	}
}

// warn tells once a model that its client retries by itself.
func (a *attempt) warn(repeats int) {
	if repeats == 0 || a.model.warned.Swap(true) {
		return
	}
	reason := "the client repeated a request " + strconv.Itoa(repeats) +
		" times within one attempt: turn its own retries off, or counts and waits are not true"
	a.pool.log.WarnContext(a, reason, "model", a.model.id)
	a.pool.Emit(a, Event{Kind: EventWarning, Model: a.model, Attempt: int(a.call.attempts), Reason: reason})
}

package chaos

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"time"
)

// respond sends what comes of an attempt.
func (p *Provider) respond(to *player, q *ask, a *answer, out Outcome) {
	f, k := out.Fault, to.api.kind()
	if f.Name == Silent {
		to.pause(endless(f.For), 0)
		to.leave()
	}
	e := f.failure(k)
	refuses := f.refuses() && e.status != http.StatusOK
	var fs []frame
	if !refuses {
		a.spoil(f)
		fs = frames(q, a, out, to.api)
	}
	shows := out.After
	if q.stream || len(fs) > 1 {
		shows = out.Begins
	}
	if !to.pause(shows, 0) {
		to.leave()
	}
	h := to.w.Header()
	identify(h, k, a.id, out.After)
	switch {
	case refuses:
		e.id = a.id
		p.askToWait(h, k, f, out.RetryAfter, &e)
		to.whole(e.status, "application/json", string(marshal(to.api.failure(e))))
	case f.Name == Reset || f.Name == StaleConnection:
		to.reset()
	case f.Name == HTML:
		to.whole(http.StatusOK, "text/html; charset=utf-8", or(f.Text, page))
	case f.Name == GzipBomb:
		to.bomb(q, f.Size)
	case f.Name == WrongType:
		to.frames("text/html; charset=utf-8", fs)
	case q.stream:
		limits(h, k, time.Now())
		h.Set("Cache-Control", "no-cache")
		to.frames(eventStream, fs)
	default:
		limits(h, k, time.Now())
		to.frames("application/json", fs)
	}
}

const eventStream = "text/event-stream; charset=utf-8"

// endless is how long a silence lasts: without a length it has no end.
func endless(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// frames is the answer at the wire, at the pace of the model and as the fault
// has it.
func frames(q *ask, a *answer, out Outcome, api api) []frame {
	if !q.stream {
		return out.Fault.body(a, api)
	}
	fs := api.stream(a)
	if n := len(a.pieces); n > 0 {
		pace := max(0, out.After-out.Begins) / time.Duration(n)
		first := behind(fs, 0)
		for i := first + 1; i < len(fs) && i <= first+n; i++ {
			fs[i].pause = pace
		}
	}
	return out.Fault.edit(fs, api, a.id)
}

// refuse answers a request that is not as it should be.
func (p *Provider) refuse(w http.ResponseWriter, api api, e *failure) {
	e.id = "refused" + strconv.FormatInt(p.refused.Add(1), 10)
	identify(w.Header(), api.kind(), e.id, 0)
	if e.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	writeJSON(w, e.status, api.failure(*e))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(v)) // the client may be gone, which is its right
}

// identify sets the headers that come with every response.
func identify(h http.Header, k kind, id string, took time.Duration) {
	switch k {
	case openAI:
		h.Set("X-Request-Id", "req_"+id)
		h.Set("Openai-Processing-Ms", strconv.FormatInt(took.Milliseconds(), 10))
	case anthropic:
		h.Set("Request-Id", "req_"+id)
	}
}

// askToWait asks for a wait of the models' time, in the headers or in e.
func (p *Provider) askToWait(h http.Header, k kind, f Fault, wait time.Duration, e *failure) {
	wait = p.clock(wait)
	switch {
	case f.RetryAfter != "":
		h.Set("Retry-After", f.RetryAfter)
	case wait == 0:
	case f.WaitAs.inBody(k):
		e.wait = wait
	default:
		f.WaitAs.ask(h, k, wait, time.Now())
	}
}

// clock turns a time of the models into one of the clock.
func (p *Provider) clock(d time.Duration) time.Duration {
	return nanoseconds(float64(d) / p.cfg.Speed)
}

func requestID(seed uint64, model string, t Try) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%s\x00%d", seed, model, t.Call, t.N)
	return fmt.Sprintf("%x", h.Sum(nil))
}

package resilience

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// reply is a response that is an answer, or begins one.
type reply struct {
	resp *http.Response
	life *life // of a body that goes on
}

func (r *reply) alive() *life {
	if r == nil {
		return nil
	}
	return r.life
}

func (r *reply) self() any { return r }

// readAhead holds nothing back: what bytes pass is the reader's business.
func (r *reply) readAhead(_, _ time.Duration) error { return nil }

// maxHeld is how much of a body is held in memory.
const maxHeld = 32 << 20

var (
	errHTML  = errors.New("HTML instead of an answer")
	errBomb  = errors.New("an answer of more than " + strconv.Itoa(maxHeld>>20) + " MiB after decompression")
	errLarge = errors.New("resilience: the body of a failure has more than " + strconv.Itoa(maxHeld>>20) + " MiB")
	errJSON  = errors.New("an answer that is not JSON")
	errSent  = errors.New("a body that cannot be sent again")
	errEmpty = errors.New("a stream without an answer")
	errBroke = errors.New("the response broke off")
)

// badStatus is a response whose status says that it failed. Its fields have
// names that internal/classify reads.
type badStatus struct {
	StatusCode int
	Body       []byte // the beginning
}

func (e *badStatus) Error() string { return "HTTP status " + strconv.Itoa(e.StatusCode) }

// ask makes an attempt: it sends the request once.
func (t *transport) ask(ctx context.Context, _ *Model, k *asked) (*reply, error) {
	req, err := k.again(ctx)
	if err != nil {
		return nil, &flawed{Invalid, err, errSent.Error()}
	}
	k.last = nil
	a := k.attempt(ctx)
	if a == nil { // bypassed
		resp, err := t.base.RoundTrip(req) //nolint:bodyclose // the caller's
		return &reply{resp: resp}, err
	}
	if !k.looked && t.pool.timeouts.Load() != nil {
		k.looked, k.streams = true, wantsStream(k.Request)
	}
	if !k.streams { // it may answer as late as it is whole
		a.rebound((*timeouts).attempt)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil || resp == nil {
		return nil, err
	}
	a.jot(func(n *note) {
		if n.url == "" { // no tap heard it
			n.heard = heard{
				host: req.URL.Host, method: req.Method, url: req.URL.String(), status: resp.StatusCode, header: resp.Header,
			}
		}
	})
	own := *resp // the original may be behind its body, which must not lead to ours
	own.Request = k.Request
	if own.Body == nil {
		own.Body = http.NoBody
	}
	if events := mediaOf(resp) == eventStream && resp.StatusCode < http.StatusMultipleChoices; events && !k.streams {
		a.rebound((*timeouts).firstChunk)
	} else if k.streams && !events {
		a.rebound((*timeouts).attempt)
	}
	return k.judge(ctx, a, &own, resp)
}

// attempt returns the one that ctx is of, nil if the call is bypassed.
func (k *asked) attempt(ctx context.Context) *attempt {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		if x, ok := a.call.typed.(*exchange[*asked, *reply]); ok && x.req == k {
			return a
		}
	}
	return nil
}

// again returns a copy of the request to send.
func (k *asked) again(ctx context.Context) (*http.Request, error) {
	req := k.Clone(ctx)
	req.Trailer = k.Trailer // which its body sets as it is read
	if k.sent && k.hasBody() {
		if k.GetBody == nil {
			return nil, errSent
		}
		body, err := k.GetBody()
		if err != nil {
			return nil, err
		}
		req.Body = body
	}
	k.sent = true
	return req, nil
}

const eventStream = "text/event-stream"

// mediaOf returns the type of a response's content.
func mediaOf(resp *http.Response) string {
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// judge says what a response is: an answer, or a failure.
func (k *asked) judge(ctx context.Context, a *attempt, resp, original *http.Response) (*reply, error) {
	media := mediaOf(resp)
	status, src := resp.StatusCode, resp.Body
	coding := resp.Header.Get("Content-Encoding")
	plain := coding == "" || strings.EqualFold(coding, "identity") // else for the SDK to unpack
	isJSON := status < http.StatusMultipleChoices && (media == "application/json" || strings.HasSuffix(media, "+json"))
	switch {
	case status == http.StatusSwitchingProtocols:
		return a.whole(resp), nil
	case status < http.StatusBadRequest && (src == http.NoBody && !isJSON && media != eventStream || k.Method == http.MethodHead), status == http.StatusNoContent:
		_ = src.Close() // over HTTP/2 its end may still be to come, and the attempt is over
		resp.Body = http.NoBody
		return a.whole(resp), nil
	case status < http.StatusMultipleChoices && media == "text/html":
		_, _ = io.CopyN(io.Discard, src, 64<<10) // so that the connection can serve again
		_ = src.Close()
		return nil, &flawed{Unreachable, errHTML, errHTML.Error()}
	case status < http.StatusMultipleChoices && media == eventStream:
		return k.begin(ctx, a, newBody(resp, original, plain))
	case status < http.StatusMultipleChoices && !isJSON:
		return k.begin(ctx, a, newBody(resp, original, false))
	}
	held, err := readWhole(resp)
	switch {
	case status >= http.StatusBadRequest:
		_ = src.Close()
		if len(held) > maxHeld {
			err = errLarge
		}
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(held), failing{err}))
		resp.Trailer = original.Trailer
		k.last = resp
		return nil, &badStatus{status, held[:min(len(held), 4<<10)]}
	case err != nil:
		_ = src.Close()
		return nil, broken(a, err)
	case len(held) > maxHeld && resp.Uncompressed:
		_ = src.Close()
		return nil, &flawed{Malformed, errBomb, errBomb.Error()}
	case len(held) > maxHeld:
		b := newBody(resp, original, false)
		b.head = held
		return k.begin(ctx, a, b)
	}
	_ = src.Close()
	if isJSON && plain && !validJSON(held) {
		if err := checkJSON(held); err != nil {
			return nil, err
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(held))
	resp.Trailer = original.Trailer
	return a.whole(resp), nil
}

// whole ends the attempt with its answer: the call does not stream after all.
func (a *attempt) whole(resp *http.Response) *reply {
	a.call.record().hush()
	a.call.streams = false
	return &reply{resp: resp}
}

// begin waits until the body has an answer's beginning.
func (k *asked) begin(ctx context.Context, a *attempt, b *body) (*reply, error) {
	begun := false
	defer func() {
		if !begun {
			_ = b.src.Close()
		}
	}()
	if err := b.open(); err != nil {
		return nil, broken(a, err)
	}
	if b.failed != nil && !b.outline.Began() {
		b.resp.Body = io.NopCloser(bytes.NewReader(b.head))
		k.last = b.resp
		return nil, b.failed
	}
	begun = true
	src := b.src
	b.life = &life{ctx: ctx, cancel: a.expire, stop: func() { _ = src.Close() }, base: time.Now()}
	b.resp.Body = b
	b.life.lost = runtime.AddCleanup(b, (*life).leak, b.life)
	return &reply{b.resp, b.life}, nil
}

// broken is the error of a body that broke off before there was an answer.
func broken(a *attempt, err error) error {
	if _, ok := err.(*flawed); ok || a.Err() != nil {
		return err
	}
	return &flawed{Truncated, err, errBroke.Error()}
}

// readWhole reads a body up to a byte more than may be held.
func readWhole(resp *http.Response) ([]byte, error) {
	var buf bytes.Buffer
	if n := resp.ContentLength; n > 0 {
		buf.Grow(int(min(n, 64<<10)) + bytes.MinRead)
	}
	_, err := io.Copy(&buf, io.LimitReader(resp.Body, maxHeld+1))
	return buf.Bytes(), err
}

// validJSON is json.Valid, which is slow over long texts.
func validJSON(data []byte) bool { return json.Valid(bare(data)) }

// bare returns JSON without what its strings say, as good or bad as before.
func bare(data []byte) []byte {
	out := make([]byte, 0, len(data)/4+64)
	for within, i := false, 0; i < len(data); {
		switch c := data[i]; {
		case within && c >= ' ' && c != '"' && c != '\\':
			i++
			continue
		case within && c == '\\': // with what it escapes: \u and four digits at most
			end := min(i+2, len(data))
			if end-i == 2 && data[i+1] == 'u' {
				end = min(i+6, len(data))
			}
			out = append(out, data[i:end]...)
			i = end
			continue
		case c == '"':
			within = !within
		}
		out = append(out, data[i])
		i++
	}
	return out
}

// checkJSON returns what is wrong with JSON that is not one value: several are
// as good.
func checkJSON(held []byte) error {
	for dec, n := json.NewDecoder(bytes.NewReader(held)), 0; ; n++ {
		var v json.RawMessage
		switch err := dec.Decode(&v); {
		case err == io.EOF && n > 0:
			return nil
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
			return &flawed{Truncated, io.ErrUnexpectedEOF, "JSON that breaks off"}
		case err != nil:
			return &flawed{Malformed, errJSON, errJSON.Error()}
		}
	}
}

// failing is the end of a body that broke.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

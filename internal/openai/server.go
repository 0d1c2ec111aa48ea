package openai

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"

	"github.com/cmmv-hive/resilience/internal/sse"
)

// A Server is a model at a server of OpenAI's API.
type Server struct {
	HTTP       *http.Client
	URL        string // up to /v1
	Key, Model string
	Skipped    func(events int) // is told of those of a stream that were no JSON; may be nil
}

// An Error is a response without an answer. Its fields have names that
// internal/classify reads.
type Error struct {
	StatusCode int
	Body       []byte // the beginning; it may repeat what the user wrote
}

func (e *Error) Error() string { return "HTTP status " + strconv.Itoa(e.StatusCode) }

const (
	maxBody  = 32 << 20 // of an answer that is not a stream
	maxError = 64 << 10
)

// Ask returns an answer that is not a stream. One that reports a failure is an
// error, also with the status of success.
func (s Server) Ask(ctx context.Context, req *Request) (Chunk, error) {
	body, err := s.post(ctx, req)
	if err != nil {
		return Chunk{}, err
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(io.LimitReader(body, maxBody))
	if err != nil {
		return Chunk{}, err
	}
	var c Chunk
	if err := cmp.Or(sse.Failure(sse.Event{Data: data}), json.Unmarshal(data, &c)); err != nil {
		return Chunk{}, err
	}
	if !c.choices {
		return Chunk{}, errNoChoices
	}
	return c, nil
}

// errNoChoices has words that internal/classify takes for a malformed answer.
var errNoChoices = errors.New("malformed response: no choices")

// Stream returns the events of an answer. One that is no JSON is skipped; two in
// a row are an error.
func (s Server) Stream(ctx context.Context, req *Request) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		body, err := s.post(ctx, req)
		if err != nil {
			yield(Chunk{}, err)
			return
		}
		defer func() { _ = body.Close() }()
		events := sse.NewDecoder[Chunk](sse.NewReader(body, sse.Config{}))
		defer func() {
			if n := events.Skipped(); n > 0 && s.Skipped != nil {
				s.Skipped(n)
			}
		}()
		read(events, yield)
	}
}

func read(events *sse.Decoder[Chunk], yield func(Chunk, error) bool) {
	var place sse.Outline // in the answer, which may have several choices
	for {
		c, err := events.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		place.See(sse.Event{Data: c.data})
		c.last = place.Complete()
		if !yield(c, err) || err != nil {
			return
		}
	}
	if events.Done() {
		yield(Chunk{last: true}, nil)
	}
}

// post sends req and returns the body of the answer.
func (s Server) post(ctx context.Context, req *Request) (io.ReadCloser, error) {
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/chat/completions", bytes.NewReader(req.body(s.Model)))
	if err != nil {
		return nil, err
	}
	out.Header.Set("Content-Type", "application/json")
	if s.Key != "" {
		out.Header.Set("Authorization", "Bearer "+s.Key)
	}
	resp, err := s.HTTP.Do(out)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // the status says enough
	return nil, &Error{resp.StatusCode, said}
}

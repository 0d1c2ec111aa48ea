package sse

import (
	"bytes"
	"encoding/json"
)

const (
	maxBody = 4 << 10 // of what an error keeps of a frame: as much as internal/classify looks at
	maxWord = 128
)

// StreamError is a failure that a provider reports inside a stream, after the
// status 200. Its name and fields are those that internal/classify reads by
// shape. Error, and with it most verbs of fmt, and JSON leave out Body.
type StreamError struct {
	StatusCode int    // 400 to 599 if the frame's code is such a number, else 0
	Code       string // as the provider spells it, or empty: not safe to print
	Type       string // likewise
	RequestID  string // likewise

	// Body is the error's part of the frame, its first 4 KiB. It may repeat what
	// the user wrote.
	Body []byte `json:"-"`
}

func (e *StreamError) Error() string { return "the provider reported an error in the stream" }

// GoString keeps %#v from printing Body.
func (e *StreamError) GoString() string { return e.Error() }

// Done reports whether data is the end marker of OpenAI and of those who follow
// it.
func Done(data []byte) bool { return string(bytes.TrimSpace(data)) == "[DONE]" }

// A frame is what may tell that an event is a failure.
type frame struct {
	Type      json.RawMessage `json:"type"`
	Error     json.RawMessage `json:"error"`
	Response  json.RawMessage `json:"response"`
	RequestID json.RawMessage `json:"request_id"` //nolint:tagliatelle // Anthropic's name
}

// Failure returns the [*StreamError] that ev reports, or nil. It knows a frame
// with an error at its top (chat completions, Anthropic, Gemini, OpenRouter),
// the error and response.failed events of OpenAI's Responses API, and any event
// of these names. An error that is null, false, 0 or empty is none.
func Failure(ev Event) error {
	named := ev.Name == "error" || ev.Name == "response.failed"
	// In the text of an answer quotes are escaped, so few frames get further.
	if !named && !bytes.Contains(ev.Data, []byte(`"error"`)) && !bytes.Contains(ev.Data, []byte(`"response.failed"`)) {
		return nil
	}
	var f frame
	if err := json.Unmarshal(ev.Data, &f); err != nil {
		if named {
			return &StreamError{Body: head(ev.Data)}
		}
		return nil
	}
	body := []byte(f.Error)
	if !says(body) {
		switch kind := word(f.Type); {
		case kind == "response.failed" || ev.Name == "response.failed":
			var response frame
			_ = json.Unmarshal(f.Response, &response) // then there is nothing to read, and it is a failure still
			body = response.Error
		case kind == "error" || named:
			body = ev.Data
		default:
			return nil
		}
	}
	return describe(body, word(f.RequestID))
}

func describe(body []byte, requestID string) error {
	var d struct {
		Code   json.RawMessage `json:"code"`
		Type   json.RawMessage `json:"type"`
		Status json.RawMessage `json:"status"`
	}
	_ = json.Unmarshal(body, &d) // a text has no fields
	e := &StreamError{Code: word(d.Code), Type: word(d.Type), RequestID: requestID, Body: head(body)}
	if e.Type == "error" {
		e.Type = ""
	}
	var status int
	if json.Unmarshal(d.Code, &status) == nil && status >= 400 && status <= 599 {
		e.StatusCode = status
	}
	if e.Code == "" {
		e.Code = word(d.Status) // Google's
	}
	return e
}

// says reports whether the value of a field named error is one.
func says(raw []byte) bool {
	switch string(raw) {
	case "", "null", "false", "0", `""`, "{}", "[]":
		return false
	}
	return true
}

// word returns a short string of JSON, or nothing.
func word(raw []byte) (s string) {
	if len(raw) > maxWord || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func head(b []byte) []byte { return bytes.Clone(b[:min(len(b), maxBody)]) }

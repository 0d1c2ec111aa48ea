package classify

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"
)

// Limits of what is looked at: an error may hold a whole conversation.
const (
	maxText   = 4 << 10
	maxErrors = 32
	maxFields = 256
	maxDepth  = 4
	maxCodes  = 16
)

// Where a status was found, the most reliable first.
const (
	fromError  = iota // a field or method of an error
	fromHTTP          // the response, as a transport saw it
	fromText          // around a body: "status code: 429"
	fromBody          // inside a body
	fromNested        // in a message inside a body
	sources
)

// evidence is everything that is known of one failure.
type evidence struct {
	statuses  [sources]int
	header    http.Header
	sent      http.Header // headers that a gateway repeats in its body
	requestID string
	codes     []string // as spelt
	words     strings.Builder
	prose     []string // as spelt, for waits
	wait      time.Duration
	hasWait   bool
	inBand    bool // inside a stream that had begun
	html      bool
	cause     verdict // what the connection, a context or a decoder says
	left      int     // bytes of text still to look at
	fields    int
}

func (e *evidence) note(source, status int) {
	if status >= 100 && status <= 599 && e.statuses[source] == 0 {
		e.statuses[source] = status
	}
}

// status is the one to report.
func (e *evidence) status() int {
	for _, s := range e.statuses {
		if s != 0 {
			return s
		}
	}
	return 0
}

// refusal is the one to judge by: a failure inside a stream names its own in
// the body, under an HTTP status of 200.
func (e *evidence) refusal() int {
	for _, s := range e.statuses {
		if s >= 400 {
			return s
		}
	}
	return 0
}

// gather walks err and what it wraps, breadth first. Texts of the outermost
// error serve only if no wrapped error is of a client: what a caller adds when
// wrapping says nothing about the provider.
func (e *evidence) gather(err error) {
	queue := []error{err}
	told := false
	for i := 0; i < len(queue) && i < maxErrors; i++ {
		x := queue[i]
		if x == nil {
			continue
		}
		e.transport(x)
		if e.shape(x) && !told {
			told = true
			e.left = 0 // of what it wraps, statuses and codes still count
		}
		if room := maxErrors - len(queue); room > 0 {
			inner := unwrap(x)
			queue = append(queue, inner[:min(len(inner), room)]...)
		}
	}
	if !told && err != nil {
		e.text(e.take(message(err)), fromText)
	}
}

// take returns what may still be looked at of s.
func (e *evidence) take(s string) string {
	if len(s) > e.left {
		s = s[:e.left]
	}
	e.left -= len(s)
	return s
}

// shape reads an error of a client by its methods and exported fields. It
// reports whether it is one, and has given its text.
func (e *evidence) shape(err error) (told bool) {
	defer func() { _ = recover() }() // a method of the error panicked

	before := e.statuses[fromError]
	codes, left := len(e.codes), e.left
	e.methods(err)
	e.structure(reflect.ValueOf(err), 0)
	found := e.statuses[fromError] != before || len(e.codes) != codes
	if e.left != left {
		return true
	}
	if found {
		e.text(e.take(message(err)), fromText)
	}
	return found
}

// methods asks what clients offer: aws-sdk-go (ErrorCode, HTTPStatusCode,
// ServiceRequestID), anthropic-sdk-go (Type, RawJSON), openai-go (RawJSON) and
// any error with a StatusCode. Each may be promoted from a nil embedded
// pointer, so each is asked on its own.
func (e *evidence) methods(err error) {
	if x, ok := err.(interface{ StatusCode() int }); ok {
		e.note(fromError, guard(x.StatusCode))
	}
	if x, ok := err.(interface{ HTTPStatusCode() int }); ok {
		e.note(fromError, guard(x.HTTPStatusCode))
	}
	if x, ok := err.(interface{ ErrorCode() string }); ok {
		e.addCode(guard(x.ErrorCode))
	}
	if m := reflect.ValueOf(err).MethodByName("Type"); m.IsValid() {
		// The result is a named string, so no interface of ours fits.
		if t := m.Type(); t.NumIn() == 0 && t.NumOut() == 1 && t.Out(0).Kind() == reflect.String {
			e.addCode(guard(func() string { return m.Call(nil)[0].String() }))
		}
	}
	if x, ok := err.(interface{ ServiceRequestID() string }); ok {
		e.setID(guard(x.ServiceRequestID))
	}
	if x, ok := err.(interface{ ErrorMessage() string }); ok {
		e.text(e.take(guard(x.ErrorMessage)), fromNested)
	}
	if x, ok := err.(interface{ RawJSON() string }); ok {
		e.text(e.take(guard(x.RawJSON)), fromBody)
	}
}

// structure reads exported fields by the names that clients give them.
func (e *evidence) structure(v reflect.Value, depth int) {
	v = deref(v)
	if !v.IsValid() || v.Kind() != reflect.Struct || depth > maxDepth {
		return
	}
	t := v.Type()
	if pkg := t.PkgPath(); pkg == "net/http" || pkg == "net/url" || pkg == "net" || pkg == "time" {
		return
	}
	inStream := strings.Contains(t.Name(), "StreamError")
	e.inBand = e.inBand || inStream
	for i := range t.NumField() {
		if e.fields++; e.fields > maxFields {
			return
		}
		f := t.Field(i)
		if f.Anonymous {
			e.structure(v.Field(i), depth+1)
			continue
		}
		if f.IsExported() {
			e.field(strings.ToLower(f.Name), v.Field(i), depth)
		}
	}
}

func (e *evidence) field(name string, v reflect.Value, depth int) {
	defer func() { _ = recover() }() // a field of that name but another type

	switch name {
	case "response", "rawresponse", "httpresponse":
		if r, ok := reflect.TypeAssert[*http.Response](v); ok && r != nil { //nolint:bodyclose // its reader owns it
			e.note(fromError, r.StatusCode)
			e.setHeader(r.Header)
		}
		return
	case "header", "headers", "responseheader", "responseheaders":
		if v.Type().ConvertibleTo(reflect.TypeFor[http.Header]()) {
			e.setHeader(v.Convert(reflect.TypeFor[http.Header]()).Interface().(http.Header))
		}
		return
	case "details":
		if v.Len() > 0 {
			if b, err := json.Marshal(v.Interface()); err == nil {
				e.text(e.take(string(b)), fromBody)
			}
		}
		return
	case "retryafter":
		if d, ok := reflect.TypeAssert[time.Duration](deref(v)); ok && d > 0 {
			e.setWait(d)
		}
		return
	}

	v = deref(v)
	if !v.IsValid() {
		return
	}
	switch {
	case v.CanInt():
		switch name {
		case "statuscode", "httpstatuscode", "httpstatus", "httpcode", "status", "code":
			e.note(fromError, int(v.Int()))
		}
	case v.Kind() == reflect.String:
		switch name {
		case "code", "type", "status", "errorcode", "errortype":
			e.codeOrStatus(v.String(), fromError)
		case "requestid":
			e.setID(v.String())
		case "message", "msg", "detail", "errormessage", "body", "rawbody":
			e.text(e.take(v.String()), fromNested)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		if name == "body" || name == "rawbody" || name == "data" {
			e.text(e.take(string(v.Bytes()[:min(v.Len(), maxText)])), fromBody)
		}
	case v.Kind() == reflect.Struct:
		switch name {
		case "innererror", "error", "err", "apierror", "event":
			e.structure(v, depth+1)
		}
	}
}

// deref follows pointers and interfaces a few steps; a nil one is invalid.
func deref(v reflect.Value) reflect.Value {
	for range maxDepth {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			return v
		}
		v = v.Elem()
	}
	return v
}

func (e *evidence) addCode(s string) {
	if s = strings.TrimSpace(s); s != "" && len(s) <= maxCode && len(e.codes) < maxCodes {
		e.codes = append(e.codes, s)
	}
}

// codeOrStatus takes "insufficient_quota", "429" and "429 Too Many Requests".
func (e *evidence) codeOrStatus(s string, source int) {
	if n := leadingStatus(s); n != 0 {
		e.note(source, n)
		return
	}
	e.addCode(s)
}

func (e *evidence) setHeader(h http.Header) {
	if len(h) > 0 && len(e.header) == 0 {
		e.header = h
	}
}

func (e *evidence) setWait(d time.Duration) {
	if !e.hasWait {
		e.wait, e.hasWait = min(d, maxWait), true
	}
}

// unwrap returns what err wraps, at most maxErrors of it.
func unwrap(err error) []error {
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		if inner := guard(x.Unwrap); inner != nil {
			return []error{inner}
		}
	case interface{ Unwrap() []error }:
		return guard(x.Unwrap)
	}
	return nil
}

// message is err.Error(), or nothing if that panics.
func message(err error) string { return guard(err.Error) }

// guard calls a foreign method. A nil pointer inside an interface is the usual
// reason for it to panic.
func guard[T any](f func() T) (v T) {
	defer func() { _ = recover() }()
	return f()
}

package classify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"os"
	"reflect"
	"strings"
	"syscall"
)

// transport reads one error of the chain as one of the standard library: a
// context, the network, TLS, or a decoder. The first that says anything
// counts, except that a cancellation always does, and that what happened
// before anything was sent is more exact than a timeout around it.
func (e *evidence) transport(err error) {
	v := guard(func() verdict { return standard(err) })
	switch {
	case v.kind == 0:
	case e.cause.kind == 0, v.kind == Canceled && e.cause.kind != Canceled, v.unsent && !e.cause.unsent && e.cause.kind != Canceled:
		e.cause = v
	}
}

func standard(err error) verdict {
	if is(err, context.Canceled) {
		return verdict{kind: Canceled, reason: "canceled"}
	}
	switch x := err.(type) {
	case *url.Error:
		return verdict{} // what it wraps says more
	case *net.DNSError:
		switch {
		case x == nil:
		case x.IsNotFound:
			return verdict{kind: Unreachable, reason: "no such host", unsent: true}
		case x.IsTimeout:
			return verdict{kind: Unreachable, reason: "DNS timeout", unsent: true}
		default:
			return verdict{kind: Unreachable, reason: "DNS failure", unsent: true}
		}
	case *net.OpError:
		if x != nil && (x.Op == "dial" || x.Op == "proxyconnect") {
			return dialing(x)
		}
		return verdict{}
	case syscall.Errno:
		if reason := errno(x); reason != "" {
			return verdict{kind: Unreachable, reason: reason, unsent: unsentErrno(x)}
		}
	case *tls.CertificateVerificationError, x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError, x509.SystemRootsError:
		return verdict{kind: Unreachable, reason: "TLS certificate", unsent: true}
	case tls.RecordHeaderError, *tls.ECHRejectionError:
		return verdict{kind: Unreachable, reason: "TLS handshake", unsent: true}
	case tls.AlertError:
		return verdict{kind: Unreachable, reason: "TLS alert"}
	case *json.SyntaxError, *json.UnmarshalTypeError, *json.InvalidUnmarshalError:
		return verdict{kind: Malformed, reason: "invalid JSON"}
	case *json.UnsupportedTypeError, *json.UnsupportedValueError, *json.MarshalerError:
		return verdict{kind: Invalid, reason: "request cannot be encoded", unsent: true}
	}
	switch {
	case err == io.ErrUnexpectedEOF:
		return verdict{kind: Unreachable, reason: "unexpected EOF"}
	case err == io.EOF:
		return verdict{kind: Unreachable, reason: "EOF"}
	case is(err, net.ErrClosed):
		return verdict{kind: Unreachable, reason: "connection closed"}
	}
	if v := byText(err); v.kind != 0 {
		return v
	}
	if is(err, context.DeadlineExceeded) || is(err, os.ErrDeadlineExceeded) {
		return verdict{kind: TimedOut, reason: "deadline exceeded"}
	}
	if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
		return verdict{kind: TimedOut, reason: "timeout"}
	}
	return verdict{}
}

// is compares without following Unwrap, which may have a cycle.
func is(err, target error) bool {
	if reflect.TypeOf(err).Comparable() && err == target {
		return true
	}
	x, ok := err.(interface{ Is(error) bool })
	return ok && guard(func() bool { return x.Is(target) })
}

// dialing names what kept a connection from coming about.
func dialing(x *net.OpError) verdict {
	v := verdict{kind: Unreachable, reason: "dial failed", unsent: true}
	inner := x.Err
	for range maxDepth {
		switch y := inner.(type) {
		case syscall.Errno:
			if reason := errno(y); reason != "" {
				v.reason = reason
			}
			return v
		case *net.DNSError:
			return standard(y)
		}
		if is(inner, context.Canceled) {
			return verdict{kind: Canceled, reason: "canceled", unsent: true}
		}
		next := unwrap(inner)
		if len(next) != 1 {
			break
		}
		inner = next[0]
	}
	if guard(x.Timeout) {
		v.reason = "dial timeout"
	}
	return v
}

// The numbers are those of Winsock, where package syscall has invented ones.
func errno(n syscall.Errno) string {
	switch n {
	case syscall.ECONNREFUSED, 10061:
		return "connection refused"
	case syscall.ECONNRESET, 10054:
		return "connection reset"
	case syscall.ECONNABORTED, 10053:
		return "connection aborted"
	case syscall.EPIPE:
		return "broken pipe"
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, 10065, 10051:
		return "network unreachable"
	case syscall.ETIMEDOUT, 10060:
		return "connection timed out"
	}
	return ""
}

func unsentErrno(n syscall.Errno) bool {
	reason := errno(n)
	return reason == "connection refused" || reason == "network unreachable"
}

// byText knows the errors of net/http, its HTTP/2 and crypto/tls that have no
// exported type. Only theirs are asked: those types are unexported.
func byText(err error) verdict {
	t := reflect.TypeOf(err)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.PkgPath() {
	case "errors", "net/http", "crypto/tls", "golang.org/x/net/http2":
	default:
		return verdict{}
	}
	s := message(err)
	if len(s) > maxText {
		return verdict{}
	}
	for _, r := range transportTexts {
		if strings.Contains(s, r.text) {
			return r.verdict
		}
	}
	return verdict{}
}

// The words are those of Go's own packages, exact in case and spelling. HTTP/2
// promises that a refused stream was not processed (RFC 9113, section 8.7).
var transportTexts = []struct {
	text string
	verdict
}{
	{"TLS handshake timeout", verdict{kind: Unreachable, reason: "TLS handshake", unsent: true}},
	{"tls: handshake failure", verdict{kind: Unreachable, reason: "TLS handshake", unsent: true}},
	{"tls: first record does not look like a TLS handshake", verdict{kind: Unreachable, reason: "TLS handshake", unsent: true}},
	{"server gave HTTP response to HTTPS client", verdict{kind: Unreachable, reason: "TLS handshake", unsent: true}},
	{"REFUSED_STREAM", verdict{kind: Unreachable, reason: "HTTP/2 stream refused", unsent: true}},
	{"unsupported protocol scheme", verdict{kind: NotFound, reason: "bad URL", unsent: true}},
	{"no Host in request URL", verdict{kind: NotFound, reason: "bad URL", unsent: true}},
	{"server closed idle connection", verdict{kind: Unreachable, reason: "connection closed"}},
	{"server sent GOAWAY", verdict{kind: Unreachable, reason: "HTTP/2 connection closed"}},
	{"client connection lost", verdict{kind: Unreachable, reason: "HTTP/2 connection lost"}},
	{"client connection force closed", verdict{kind: Unreachable, reason: "HTTP/2 connection closed"}},
	{"stream error: stream ID", verdict{kind: Unreachable, reason: "HTTP/2 stream error"}},
	{"malformed HTTP response", verdict{kind: Unreachable, reason: "malformed HTTP"}},
}

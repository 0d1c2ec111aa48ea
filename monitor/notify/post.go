package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// HTTP is how a channel reaches its receiver. The zero HTTP reaches those of the
// public Internet by HTTPS. Whatever it is, redirects are not followed, and the
// proxies of the environment are not used.
type HTTP struct {
	// AllowHTTP lets addresses begin with http.
	AllowHTTP bool `json:"allowHttp"`

	// Allow is which addresses may be connected to beside public ones, such as
	// 10.1.2.0/24. What a name stands for is looked at when it is connected to.
	// An address that holds one of IPv4 is that one.
	Allow []netip.Prefix `json:"allow"`

	// Timeout bounds a request.
	Timeout time.Duration `json:"timeout" default:"10s" min:"10ms" max:"10m" off:"no"`

	// Header is added to requests, such as an Authorization.
	Header map[string]resilience.Secret `json:"-"`

	// TLS is for receivers with an authority of their own, or that ask for a
	// certificate.
	TLS *tls.Config `json:"-"`
}

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// A poster posts to the receivers of a channel.
type poster struct {
	guard   guard
	plain   bool
	timeout time.Duration
	header  http.Header
	client  *http.Client
}

// newPoster returns a poster, and what is wrong with h under path beside what
// [settings.Check] finds in the configuration that h is of.
func newPoster(path string, h HTTP) (*poster, []settings.Problem) {
	var problems []settings.Problem
	for i, a := range h.Allow {
		if !a.IsValid() || a.Addr().Is4In6() {
			problems = append(problems, settings.Problem{Path: fmt.Sprintf("%s.allow[%d]", path, i), Problem: "want a prefix such as 10.1.2.0/24 or fd00:1::/64"})
		}
	}
	settings.Fill(&h)
	p := &poster{guard: guard{slices.Clone(h.Allow)}, plain: h.AllowHTTP, timeout: h.Timeout, header: http.Header{}}
	for name, v := range h.Header {
		if !headerName(name) || strings.ContainsFunc(v.Reveal(), unicode.IsControl) {
			problems = append(problems, settings.Problem{Path: path + ".header", Problem: "has a name or a value that no header has"})
			continue
		}
		p.header.Set(name, v.Reveal())
	}
	dialer := &net.Dialer{ControlContext: p.control}
	p.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        h.TLS.Clone(),
			TLSHandshakeTimeout:    h.Timeout,
			DisableKeepAlives:      true, // alerts are rare, and nothing is left behind
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxAnswer,
		},
	}
	return p, problems
}

// headerName reports whether s may be the name of a header of a user.
func headerName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// errBlocked is the address of a receiver that is not to be connected to.
type errBlocked struct{ addr netip.Addr }

func (e errBlocked) Error() string {
	return e.addr.String() + " is not public; add it to Allow if it is meant"
}

// control runs before each connection is made, when its name has been resolved.
func (p *poster) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !p.guard.permits(a.Addr()) {
		return errBlocked{a.Addr()}
	}
	return nil
}

// problem says what is wrong with the address of a receiver, or "". It does not
// repeat it: it may be a secret.
func (p *poster) problem(to string) string {
	u, err := url.Parse(to)
	switch {
	case to == "":
		return "is missing"
	case err != nil || u.Opaque != "":
		return "is not a URL"
	case u.Scheme == "http" && !p.plain:
		return "is not https; set AllowHTTP if that is meant"
	case u.Scheme != "https" && u.Scheme != "http":
		return "is not https"
	default:
		return p.guard.problem(u.Hostname())
	}
}

// post posts body. Its error says what comes next, names no more of the address
// than its host, and quotes nothing of the answer.
func (p *poster) post(ctx context.Context, to, contentType string, body []byte, header http.Header) error {
	if problem := p.problem(to); problem != "" {
		return Permanent(errors.New("notify: the address of the receiver " + problem))
	}
	var met atomic.Bool
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { met.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Permanent(errors.New("notify: the address of the receiver is not a URL"))
	}
	maps.Copy(req.Header, p.header)
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "resilience-notify")
	res, err := p.client.Do(req)
	if err != nil {
		return &failure{err: &postError{req.URL.Host, reason(err, met.Load()), err}, unsent: !met.Load()}
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // what it says of itself is its status
	return verdict(req.URL.Host, res, time.Now())
}

// verdict is what an answer means.
func verdict(host string, res *http.Response, now time.Time) error {
	err := &postError{host, fmt.Sprintf("answered %d %s", res.StatusCode, http.StatusText(res.StatusCode)), nil}
	switch code := res.StatusCode; code {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return Permanent(err)
	default:
		if code >= 200 && code <= 299 {
			return nil
		}
		after := min(max(retryAfter(res.Header.Get("Retry-After"), now), 0), time.Hour)
		return &failure{err: err, after: after, unsent: code == http.StatusTooManyRequests}
	}
}

// retryAfter reads seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}

// A postError is why a post failed, without what may be secret.
type postError struct {
	host, text string
	cause      error
}

func (e *postError) Error() string { return "notify: POST to " + e.host + ": " + e.text }

// Unwrap returns the errors that callers ask for, and none that holds an address.
func (e *postError) Unwrap() error {
	for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(e.cause, err) {
			return err
		}
	}
	return nil
}

// reason is the text of why there is no answer. Met says whether there was a
// connection: what comes over one is not quoted.
func reason(err error, met bool) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	blocked, isBlocked := errors.AsType[errBlocked](err)
	switch {
	case isBlocked:
		return blocked.Error()
	case errors.Is(err, context.Canceled):
		return "given up"
	case errors.Is(err, context.DeadlineExceeded) && met:
		return "no answer in time"
	case errors.Is(err, context.DeadlineExceeded):
		return "no connection in time"
	case !met:
		return cut(err.Error(), maxText)
	default:
		return "the connection broke, or the answer is not HTTP"
	}
}

// configErrors makes an error of problems, or nil.
func configErrors(problems []settings.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errors.Join(errs...)
}

package classify

import (
	"net/http"
	"strings"
)

const (
	maxCode = 48
	maxID   = 128
)

// code is the provider's own: the one that decided, or else the first that the
// table knows, or else the first.
func (e *evidence) code(v verdict) string {
	x := table()
	best, rank := "", 0
	for _, c := range append([]string{v.code}, e.codes...) {
		r := 1
		if _, ok := x.codes[squeeze(c)]; ok {
			r = 3
		} else if _, ok := x.vague[squeeze(c)]; ok {
			r = 2
		}
		if c == v.code {
			r = 4
		}
		if c == codePerDay || c == codePerMinute || vacuous(c) || safeCode(c) == "" {
			continue // not a word of the provider's, or not a code
		}
		if r > rank {
			best, rank = c, r
		}
	}
	return best
}

// vacuous codes say only that there is an error.
func vacuous(code string) bool {
	switch strings.ToLower(code) {
	case "error", "none", "null", "nil", "unknown":
		return true
	}
	return false
}

// safeCode returns s if it is an identifier. A code is a name from a short
// list; anything with more than a few digits may be a key or an ID instead.
func safeCode(s string) string {
	if s == "" || len(s) > maxCode {
		return ""
	}
	digits, letters := 0, 0
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			letters++
		case c == '.' || c == '_' || c == '-':
		default:
			return ""
		}
	}
	if digits > 4 || letters == 0 || strings.HasPrefix(s, "sk-") {
		return ""
	}
	return s
}

// id is the request's, from the error, its headers or its body.
func (e *evidence) id() string {
	if id := RequestID(e.header); id != "" {
		return id
	}
	return e.requestID
}

func (e *evidence) setID(s string) {
	if e.requestID == "" {
		e.requestID = safeID(s)
	}
}

// RequestID reads the headers of OpenAI and Azure, Anthropic, AWS and others.
func RequestID(h http.Header) string {
	for _, k := range []string{"X-Request-Id", "Request-Id", "X-Ms-Request-Id", "Apim-Request-Id", "X-Amzn-Requestid", "X-Goog-Request-Id", "Cf-Ray"} {
		if id := safeID(h.Get(k)); id != "" {
			return id
		}
	}
	return ""
}

func safeID(s string) string {
	if s == "" || len(s) > maxID {
		return ""
	}
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("._:/+=-", c) >= 0) {
			return ""
		}
	}
	return s
}

func headerIs(h http.Header, key, value string) bool {
	return strings.EqualFold(strings.TrimSpace(h.Get(key)), value)
}

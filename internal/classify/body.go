package classify

import (
	"strconv"
	"strings"
)

const maxNesting = 24

// A body reads the fields of an error body. It takes JSON, Python's repr of a
// dict, and either of them broken off or slightly wrong: logs and wrapped
// errors hold all of these, and a strict decoder would see nothing.
type body struct {
	s     string
	i     int
	e     *evidence
	nest  int // bodies around this one
	depth int
	muted int  // inside a field that is not about this failure
	heads int  // inside a field that repeats headers
	bad   bool // the body calls itself an error
}

// bodyStart returns where a body begins in s, or -1.
func bodyStart(s string) int {
	for i := range len(s) {
		if s[i] != '{' {
			continue
		}
		rest := strings.TrimLeft(s[i+1:], " \t\r\n")
		if rest != "" && (rest[0] == '"' || rest[0] == '\'' || rest[0] == '\\') {
			return i
		}
	}
	return -1
}

// parse reads one value at the start of s and returns where it ends.
func (b *body) parse() int {
	b.value("")
	return b.i
}

func (b *body) space() {
	for b.i < len(b.s) && strings.IndexByte(" \t\r\n", b.s[b.i]) >= 0 {
		b.i++
	}
}

func (b *body) value(key string) {
	b.space()
	if b.i >= len(b.s) {
		return
	}
	if b.depth >= maxNesting {
		b.i = len(b.s)
		return
	}
	switch c := b.s[b.i]; c {
	case '{':
		b.depth++
		b.object()
		b.depth--
	case '[', '(':
		b.i++
		b.depth++
		b.list(key)
		b.depth--
	case '"', '\'':
		b.field(key, b.quoted())
	default:
		b.field(key, b.bare())
	}
}

func (b *body) object() {
	b.i++
	for b.i < len(b.s) {
		b.space()
		if b.i >= len(b.s) {
			return
		}
		switch c := b.s[b.i]; c {
		case '}':
			b.i++
			return
		case '"', '\'':
			key := squeeze(b.quoted())
			b.space()
			if b.i < len(b.s) && b.s[b.i] == ':' {
				b.i++
				b.under(key)
			}
		default:
			b.i++
		}
	}
}

// under reads the value of key, in silence if it is not about this failure.
func (b *body) under(key string) {
	switch key {
	case "previouserrors", "failedgeneration", "input", "prompt", "messages", "content", "choices", "arguments",
		"toolcalls", "request", "userid", "user", "loc", "ctx", "url", "contentfilterresult", "contentfilterresults":
		b.muted++
		b.value(key)
		b.muted--
	case "headers":
		b.heads++
		b.value(key)
		b.heads--
	default:
		b.value(key)
	}
}

func (b *body) list(key string) {
	for b.i < len(b.s) {
		b.space()
		if b.i >= len(b.s) {
			return
		}
		switch b.s[b.i] {
		case ']', ')':
			b.i++
			return
		case ',', '}', ':':
			b.i++
		default:
			b.value(key)
		}
	}
}

// quoted reads a string; one that is broken off ends where s does.
func (b *body) quoted() string {
	quote := b.s[b.i]
	b.i++
	start := b.i
	escaped := false
	for b.i < len(b.s) {
		switch b.s[b.i] {
		case '\\':
			escaped = true
			b.i = min(b.i+2, len(b.s))
			continue
		case quote:
			s := b.s[start:b.i]
			b.i++
			if escaped {
				s = unescape(s)
			}
			return s
		}
		b.i++
	}
	if escaped {
		return unescape(b.s[start:])
	}
	return b.s[start:]
}

// bare reads a number, true, None and the like.
func (b *body) bare() string {
	start := b.i
	for b.i < len(b.s) && strings.IndexByte(",}]) \t\r\n\"'", b.s[b.i]) < 0 {
		b.i++
	}
	if b.i == start {
		b.i++ // whatever it is, go on
	}
	return b.s[start:b.i]
}

func (b *body) field(key, val string) {
	e := b.e
	switch {
	case b.muted > 0:
		return
	case b.heads > 0:
		e.sentHeader(key, val)
		return
	}
	switch key {
	case "message", "msg", "detail", "details", "errormessage", "errordescription", "errmsg", "statusmsg", "description",
		"title", "raw", "body", "failurereason", "cause":
		b.nested(val)
	case "error":
		if !strings.Contains(val, " ") {
			e.codeOrStatus(val, fromBody)
		}
		b.nested(val)
	case "code", "type", "status", "errorcode", "errortype", "reason", "statuscode", "httpstatus", "httpcode", "blockreason":
		if strings.Contains(val, " ") {
			b.nested(val) // "reason" and "status" are sentences in some bodies
		}
		e.codeOrStatus(val, fromBody)
	case "retrydelay", "retryafter", "retryafterseconds":
		if d, ok := span(val); ok {
			e.setWait(d)
		}
	case "retryafterms":
		if d, ok := span(val + "ms"); ok {
			e.setWait(d)
		}
	case "quotaid":
		// Google says in the middle of a name what kind of quota it is.
		switch q := squeeze(val); {
		case strings.Contains(q, "perday"):
			e.addCode(codePerDay)
		case strings.Contains(q, "perminute"):
			e.addCode(codePerMinute)
		}
	case "iserror":
		b.bad = b.bad || squeeze(val) == "true"
	case "result":
		if b.bad { // otherwise it is an answer
			b.nested(val)
		}
	case "requestid":
		e.setID(val)
	default:
		if strings.HasSuffix(key, "status") || strings.HasSuffix(key, "statuscode") || strings.HasSuffix(key, "errorcode") {
			e.note(fromBody, leadingStatus(val))
		}
	}
}

// nested takes a message, which may hold a body of the provider behind a
// gateway.
func (b *body) nested(val string) {
	if b.nest < maxDepth {
		b.e.read(val, fromNested, b.nest+1)
	}
}

func unescape(s string) string {
	var w strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			w.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n', 't', 'r':
			w.WriteByte(' ')
		case 'u':
			if n, err := strconv.ParseUint(s[i+1:min(i+5, len(s))], 16, 32); err == nil && i+4 < len(s) {
				w.WriteRune(rune(n))
				i += 4
				continue
			}
			w.WriteByte('u')
		default:
			w.WriteByte(s[i])
		}
	}
	return w.String()
}

// sentHeader keeps a header that a gateway repeats in its body, such as
// OpenRouter.
func (e *evidence) sentHeader(squeezed, val string) {
	key, ok := map[string]string{
		"retryafter":           "Retry-After",
		"retryafterms":         "Retry-After-Ms",
		"xratelimitlimit":      "X-Ratelimit-Limit",
		"xratelimitremaining":  "X-Ratelimit-Remaining",
		"xratelimitreset":      "X-Ratelimit-Reset",
		"xshouldretry":         "X-Should-Retry",
		"ratelimitremaining":   "Ratelimit-Remaining",
		"ratelimitreset":       "Ratelimit-Reset",
		"xratelimitresetafter": "Retry-After",
	}[squeezed]
	if !ok || len(val) > maxCode {
		return
	}
	if e.sent == nil {
		e.sent = make(map[string][]string)
	}
	e.sent.Set(key, val)
}

package resilience

import (
	"io"
	"net/http"
	"strings"
)

// maxWanted is how much of a request's body is looked at.
const maxWanted = 4 << 20

// wantsStream reports whether a request asks for a stream: by Accept, by its
// path as Gemini's do, or by the field of its body that OpenAI, Anthropic and
// those who follow them have for it.
func wantsStream(req *http.Request) bool {
	if req.Header.Get("Accept") == eventStream {
		return true
	}
	if _, call, ok := strings.Cut(req.URL.Path, ":"); ok && strings.HasPrefix(call, "stream") {
		return true
	}
	if req.GetBody == nil || req.Body == nil || req.Body == http.NoBody {
		return false
	}
	body, err := req.GetBody()
	if err != nil {
		return false // sending it will tell
	}
	defer func() { _ = body.Close() }()
	return saysStream(io.LimitReader(body, maxWanted))
}

// saysStream reports whether r is a JSON object whose field stream is true. It
// reads no further than that field, and checks nothing else.
func saysStream(r io.Reader) bool {
	var (
		buf             [4 << 10]byte
		depth           int
		quoted, escaped bool
		word            []byte // the latest string at the top
		asked           bool   // its value comes next
	)
	for {
		n, err := r.Read(buf[:])
		for _, c := range buf[:n] {
			switch {
			case escaped:
				escaped = false
				word = append(word[:0], '\\') // no name that we know has any
			case quoted && c == '\\':
				escaped = true
			case c == '"':
				if quoted = !quoted; quoted {
					word = word[:0]
				}
			case quoted:
				if depth == 1 && len(word) <= len("stream") {
					word = append(word, c)
				}
			case c == '{', c == '[':
				if depth == 0 && c == '[' {
					return false
				}
				depth++
				asked = false
			case c == '}', c == ']':
				depth--
			case c == ':':
				asked = depth == 1 && string(word) == "stream"
			case asked && c > ' ':
				return c == 't'
			}
		}
		if err != nil || n == 0 {
			return false
		}
	}
}

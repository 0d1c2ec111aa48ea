package classify

import (
	"net/http"
	"regexp"
	"strings"
	"unicode"
)

// text takes a text, once its length is accounted for, from the given source.
func (e *evidence) text(s string, source int) { e.read(s, source, 0) }

// read splits s into prose and bodies. A page of HTML is neither: it comes from
// a proxy, and its only news is a status.
func (e *evidence) read(s string, source, nest int) {
	if strings.TrimSpace(s) == "" {
		return
	}
	if isHTML(s) {
		e.html = true
		head := s[:min(len(s), 1<<10)]
		before, _, _ := strings.Cut(head, "<")
		e.note(source, statusIn(before))
		if m := headline.FindStringSubmatch(head); m != nil {
			e.note(source, atoi3(m[1]))
		}
		e.note(source, statusIn(head))
		return
	}
	for s != "" {
		i := bodyStart(s)
		if i < 0 {
			e.speak(s, source)
			return
		}
		e.speak(s[:i], source)
		s = s[i:]
		if strings.HasPrefix(strings.TrimLeft(s[1:], " \t\r\n"), `\`) {
			s = unescape(s) // a body that was quoted on the way
		}
		b := body{s: s, e: e, nest: nest}
		s = s[b.parse():]
	}
}

func isHTML(s string) bool {
	head := strings.ToLower(s[:min(len(s), 512)])
	// What the SDKs of OpenAI and Anthropic say of a page that they cannot decode.
	if strings.Contains(head, "content-type 'text/html") {
		return true
	}
	return strings.Contains(head, "<html") || strings.Contains(head, "<!doctype html") || strings.Contains(head, "<head>")
}

// speak takes prose: its status, the names of errors in it, and its words.
func (e *evidence) speak(s string, source int) {
	if strings.Contains(s, "://") {
		s = links.ReplaceAllString(s, " ")
	}
	if strings.TrimSpace(s) == "" {
		return
	}
	if source == fromBody {
		source = fromNested
	}
	e.note(source, statusIn(s))
	if strings.Contains(s, "Error") || strings.Contains(s, "Exception") || strings.Contains(s, "code = ") {
		for _, m := range errorNames.FindAllStringSubmatch(s, maxCodes) {
			e.addCode(m[1] + m[2])
		}
	}
	if len(e.prose) < maxCodes {
		e.prose = append(e.prose, s)
	}
	e.words.WriteString(" | ")
	fold(&e.words, withoutReasons(s))
}

// withoutReasons removes the reason phrases of statuses: they repeat a number,
// and are not what the provider has to say.
func withoutReasons(s string) string {
	if !hasNumber(s, 3) {
		return s
	}
	return explained.ReplaceAllStringFunc(s, func(m string) string {
		if reason := reasonIn(m[3:], atoi3(m)); reason != "" {
			_, rest, _ := strings.Cut(m, reason)
			return m[:3] + rest
		}
		return m
	})
}

// reasonIn returns the reason phrase of n that s begins with, as s spells it.
func reasonIn(s string, n int) string {
	s = strings.TrimLeft(s, " \t\r\n:-")
	if reason := reasonPhrase(n); reason != "" && len(s) >= len(reason) && strings.EqualFold(s[:len(reason)], reason) {
		return s[:len(reason)]
	}
	return ""
}

// These hold words and numbers that say nothing of the failure.
var links = regexp.MustCompile(`\b(?:https?|wss?)://[^\s"'<>)]*`)

// errorNames are type names in prose, such as "litellm.RateLimitError:", and
// the codes of gRPC.
var errorNames = regexp.MustCompile(`\b([A-Z][A-Za-z]{2,40}(?:Error|Exception))\b|\bcode = ([A-Za-z_]{2,40})\b`)

// A status in prose is a number that is introduced as one, or that its reason
// phrase follows, or that the text begins with. Prose is full of other
// numbers: tokens, IDs, ports, milliseconds.
var (
	introduced = regexp.MustCompile(`(?i)(?:\bstatus(?:[ _-]?code)?|\berror[ _-]?code|\bhttp(?:/[0-9.]+)?(?:[ _-]?(?:status|code|error))*|\bapi[ _-]?err(?:or)?|\bcode|\berror|\breturned|\bresponded with|\bgot|\b(?:get|post)\s+"\s*"|\bestado|\bcodigo|\bcódigo)["'\s:=(\[#]{0,4}([1-5][0-9]{2})\b`)
	explained  = regexp.MustCompile(`\b([1-5][0-9]{2})[\s:-]{1,3}([A-Za-z][A-Za-z' -]{3,40})`)
	leading    = regexp.MustCompile(`^\W{0,4}([1-5][0-9]{2})\b`)
	headline   = regexp.MustCompile(`(?i)<(?:title|h1)>[^<>0-9]{0,40}([1-5][0-9]{2})\b`)
	counted    = regexp.MustCompile(`(?i)^(?:[.,][0-9]|-[a-z0-9]|\s*(?:%|tokens?|ms\b|milli|s\b|sec|min|byte|char|item|time|word|kb|mb|request|of\b|/))`)
)

func statusIn(s string) int {
	if !hasNumber(s, 3) {
		return 0
	}
	for _, m := range introduced.FindAllStringSubmatchIndex(s, 8) {
		if !counted.MatchString(s[m[3]:]) {
			return atoi3(s[m[2]:m[3]])
		}
	}
	for _, m := range explained.FindAllStringSubmatch(s, 8) {
		if n := atoi3(m[1]); reasonIn(m[2], n) != "" {
			return n
		}
	}
	return leadingStatus(s)
}

// hasNumber reports whether s has so many digits in a row. It spares most texts
// the expressions above.
func hasNumber(s string, digits int) bool {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			n = 0
		} else if n++; n == digits {
			return true
		}
	}
	return false
}

func leadingStatus(s string) int {
	m := leading.FindStringSubmatchIndex(s)
	if m == nil || counted.MatchString(s[m[3]:]) {
		return 0
	}
	return atoi3(s[m[2]:m[3]])
}

func reasonPhrase(n int) string {
	if n == 529 {
		return "Overloaded"
	}
	return http.StatusText(n)
}

func atoi3(s string) int {
	return int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
}

// fold writes s as words in lower case, one space between them, a bar where a
// sentence ends, without accents, quotes and punctuation, so that one phrase
// meets many spellings.
func fold(w *strings.Builder, s string) {
	gap := true
	rs := []rune(s)
	for i, r := range rs {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if gap {
				w.WriteByte(' ')
				gap = false
			}
			w.WriteRune(plain(unicode.ToLower(r)))
		case r == '\'' || r == '’':
			if gap || i+1 == len(rs) || !unicode.IsLetter(rs[i+1]) {
				gap = true
			}
		case strings.ContainsRune(".!?;\n。！？；", r):
			if r >= unicode.MaxASCII || r == '\n' || i+1 == len(rs) || unicode.IsSpace(rs[i+1]) {
				w.WriteString(" |")
			}
			gap = true
		default:
			gap = true
		}
	}
	w.WriteByte(' ')
}

func plain(r rune) rune {
	if r < 0xe0 || r > 0xfc {
		return r
	}
	const from, to = "àáâãäåçèéêëìíîïñòóôõöùúûü", "aaaaaaceeeeiiiinooooouuuu"
	n := 0
	for _, f := range from {
		if f == r {
			return rune(to[n])
		}
		n++
	}
	return r
}

// squeeze folds the spellings of a name: rate_limit_error, RateLimitError and
// "rate-limit error" are one.
func squeeze(s string) string {
	b := make([]byte, 0, min(len(s), 2*maxCode))
	for _, c := range []byte(s[:min(len(s), 2*maxCode)]) {
		switch {
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			b = append(b, c)
		}
	}
	return string(b)
}

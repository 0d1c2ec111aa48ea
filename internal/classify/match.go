package classify

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// A scope says at which statuses a rule's phrases count.
type scope uint8

const (
	anyStatus  scope = iota
	notRefused       // none, or not 4xx: what a 4xx says of timeouts and connections is about an image to fetch
	noStatus         // none, or 2xx
	atFault          // none, 2xx, or one that blames the request
)

func (s scope) has(status int) bool {
	switch s {
	case notRefused:
		return status < 400 || status >= 500 && status != http.StatusGatewayTimeout || status == http.StatusRequestTimeout
	case noStatus:
		return status < 400
	case atFault:
		switch status {
		case 400, 405, 406, 411, 415, 416, 422, 501:
			return true
		}
		return status < 400
	}
	return true
}

// A rule is a row of the table: any of its columns gives its kind.
type rule struct {
	kind    Kind
	reason  string
	codes   string   // decide before any message
	phrases []string // in a message
	scope   scope    // of the phrases
	vague   string   // codes that a message refines, and a telling status
	status  []int
	certain []int // statuses that no message refines
}

// index is the table made ready to be asked.
type index struct {
	codes, vague map[string]int // by squeezed code, to the first rule
	phrases      [][]phrase
	status       map[int]int
	certain      map[int]int
}

// A phrase is a list of parts that follow one another: in one sentence and not
// far apart, unless the gap is wide.
type phrase struct {
	parts []string
	wide  bool
}

// starts is the set of the first two letters of a text's words, hashed. Most
// phrases begin with letters that no word of a text begins with.
type starts [16]uint64

func startsOf(text string) (s starts) {
	for i := 0; i+2 < len(text); i++ {
		if text[i] == ' ' {
			k := startKey(text[i+1], text[i+2])
			s[k>>6] |= 1 << (k & 63)
		}
	}
	return s
}

func startKey(a, b byte) uint { return (uint(a)*37 + uint(b)) & 1023 }

func (s *starts) may(p phrase) bool {
	if p.parts[0][0] != ' ' {
		return true
	}
	k := startKey(p.parts[0][1], p.parts[0][2])
	return s[k>>6]&(1<<(k&63)) != 0
}

// table is built at the first error.
var table = sync.OnceValue(func() *index {
	x := &index{codes: map[string]int{}, vague: map[string]int{}, status: map[int]int{}, certain: map[int]int{}, phrases: make([][]phrase, len(rules))}
	for i, r := range rules {
		first(x.codes, strings.Fields(r.codes), squeeze, i)
		first(x.vague, strings.Fields(r.vague), squeeze, i)
		first(x.status, r.status, func(n int) int { return n }, i)
		first(x.certain, r.certain, func(n int) int { return n }, i)
		for _, p := range r.phrases {
			x.phrases[i] = append(x.phrases[i], compile(p))
		}
	}
	return x
})

func first[K comparable, V any](m map[K]int, vs []V, key func(V) K, i int) {
	for _, v := range vs {
		if _, ok := m[key(v)]; !ok {
			m[key(v)] = i
		}
	}
}

// compile makes a phrase of "a b * c": " a b", then " c" later in the same
// sentence, or with ** anywhere later. Parts begin at the start of a word and may end inside one, unless
// they end with $. Chinese has no spaces, so its parts begin anywhere.
func compile(s string) phrase {
	p := phrase{wide: strings.Contains(s, " ** ")}
	for part := range strings.SplitSeq(strings.ReplaceAll(s, " ** ", " * "), " * ") {
		if part[0] < 0x80 {
			part = " " + part
		}
		if word, ok := strings.CutSuffix(part, "$"); ok {
			part = word + " "
		}
		p.parts = append(p.parts, part)
	}
	return p
}

// maxGap is how far apart the parts of a phrase may be, in bytes.
const maxGap = 120

func (p phrase) in(text string) bool {
	for {
		i := strings.Index(text, p.parts[0])
		if i < 0 {
			return false
		}
		text = text[i+len(p.parts[0]):]
		if p.goesOn(text) {
			return true
		}
	}
}

func (p phrase) goesOn(text string) bool {
	if !p.wide {
		text, _, _ = strings.Cut(text[:min(len(text), maxGap)], "|")
	}
	for _, part := range p.parts[1:] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// known reports whether any of the codes is in the table.
func (e *evidence) known() bool {
	x := table()
	return slices.ContainsFunc(e.codes, func(c string) bool {
		c = squeeze(c)
		_, ok := x.codes[c]
		_, vague := x.vague[c]
		return ok || vague
	})
}

// match asks the table: codes, then messages, then the status, each in the
// order of the rules. Vague codes come before a status that says no more, such
// as 400, and after one that does.
func (e *evidence) match() (verdict, bool) {
	x := table()
	if v, ok := e.byCode(x.codes); ok {
		return v, true
	}
	status := e.refusal()
	if i, ok := x.certain[status]; ok {
		return byStatus(rules[i].kind, status), true
	}
	words := e.words.String()
	words = words[:min(len(words), 2*maxText)]
	begin := startsOf(words)
	for i, ps := range x.phrases {
		if rules[i].scope.has(status) && slices.ContainsFunc(ps, func(p phrase) bool { return begin.may(p) && p.in(words) }) {
			return verdict{kind: rules[i].kind, reason: rules[i].reason}, true
		}
	}
	telling := status != 0 && status != 400 && status != 422 && status != 500
	if !telling {
		if v, ok := e.byCode(x.vague); ok {
			return v, true
		}
	}
	if k := kindOfStatus(x, status); k != 0 {
		return byStatus(k, status), true
	}
	return verdict{}, false
}

// byCode returns the first rule of the table that has one of the codes. The
// reason is as the table spells it.
func (e *evidence) byCode(m map[string]int) (verdict, bool) {
	best, code := len(rules), ""
	for _, c := range e.codes {
		if i, ok := m[squeeze(c)]; ok && i < best {
			best, code = i, c
		}
	}
	if code == "" {
		return verdict{}, false
	}
	for spelling := range strings.FieldsSeq(rules[best].codes + " " + rules[best].vague) {
		if squeeze(spelling) == squeeze(code) {
			return verdict{kind: rules[best].kind, reason: spelling, code: code}, true
		}
	}
	return verdict{kind: rules[best].kind, reason: rules[best].reason, code: code}, true
}

func byStatus(k Kind, status int) verdict {
	reason := strings.ToLower(reasonPhrase(status))
	if reason == "" {
		reason = "HTTP status"
	}
	return verdict{kind: k, reason: reason}
}

func kindOfStatus(x *index, status int) Kind {
	if i, ok := x.status[status]; ok {
		return rules[i].kind
	}
	switch {
	case status >= 500:
		return Unreachable
	case status >= 400:
		return Invalid
	}
	return 0
}

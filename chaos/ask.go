package chaos

import (
	"bytes"
	"encoding/json"
	"strings"
)

const (
	maxBody       = 4 << 20
	maxTokens     = 100_000
	defaultTokens = 128
)

// An ask is a request, whatever the API.
type ask struct {
	model   string
	stream  bool
	usage   bool // a stream is to tell it
	limit   int  // of tokens; 0: none
	prompt  int  // bytes, each of which is a token
	turns   int  // messages
	prefill string
	goesOn  bool   // ends with an assistant's message, which is prefill
	tool    string // the first that is declared

	inputs []string // to embed, nil where there is a text to make
	size   int      // of an embedding
	base64 bool
}

// turn adds a message.
func (a *ask) turn(assistant bool, text string) {
	a.turns++
	a.prompt += len(text)
	a.goesOn, a.prefill = assistant, ""
	if assistant {
		a.prefill = text
	}
}

// content is the text of a message: a string, or a list of parts of which some
// have text.
type content string

// UnmarshalJSON implements [json.Unmarshaler].
func (c *content) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		var parts []struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(data, &parts); err != nil {
			return err
		}
		var b strings.Builder
		for _, p := range parts {
			b.WriteString(p.Text)
		}
		*c = content(b.String())
		return nil
	}
	return json.Unmarshal(data, (*string)(c))
}

// An answer is what a model says, whatever the API.
type answer struct {
	to      *ask
	id      string
	created int64
	model   string
	pieces  []string // tokens of the text, or parts of the arguments of tool
	tool    string
	end     end
	empty   bool // no choice, block or candidate at all
	prompt  int
	tokens  int  // that the usage tells
	usage   bool // is told
}

// text is the whole of what the model says.
func (a *answer) text() string { return strings.Join(a.pieces, "") }

// An end is why an answer ended.
type end int

const (
	endStop end = iota
	endLength
	endTool
	endFilter
)

// answer is the healthy answer to q.
func (m *Model) answer(q *ask) *answer {
	a := &answer{to: q, model: q.model, prompt: q.prompt, usage: true}
	switch {
	case q.inputs != nil:
	case q.tool != "" && m.Arguments != "":
		a.tool, a.end, a.pieces = q.tool, endTool, inParts(m.Arguments)
	case m.Text == "":
		n := defaultTokens
		if q.limit > 0 {
			n = min(q.limit, maxTokens)
		}
		a.pieces = strings.Split(strings.Repeat("a", n), "")
	default:
		rest, goesOn := strings.CutPrefix(m.Text, q.prefill)
		if !goesOn {
			rest = m.Text
		}
		a.pieces = words(rest)
		if q.limit > 0 && q.limit < len(a.pieces) {
			a.pieces, a.end = a.pieces[:q.limit], endLength
		}
	}
	a.tokens = len(a.pieces)
	return a
}

// words cuts text into words, each with the space before it.
func words(text string) []string {
	var out []string
	for text != "" {
		begin := len(text) - len(strings.TrimLeft(text, " \n"))
		n := strings.IndexAny(text[begin:], " \n")
		if n < 0 {
			return append(out, text)
		}
		out = append(out, text[:begin+n])
		text = text[begin+n:]
	}
	return out
}

// inParts cuts arguments into 20 parts, or less if they are short.
func inParts(args string) []string {
	part := max(8, (len(args)+19)/20)
	var out []string
	for len(args) > part {
		n := part
		for n < len(args) && args[n]&0xC0 == 0x80 { // within a character
			n++
		}
		out, args = append(out, args[:n]), args[n:]
	}
	return append(out, args)
}

const mojibake = "Ã¢â‚¬Å“ÃÂ¿QuÃ©? â€” ï¿½ï¿½ Ð\u009fÑ\u0080Ð¸ â€¦"

// spoil changes what the answer says as f has it.
func (a *answer) spoil(f Fault) {
	say := func(text string) { a.tool, a.end, a.pieces, a.tokens = "", endStop, words(text), len(words(text)) }
	switch f.Name {
	case NoChoices:
		say("")
		a.empty = true
	case Blank:
		say(f.Text)
	case Length:
		n := min(f.Tokens, len(a.pieces))
		a.pieces, a.tokens, a.end = a.pieces[:n], n, endLength
	case ArgumentsCut:
		if a.tool != "" {
			all := a.text()
			a.pieces, a.end = inParts(strings.ToValidUTF8(all[:len(all)/2], "")), endStop
			a.tokens = len(a.pieces)
		}
	case Garbled:
		if f.Text == "" {
			f.Text = mojibake
		}
		say(f.Text)
	case Refused, Filtered:
		say(f.Text)
		a.end = endFilter
	case OtherModel:
		a.model = f.Model
	case NoUsage:
		a.usage = false
	case WrongUsage:
		a.prompt, a.tokens = 0, 7*a.tokens
	case LongLine:
		if a.tool != "" {
			a.pieces = []string{a.text()}
		}
	}
}

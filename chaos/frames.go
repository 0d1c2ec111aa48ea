package chaos

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// An api is how a provider puts things at the wire.
type api interface {
	kind() kind
	read(r *http.Request, body []byte) (*ask, *failure) // what is asked, as far as it can be read
	check(q *ask) *failure                              // what is wrong with it
	plain(a *answer) any
	stream(a *answer) []frame
	failure(e failure) any
	inBand(e failure) string
	keepAlive() string
}

// A frame is a part of a response that is sent at once.
type frame struct {
	part  part
	data  string
	pause time.Duration // before it, of the plan's time
	alive time.Duration // between signs of life meanwhile; 0: none
}

// A part is what a frame is for.
type part int

const (
	opening part = iota // before the first token
	token
	closing // the finish reason, the usage
	marker  // of the end
	extra   // what belongs to no healthy answer
	hush    // silence for the pause, 0 until the client leaves; then the connection closes
	reset   // the connection is reset
)

// event is an event of a stream, of a name unless that is empty.
func event(name string, v any) string {
	data := "data: " + string(marshal(v)) + "\n\n"
	if name != "" {
		data = "event: " + name + "\n" + data
	}
	return data
}

// marshal encodes what can be encoded: plain structs of strings and numbers.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// behind returns the index behind the first n tokens of fs, or behind all if
// they are less.
func behind(fs []frame, n int) int {
	last := 0
	for i, f := range fs {
		switch {
		case f.part == opening:
			last = i + 1
		case f.part == token && n > 0:
			last = i + 1
			n--
		}
	}
	return last
}

// edit changes a response, the frames of which are due at once, as f has it.
func (f Fault) edit(fs []frame, api api, id string) []frame {
	at := behind(fs, f.Tokens)
	put := func(more ...frame) []frame { return slices.Insert(fs, at, more...) }
	switch f.Name {
	case HeadersOnly:
		return []frame{{part: hush, pause: f.For, alive: f.KeepAlive}}
	case SlowStart:
		first := behind(fs, 0)
		if first < len(fs) {
			fs[first].pause, fs[first].alive = f.After, f.KeepAlive
		}
	case Stall:
		return append(fs[:at], frame{part: hush, pause: f.For, alive: f.KeepAlive})
	case Drip:
		for i := range fs {
			if fs[i].part == token {
				fs[i].pause = f.Pace
			}
		}
	case Cut:
		return fs[:at]
	case CutByReset:
		return append(fs[:at], frame{part: reset})
	case StreamError:
		return append(fs[:at], frame{part: extra, data: api.inBand(f.late(api.kind(), id))})
	case Malformed:
		bad := f.Text
		if bad == "" {
			bad = `{"choices": [{"index": 0, "delta": {`
		}
		return put(slices.Repeat([]frame{{part: extra, data: "data: " + bad + "\n\n"}}, f.Times)...)
	case Duplicate:
		if n := behind(fs, max(f.Tokens, 1)) - 1; n >= 0 && fs[n].part == token {
			twice := fs[n]
			twice.part = extra
			return slices.Insert(fs, n+1, twice)
		}
	case Reordered:
		if at+1 < len(fs) && fs[at].part == token && fs[at+1].part == token {
			fs[at].data, fs[at+1].data = fs[at+1].data, fs[at].data
		}
	case LongLine:
		if at < len(fs) {
			fs[at].data = long(fs[at].data, f.Size)
		}
	case NoDone:
		return slices.DeleteFunc(fs, func(f frame) bool { return f.part == marker })
	}
	return fs
}

// late is the error of a response that began as if it were none.
func (f Fault) late(k kind, id string) failure {
	e := Fault{Status: f.Status, Text: f.Text}.complete().failure(k)
	e.id = id
	return e
}

// long makes an event at least size bytes long, by a field that no client
// knows; OpenAI's events have one of that name, to hide their length.
func long(data string, size int) string {
	const open, pad = "data: {", `"obfuscation":"",`
	return strings.Replace(data, open, open+`"obfuscation":"`+strings.Repeat("x", max(0, size-len(data)-len(pad)))+`",`, 1)
}

// inTurn cuts a body into as many frames as there are tokens and one more, for
// faults that strike within it.
func inTurn(body string, tokens int) []frame {
	n := min(tokens+1, len(body))
	var fs []frame
	for i := range n {
		f := frame{part: token, data: body[i*len(body)/n : (i+1)*len(body)/n]}
		if i == n-1 {
			f.part = closing
		}
		fs = append(fs, f)
	}
	return fs
}

// body is the response to a request that does not stream, as f has it.
func (f Fault) body(a *answer, api api) []frame {
	text := string(marshal(api.plain(a)))
	switch f.Name {
	case HeadersOnly, SlowStart, Stall, Drip, Cut, CutByReset:
		return f.edit(inTurn(text, len(a.pieces)), api, a.id)
	case StreamError:
		text = string(marshal(api.failure(f.late(api.kind(), a.id))))
	case Malformed:
		text = text[:len(text)/2] + "\\"
		if f.Text != "" {
			text = f.Text
		}
	case LongLine:
		text = strings.TrimPrefix(long("data: "+text, f.Size), "data: ")
	}
	return []frame{{part: closing, data: text}}
}

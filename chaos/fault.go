package chaos

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A FaultName names a way for a provider to fail a request. Those of the first
// group are refusals: a status and the provider's own body for it. A
// connection that is to be reset is closed where it cannot be: over a pipe;
// over HTTP/2 the stream is reset. Requests that do not stream meet what is
// said of streams in the body of the answer.
type FaultName string

// The faults, with the fields of [Fault] that they look at beside After.
const (
	None FaultName = "" // the healthy answer

	Invalid        FaultName = "invalid"         // 400
	TooLong        FaultName = "too_long"        // 400 context_length_exceeded
	Filtered       FaultName = "filtered"        // 400 content_policy_violation; from Gemini 200 with a block reason
	KeyRevoked     FaultName = "key_revoked"     // 401; from Gemini 400
	ModelRetired   FaultName = "model_retired"   // 404
	TooLarge       FaultName = "too_large"       // 413
	RateLimited    FaultName = "rate_limited"    // 429; Wait, WaitAs, RetryAfter
	Throttled      FaultName = "throttled"       // 429 that says how long the limit of the minute holds
	QuotaSpent     FaultName = "quota_spent"     // 429 insufficient_quota; from Anthropic 400
	ServerError    FaultName = "server_error"    // 500
	BadGateway     FaultName = "bad_gateway"     // 502
	Unavailable    FaultName = "unavailable"     // 503
	GatewayTimeout FaultName = "gateway_timeout" // 504
	Overloaded     FaultName = "overloaded"      // 529; from Gemini 503

	Silent      FaultName = "silent"       // nothing comes, for For, then the connection closes
	Reset       FaultName = "reset"        // the connection is reset before an answer
	HeadersOnly FaultName = "headers_only" // status and headers, then silence as of Stall; For, KeepAlive
	Slow        FaultName = "slow"         // the whole answer late; After, 20 s
	SlowStart   FaultName = "slow_start"   // what precedes the first token at once, that late; After, 20 s; KeepAlive
	Stall       FaultName = "stall"        // silence after Tokens, for For, then the connection closes; KeepAlive
	Drip        FaultName = "drip"         // a token every Pace, 1 s
	Cut         FaultName = "cut"          // after Tokens the connection closes in good order, without end marker
	CutByReset  FaultName = "cut_by_reset" // after Tokens it is reset

	StreamError FaultName = "stream_error" // after Tokens an error of Status, 529, in the stream that began with 200
	Malformed   FaultName = "malformed"    // after Tokens an event that is no JSON, or Text; as many as Times, 1
	Duplicate   FaultName = "duplicate"    // token number Tokens, or the first, twice
	Reordered   FaultName = "reordered"    // the two tokens after Tokens in each other's place
	LongLine    FaultName = "long_line"    // an event of Size bytes, 100,000, after Tokens; arguments of a tool all in one
	NoDone      FaultName = "no_done"      // complete, but without [DONE] or message_stop
	NoUsage     FaultName = "no_usage"     // complete, but without usage
	WrongUsage  FaultName = "wrong_usage"  // complete, with a usage of nothing for the prompt and 7 times the answer

	NoChoices    FaultName = "no_choices"    // 200 without a choice, a block, or a candidate in it
	Blank        FaultName = "blank"         // 200 with an empty answer, or Text
	Length       FaultName = "length"        // ends after Tokens at the limit of tokens, and says so
	ArgumentsCut FaultName = "arguments_cut" // a tool's arguments end halfway, with the finish reason of a whole answer
	Garbled      FaultName = "garbled"       // the answer in the wrong characters, or Text instead of it
	Refused      FaultName = "refused"       // 200 with a refusal: content_filter, refusal, SAFETY
	OtherModel   FaultName = "other_model"   // the answer of Model, "another-model", as it says

	HTML      FaultName = "html"       // 200 and a web page, or Text
	WrongType FaultName = "wrong_type" // the answer as text/html
	GzipBomb  FaultName = "gzip_bomb"  // Size bytes, 1 GiB, compressed to a thousandth
)

// A Fault is one way to fail a request, as plain data. The zero Fault is the
// healthy answer. A Status alone is the provider's usual error of that status:
//
//	chaos.Fault{Status: 429, Wait: 2 * time.Second}
//	chaos.Fault{Name: chaos.Cut, Tokens: 40}
//
// A field that the fault does not look at must be zero. Times are of the world
// that is imitated, and nanoseconds in encoding/json.
type Fault struct {
	Name   FaultName     `json:"name,omitempty"`
	Status int           `json:"status,omitempty"` // of a refusal; that of the name
	After  time.Duration `json:"after,omitempty"`  // until it shows; when the answer would begin
	For    time.Duration `json:"for,omitempty"`    // of silence; until the client leaves

	Tokens    int           `json:"tokens,omitempty"`    // of the answer, before it shows
	Times     int           `json:"times,omitempty"`     // in a row
	Pace      time.Duration `json:"pace,omitempty"`      // between tokens
	KeepAlive time.Duration `json:"keepAlive,omitempty"` // between comments, or pings, while nothing else comes; none
	Size      int           `json:"size,omitempty"`      // bytes, at most 1 GiB
	Text      string        `json:"text,omitempty"`
	Model     string        `json:"model,omitempty"`

	Wait       time.Duration `json:"wait,omitempty"`       // that a refusal asks for
	WaitAs     WaitForm      `json:"waitAs,omitempty"`     // how it does
	RetryAfter string        `json:"retryAfter,omitempty"` // the header, word for word, instead of Wait
}

// field names a field of a Fault that not all faults look at.
type field uint16

const (
	ofStatus field = 1 << iota
	ofFor
	ofTokens
	ofTimes
	ofPace
	ofKeepAlive
	ofSize
	ofText
	ofModel
	ofWait
)

// looks says which fields a fault looks at.
var looks = map[FaultName]field{
	None:    0,
	Invalid: refusal, TooLong: refusal, Filtered: refusal, KeyRevoked: refusal, ModelRetired: refusal, TooLarge: refusal,
	RateLimited: refusal, Throttled: refusal, QuotaSpent: refusal, ServerError: refusal, BadGateway: refusal,
	Unavailable: refusal, GatewayTimeout: refusal, Overloaded: refusal,
	Silent: ofFor, Reset: 0, HeadersOnly: ofFor | ofKeepAlive, Slow: 0, SlowStart: ofKeepAlive,
	Stall: ofTokens | ofFor | ofKeepAlive, Drip: ofPace, Cut: ofTokens, CutByReset: ofTokens,
	StreamError: ofTokens | ofStatus | ofText, Malformed: ofTokens | ofTimes | ofText,
	Duplicate: ofTokens, Reordered: ofTokens, LongLine: ofTokens | ofSize,
	NoDone: 0, NoUsage: 0, WrongUsage: 0,
	NoChoices: 0, Blank: ofText, Length: ofTokens, ArgumentsCut: 0, Garbled: ofText, Refused: ofText, OtherModel: ofModel,
	HTML: ofText, WrongType: 0, GzipBomb: ofSize,
	NoSuchHost: 0, ConnectionRefused: 0, TLSHandshake: 0, CertificateExpired: 0, StaleConnection: 0,
}

const refusal = ofStatus | ofText | ofWait

// Faults returns the names of all faults, in alphabetical order.
func Faults() []FaultName {
	names := slices.Sorted(maps.Keys(looks))
	return slices.DeleteFunc(names, func(n FaultName) bool { return n == None })
}

// Status returns the HTTP status that comes with n from OpenAI, 200 with
// faults of the answer, or 0 if no response comes or n names no fault.
func (n FaultName) Status() int {
	if m, ok := meanings[n]; ok {
		return m.status[openAI]
	}
	if _, ok := looks[n]; !ok || n == Silent || n == Reset || n == StaleConnection || !n.AtWire() {
		return 0
	}
	return http.StatusOK
}

// String describes f in a few words: its name, and what it sets.
func (f Fault) String() string {
	words := []string{string(f.Name)}
	if f.Name == None {
		words[0] = "none"
		if f.Status != 0 {
			words = nil
		}
	}
	add := func(set bool, format string, v any) {
		if set {
			words = append(words, fmt.Sprintf(format, v))
		}
	}
	add(f.Status != 0, "%d", f.Status)
	add(f.Tokens != 0, "after %d tokens", f.Tokens)
	add(f.Times != 0, "%d times", f.Times)
	add(f.After != 0, "after %v", f.After)
	add(f.For != 0, "for %v", f.For)
	add(f.Pace != 0, "every %v", f.Pace)
	add(f.KeepAlive != 0, "kept alive every %v", f.KeepAlive)
	add(f.Size != 0, "of %d bytes", f.Size)
	add(f.Model != "", "of %q", f.Model)
	add(f.Wait != 0, "wait %v", f.Wait)
	add(f.WaitAs != "", "as %s", f.WaitAs)
	add(f.RetryAfter != "", "retry after %q", f.RetryAfter)
	return strings.Join(words, " ")
}

// refuses reports whether f is an error with a status of its own.
func (f Fault) refuses() bool {
	_, named := meanings[f.Name]
	return named || f.Name == None && f.Status != 0
}

// answers reports whether f takes the time that the healthy answer takes.
func (f Fault) answers() bool {
	switch f.Name {
	case Silent, Reset, StaleConnection, NoChoices, Blank, Refused, HTML, GzipBomb:
		return false
	}
	return !f.refuses()
}

// complete returns f with its defaults.
func (f Fault) complete() Fault {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	switch f.Name {
	case None:
		if f.Status != 0 {
			f.Name = nameOf(f.Status)
		}
	case Slow, SlowStart:
		if f.After == 0 {
			f.After = 20 * time.Second
		}
	case Drip:
		if f.Pace == 0 {
			f.Pace = time.Second
		}
	case Malformed:
		set(&f.Times, 1)
	case StreamError:
		set(&f.Status, StatusOverloaded)
	case LongLine:
		set(&f.Size, 100_000)
	case GzipBomb:
		set(&f.Size, maxSize)
	case OtherModel:
		if f.Model == "" {
			f.Model = "another-model"
		}
	}
	return f
}

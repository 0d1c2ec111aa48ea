package sdks

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// The models of a provider, and how long they are waited for.
const (
	preferred, other = "preferred", "other"
	patience         = 500 * time.Millisecond
	anywhere         = "anywhere" // an operation that may go elsewhere with what was filtered
)

// A way is how an answer is asked for: with an SDK, whole or as a stream, with
// hooks that rescue or without. The provider's names of the models begin with
// prefix.
type way struct {
	name string
	ask  func(t *testing.T, p *resilience.Pool, url, prefix string, rescue bool) asker
}

// ways are two for each SDK: whole answers, and streams.
var ways = []way{
	{"openai", func(t *testing.T, p *resilience.Pool, url, prefix string, _ bool) asker {
		t.Helper()
		c := openAIAt(url, "key")
		return plain(client(t, p,
			resilience.Bind(preferred, OpenAIChat(c, prefix+preferred)), resilience.Bind(other, OpenAIChat(c, prefix+other))),
			openAIQuestion, func(r *openai.ChatCompletion) string { return r.Choices[0].Message.Content })
	}},
	{"openai stream", func(t *testing.T, p *resilience.Pool, url, prefix string, rescue bool) asker {
		t.Helper()
		c, hooks := openAIAt(url, "key"), OpenAIHooks
		if !rescue {
			hooks.Resume, hooks.Text = nil, nil
		}
		return streamed(client(t, p,
			resilience.BindStream(preferred, OpenAIStream(c, prefix+preferred), hooks),
			resilience.BindStream(other, OpenAIStream(c, prefix+other), hooks)), openAIQuestion, OpenAIHooks.Text)
	}},
	{"anthropic", func(t *testing.T, p *resilience.Pool, url, prefix string, _ bool) asker {
		t.Helper()
		c := anthropicAt(url, "key")
		return plain(client(t, p,
			resilience.Bind(preferred, AnthropicChat(c, prefix+preferred)), resilience.Bind(other, AnthropicChat(c, prefix+other))),
			anthropicQuestion, func(m *anthropic.Message) string { return m.Content[0].Text })
	}},
	{"anthropic stream", func(t *testing.T, p *resilience.Pool, url, prefix string, rescue bool) asker {
		t.Helper()
		c, hooks := anthropicAt(url, "key"), AnthropicHooks
		if !rescue {
			hooks.Resume, hooks.Text = nil, nil
		}
		return streamed(client(t, p,
			resilience.BindStream(preferred, AnthropicStream(c, prefix+preferred), hooks),
			resilience.BindStream(other, AnthropicStream(c, prefix+other), hooks)), anthropicQuestion, AnthropicHooks.Text)
	}},
	{"gemini", func(t *testing.T, p *resilience.Pool, url, prefix string, _ bool) asker {
		t.Helper()
		c := geminiAt(t, url, "key")
		return plain(client(t, p,
			resilience.Bind(preferred, GeminiChat(c, prefix+preferred)), resilience.Bind(other, GeminiChat(c, prefix+other))),
			geminiQuestion, func(r *genai.GenerateContentResponse) string { return r.Text() })
	}},
	{"gemini stream", func(t *testing.T, p *resilience.Pool, url, prefix string, rescue bool) asker {
		t.Helper()
		c, hooks := geminiAt(t, url, "key"), GeminiHooks
		if !rescue {
			hooks.Resume, hooks.Text = nil, nil
		}
		return streamed(client(t, p,
			resilience.BindStream(preferred, GeminiStream(c, prefix+preferred), hooks),
			resilience.BindStream(other, GeminiStream(c, prefix+other), hooks)), geminiQuestion, GeminiHooks.Text)
	}},
}

// A want is what has to come of a fault, by the README's table of kinds.
type want struct {
	kind   resilience.Kind // of the first attempt; zero: it is an answer
	status int             // of it; 0 where there were no headers
	asked  time.Duration   // to wait, as the error has it
	first  int             // attempts at the preferred model
	second int             // at the other one, which answers
	alone  int             // at the preferred one, if it is the only one
	behind resilience.Kind // the kind of what broke a stream
}

// A row is a fault of the preferred model. Wants are one for each way, or one
// for all, or one for answers and one for streams.
type row struct {
	name  string
	fault chaos.Fault
	op    string
	once  bool // the fault does not come again
	wants []want
}

func (r row) want(way int) want {
	switch len(r.wants) {
	case 1:
		return r.wants[0]
	case 2:
		return r.wants[way%2]
	default:
		return r.wants[way]
	}
}

// each are the wants of three SDKs, whole and as streams alike.
func each(a, b, c want) []want { return []want{a, a, b, b, c, c} }

const (
	limited   = resilience.RateLimited
	crowded   = resilience.Overloaded
	down      = resilience.Unreachable
	late      = resilience.TimedOut
	malformed = resilience.Malformed
	broken    = resilience.Truncated
	filtered  = resilience.Filtered
	unknown   = resilience.Unknown
)

var rows = []row{
	{name: "answers", wants: []want{{first: 1, alone: 1}}},

	{name: "429, `Retry-After` in seconds: 30", fault: chaos.Fault{Status: 429, Wait: 30 * time.Second, WaitAs: chaos.WaitSeconds},
		wants: []want{{kind: limited, status: 429, asked: 30 * time.Second, first: 1, second: 1, alone: 1}}},
	{name: "429, `Retry-After`, a date in 30 s", fault: chaos.Fault{Status: 429, Wait: 30 * time.Second, WaitAs: chaos.WaitDate},
		wants: []want{{kind: limited, status: 429, asked: 30 * time.Second, first: 1, second: 1, alone: 1}}},
	{name: "429, `Retry-After-Ms`: 30000", fault: chaos.Fault{Status: 429, Wait: 30 * time.Second, WaitAs: chaos.WaitMillis},
		wants: []want{{kind: limited, status: 429, asked: 30 * time.Second, first: 1, second: 1, alone: 1}}},
	{name: "429, none remaining until a reset in 30 s", fault: chaos.Fault{Status: 429, Wait: 30 * time.Second, WaitAs: chaos.WaitReset},
		wants: []want{{kind: limited, status: 429, asked: 30 * time.Second, first: 1, second: 1, alone: 1}}},
	{name: "429, the body asks for 30 s", fault: chaos.Fault{Status: 429, Wait: 30 * time.Second, WaitAs: chaos.WaitBody},
		wants: []want{{kind: limited, status: 429, asked: 30 * time.Second, first: 1, second: 1, alone: 1}}},
	{name: "429, once, `Retry-After-Ms`: 30", fault: chaos.Fault{Status: 429, Wait: 30 * time.Millisecond, WaitAs: chaos.WaitMillis}, once: true,
		wants: []want{{kind: limited, status: 429, asked: 30 * time.Millisecond, first: 2, alone: 2}}},
	{name: "429, nothing said of when", fault: chaos.Fault{Status: 429},
		wants: []want{{kind: limited, status: 429, first: 1, second: 1, alone: 3}}},
	{name: "429, `Retry-After: soon`", fault: chaos.Fault{Status: 429, RetryAfter: "soon"},
		wants: []want{{kind: limited, status: 429, first: 1, second: 1, alone: 3}}},
	{name: "429, `Retry-After: -5`", fault: chaos.Fault{Status: 429, RetryAfter: "-5"},
		wants: []want{{kind: limited, status: 429, first: 1, second: 1, alone: 3}}},

	{name: "529, overloaded (Gemini: 503)", fault: chaos.Fault{Name: chaos.Overloaded}, wants: each(
		want{kind: crowded, status: 529, first: 2, second: 1, alone: 3},
		want{kind: crowded, status: 529, first: 2, second: 1, alone: 3},
		want{kind: crowded, status: 503, first: 2, second: 1, alone: 3})},
	{name: "503, `Retry-After: 30`", fault: chaos.Fault{Status: 503, RetryAfter: "30"},
		wants: []want{{kind: crowded, status: 503, asked: 30 * time.Second, first: 1, second: 1, alone: 1}}},
	{name: "500", fault: chaos.Fault{Status: 500},
		wants: []want{{kind: down, status: 500, first: 2, second: 1, alone: 3}}},
	{name: "quota spent (Anthropic: 400)", fault: chaos.Fault{Name: chaos.QuotaSpent}, wants: each(
		want{kind: resilience.QuotaSpent, status: 429, first: 1, second: 1, alone: 1},
		want{kind: resilience.QuotaSpent, status: 400, first: 1, second: 1, alone: 1},
		want{kind: resilience.QuotaSpent, status: 429, first: 1, second: 1, alone: 1})},
	{name: "key revoked (Gemini: 400)", fault: chaos.Fault{Name: chaos.KeyRevoked}, wants: each(
		want{kind: resilience.Unauthorized, status: 401, first: 1, second: 1, alone: 1},
		want{kind: resilience.Unauthorized, status: 401, first: 1, second: 1, alone: 1},
		want{kind: resilience.Unauthorized, status: 400, first: 1, second: 1, alone: 1})},
	{name: "model retired", fault: chaos.Fault{Name: chaos.ModelRetired},
		wants: []want{{kind: resilience.NotFound, status: 404, first: 1, second: 1, alone: 1}}},
	{name: "request invalid", fault: chaos.Fault{Name: chaos.Invalid},
		wants: []want{{kind: resilience.Invalid, status: 400, first: 1, alone: 1}}},
	{name: "context too long, the other model's is larger", fault: chaos.Fault{Name: chaos.TooLong},
		wants: []want{{kind: resilience.TooLong, status: 400, first: 1, second: 1, alone: 1}}},

	{name: "prompt filtered (Gemini: 200)", fault: chaos.Fault{Name: chaos.Filtered}, wants: each(
		want{kind: filtered, status: 400, first: 1, alone: 1},
		want{kind: filtered, status: 400, first: 1, alone: 1},
		want{kind: filtered, status: 200, first: 1, alone: 1})},
	{name: "the same, where `fallback.Config.Filtered` is set", fault: chaos.Fault{Name: chaos.Filtered}, op: anywhere, wants: each(
		want{kind: filtered, status: 400, first: 1, second: 1, alone: 1},
		want{kind: filtered, status: 400, first: 1, second: 1, alone: 1},
		want{kind: filtered, status: 200, first: 1, second: 1, alone: 1})},
	{name: "answer refused, status 200", fault: chaos.Fault{Name: chaos.Refused},
		wants: []want{{kind: filtered, status: 200, first: 1, alone: 1}}},
	{name: "answer filtered after some text", fault: chaos.Fault{Name: chaos.Refused, Text: "The sky looks"}, wants: []want{
		{kind: filtered, status: 200, first: 1, alone: 1},
		{kind: broken, behind: filtered, status: 200, first: 1, alone: 1}}},

	{name: "error in the stream, or in a body of 200, before text", fault: chaos.Fault{Name: chaos.StreamError}, wants: []want{
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: crowded, status: 200, first: 2, second: 1, alone: 3},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: crowded, status: 200, first: 2, second: 1, alone: 3},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: crowded, status: 529, first: 2, second: 1, alone: 3}}}, // its error has a status
	{name: "error in the stream after 3 words", fault: chaos.Fault{Name: chaos.StreamError, Tokens: 3}, wants: []want{
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: broken, behind: crowded, status: 200, first: 1, second: 1, alone: 1},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: broken, behind: crowded, status: 200, first: 1, second: 1, alone: 1},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: broken, behind: crowded, status: 529, first: 1, second: 1, alone: 1}}},
	{name: "silent", fault: chaos.Fault{Name: chaos.Silent},
		wants: []want{{kind: late, first: 1, second: 1, alone: 3}}},
	{name: "headers, then keep-alives alone", fault: chaos.Fault{Name: chaos.HeadersOnly, KeepAlive: 50 * time.Millisecond}, wants: []want{
		{kind: late, status: 200, first: 1, second: 1, alone: 3}, {kind: late, status: 200, first: 1, second: 1, alone: 3},
		{kind: late, status: 200, first: 1, second: 1, alone: 3}, {kind: late, status: 200, first: 1, second: 1, alone: 3},
		{kind: late, status: 200, first: 1, second: 1, alone: 3}, {kind: unknown, status: 200, first: 1, second: 1, alone: 1}}}, // a comment is an error to it
	{name: "silent after 3 words", fault: chaos.Fault{Name: chaos.Stall, Tokens: 3}, wants: []want{
		{kind: late, status: 200, first: 1, second: 1, alone: 3},
		{kind: broken, behind: late, status: 200, first: 1, second: 1, alone: 1}}},
	{name: "drips, a word every 200 ms", fault: chaos.Fault{Name: chaos.Drip, Pace: 200 * time.Millisecond}, wants: []want{
		{kind: late, status: 200, first: 1, second: 1, alone: 3},
		{kind: broken, behind: late, status: 200, first: 1, second: 1, alone: 1}}},
	{name: "ends before text, without end marker", fault: chaos.Fault{Name: chaos.Cut}, wants: []want{
		{kind: down, status: 200, first: 2, second: 1, alone: 3}, {kind: broken, status: 200, first: 2, second: 1, alone: 3},
		{kind: down, status: 200, first: 2, second: 1, alone: 3}, {kind: broken, status: 200, first: 2, second: 1, alone: 3},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: broken, status: 200, first: 2, second: 1, alone: 3}}}, // an empty body is an answer to it
	{name: "ends after 3 words, without end marker", fault: chaos.Fault{Name: chaos.Cut, Tokens: 3}, wants: []want{
		{kind: down, status: 200, first: 2, second: 1, alone: 3}, {kind: broken, status: 200, first: 1, second: 1, alone: 1},
		{kind: down, status: 200, first: 2, second: 1, alone: 3}, {kind: broken, status: 200, first: 1, second: 1, alone: 1},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: broken, status: 200, first: 1, second: 1, alone: 1}}},
	{name: "resets the connection before an answer", fault: chaos.Fault{Name: chaos.Reset},
		wants: []want{{kind: down, first: 2, second: 1, alone: 3}}},
	{name: "resets it after 3 words", fault: chaos.Fault{Name: chaos.CutByReset, Tokens: 3}, wants: []want{
		{kind: down, status: 200, first: 2, second: 1, alone: 3},
		{kind: broken, behind: down, status: 200, first: 1, second: 1, alone: 1}}},
	{name: "forgets `[DONE]` or `message_stop`", fault: chaos.Fault{Name: chaos.NoDone},
		wants: []want{{first: 1, alone: 1}}},
	{name: "no JSON after 3 words", fault: chaos.Fault{Name: chaos.Malformed, Tokens: 3}, wants: []want{
		{kind: down, status: 200, first: 2, second: 1, alone: 3}, {kind: broken, behind: malformed, status: 200, first: 1, second: 1, alone: 1},
		{kind: down, status: 200, first: 2, second: 1, alone: 3}, {first: 1, alone: 1}, // it skips events without a name
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: broken, behind: malformed, status: 200, first: 1, second: 1, alone: 1}}},
	{name: "a web page with status 200", fault: chaos.Fault{Name: chaos.HTML}, wants: []want{
		{kind: down, status: 200, first: 2, second: 1, alone: 3}, {kind: broken, status: 200, first: 2, second: 1, alone: 3},
		{kind: down, status: 200, first: 2, second: 1, alone: 3}, {kind: broken, status: 200, first: 2, second: 1, alone: 3},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: down, status: 200, first: 2, second: 1, alone: 3}}},
	{name: "no choice, content or candidate", fault: chaos.Fault{Name: chaos.NoChoices}, wants: []want{
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: broken, status: 200, first: 2, second: 1, alone: 3},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: malformed, status: 200, first: 1, second: 1, alone: 1},
		{kind: malformed, status: 200, first: 1, second: 1, alone: 1}, {kind: broken, status: 200, first: 2, second: 1, alone: 3}}},
}

// A trial is a row met in a way: once with another model to go to and hooks
// that rescue, once with neither.
type trial struct {
	row
	way    way
	want   want
	prefix [2]string
	ask    [2]asker
	got    [2]result
}

// TestProvidersPage has every SDK meet every fault, over loopback, and compares
// docs/providers.md with what came of it.
func TestProvidersPage(t *testing.T) {
	var trials []*trial
	var models []chaos.Model
	for i, r := range rows {
		for j, w := range ways {
			tr := &trial{row: r, way: w, want: r.want(j)}
			for k := range tr.prefix {
				tr.prefix[k] = fmt.Sprintf("%d-%d-%d-", i, j, k)
				models = append(models, faulty(r, tr.prefix[k]), chaos.Model{Name: tr.prefix[k] + other, Text: sentence})
			}
			trials = append(trials, tr)
		}
	}
	p, url := provider(t, models...)
	var calls sync.WaitGroup
	room := make(chan struct{}, 24) // at once, so that answers are not late
	for _, tr := range trials {
		for k, rescue := range []bool{true, false} {
			tr.ask[k] = tr.way.ask(t, features(t), url, tr.prefix[k], rescue)
			opts := resilience.CallOptions{Op: tr.op}
			if !rescue {
				opts.Model = preferred
			}
			room <- struct{}{}
			calls.Go(func() {
				defer func() { <-room }()
				tr.got[k] = tr.ask[k](t.Context(), opts)
			})
		}
	}
	calls.Wait()

	tries := attempts(p)
	cells := make([]string, len(trials))
	for i, tr := range trials {
		t.Run(tr.name+"/"+tr.way.name, func(t *testing.T) {
			cells[i] = tr.check(t, tries)
		})
	}
	if t.Failed() {
		return // there is nothing to compare the page with
	}
	checkPage(t, "providers.md", 5, table(cells))
}

// check returns in one line what came of a trial.
func (tr *trial) check(t *testing.T, tries map[string]int) string {
	t.Helper()
	want, got := tr.want, tr.got[0]
	stream := strings.HasSuffix(tr.way.name, "stream")
	met := [2]int{tries[tr.prefix[0]+preferred], tries[tr.prefix[0]+other]}
	require.Equal(t, [2]int{want.first, want.second}, met, "%v", got.err)
	require.Len(t, got.rep.Attempts, met[0]+met[1])
	first := got.rep.Attempts[0]
	require.Equal(t, want.kind, first.Kind, "%v", first.Err)
	require.Equal(t, preferred, first.Model.ID())
	if want.kind != 0 {
		require.Equal(t, want.status, first.Status)
		require.Equal(t, want.status != 0 && !strings.HasPrefix(tr.way.name, "gemini"), first.RequestID != "", first.RequestID)
		asked := resilience.RetryAfter(first.Err)
		require.Equal(t, want.asked != 0, asked != 0)
		require.InDelta(t, want.asked.Seconds(), asked.Seconds(), 1.5, "a date has whole seconds")
	}
	if want.behind != 0 {
		require.Equal(t, want.behind, behind(first.Err))
	}
	if tr.once {
		require.GreaterOrEqual(t, got.rep.Attempts[1].Wait, want.asked)
	}
	failed := want.kind != 0 && want.second == 0 && !tr.once
	if failed {
		require.ErrorIs(t, got.err, want.kind)
		require.NotEqual(t, sentence, got.text)
	} else {
		answered := preferred
		if want.second > 0 {
			answered = other
		}
		require.NoError(t, got.err)
		require.Equal(t, sentence, got.text)
		require.Equal(t, answered, got.rep.Model.ID())
	}
	begun := want.kind == broken && want.first == 1 // there was text when it broke
	require.Equal(t, begun && !failed, got.rep.Rescued)

	only := tr.got[1]
	alone := tries[tr.prefix[1]+preferred]
	require.Equal(t, want.alone, alone, "%v", only.err)
	require.Zero(t, tries[tr.prefix[1]+other])
	if want.kind == 0 || tr.once {
		require.NoError(t, only.err)
		require.Equal(t, sentence, only.text)
	} else {
		require.ErrorIs(t, only.err, want.kind)
		require.NotEqual(t, sentence, only.text)
		require.Equal(t, stream && begun, only.text != "", "%q", only.text)
	}
	return cell(first, met, alone, failed, got.rep.Rescued)
}

// faulty is the preferred model as r has it.
func faulty(r row, prefix string) chaos.Model {
	m := chaos.Model{Name: prefix + preferred, Text: sentence}
	switch {
	case r.fault == (chaos.Fault{}):
	case r.once:
		m.Script = []chaos.Fault{r.fault}
	default:
		m.Failures = []chaos.Failure{{Fault: r.fault, Share: 1}}
	}
	return m
}

func features(t *testing.T) *resilience.Pool {
	t.Helper()
	return pool(t,
		resilience.Models(
			resilience.ModelInfo{ID: preferred, ContextWindow: 8_192},
			resilience.ModelInfo{ID: other, ContextWindow: 128_000}),
		resilience.Timeouts{Attempt: patience, FirstChunk: patience, Gap: patience, MinRate: 10},
		fallback.New(fallback.Config{Ops: map[string]fallback.Config{anywhere: {Filtered: true}}}),
		retry.New(retry.Config{Base: 10 * time.Millisecond}),
		breaker.New(breaker.Config{}))
}

// attempts counts those that p saw, by the model.
func attempts(p *chaos.Provider) map[string]int {
	n := map[string]int{}
	for _, a := range p.Attempts() {
		n[a.Model]++
	}
	return n
}

// behind is the kind of what broke a stream.
func behind(err error) resilience.Kind {
	var e *resilience.Error
	if !errors.As(err, &e) {
		return 0
	}
	return resilience.KindOf(e.Err)
}

// cell sums up what came of a fault.
func cell(first resilience.Attempt, tries [2]int, alone int, failed, rescued bool) string {
	if first.Kind == 0 {
		return "ok"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "`%v`", first.Kind)
	if first.Status != 0 {
		fmt.Fprintf(&b, " %d", first.Status)
	}
	fmt.Fprintf(&b, ", %d+%d", tries[0], tries[1])
	switch {
	case rescued:
		b.WriteString(" rescued")
	case failed:
		b.WriteString(" fails")
	}
	if alone != tries[0] {
		fmt.Fprintf(&b, " (%d)", alone)
	}
	return b.String()
}

// table is what was seen, as the page has it.
func table(cells []string) string {
	var b strings.Builder
	for i, name := range []string{"OpenAI", "Anthropic", "Gemini"} {
		fmt.Fprintf(&b, "**%s**\n\n| the preferred model | whole answer | stream |\n| --- | --- | --- |\n", name)
		for j, r := range rows {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.name, cells[len(ways)*j+2*i], cells[len(ways)*j+2*i+1])
		}
		if i < 2 {
			b.WriteString("\n")
		}
	}
	return b.String()
}

package chaos

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHealthyAnswers(t *testing.T) {
	each(t, func(b bubble) {
		t, d, stream := b.t, b.dialect, b.stream
		s := d.ask(t, played(t), stream)
		require.NoError(t, s.err)
		require.Equal(t, 200, s.StatusCode)
		require.Equal(t, sentence, s.said)
		require.Equal(t, stream, d.complete(s))
		if stream {
			require.Equal(t, "text/event-stream; charset=utf-8", s.Header.Get("Content-Type"))
		}
	})
}

func TestStreamsHaveTheEventsOfTheirAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider(t, Model{Text: "Yes sir"})
		openai := dialects[0].ask(t, p, true)
		require.Len(t, openai.events, 6)
		require.Contains(t, openai.events[0], `"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]`)
		require.Contains(t, openai.events[2], `"delta":{"content":" sir"}`)
		require.Contains(t, openai.events[3], `"delta":{},"finish_reason":"stop"`)
		require.Contains(t, openai.events[4], `"choices":[],"usage":{"prompt_tokens":6,"completion_tokens":2,"total_tokens":8}`)
		require.Equal(t, "[DONE]", openai.events[5])
		quiet := dialects[0]
		quiet.streamBody = strings.Replace(quiet.streamBody, "true},", "false},", 1)
		require.Len(t, quiet.ask(t, p, true).events, 5, "no usage unless asked for")

		anthropic := dialects[1].ask(t, p, true)
		require.Equal(t, []string{
			"message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta",
			"content_block_stop", "message_delta", "message_stop",
		}, anthropic.names)
		require.Contains(t, anthropic.events[0], `"usage":{"input_tokens":6,"output_tokens":1}`)
		require.JSONEq(t, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`, anthropic.events[6])

		gemini := dialects[2].ask(t, p, true)
		require.Len(t, gemini.events, 3)
		require.NotContains(t, gemini.events[1], "finishReason")
		require.Contains(t, gemini.events[2], `"finishReason":"STOP"`)
		require.Contains(t, gemini.events[2], `"usageMetadata":{"promptTokenCount":6,"candidatesTokenCount":2,"totalTokenCount":8}`)
	})
}

// Time and pace are those of the model's laws, streaming or not.
func TestAnswersTakeTheirTime(t *testing.T) {
	each(t, func(b bubble) {
		t, d, stream := b.t, b.dialect, b.stream
		p := provider(t, Model{Text: sentence, FirstToken: Always(2), Rate: Always(4)})
		s := d.ask(t, p, stream)
		require.Equal(t, 2*time.Second+6*time.Second/4, s.took)
		if stream {
			require.Equal(t, 2*time.Second, s.first)
		}
	})
}

// A table of what a client sees of a fault in the middle of a stream, and of
// the text of it that came.
func TestFaultsOfStreams(t *testing.T) {
	const part, soon = "One two three", 2 * time.Second
	for name, c := range map[string]struct {
		fault    Fault
		said     string
		broken   bool // the transport says so
		complete bool
		took     time.Duration
	}{
		"cut":                  {Fault{Name: Cut, Tokens: 3}, part, false, false, 0},
		"cut at once":          {Fault{Name: Cut}, "", false, false, 0},
		"cut behind the end":   {Fault{Name: Cut, Tokens: 99}, sentence, false, false, 0},
		"cut late":             {Fault{Name: Cut, Tokens: 3, After: soon}, part, false, false, soon},
		"cut by reset":         {Fault{Name: CutByReset, Tokens: 3}, part, true, false, 0},
		"stall":                {Fault{Name: Stall, Tokens: 3, For: soon}, part, false, false, soon},
		"headers only":         {Fault{Name: HeadersOnly, For: soon}, "", false, false, soon},
		"slow":                 {Fault{Name: Slow, After: soon}, sentence, false, true, soon},
		"slow by default":      {Fault{Name: Slow}, sentence, false, true, 20 * time.Second},
		"slow start":           {Fault{Name: SlowStart, After: soon}, sentence, false, true, soon},
		"drip":                 {Fault{Name: Drip}, sentence, false, true, 6 * time.Second},
		"drip, faster":         {Fault{Name: Drip, Pace: time.Second / 4}, sentence, false, true, 1500 * time.Millisecond},
		"malformed":            {Fault{Name: Malformed, Tokens: 3}, sentence, false, true, 0},
		"duplicate":            {Fault{Name: Duplicate, Tokens: 2}, "One two two three four five six.", false, true, 0},
		"reordered":            {Fault{Name: Reordered, Tokens: 1}, "One three two four five six.", false, true, 0},
		"reordered at the end": {Fault{Name: Reordered, Tokens: 5}, sentence, false, true, 0},
		"long line":            {Fault{Name: LongLine, Tokens: 2}, sentence, false, true, 0},
		"stream error":         {Fault{Name: StreamError, Tokens: 3}, part, false, false, 0},
		"stream error first":   {Fault{Name: StreamError}, "", false, false, 0},
		"length":               {Fault{Name: Length, Tokens: 3}, part, false, true, 0},
		"blank":                {Fault{Name: Blank}, "", false, true, 0},
		"white space":          {Fault{Name: Blank, Text: " \n "}, " \n ", false, true, 0},
		"garbled":              {Fault{Name: Garbled}, mojibake, false, true, 0},
		"something else":       {Fault{Name: Garbled, Text: "I am a teapot."}, "I am a teapot.", false, true, 0},
		"other model":          {Fault{Name: OtherModel}, sentence, false, true, 0},
		"no usage":             {Fault{Name: NoUsage}, sentence, false, true, 0},
		"wrong usage":          {Fault{Name: WrongUsage}, sentence, false, true, 0},
		"healthy":              {Fault{}, sentence, false, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, d := range dialects {
				synctest.Test(t, func(t *testing.T) {
					s := d.ask(t, played(t, c.fault), true)
					require.Equal(t, 200, s.StatusCode)
					require.Equal(t, c.said, s.said, d.name)
					require.Equal(t, c.broken, s.err != nil, "%s: %v", d.name, s.err)
					if c.fault.Name != Length || d.name != "gemini" { // whose marker is the reason
						require.Equal(t, c.complete, d.complete(s), d.name)
					}
					require.Equal(t, c.took, s.took, d.name)
				})
			}
		})
	}
}

// What else there is to see of some of them.
func TestDetailsOfStreams(t *testing.T) {
	see := func(d int, f Fault) (s seen) {
		synctest.Test(t, func(t *testing.T) { s = dialects[d].ask(t, played(t, f), true) })
		return s
	}
	count := func(s seen, bad func(string) bool) (n int) {
		for _, e := range s.events {
			if bad(e) {
				n++
			}
		}
		return n
	}
	broken := func(e string) bool { return e != "[DONE]" && !json.Valid([]byte(e)) }
	for d := range dialects {
		require.Equal(t, 1, count(see(d, Fault{Name: Malformed, Tokens: 1}), broken))
		require.Equal(t, 2, count(see(d, Fault{Name: Malformed, Times: 2}), broken))
		require.Zero(t, count(see(d, Fault{}), broken))

		long := see(d, Fault{Name: LongLine, Tokens: 2})
		require.Equal(t, 1, count(long, func(e string) bool { return len(e) > 64<<10 }))
		require.Zero(t, count(long, broken))

		require.Contains(t, see(d, Fault{Name: OtherModel}).body, `"another-model"`)
		require.NotContains(t, see(d, Fault{Name: OtherModel, Model: "m-mini"}).body, `"m"`)
		require.NotContains(t, strings.ToLower(see(d, Fault{Name: NoUsage}).body), "usage")
		require.Contains(t, see(d, Fault{Name: WrongUsage}).body, `:42`)
		require.Empty(t, see(d, Fault{Name: NoChoices}).said)

		alive := see(d, Fault{Name: SlowStart, KeepAlive: 6 * time.Second})
		require.Equal(t, 20*time.Second, alive.first)
		require.Equal(t, sentence, alive.said)
		require.Equal(t, 3, strings.Count(alive.body, dialects[d].keepAlive())-strings.Count(see(d, Fault{}).body, dialects[d].keepAlive()))
	}
	require.False(t, dialects[0].complete(see(0, Fault{Name: NoDone})))
	require.Contains(t, see(0, Fault{Name: NoDone}).body, `"finish_reason":"stop"`)
	require.Contains(t, see(0, Fault{Name: NoDone}).body, `"completion_tokens":6`)
	require.Equal(t, "message_delta", last(see(1, Fault{Name: NoDone}).names))
	require.True(t, dialects[2].complete(see(2, Fault{Name: NoDone})), "Gemini has none")

	require.Contains(t, see(0, Fault{Name: Length}).body, `"finish_reason":"length"`)
	require.Contains(t, see(1, Fault{Name: Length}).body, `"stop_reason":"max_tokens"`)
	require.Contains(t, see(2, Fault{Name: Length}).body, `"finishReason":"MAX_TOKENS"`)
	require.Contains(t, see(0, Fault{Name: Refused, Text: "No."}).body, `"finish_reason":"content_filter"`)
	require.Contains(t, see(1, Fault{Name: Refused}).body, `"stop_reason":"refusal"`)
	require.Contains(t, see(2, Fault{Name: Refused, Text: "No."}).body, `"finishReason":"SAFETY"`)
	require.Contains(t, see(2, Fault{Name: Refused}).body, `"blockReason":"PROHIBITED_CONTENT"`)

	require.Contains(t, last(see(0, Fault{Name: StreamError}).events), `{"error":{"message":"Overloaded","type":"overloaded_error"`)
	require.Contains(t, last(see(0, Fault{Name: StreamError, Status: 429}).events), `"code":"rate_limit_exceeded"`)
	require.Equal(t, "error", last(see(1, Fault{Name: StreamError, Tokens: 2}).names))
	require.Contains(t, last(see(1, Fault{Name: StreamError}).events), `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_`)
	late := see(1, Fault{Name: StreamError})
	require.Contains(t, late.body, late.Header.Get("Request-Id"), "the error names the request")
	require.Contains(t, last(see(1, Fault{Name: StreamError, Status: 500}).events), `"api_error"`)
	require.Contains(t, last(see(2, Fault{Name: StreamError, Status: 503}).events), `"status":"UNAVAILABLE"`)
}

func last(list []string) string { return list[len(list)-1] }

func (d dialect) keepAlive() string {
	return map[string]string{
		"openai": ": keep-alive\n", "gemini": ": keep-alive\n", "anthropic": "event: ping\n",
	}[d.name]
}

// The same faults, where the answer comes in one piece.
func TestFaultsOfPlainAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		fault Fault
		said  string
		valid bool // JSON
		err   bool
		took  time.Duration
	}{
		"healthy":          {Fault{}, sentence, true, false, 0},
		"cut":              {Fault{Name: Cut, Tokens: 3}, "", false, false, 0},
		"cut by reset":     {Fault{Name: CutByReset, Tokens: 3}, "", false, true, 0},
		"stall":            {Fault{Name: Stall, Tokens: 3, For: time.Second}, "", false, false, time.Second},
		"drip":             {Fault{Name: Drip}, sentence, true, false, 6 * time.Second},
		"slow":             {Fault{Name: Slow, After: time.Second}, sentence, true, false, time.Second},
		"slow start":       {Fault{Name: SlowStart, After: time.Second}, sentence, true, false, time.Second},
		"malformed":        {Fault{Name: Malformed}, "", false, false, 0},
		"long line":        {Fault{Name: LongLine}, sentence, true, false, 0},
		"error in a 200":   {Fault{Name: StreamError}, "", true, false, 0},
		"no choices":       {Fault{Name: NoChoices}, "", true, false, 0},
		"blank":            {Fault{Name: Blank}, "", true, false, 0},
		"length":           {Fault{Name: Length, Tokens: 1}, "One", true, false, 0},
		"headers, silence": {Fault{Name: HeadersOnly, For: time.Second}, "", false, false, time.Second},
		"nothing to drop":  {Fault{Name: NoDone}, sentence, true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, d := range dialects {
				synctest.Test(t, func(t *testing.T) {
					s := d.ask(t, played(t, c.fault), false)
					require.Equal(t, 200, s.StatusCode)
					require.Equal(t, c.said, s.said, d.name)
					require.Equal(t, c.valid, json.Valid([]byte(s.body)), d.name)
					require.Equal(t, c.err, s.err != nil, d.name)
					require.Equal(t, c.took, s.took, d.name)
				})
			}
		})
	}
}

func TestFaultsOfConnections(t *testing.T) {
	each(t, func(b bubble) {
		t, d, stream := b.t, b.dialect, b.stream
		p := played(t, Fault{Name: Reset}, Fault{Name: Silent, For: time.Minute}, Fault{Name: Reset, After: time.Second})
		for _, took := range []time.Duration{0, time.Minute, time.Second} {
			s := d.ask(t, p, stream)
			require.ErrorIs(t, s.err, io.EOF)
			require.Equal(t, took, s.took)
		}
		require.Equal(t, sentence, d.ask(t, p, stream).said, "the script is over")
	})
}

func TestPagesAndBombs(t *testing.T) {
	each(t, func(b bubble) {
		t, d, stream := b.t, b.dialect, b.stream
		const size = 3<<20 + 5
		p := played(t, Fault{Name: HTML}, Fault{Name: HTML, Text: "<p>No</p>"}, Fault{Name: WrongType}, Fault{Name: GzipBomb, Size: size})
		s := d.ask(t, p, stream)
		require.Equal(t, "text/html; charset=utf-8", s.Header.Get("Content-Type"))
		require.Contains(t, s.body, "<!DOCTYPE html>")
		require.Equal(t, "<p>No</p>", d.ask(t, p, stream).body)
		s = d.ask(t, p, stream)
		require.Equal(t, "text/html; charset=utf-8", s.Header.Get("Content-Type"))
		require.Contains(t, s.body, "One")
		s = d.ask(t, p, stream)
		require.True(t, s.Uncompressed)
		require.Len(t, s.body, size)
	})
}

// A call of a tool, its arguments in one piece, in parts, and cut.
func TestToolCalls(t *testing.T) {
	args := `{"text":"` + strings.Repeat("Grüße ", 12_000) + `"}`
	tools := []string{
		`"tools":[{"type":"function","function":{"name":"print"}}],`, `"tools":[{"name":"print"}],`,
		`"tools":[{"functionDeclarations":[{"name":"print"}]}],`,
	}
	each(t, func(b bubble) {
		t, d, stream := b.t, b.dialect, b.stream
		at := slices.IndexFunc(dialects, func(x dialect) bool { return x.name == d.name })
		p := provider(t, Model{Text: sentence, Arguments: args, Script: []Fault{{}, {Name: LongLine}, {Name: ArgumentsCut}, {}}})
		require.Equal(t, sentence, d.ask(t, p, stream).said, "no tool is declared")
		d.body, d.streamBody = "{"+tools[at]+d.body[1:], "{"+tools[at]+d.streamBody[1:]
		for _, want := range []struct {
			args   string
			called bool
		}{{args, true}, {"", false}, {args, true}} {
			s := d.ask(t, p, stream)
			require.Contains(t, s.body, `"print"`)
			require.Empty(t, s.said)
			got := arguments(t, d.name, s)
			switch {
			case want.args != "":
				require.JSONEq(t, want.args, got)
			case d.name == "gemini" || d.name == "anthropic" && !stream:
				require.Equal(t, "{}", got, "what is sent is JSON")
			default:
				require.False(t, json.Valid([]byte(got)))
				require.True(t, strings.HasPrefix(args, got))
			}
			if d.name == "openai" {
				require.Equal(t, want.called, strings.Contains(s.body, `"finish_reason":"tool_calls"`))
			}
			if d.name == "anthropic" {
				require.Equal(t, want.called, strings.Contains(s.body, `"stop_reason":"tool_use"`))
			}
		}
	})
}

// arguments are those of the call that a client saw.
func arguments(t *testing.T, name string, s seen) string {
	t.Helper()
	var all strings.Builder
	events := s.events
	if events == nil {
		events = []string{s.body}
	}
	for _, e := range events {
		var c struct {
			Choices []struct{ Message, Delta *openAIDelta }
			Content []anthropicBlock
			Delta   anthropicDelta
			Cands   []geminiCandidate `json:"candidates"`
		}
		if json.Unmarshal([]byte(e), &c) != nil {
			continue
		}
		for _, x := range c.Choices {
			for _, d := range []*openAIDelta{x.Message, x.Delta} {
				if d != nil && len(d.ToolCalls) > 0 {
					all.WriteString(d.ToolCalls[0].Function.Arguments)
				}
			}
		}
		for _, b := range c.Content {
			all.Write(b.Input)
		}
		if c.Delta.PartialJSON != nil {
			all.WriteString(*c.Delta.PartialJSON)
		}
		for _, x := range c.Cands {
			for _, part := range x.Content.Parts {
				if part.Call != nil {
					all.Write(part.Call.Args)
				}
			}
		}
	}
	return all.String()
}

func TestUnknownModelAndPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider(t, Model{Name: "another", Text: sentence})
		for _, want := range []string{`"code":"model_not_found"`, `"type":"not_found_error"`, `"status":"NOT_FOUND"`} {
			d := dialects[len(p.Attempts())]
			s := d.ask(t, p, false)
			require.Equal(t, http.StatusNotFound, s.StatusCode)
			require.Contains(t, s.body, want)
		}
		s := dialects[2].send(t, p, "/v1beta/nowhere", "")
		require.Equal(t, 404, s.StatusCode)
		require.Contains(t, s.body, `"status":"NOT_FOUND"`)
	})
}

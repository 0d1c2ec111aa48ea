package sse_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/sse"
)

// scan hands body to a Scanner in pieces of n bytes.
func scan(t *testing.T, body string, n int) (names []string, o sse.Outline) {
	t.Helper()
	s := sse.NewScanner()
	see := func(ev sse.Event) {
		names = append(names, ev.Name+"="+string(ev.Data))
		o.See(ev)
	}
	for body != "" {
		piece := body[:min(n, len(body))]
		body = body[len(piece):]
		require.NoError(t, s.Scan([]byte(piece), see))
	}
	s.End(see)
	return names, o
}

func TestScannerSeesWhatAReaderReads(t *testing.T) {
	body := ": alive\r\n\r\nevent: a\r\ndata: one\r\ndata: two\r\n\r\n\n\rdata: three\n\ndata: [DONE]"
	for n := 1; n <= len(body); n++ {
		got, o := scan(t, body, n)
		require.Equal(t, []string{"a=one\ntwo", "=three", "=[DONE]"}, got, n)
		require.True(t, o.Complete())
	}
}

func TestScannerIsBounded(t *testing.T) {
	s := sse.NewScanner()
	seen := 0
	see := func(sse.Event) { seen++ }
	piece := []byte("data: " + strings.Repeat("a", 8<<10) + "\n")
	var err error
	for range 1 << 8 {
		if err = s.Scan(piece, see); err != nil {
			break
		}
	}
	var limit *sse.LimitError
	require.ErrorAs(t, err, &limit)
	require.Error(t, s.Scan([]byte("data: x\n\n"), see))
	require.Zero(t, seen)

	s = sse.NewScanner()
	for range 200_000 { // more than a Reader takes by default
		require.NoError(t, s.Scan([]byte("data: x\n\n"), see))
	}
	require.Equal(t, 200_000, seen)
}

func TestOutline(t *testing.T) {
	chat := func(index, finish string) string {
		return `data: {"choices":[{"index":` + index + `,"delta":{"content":"\"finish_reason\":\"stop\""},"finish_reason":` + finish + "}]}\n\n"
	}
	for name, tc := range map[string]struct {
		body                 string
		began, complete, cut bool
	}{
		"nothing":                {"", false, false, false},
		"keep-alives":            {": ping\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\ndata: {\"type\":\"keepalive\"}\n\ndata:\n\n", false, false, false},
		"chat, cut":              {chat("0", "null"), true, false, true},
		"chat, an empty reason":  {chat("0", `""`), true, false, true},
		"chat, finished":         {chat("0", "null") + chat("0", `"stop"`), true, true, false},
		"chat, done":             {chat("0", "null") + "data: [DONE]\n\n", true, true, false},
		"chat, one of two":       {chat("0", "null") + chat("1", "null") + chat("0", `"stop"`), true, false, true},
		"chat, both":             {chat("0", "null") + chat("1", `"length"`) + chat("0", `"stop"`), true, true, false},
		"chat, half an event":    {chat("0", "null") + `data: {"choices":[{"index":0,"finish_rea`, true, false, true},
		"chat, no last newline":  {chat("0", "null") + strings.TrimSpace(chat("0", `"stop"`)), true, true, false},
		"chat, usage at the end": {chat("0", `"stop"`) + `data: {"choices":[],"usage":{}}` + "\n\n", true, true, false},
		"chat, a role":           {`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]}` + "\n\n", false, false, true},
		"chat, a filter's view":  {`data: {"choices":[],"prompt_filter_results":[{}]}` + "\n\n", false, false, false},
		"chat, reasoning":        {`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":"Hm"}}]}` + "\n\n", true, false, true},
		"chat, a tool":           {`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0}]}}]}` + "\n\n", true, false, true},
		"completions":            {`data: {"choices":[{"index":0,"text":"a"}]}` + "\n\n", true, false, true},
		"anthropic, opened":      {"data: {\"type\":\"message_start\"}\n\n" + `data: {"type":"content_block_start","content_block":{"type":"text","text":""}}` + "\n\n", false, false, true},
		"anthropic, a tool":      {`data: {"type":"content_block_start","content_block":{"type":"tool_use"}}` + "\n\n", true, false, false},
		"anthropic, cut":         {"data: {\"type\":\"message_start\"}\n\ndata: {\"type\":\"content_block_delta\"}\n\n", true, false, true},
		"anthropic, whole":       {"data: {\"type\":\"message_start\"}\n\ndata: {\"type\":\"message_stop\"}\n\n", true, true, false},
		"gemini, cut":            {`data: {"candidates":[{"content":{}}]}` + "\n\n", true, false, true},
		"gemini, whole":          {`data: {"candidates":[{"content":{},"finishReason":"STOP","index":0}]}` + "\n\n", true, true, false},
		"responses, cut":         {`data: {"type":"response.created"}` + "\n\n", false, false, true},
		"responses, completed":   {`data: {"type":"response.created"}` + "\n\n" + `data: {"type":"response.completed"}` + "\n\n", true, true, false},
		"responses, incomplete":  {`data: {"type":"response.incomplete"}` + "\n\n", true, true, false},
		"something else":         {"data: hello\n\ndata: {\"a\":1}\n\n", true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, o := scan(t, tc.body, 7)
			require.Equal(t, tc.began, o.Began(), "began")
			require.Equal(t, tc.complete, o.Complete(), "complete")
			require.Equal(t, tc.cut, o.Cut(), "cut")
			o.Blind()
			require.False(t, o.Cut())
			require.Equal(t, tc.complete, o.Complete())
		})
	}
}

package sse

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

type number struct {
	N    int    `json:"n"`
	Note string `json:"note"`
}

func TestDecoder(t *testing.T) {
	const bad, worse = "data: {\"n\":\n\n", "data: {\"n\":\"one\"}\n\n"
	good := func(n string) string { return "data: {\"n\":" + n + "}\n\n" }
	for name, c := range map[string]struct {
		stream  string
		want    []int
		skipped int
		done    bool
		err     any // an error, or a pointer for errors.As
	}{
		"plain":               {good("1") + good("2") + "data: [DONE]\n\n", []int{1, 2}, 0, true, io.EOF},
		"without marker":      {good("1"), []int{1}, 0, false, io.EOF},
		"cut":                 {good("1") + "data: {\"n\"", []int{1}, 0, false, io.ErrUnexpectedEOF},
		"nothing":             {"", nil, 0, false, io.EOF},
		"after the marker":    {"data: [DONE]\n\n" + good("1"), nil, 0, true, io.EOF},
		"one bad":             {good("1") + bad + good("2"), []int{1, 2}, 1, false, io.EOF},
		"of another type":     {good("1") + worse + good("2"), []int{1, 2}, 1, false, io.EOF},
		"no data":             {good("1") + "data\n\n" + good("2"), []int{1, 2}, 1, false, io.EOF},
		"bad, not in a row":   {bad + good("1") + worse + good("2") + bad, []int{1, 2}, 3, false, io.EOF},
		"two bad":             {good("1") + bad + worse + good("2"), []int{1}, 1, false, new(*MalformedError)},
		"with comments":       {good("1") + bad + ": x\n\n\n" + bad + good("2"), []int{1}, 1, false, new(*MalformedError)},
		"bad, then marker":    {bad + "data: [DONE]\n\n", nil, 1, true, io.EOF},
		"failure":             {good("1") + "data: {\"error\":{\"type\":\"overloaded_error\"}}\n\n" + good("2"), []int{1}, 0, false, new(*StreamError)},
		"failure at once":     {"event: error\ndata: {}\n\n", nil, 0, false, new(*StreamError)},
		"bad, then failure":   {bad + "event: error\ndata: x\n\n", nil, 1, false, new(*StreamError)},
		"extra":               {"data: {\"n\":1,\"m\":2}\n\ndata: {\"n\":1} 2\n\n", []int{1}, 1, false, io.EOF},
		"null leaves nothing": {good("1") + "data: null\n\ndata: {}\n\n", []int{1, 0, 0}, 0, false, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDecoder[number](NewReader(iotest.OneByteReader(strings.NewReader(c.stream)), Config{}))
			var got []int
			var err error
			for {
				var v number
				if v, err = d.Next(); err != nil {
					require.Zero(t, v)
					break
				}
				got = append(got, v.N)
			}
			require.Equal(t, c.want, got)
			require.Equal(t, c.skipped, d.Skipped())
			require.Equal(t, c.done, d.Done())
			if want, ok := c.err.(error); ok {
				require.Equal(t, want, err)
			} else {
				require.ErrorAs(t, err, c.err)
			}
			_, again := d.Next()
			require.Same(t, err, again)
		})
	}
}

// Nothing of one event is left in the next.
func TestDecoderStartsAnew(t *testing.T) {
	d := NewDecoder[number](NewReader(strings.NewReader("data: {\"n\":1,\"note\":\"x\"}\n\ndata: {\"n\":2}\n\ndata: {\"note\":\"y\",\"n\":\"\"}\n\ndata: {\"n\":3}\n\n"), Config{}))
	for _, want := range []number{{1, "x"}, {N: 2}, {N: 3}} {
		got, err := d.Next()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

type picky struct{}

func (*picky) UnmarshalJSON([]byte) error { return errors.New("canary, status 429, rate limit") }

func TestMalformedError(t *testing.T) {
	d := NewDecoder[number](NewReader(strings.NewReader(strings.Repeat("data: {\n\n", 2)), Config{}))
	_, err := d.Next()
	require.EqualError(t, err, "malformed response: two bad events in a row")
	var syntax *json.SyntaxError
	require.ErrorAs(t, err, &syntax)
	f := classify.OfHTTP(err, 200, nil, time.Time{})
	require.Equal(t, classify.Malformed, f.Kind)
	require.True(t, f.Accepted)

	p := NewDecoder[picky](NewReader(strings.NewReader(strings.Repeat("data: {}\n\n", 2)), Config{}))
	_, err = p.Next()
	require.NotContains(t, err.Error(), "canary")
}

func TestDecoderPassesLimits(t *testing.T) {
	r := NewReader(strings.NewReader(strings.Repeat("data: {}\n\n", 3)), Config{MaxEvents: 2})
	d := NewDecoder[number](r)
	for range 2 {
		_, err := d.Next()
		require.NoError(t, err)
	}
	_, err := d.Next()
	require.Equal(t, &LimitError{Events, 2}, err)
}

// One event of invalid JSON between two tokens is no more than that (the
// scenario of a gateway that garbles a frame), and a stream with finish reason
// and usage but without [DONE] is complete.
func TestPublishedScenarios(t *testing.T) {
	type completion struct {
		Choices []struct {
			Delta        struct{ Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage *struct {
			Total int `json:"total_tokens"`
		}
	}
	var b strings.Builder
	for i := range 20 {
		b.WriteString("data: {\"choices\":[{\"delta\":{\"content\":\"t\"}}]}\n\n")
		if i == 9 {
			b.WriteString("data: {\"choices\":[{\"delta\":{\"content\n\n")
		}
	}
	b.WriteString("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"total_tokens\":27}}\n\n")

	d := NewDecoder[completion](NewReader(strings.NewReader(b.String()), Config{}))
	var text, finish string
	var total int
	for {
		v, err := d.Next()
		if err != nil {
			require.Equal(t, io.EOF, err)
			break
		}
		for _, c := range v.Choices {
			text += c.Delta.Content
			finish += c.FinishReason
		}
		if v.Usage != nil {
			total = v.Usage.Total
		}
	}
	require.Equal(t, strings.Repeat("t", 20), text)
	require.Equal(t, "stop", finish)
	require.Equal(t, 27, total)
	require.Equal(t, 1, d.Skipped())
	require.False(t, d.Done())
}

package sse

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	openaiEvent    = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"finish_reason\":null}]}\n\n"
	anthropicEvent = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" token\"}}\n\n"
)

var steady = map[string]string{
	"openai":    openaiEvent,
	"anthropic": anthropicEvent,
	"crlf":      strings.ReplaceAll(anthropicEvent, "\n", "\r\n"),
	"cr":        strings.ReplaceAll(anthropicEvent, "\n", "\r"),
	"keepalive": ": keep-alive\n\n" + openaiEvent,
	"64KiB":     "data: " + strings.Repeat("x", 64<<10) + "\n\n",
}

var unlimited = Config{MaxBody: -1, MaxEvents: -1}

func TestAllocations(t *testing.T) {
	step := func(text string) float64 {
		r := NewReader(&loop{text: text}, unlimited)
		next := func() {
			ev, err := r.Next()
			if err != nil || Done(ev.Data) || Failure(ev) != nil {
				t.Fatal(err)
			}
		}
		next()
		return testing.AllocsPerRun(200, next)
	}
	for name, text := range steady {
		require.Zero(t, step(text), name)
	}
	require.LessOrEqual(t, step("id: a\ndata: x\n\nid: b\ndata: y\n\n"), 1.0)
	require.LessOrEqual(t, step("event: "+strings.Repeat("n", maxName+1)+"\ndata: x\n\n"), 1.0)
}

func BenchmarkNext(b *testing.B) {
	for name, text := range steady {
		b.Run(name, func(b *testing.B) {
			r := NewReader(&loop{text: text}, unlimited)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if ev, err := r.Next(); err != nil || Failure(ev) != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Lines that end with \r only, the worst to look for, must not cost more than
// their bytes.
func BenchmarkHostile(b *testing.B) {
	for name, text := range map[string]string{"cr": "\r", "lf": "\n", "comments": ":\r", "data": "data\r", "alternating": "\r\n\n\r"} {
		b.Run(name, func(b *testing.B) {
			const size = 1 << 20
			b.SetBytes(size)
			for b.Loop() {
				r := NewReader(&loop{text: strings.Repeat(text, chunk)}, Config{MaxBody: size, MaxEvent: -1, MaxEvents: -1})
				for {
					if _, err := r.Next(); err != nil {
						break
					}
				}
			}
		})
	}
}

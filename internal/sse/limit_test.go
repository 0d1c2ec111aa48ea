package sse

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

func TestLimits(t *testing.T) {
	line := ":" + strings.Repeat("x", 1<<10-2) + "\n"
	event := func(most int) *LimitError { return &LimitError{EventBytes, int64(most)} }
	for name, c := range map[string]struct {
		stream string
		cfg    Config
		events int
		err    error
	}{
		"line of the limit":      {"data: 4567\n\n", Config{MaxEvent: 10}, 1, io.EOF},
		"line above it":          {"data: 45678\n\n", Config{MaxEvent: 10}, 0, event(10)},
		"line above it, unended": {"data: 45678", Config{MaxEvent: 10}, 0, event(10)},
		"lines of the limit":     {"data:\r\ndata:\r\n\r\n", Config{MaxEvent: 10}, 1, io.EOF},
		"lines above it":         {"data:\ndata:\nx\n\n", Config{MaxEvent: 10}, 0, event(10)},
		"unknown fields count":   {"x\nx\nx\n\n", Config{MaxEvent: 2}, 0, event(2)},
		"each event anew":        {strings.Repeat("data: 4567\n\n", 9), Config{MaxEvent: 10}, 9, io.EOF},
		"comments do not add up": {strings.Repeat(": 2345678\n", 9) + "data: 4567\n\n", Config{MaxEvent: 10}, 1, io.EOF},
		"one long comment":       {": 234567890\n", Config{MaxEvent: 10}, 0, event(10)},
		"event limit off":        {"data: " + strings.Repeat("x", 2<<20) + "\n\n", Config{MaxEvent: -1}, 1, io.EOF},
		"default event limit":    {"data: " + strings.Repeat("x", 1<<20-5) + "\n\n", Config{}, 0, event(1 << 20)},

		"body of the limit": {"data: x\n\n", Config{MaxBody: 9}, 1, io.EOF},
		"body above it":     {"data: x\n\n\n", Config{MaxBody: 9}, 1, &LimitError{BodyBytes, 9}},
		"cut by it":         {"data: x\n\n", Config{MaxBody: 8}, 0, &LimitError{BodyBytes, 8}},
		"body of a chunk":   {"data: " + strings.Repeat("x", chunk-8) + "\n\n", Config{MaxBody: chunk}, 1, io.EOF},
		"default body":      {strings.Repeat(line, 32<<10) + "\n", Config{}, 0, &LimitError{BodyBytes, 32 << 20}},
		"body limit off":    {strings.Repeat(line, 32<<10) + "\n", Config{MaxBody: -1}, 0, io.EOF},

		"events of the limit": {"data\n\ndata\n\n\n\n:\n", Config{MaxEvents: 2}, 2, io.EOF},
		"events above it":     {"data\n\ndata\n\ndata\n\n", Config{MaxEvents: 2}, 2, &LimitError{Events, 2}},
		"default events":      {strings.Repeat("data\n\n", 100_001), Config{}, 100_000, &LimitError{Events, 100_000}},
		"events limit off":    {strings.Repeat("data\n\n", 100_001), Config{MaxEvents: -1}, 100_001, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			got := readAll(strings.NewReader(c.stream), c.cfg)
			require.Equal(t, c.err, got.err)
			require.Len(t, got.events, c.events)
			if len(c.stream) < 1<<10 {
				require.Equal(t, got, readAll(iotest.OneByteReader(strings.NewReader(c.stream)), c.cfg))
				require.Equal(t, got, readAll(newChunks([]byte(c.stream), 1, 5), c.cfg))
			}
		})
	}
}

// The end may come after the limit, but nothing else.
func TestLimitThenError(t *testing.T) {
	boom := errors.New("boom")
	src := io.MultiReader(strings.NewReader("data: x\n\n"), iotest.ErrReader(boom))
	require.Equal(t, boom, readAll(src, Config{MaxBody: 9}).err)
}

// An exceeded limit is the provider's failure, not the caller's nor a rate limit.
func TestLimitKinds(t *testing.T) {
	for limit, text := range map[Limit]string{
		EventBytes: "malformed response: the stream has more than 100000 bytes in an event",
		BodyBytes:  "malformed response: the stream has more than 100000 bytes",
		Events:     "malformed response: the stream has more than 100000 events",
	} {
		err := &LimitError{limit, 100_000}
		require.EqualError(t, err, text)
		for _, status := range []int{0, 200} {
			f := classify.OfHTTP(err, status, nil, time.Time{})
			require.Equal(t, classify.Malformed, f.Kind, text)
			require.True(t, f.Accepted)
		}
	}
}

// bomb is 1 to 5 MiB that become 1 GiB of text: 256 members of 4 MiB.
func bomb(t *testing.T, text string) []byte {
	t.Helper()
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	_, err := io.CopyN(w, &loop{text: text}, 4<<20)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	b := bytes.Repeat(member.Bytes(), 256)
	require.Less(t, len(b), 1<<30/200)
	return b
}

func TestBomb(t *testing.T) {
	pad := strings.Repeat(" ", 500)
	for name, c := range map[string]struct {
		text string
		want LimitError
	}{
		"zeros":       {"\x00", LimitError{EventBytes, 1 << 20}},
		"one comment": {": ", LimitError{EventBytes, 1 << 20}},
		"comments":    {":" + pad + "\n", LimitError{BodyBytes, 32 << 20}},
		"blank lines": {pad + "\r\r", LimitError{BodyBytes, 32 << 20}},
		"data lines":  {"data\n", LimitError{EventBytes, 1 << 20}},
		"events":      {"data: x\n\n", LimitError{Events, 100_000}},
		"names":       {"event: 1" + pad + "\nevent: 2" + pad + "\n\n", LimitError{BodyBytes, 32 << 20}},
	} {
		t.Run(name, func(t *testing.T) {
			packed := bomb(t, c.text)
			plain, err := gzip.NewReader(bytes.NewReader(packed))
			require.NoError(t, err)
			r := NewReader(plain, Config{})

			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for err == nil {
				_, err = r.Next()
			}
			runtime.GC()
			runtime.ReadMemStats(&after)

			require.Equal(t, &c.want, err)
			require.LessOrEqual(t, r.Stats().Bytes, int64(32<<20))
			held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			require.Less(t, held, int64(4<<20), "held")
			t.Logf("%d KiB of gzip: %d KiB read, %d KiB held, %d KiB allocated in all", len(packed)>>10, r.Stats().Bytes>>10, held>>10, (after.TotalAlloc-before.TotalAlloc)>>10)
			runtime.KeepAlive(r)
		})
	}
}

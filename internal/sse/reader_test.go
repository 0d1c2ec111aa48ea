package sse

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func data(s string) Event { return Event{Data: []byte(s)} }

func TestFormat(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		want   outcome
	}{
		"empty":       {"", outcome{err: io.EOF}},
		"one":         {"data: x\n\n", outcome{events: []Event{data("x")}, err: io.EOF}},
		"crlf":        {"data: x\r\n\r\ndata: y\r\n\r\n", outcome{events: []Event{data("x"), data("y")}, err: io.EOF}},
		"cr":          {"data: x\r\rdata: y\r\r", outcome{events: []Event{data("x"), data("y")}, err: io.EOF}},
		"mixed ends":  {"data: x\r\n\ndata: y\n\rdata: z\r\r\n", outcome{events: []Event{data("x"), data("y"), data("z")}, err: io.EOF}},
		"lf cr lf":    {"data: x\n\r\ndata: y\n\r\n", outcome{events: []Event{data("x"), data("y")}, err: io.EOF}},
		"no space":    {"data:x\n\n", outcome{events: []Event{data("x")}, err: io.EOF}},
		"two spaces":  {"data:  x \n\n", outcome{events: []Event{data(" x ")}, err: io.EOF}},
		"tab":         {"data:\tx\n\n", outcome{events: []Event{data("\tx")}, err: io.EOF}},
		"colons":      {"data: a:b: c\n\n", outcome{events: []Event{data("a:b: c")}, err: io.EOF}},
		"many lines":  {"data: x\ndata\ndata:y\n\n", outcome{events: []Event{data("x\n\ny")}, err: io.EOF}},
		"empty data":  {"data\n\ndata:\n\n", outcome{events: []Event{data(""), data("")}, err: io.EOF}},
		"empty lines": {"data\ndata\n\n", outcome{events: []Event{data("\n")}, err: io.EOF}},
		"name":        {"event: a\nevent: ping\ndata: x\n\ndata: y\n\n", outcome{events: []Event{{Name: "ping", Data: []byte("x")}, data("y")}, err: io.EOF}},
		"name without data": {
			"event: ping\n\ndata: y\n\n", outcome{events: []Event{data("y")}, keepAlives: 1, err: io.EOF},
		},
		"id stays": {
			"id: 7\ndata: x\n\ndata: y\n\nid\ndata: z\n\n",
			outcome{events: []Event{{ID: "7", Data: []byte("x")}, {ID: "7", Data: []byte("y")}, data("z")}, err: io.EOF},
		},
		"id with NUL": {"id: 7\nid: 8\x00\ndata: x\n\n", outcome{events: []Event{{ID: "7", Data: []byte("x")}}, err: io.EOF}},
		"retry stays": {
			"retry: 1500\n\ndata: x\n\nretry: 1.5\nretry: +1\nretry:\nretry: 99999999999999999\ndata: y\n\n",
			outcome{events: []Event{
				{Data: []byte("x"), Retry: 1500 * time.Millisecond}, {Data: []byte("y"), Retry: 1500 * time.Millisecond},
			}, keepAlives: 1, err: io.EOF},
		},
		"longest retry": {
			"retry: 9223372036854\nretry: 9223372036855\ndata: x\n\n",
			outcome{events: []Event{{Data: []byte("x"), Retry: 9223372036854 * time.Millisecond}}, err: io.EOF},
		},
		"unknown fields":     {"foo: 1\nDATA: 2\n data: 3\ndata : 4\n{\ndata: x\n\n", outcome{events: []Event{data("x")}, err: io.EOF}},
		"mark":               {"\ufeffdata: x\n\n", outcome{events: []Event{data("x")}, err: io.EOF}},
		"mark and blank":     {"\ufeff\n\ufeffdata: x\n\n", outcome{keepAlives: 2, err: io.EOF}},
		"mark twice":         {"\ufeff\ufeffdata: x\n\n", outcome{keepAlives: 1, err: io.EOF}},
		"NUL and bad UTF-8":  {"data: \x00\xff\xc3\n\n", outcome{events: []Event{data("\x00\xff\xc3")}, err: io.EOF}},
		"comments":           {": keep-alive\n\n:\n:x\n\ndata: x\n: y\ndata: z\n\n", outcome{events: []Event{data("x\nz")}, keepAlives: 4, err: io.EOF}},
		"blank lines":        {"\n\r\n\r", outcome{keepAlives: 3, err: io.EOF}},
		"cut in a line":      {"data: x\n\ndata: y", outcome{events: []Event{data("x")}, err: io.ErrUnexpectedEOF}},
		"cut after a line":   {"data: x\n\ndata: y\n", outcome{events: []Event{data("x")}, err: io.ErrUnexpectedEOF}},
		"cut in a name":      {"data: x\n\nd", outcome{events: []Event{data("x")}, err: io.ErrUnexpectedEOF}},
		"cut in a comment":   {"data: x\n\n: keep", outcome{events: []Event{data("x")}, err: io.EOF}},
		"comment, inside":    {"data: x\n: keep", outcome{err: io.ErrUnexpectedEOF}},
		"cut after comment":  {"data: x\n\n: keep\n", outcome{events: []Event{data("x")}, keepAlives: 1, err: io.EOF}},
		"cut in the mark":    {"\xef\xbb", outcome{err: io.ErrUnexpectedEOF}},
		"mark, cut comment":  {"\ufeff: keep", outcome{err: io.EOF}},
		"mark alone":         {"\ufeff", outcome{err: io.EOF}},
		"a page":             {"<html>\n<body>data: x</body>\n</html>\n", outcome{err: io.ErrUnexpectedEOF}},
		"marker, no newline": {"data: [DONE]", outcome{err: io.ErrUnexpectedEOF}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, model([]byte(c.stream)), "the model")
			require.Equal(t, c.want, readAll(strings.NewReader(c.stream), Config{}))
			for kind, wrap := range map[string]func(io.Reader) io.Reader{
				"a byte at a time": iotest.OneByteReader, "halves": iotest.HalfReader, "the end with the last": iotest.DataErrReader,
			} {
				require.Equal(t, c.want, readAll(wrap(strings.NewReader(c.stream)), Config{}), kind)
			}
		})
	}
}

// However a stream is cut into reads, its events are those of the model.
func TestChunking(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 14))
	events := 0
	for i := range uint64(2000) {
		stream := randomStream(rnd)
		want := model(stream)
		events += len(want.events)
		require.Equal(t, want, readAll(newChunks(stream, i, 1+rnd.IntN(300)), Config{}), "%q", stream)
	}
	require.Greater(t, events, 1000)
}

// One that is wrong about a CR at the end of a read would differ here.
func TestEveryCut(t *testing.T) {
	stream := "\ufeff: hi\r\ndata: a\r\ndata: b\r\n\r\nid: 1\revent: e\rdata: c\r\rdata: d\n\r\n\r\n"
	want := model([]byte(stream))
	require.Len(t, want.events, 3)
	for i := range len(stream) {
		for j := i; j < len(stream); j++ {
			src := io.MultiReader(strings.NewReader(stream[:i]), strings.NewReader(stream[i:j]), strings.NewReader(stream[j:]))
			require.Equal(t, want, readAll(src, Config{}), "%d %d", i, j)
		}
	}
}

func TestHugeLines(t *testing.T) {
	for _, n := range []int{chunk - 7, chunk - 6, chunk - 5, chunk, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 - 6} {
		text := strings.Repeat("z", n)
		for _, end := range []string{"\n", "\r", "\r\n"} {
			stream := "data: a" + end + end + "data: " + text + end + end + "data: b" + end + end
			got := readAll(strings.NewReader(stream), Config{})
			require.Equal(t, io.EOF, got.err)
			require.Len(t, got.events, 3)
			require.Len(t, got.events[1].Data, n)
			require.Equal(t, n, strings.Count(string(got.events[1].Data), "z"))
			require.Equal(t, "b", string(got.events[2].Data))
		}
	}
}

// An event is there once its blank line is, even if a \n may follow its \r.
func TestPrompt(t *testing.T) {
	for _, stream := range []string{"data: x\n\n", "data: x\r\r", "data: x\r\n\r"} {
		for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader} {
			src := io.MultiReader(wrap(strings.NewReader(stream)), iotest.ErrReader(errors.New("read on")))
			ev, err := NewReader(src, Config{}).Next()
			require.NoError(t, err)
			require.Equal(t, "x", string(ev.Data))
		}
	}
}

func TestSourceFails(t *testing.T) {
	boom := errors.New("boom")
	for name, src := range map[string]io.Reader{
		"after an event":        io.MultiReader(strings.NewReader("data: x\n\ndata: y\n"), iotest.ErrReader(boom)),
		"together with its end": iotest.DataErrReader(io.MultiReader(strings.NewReader("data: x\n\n"), iotest.ErrReader(boom))),
	} {
		r := NewReader(src, Config{})
		ev, err := r.Next()
		require.NoError(t, err, name)
		require.Equal(t, "x", string(ev.Data), name)
		for range 3 {
			ev, err = r.Next()
			require.ErrorIs(t, err, boom, name)
			require.Equal(t, Event{}, ev, name)
		}
	}
	for _, cut := range []error{io.ErrUnexpectedEOF, context.Canceled} {
		require.ErrorIs(t, readAll(iotest.ErrReader(cut), Config{}).err, cut)
	}
}

// once gives its text and its error together, and would go on after them.
type once struct {
	text string
	err  error
}

func (o *once) Read(p []byte) (int, error) {
	n := copy(p, o.text)
	err := o.err
	o.text, o.err = "more", nil
	return n, err
}

func TestErrorWithLastBytes(t *testing.T) {
	boom := errors.New("boom")
	require.Equal(t, outcome{events: []Event{data("x")}, err: boom}, readAll(&once{"data: x\n\n", boom}, Config{}))
	require.Equal(t, outcome{events: []Event{data("x")}, err: io.EOF}, readAll(&once{"data: x\n\n", io.EOF}, Config{}))
}

type mute struct{}

func (mute) Read([]byte) (int, error) { return 0, nil }

func TestNoProgress(t *testing.T) {
	require.Equal(t, io.ErrNoProgress, readAll(mute{}, Config{}).err)
}

// Comments are told while Next waits for an event, so that a timer of silence
// starts anew and one of progress does not.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, dst := io.Pipe()
		go func() {
			for range 3 {
				time.Sleep(time.Second)
				io.WriteString(dst, ": keep-alive\n\n")
			}
			io.WriteString(dst, "data: x\n\n")
			dst.Close()
		}()
		start := time.Now()
		var at []time.Duration
		r := NewReader(src, Config{KeepAlive: func() { at = append(at, time.Since(start)) }})
		ev, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, "x", string(ev.Data))
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, at)
		require.Equal(t, Stats{Bytes: 3*14 + 9, Events: 1, KeepAlives: 3}, r.Stats())
		_, err = r.Next()
		require.Equal(t, io.EOF, err)
	})
}

// What is closed in another goroutine ends a Next that waits.
func TestClosedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, _ := io.Pipe()
		time.AfterFunc(time.Minute, func() { src.CloseWithError(context.Canceled) })
		_, err := NewReader(src, Config{}).Next()
		require.ErrorIs(t, err, io.ErrClosedPipe) // a pipe's reader does not learn its own reason
	})
}

func TestNames(t *testing.T) {
	var b strings.Builder
	for i := range 3 * maxNames {
		b.WriteString("event: " + strings.Repeat("n", i) + "\ndata: x\n\n")
	}
	r := NewReader(strings.NewReader(b.String()), Config{})
	for i := range 3 * maxNames {
		ev, err := r.Next()
		require.NoError(t, err)
		require.Len(t, ev.Name, i)
	}
	require.LessOrEqual(t, len(r.names), maxNames)
}

package sse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// However a stream is cut into reads, its events are those of the model, and
// with tight limits still the same as when it comes in one piece.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"", "\ufeffdata: x\r\n\r\n", "event: error\nid: 1\nretry: 20\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\r\r",
		": keep-alive\n\ndata: [DONE]\n\n", "data\ndata: {\"error\":1}\n\rdata: {", "id: \x00\n\n\n\r\n", "data: {}\n\ndata: {\n\ndata: }\n\n",
		"data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"}}}\n\n",
	} {
		f.Add([]byte(s), uint64(7))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		tight := Config{MaxEvent: int(seed%61) + 1, MaxBody: int64(seed%509) + 1, MaxEvents: int(seed%7) + 1}
		for _, cfg := range []Config{{}, tight} {
			want := readAll(bytes.NewReader(stream), cfg)
			if cfg.MaxEvent == 0 {
				want = model(stream)
			}
			for _, src := range []io.Reader{
				bytes.NewReader(stream), newChunks(stream, seed, 1+int(seed%97)), iotest.OneByteReader(bytes.NewReader(stream)),
			} {
				require.Equal(t, want, readAll(src, cfg), "%T", src)
			}
			bounded(t, want, cfg)
		}
		decode(t, stream)
	})
}

func bounded(t *testing.T, o outcome, cfg Config) {
	t.Helper()
	if cfg.MaxEvents > 0 && len(o.events) > cfg.MaxEvents {
		t.Fatalf("%d events", len(o.events))
	}
	total := 0
	for _, ev := range o.events {
		if cfg.MaxEvent > 0 && len(ev.Data)+len(ev.Name) > cfg.MaxEvent {
			t.Fatalf("%d bytes in an event", len(ev.Data)+len(ev.Name))
		}
		total += len(ev.Data)
	}
	if cfg.MaxBody > 0 && int64(total) > cfg.MaxBody {
		t.Fatalf("%d bytes", total)
	}
	_, limit := errors.AsType[*LimitError](o.err)
	if !limit && o.err != io.EOF && o.err != io.ErrUnexpectedEOF {
		t.Fatal(o.err)
	}
}

// decode checks that a Decoder ends in one of its ways, and that Failure is as
// terse as it says.
func decode(t *testing.T, stream []byte) {
	t.Helper()
	r := NewReader(bytes.NewReader(stream), Config{})
	d := NewDecoder[json.RawMessage](r)
	values := 0
	var err error
	for err == nil {
		if _, err = d.Next(); err == nil {
			values++
		}
	}
	failed := false
	switch e := err.(type) {
	case *MalformedError:
		failed = true
	case *StreamError:
		failed = true
		if len(e.Body) > maxBody || len(e.Code)+len(e.Type)+len(e.RequestID) > 3*maxWord || fmt.Sprintf("%#v", e) != e.Error() {
			t.Fatalf("%s", e.Body)
		}
	default:
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	}
	ended := 0
	if failed || d.Done() {
		ended = 1
	}
	if values+d.Skipped()+ended != r.Stats().Events {
		t.Fatalf("%d values, %d skipped, %v after %d events", values, d.Skipped(), err, r.Stats().Events)
	}
}

package trace

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever comes in, Read returns sorted calls within bounds, or one line that
// says what is wrong; and what it accepts it accepts compressed as well.
func FuzzTrace(f *testing.F) {
	for _, seed := range []string{"", Header, rows, zip(rows), zip(rows)[:40], "\x1f\x8b", "\ufeff" + Header + "\r\n\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		calls, err := Read(bytes.NewReader(data))
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok || calls != nil {
				t.Fatalf("got %v and %T", calls, err)
			}
			if s := err.Error(); len(s) > 600 || strings.ContainsAny(s, "\n\r\x00") || !utf8.ValidString(s) {
				t.Fatalf("not a line: %q", s)
			}
			return
		}
		if len(calls) == 0 || calls[0].At != 0 {
			t.Fatalf("begins with %v", calls)
		}
		for i, c := range calls {
			if i > 0 && c.At < calls[i-1].At {
				t.Fatalf("call %d is at %v, before %v", i, c.At, calls[i-1].At)
			}
			if c.Input < 0 || c.Input > MaxTokens || c.Output < 0 || c.Output > MaxTokens {
				t.Fatalf("call %d: %+v", i, c)
			}
		}
		if bytes.HasPrefix(data, []byte("\x1f\x8b")) {
			return
		}
		again, err := Read(strings.NewReader(zip(string(data))))
		if err != nil || len(again) != len(calls) {
			t.Fatalf("%d calls, compressed %d and %v", len(calls), len(again), err)
		}
	})
}

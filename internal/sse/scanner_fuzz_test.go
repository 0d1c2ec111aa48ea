package sse

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// However a stream is cut into pieces, a Scanner sees of it what a Reader reads
// that ends it with a blank line.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		"", "\ufeffdata: x\r\n\r\n", "event: error\nid: 1\nretry: 20\ndata: {\ndata: }\r\r", "data\rdata: x\n\rdata: {",
		": keep-alive\n\ndata: [DONE]", "id: \x00\n\n\n\r\n", "data: a\ndata: b\n\n\ufeffdata: c\r", "\ufeff\ufeff: x\ndata:\n\n",
	} {
		f.Add([]byte(s), uint64(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		type event struct{ name, id, data string }
		var want []event
		r := NewReader(io.MultiReader(bytes.NewReader(stream), bytes.NewReader([]byte("\n\n"))), Config{MaxBody: -1, MaxEvents: -1})
		var limit error
		for {
			ev, err := r.Next()
			if err != nil {
				if err != io.EOF {
					limit = err
				}
				break
			}
			want = append(want, event{ev.Name, ev.ID, string(ev.Data)})
		}
		var got []event
		s := NewScanner()
		see := func(ev Event) { got = append(got, event{ev.Name, ev.ID, string(ev.Data)}) }
		size := 1 + int(seed%7)
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			piece := bytes.Clone(rest[:n])
			if s.Scan(piece, see) != nil {
				require.Error(t, limit)
			}
			for i := range piece { // the caller's to use again
				piece[i] = 'x'
			}
			rest = rest[n:]
		}
		s.End(see)
		require.Equal(t, want, got)
	})
}

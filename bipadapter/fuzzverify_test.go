package bipadapter

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// signed returns what of a record its log has signed: cosignatures of strangers are
// nobody's word.
func signed(text []byte) string {
	before, _, _ := bytes.Cut(text, []byte(`,"cosignatures"`))
	return string(bytes.TrimSuffix(before, []byte("}}\n")))
}

// FuzzVerify takes any bytes for a record. Verify says something, and never that
// they are in order unless they are those of a record that was logged.
func FuzzVerify(f *testing.F) {
	k, l := newKit(), newLog(f)
	for _, words := range []string{"y y n", "x 2 m", "a l o"} {
		text := textOf(f, k.round(f, l, "BIP-07", Rule{}, words))
		f.Add(text)
		var r map[string]json.RawMessage
		require.NoError(f, json.Unmarshal(text, &r))
		for name := range r {
			delete(r, name)
			less, err := json.Marshal(r)
			require.NoError(f, err)
			f.Add(append(less, '\n'))
		}
	}
	require.NoError(f, l.Rotate(keyOf(2)))
	f.Add(textOf(f, k.round(f, l, "BIP-08", Rule{}, "y y n")))
	f.Add([]byte(`{}`))
	f.Add([]byte("null\n"))
	keys := Keys{Logs: []string{l.key.vkey}}
	known := map[string]bool{}
	records, err := l.Records(f.Context(), "")
	require.NoError(f, err)
	for i := range records {
		known[signed(textOf(f, &records[i]))] = true
	}
	good, err := filepath.Glob(filepath.Join("testdata", "records", "[^b]*.json"))
	require.NoError(f, err)
	require.NotEmpty(f, good)
	for _, name := range good {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		known[signed(text)] = true
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		finding, reason := verify(keys, data)
		require.NotEmpty(t, reason)
		require.NotContains(t, reason, "\n")
		if finding != Failed {
			require.True(t, known[signed(data)], "%s: %s", finding, reason)
		}
		_, _ = verify(Keys{}, data)
	})
}

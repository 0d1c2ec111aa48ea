package resilience

import (
	"encoding/json"
	"testing"
)

func FuzzValidJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":"b","c":["\"",1,null]}`, `{"a":"b`, `{"a":"\`, `"\u12"`, `"\u12ab"`, `"\x"`, "\"a\nb\"", `{"a":"b"}}`, `"a""b"`, `{oops}`, "\"\xff\"", `[1,"\\"]`, ``, `"\u`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := validJSON(data), json.Valid(data); got != want {
			t.Fatalf("%q: %v, want %v", data, got, want)
		}
	})
}

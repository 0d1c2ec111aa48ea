package settings

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func showAny(v any) string { return show(reflect.ValueOf(v)) }

// encode is the counterpart of Decode: it leaves out what is zero.
func encode(t *testing.T, v reflect.Value) json.RawMessage {
	t.Helper()
	var doc any
	switch {
	case textual(v.Type()) || isDuration(v.Type()):
		doc = show(v)
	case v.Kind() == reflect.Struct:
		members := map[string]json.RawMessage{}
		for _, f := range fieldsOf(v.Type()) {
			if at := v.FieldByIndex(f.Index); f.key != "" && !at.IsZero() {
				members[f.key] = encode(t, at)
			}
		}
		doc = members
	case v.Kind() == reflect.Map:
		members := map[string]json.RawMessage{}
		for key, value := range v.Seq2() {
			members[key.String()] = encode(t, value)
		}
		doc = members
	case v.Kind() == reflect.Slice:
		elems := []json.RawMessage{}
		for i := range v.Len() {
			elems = append(elems, encode(t, v.Index(i)))
		}
		doc = elems
	case v.Kind() == reflect.Pointer:
		return encode(t, v.Elem())
	default:
		doc = v.Interface()
	}
	data, err := json.Marshal(doc)
	require.NoError(t, err)
	return data
}

// fuzzed is config without the types that do not print what they hold.
type fuzzed struct {
	Config config             `json:"config"`
	Any    map[string]*fuzzed `json:"any,omitempty"`
	List   []fuzzed           `json:"list,omitempty"`
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"config": {"failureRate": 0.5, "openFor": "15s", "models": {"gpt-4.1": {"minCalls": -1}}}}`,
		`{"any": {"x-a": {"list": [{}, {"any": {}}]}}}`, `{"config": {"minCalls": 0}}`, `{"config": null}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, problems := Sections(data); len(problems) == 0 {
			require.True(t, json.Valid(data))
		}
		var got fuzzed
		problems := Decode("", data, &got)
		for _, p := range problems {
			require.NotEmpty(t, p.Problem)
			require.NotContains(t, p.Path, "\n")
		}
		if len(problems) > 0 {
			return
		}
		// A secret is no longer what it was once it has been printed.
		if strings.Contains(string(encode(t, reflect.ValueOf(got))), "[redacted]") {
			return
		}
		var again fuzzed
		require.Empty(t, Decode("", encode(t, reflect.ValueOf(got)), &again))
		require.Equal(t, got, again)

		require.Equal(t, got.Config, Overlay(config{}, got.Config))
		require.Equal(t, got.Config, Overlay(got.Config, config{}))
		filled := got.Config
		Fill(&filled)
		require.Equal(t, Check("c", got.Config), Check("c", filled))
		require.NotContains(t, Describe(got), "\n")
		require.Equal(t, Describe(got.Config), Describe(filled))
	})
}

package resilience_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestSecretIsRedactedEverywhere(t *testing.T) {
	const text = "sk-xyzzy"
	type config struct {
		Key  resilience.Secret
		Keys []resilience.Secret
		ByID map[string]resilience.Secret
		Ptr  *resilience.Secret
	}
	s := resilience.NewSecret(text)
	c := config{s, []resilience.Secret{s}, map[string]resilience.Secret{"a": s}, &s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%t", "%c", "%20s", "%.3s"} {
		for _, v := range []any{s, &s, c, c.Keys, c.ByID} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	require.Equal(t, "[redacted]", fmt.Sprintf("%d", s), "not an address")
	require.Equal(t, "[redacted]", s.String())
	doc, err := json.Marshal(c)
	require.NoError(t, err)
	require.Contains(t, string(doc), `"Key":"[redacted]"`)
	_, _ = out.Write(doc)
	type element struct{ Key resilience.Secret }
	doc, err = xml.Marshal(element{s})
	require.NoError(t, err)
	_, _ = out.Write(doc)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", s, "config", c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", s, "config", c)
	require.NotContains(t, out.String(), "xyzzy")
	require.NotContains(t, out.String(), fmt.Sprintf("%x", text))
	require.Contains(t, out.String(), `key=[redacted]`)

	require.Equal(t, text, s.Reveal())
	require.Empty(t, resilience.Secret{}.Reveal())
	var read struct{ Key resilience.Secret }
	require.NoError(t, json.Unmarshal([]byte(`{"Key": "abc"}`), &read))
	require.Equal(t, "abc", read.Key.Reveal())
}

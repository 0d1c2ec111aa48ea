package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestWays meets each way in virtual time.
func TestWays(t *testing.T) {
	want := map[string][2]string{
		"all is well":                    {"60 words", "60 words"},
		"429, Retry-After: 1":            {"0 words, status 429", "60 words, 2 requests"},
		"503, twice":                     {"0 words, status 503", "60 words, 3 requests"},
		"the connection is reset":        {"0 words, EOF", "60 words, 2 requests"},
		"200, and a web page":            {"0 words", "60 words, 2 requests"},
		"the quota is spent":             {"0 words, status 429", "0 words, status 429"},
		"an error before the first word": {"0 words, Overloaded", "60 words, 2 requests"},
		"an error after 40 words":        {"40 words, Overloaded", "40 words, Overloaded"},
		"the stream ends after 40 words": {"40 words", "40 words, truncated"},
		"silence after 40 words":         {"40 words, timed out after 3s", "40 words, truncated"},
	}
	require.Len(t, ways, len(want))
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := w.meet(t.Context(), bare)
				require.NoError(t, err)
				require.Equal(t, want[w.name][0], got)
				got, err = w.meet(t.Context(), protected)
				require.NoError(t, err)
				require.Equal(t, want[w.name][1], got)
			})
		})
	}
}

func TestModelOf(t *testing.T) {
	for body, want := range map[string]string{`{"model": "m"}`: "m", `{}`: "", `[]`: "", "": ""} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://provider", strings.NewReader(body))
		require.NoError(t, err)
		require.Equal(t, want, modelOf(req))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://provider", nil)
	require.NoError(t, err)
	require.Empty(t, modelOf(req))
}

func TestRun(t *testing.T) {
	var out, errs bytes.Buffer
	require.Zero(t, run(t.Context(), nil, &out, &errs), errs.String())
	require.Equal(t, len(ways)+1, strings.Count(out.String(), "\n"))
	require.Empty(t, errs.String())

	out.Reset()
	require.Zero(t, run(t.Context(), []string{"-h"}, &out, &errs))
	require.Equal(t, usage, out.String())
	require.Equal(t, 2, run(t.Context(), []string{"-seed", "1"}, &out, &errs))
	require.Contains(t, errs.String(), `unexpected argument "-seed"`)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, 1, run(ctx, nil, &out, &errs))
}

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestAnswer(t *testing.T) { require.Len(t, strings.Fields(answer), 60) }

// TestWays plays each way in virtual time.
func TestWays(t *testing.T) {
	plain, rescued := []string{"atlas-large ok"}, []string{"atlas-large truncated", "boreal-chat ok"}
	want := map[string][]string{
		"is well":       plain,
		"is overloaded": {"atlas-large overloaded", "atlas-large overloaded", "boreal-chat ok"},
		"is overloaded, as a stream that began well tells":     {"atlas-large overloaded", "atlas-large overloaded", "boreal-chat ok"},
		"sends headers, and then keep-alives for 20 s":         {"atlas-large timed_out", "boreal-chat ok"},
		"is silent after 20 words":                             rescued,
		"drips":                                                rescued,
		"sends an event that is no JSON":                       plain,
		"sends two of them in a row":                           rescued,
		"forgets [DONE]":                                       plain,
		"ends after 40 words":                                  rescued,
		"ends after 40 words, held back for 1 s":               {"atlas-large truncated", "atlas-large truncated", "boreal-chat ok"},
		"ends after 40 words, and the other does not continue": {"atlas-large truncated", "boreal-chat invalid", "boreal-chat ok"},
		"ends after 40 words, and no hook says what to do":     {"atlas-large truncated"},
	}
	require.Len(t, ways, len(want))
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				r, err := w.play(t.Context(), &out)
				require.NoError(t, err)
				require.Equal(t, want[w.name], r.attempts)
				if w.plain {
					require.Equal(t, 40, r.words)
					require.ErrorIs(t, r.err, resilience.Truncated)
					return
				}
				require.NoError(t, r.err)
				require.Equal(t, 60, r.words)
				text := out.String()
				if before, after, ok := strings.Cut(text, "\n  (atlas-large → boreal-chat)\n"); ok {
					text = before + after
				}
				require.Equal(t, answer, text)
			})
		})
	}
}

func TestRun(t *testing.T) {
	var out, errs bytes.Buffer
	require.Zero(t, run(t.Context(), nil, &out, &errs), errs.String())
	require.Contains(t, out.String(), "(atlas-large → boreal-chat)")
	require.Contains(t, out.String(), "ended without its end marker after")
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

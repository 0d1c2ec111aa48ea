package classify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every phrase is written as texts are folded, or it could never match; and it
// finds its own rule or an earlier one.
func TestRules(t *testing.T) {
	for i, r := range rules {
		require.True(t, r.kind > 0 && r.kind < Rejected, "%d", i)
		require.NotEmpty(t, r.reason, "%d", i)
		seen := map[string]bool{}
		for _, p := range r.phrases {
			require.False(t, seen[p], "rule %d repeats %q", i, p)
			seen[p] = true

			plain := strings.NewReplacer(" ** ", " ", " * ", " ", "$", "").Replace(p)
			var w strings.Builder
			fold(&w, plain)
			require.Equal(t, " "+plain+" ", w.String(), "rule %d %q is not folded", i, p)
			require.True(t, compile(p).in(w.String()), "rule %d %q does not match itself", i, p)
		}
	}
}

// A code or a status that is listed twice would be dead the second time.
func TestRulesOnce(t *testing.T) {
	seen := map[string]int{}
	for i, r := range rules {
		for c := range strings.FieldsSeq(r.codes + " " + r.vague) {
			if j, ok := seen[squeeze(c)]; ok && j != i {
				t.Errorf("%q is in rules %d and %d", c, j, i)
			}
			seen[squeeze(c)] = i
			require.LessOrEqual(t, len(c), maxCode)
		}
		for _, n := range append(r.status, r.certain...) {
			if j, ok := seen[fmt.Sprint("status ", n)]; ok {
				t.Errorf("status %d is in rules %d and %d", n, j, i)
			}
			seen[fmt.Sprint("status ", n)] = i
		}
	}
}

func TestPhrases(t *testing.T) {
	in := func(p, text string) bool {
		var w strings.Builder
		fold(&w, text)
		return compile(p).in(w.String())
	}
	require.True(t, in("rate limit", "RATE-LIMITED"))
	require.True(t, in("rate limit", "the rate_limit"))
	require.False(t, in("rate limit", "corporate limit"))
	require.True(t, in("model * not found", "model `x/y-1.5` was not found"))
	require.False(t, in("model * not found", "a model. Page not found"))
	require.True(t, in("model ** not found", "a model. Page not found"))
	require.True(t, in("model * not found", "model a. Model b not found"))
	require.False(t, in("model * not found", "model "+strings.Repeat("x", maxGap)+" not found"))
	require.True(t, in("eof$", "got EOF"))
	require.False(t, in("eof$", "eofish"))
	require.True(t, in("doesnt exist", "doesn’t exist"))
	require.True(t, in("余额不足", "您的余额不足。"))
	require.True(t, in("conexion", "CONEXIÓN"))
}

func TestSqueeze(t *testing.T) {
	for _, s := range []string{"rate_limit_error", "RateLimitError", "rate-limit error", "RATE_LIMIT_ERROR"} {
		require.Equal(t, "ratelimiterror", squeeze(s))
	}
	require.Len(t, squeeze(strings.Repeat("a", 1000)), 2*maxCode)
}

package classify_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func header(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Add(kv[i], kv[i+1])
	}
	return h
}

func TestRetryAfter(t *testing.T) {
	const none = -1
	http1 := func(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

	for _, c := range []struct {
		name string
		h    http.Header
		want time.Duration
	}{
		{"nothing", nil, none},
		{"seconds", header("Retry-After", "7"), 7 * time.Second},
		{"zero", header("Retry-After", "0"), 0},
		{"fraction", header("Retry-After", "1.25"), 1250 * time.Millisecond},
		{"spaces", header("Retry-After", " 3 "), 3 * time.Second},
		{"duration", header("Retry-After", "1m30s"), 90 * time.Second},
		{"milliseconds", header("retry-after-ms", "250"), 250 * time.Millisecond},
		{"azure", header("x-ms-retry-after-ms", "1500.5"), 1500500 * time.Microsecond},
		{"milliseconds win", header("Retry-After", "2", "Retry-After-Ms", "1200"), 1200 * time.Millisecond},
		{"bad milliseconds do not", header("Retry-After", "2", "Retry-After-Ms", "soon"), 2 * time.Second},
		{"second value", header("Retry-After", "soon", "Retry-After", "4"), 4 * time.Second},

		{"date", header("Retry-After", http1(noon.Add(90*time.Second))), 90 * time.Second},
		{"date by the server's clock", header("Retry-After", http1(noon.Add(time.Hour+5*time.Second)), "Date", http1(noon.Add(time.Hour))), 5 * time.Second},
		{"date past", header("Retry-After", http1(noon.Add(-time.Second))), none},
		{"date far", header("Retry-After", http1(noon.AddDate(1, 0, 0))), 24 * time.Hour},
		{"date with a bad Date", header("Retry-After", http1(noon.Add(time.Minute)), "Date", "today"), time.Minute},

		{"negative", header("Retry-After", "-1"), none},
		{"signed", header("Retry-After", "+1"), none},
		{"NaN", header("Retry-After", "NaN"), none},
		{"Inf", header("Retry-After", "Inf"), none},
		{"exponent", header("Retry-After", "1e9"), none},
		{"hex", header("Retry-After", "0x10"), none},
		{"underscore", header("Retry-After", "1_0"), none},
		{"two dots", header("Retry-After", "1.2.3"), none},
		{"dot", header("Retry-After", "."), none},
		{"list", header("Retry-After", "1, 2"), none},
		{"overflow", header("Retry-After", "99999999999999999999"), none},
		{"negative duration", header("Retry-After", "-5s"), none},
		{"clamped", header("Retry-After", "9999999"), 24 * time.Hour},
		{"words", header("Retry-After", "a while"), none},
		{"empty", header("Retry-After", ""), none},

		{"openai requests", header("x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "20ms"), 20 * time.Millisecond},
		{"openai tokens", header("x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "6m0s"), 6 * time.Minute},
		{"only the spent bucket", header(
			"x-ratelimit-remaining-requests", "9", "x-ratelimit-reset-requests", "6m0s",
			"x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "2s"), 2 * time.Second},
		{"both spent", header(
			"x-ratelimit-remaining-requests", "0", "x-ratelimit-reset-requests", "1s",
			"x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "1m0s"), time.Minute},
		{"none spent", header("x-ratelimit-remaining-requests", "1", "x-ratelimit-reset-requests", "1s"), none},
		{"unknown remaining", header("x-ratelimit-remaining-requests", "-1", "x-ratelimit-reset-requests", "1s"), none},
		{"unknown limit", header("x-ratelimit-limit-tokens", "-1", "x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "1s"), none},
		{"no limit", header("x-ratelimit-limit-tokens", "0", "x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "1s"), none},
		{"limit", header("x-ratelimit-limit-tokens", "10", "x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "1s"), time.Second},
		{"reset without remaining", header("x-ratelimit-reset-tokens", "1s"), none},
		{"lone reset", header("x-ratelimit-reset", "30"), none},
		{"remaining without reset", header("x-ratelimit-remaining-tokens", "0"), none},
		{"negative reset", header("x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "-3"), none},
		{"asked wins over spent", header("Retry-After", "2", "x-ratelimit-remaining-tokens", "0", "x-ratelimit-reset-tokens", "1m0s"), 2 * time.Second},
		{"cerebras", header("x-ratelimit-remaining-tokens-minute", "0", "x-ratelimit-reset-tokens-minute", "12.5"), 12500 * time.Millisecond},

		{"seconds from now", header("x-ratelimit-remaining", "0", "x-ratelimit-reset", "45"), 45 * time.Second},
		{"epoch", header("x-ratelimit-remaining", "0", "x-ratelimit-reset", "1788264060"), time.Minute},
		{"epoch in ms", header("x-ratelimit-remaining", "0", "x-ratelimit-reset", "1788264060000"), time.Minute},
		{"epoch past", header("x-ratelimit-remaining", "0", "x-ratelimit-reset", "1500000000"), none},
		{"ietf", header("RateLimit-Remaining", "0", "RateLimit-Reset", "10"), 10 * time.Second},

		{"anthropic", header("anthropic-ratelimit-requests-remaining", "0", "anthropic-ratelimit-requests-reset", "2026-09-01T12:00:30Z"), 30 * time.Second},
		{"anthropic, server's clock", header("anthropic-ratelimit-input-tokens-remaining", "0", "anthropic-ratelimit-input-tokens-reset", "2026-09-01T13:00:05Z", "Date", http1(noon.Add(time.Hour))), 5 * time.Second},
		{"anthropic left", header("anthropic-ratelimit-tokens-remaining", "10", "anthropic-ratelimit-tokens-reset", "2026-09-01T12:00:30Z"), none},
		{"anthropic priority", header("anthropic-priority-input-tokens-remaining", "0", "anthropic-priority-input-tokens-reset", "2026-09-01T12:01:00Z"), time.Minute},
	} {
		got, ok := classify.RetryAfter(c.h, noon)
		if c.want == none {
			require.False(t, ok, "%s: %v", c.name, got)
			require.Zero(t, got, c.name)
			continue
		}
		require.True(t, ok, c.name)
		require.Equal(t, c.want, got, c.name)
	}
}

func TestRetryAfterWithoutNow(t *testing.T) {
	h := header("Retry-After", noon.Format(http.TimeFormat))
	_, ok := classify.RetryAfter(h, time.Time{})
	require.False(t, ok)

	h.Set("Date", noon.Add(-time.Minute).Format(http.TimeFormat))
	d, ok := classify.RetryAfter(h, time.Time{})
	require.True(t, ok)
	require.Equal(t, time.Minute, d)
}

func TestRetryAfterInText(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"status code: 429, please retry after 12 seconds":                                                                        12 * time.Second,
		"status code: 429, try again in 1.5s.":                                                                                   1500 * time.Millisecond,
		"status code: 429, try again in 20ms.":                                                                                   20 * time.Millisecond,
		"status code: 429, Please try again in 6m0s. Thanks":                                                                     6 * time.Minute,
		"status code: 429, try again in 1 hour and 5 minutes":                                                                    65 * time.Minute,
		"status code: 429, Please wait 30 seconds":                                                                               30 * time.Second,
		"status code: 429, available again in 2 days":                                                                            24 * time.Hour,
		"status code: 429, reintente en 30 segundos":                                                                             30 * time.Second,
		`status code: 429, {"error":{"message":"Please retry in 34.074824224s"}}`:                                                34074824224,
		`status code: 429, {"error":{"details":[{"retryDelay":"34s"}]}}`:                                                         34 * time.Second,
		`status code: 429, {"error":{"metadata":{"retry_after_seconds":9}}}`:                                                     9 * time.Second,
		`status code: 429, {"retry_after_ms":900}`:                                                                               900 * time.Millisecond,
		`status code: 429, {"error":{"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1788264060000"}}}}`: time.Minute,

		"status code: 429, try again later":                     -1,
		"status code: 429, retry after -3 seconds":              -1,
		"status code: 429, retry after 3 attempts":              -1,
		"status code: 429, 20 seconds":                          -1,
		"status code: 429, the 30s window":                      -1,
		`status code: 429, {"error":{"retryDelay":"-1s"}}`:      -1,
		`status code: 429, {"error":{"retry_after":"never"}}`:   -1,
		`status code: 429, {"input":{"retry_after":5}}`:         -1,
		"status code: 429, retry after 999999999999999999 days": -1,
	} {
		f := classify.Of(errors.New(text), noon)
		require.Equal(t, classify.RateLimited, f.Kind, text)
		require.Equal(t, want >= 0, f.HasRetryAfter, text)
		if f.HasRetryAfter {
			require.Equal(t, want, f.RetryAfter, text)
		}
	}
}

// A refusal vouches for a reset that names no bucket.
func TestRetryAfterLoneReset(t *testing.T) {
	f := classify.OfHTTP(nil, 429, header("x-ratelimit-reset", "30"), noon)
	require.True(t, f.HasRetryAfter)
	require.Equal(t, 30*time.Second, f.RetryAfter)

	require.False(t, classify.OfHTTP(nil, 500, header("x-ratelimit-reset", "30"), noon).HasRetryAfter)
	require.False(t, classify.OfHTTP(nil, 429, header("x-ratelimit-reset", "30", "x-ratelimit-remaining", "3"), noon).HasRetryAfter)
}

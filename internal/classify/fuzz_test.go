package classify_test

import (
	"errors"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

var (
	safeCode = regexp.MustCompile(`^[A-Za-z0-9._-]{0,48}$`)
	safeID   = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{0,128}$`)
)

func FuzzOf(f *testing.F) {
	for _, b := range bodies {
		f.Add(b.body, b.status)
	}
	f.Fuzz(func(t *testing.T, text string, status int) {
		for _, err := range []error{errors.New(text), &apiError{status, text}, &openaiError{Code: text, Message: text, StatusCode: status}} {
			got := classify.Of(err, noon)
			require.True(t, got.Kind >= classify.Canceled && got.Kind <= classify.Unknown)
			require.NotEqual(t, classify.Rejected, got.Kind)
			require.Regexp(t, safeCode, got.Code)
			require.Regexp(t, safeID, got.RequestID)
			require.LessOrEqual(t, len(got.Reason), 48)
			require.True(t, got.RetryAfter >= 0 && got.RetryAfter <= 24*time.Hour)
			require.True(t, got.HasRetryAfter || got.RetryAfter == 0)
			require.True(t, got.Status == 0 || got.Status >= 100 && got.Status <= 599)
			require.Equal(t, got, classify.Of(err, noon))
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("Retry-After", "7", "")
	f.Add("Retry-After", "Tue, 01 Sep 2026 12:00:05 GMT", "Tue, 01 Sep 2026 12:00:00 GMT")
	f.Add("X-Ratelimit-Reset-Tokens", "6m0s", "")
	f.Add("Anthropic-Ratelimit-Tokens-Reset", "2026-09-01T12:00:30Z", "")
	f.Add("Retry-After-Ms", "99999999999999999999", "")
	f.Fuzz(func(t *testing.T, key, value, date string) {
		h := http.Header{}
		h.Set("Date", date)
		h.Set("X-Ratelimit-Remaining-Tokens", "0")
		h.Set("Anthropic-Ratelimit-Tokens-Remaining", "0")
		h.Set(key, value)
		for _, now := range []time.Time{noon, {}} {
			d, ok := classify.RetryAfter(h, now)
			require.True(t, d >= 0 && d <= 24*time.Hour)
			require.True(t, ok || d == 0)
		}
	})
}

package classify_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/classify"
)

func TestQuotas(t *testing.T) {
	now := time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		headers          []string
		requests, tokens classify.Quota
	}{
		"nothing": {},
		"openai": {[]string{
			"x-ratelimit-limit-requests", "500", "x-ratelimit-remaining-requests", "499", "x-ratelimit-reset-requests", "120ms",
			"x-ratelimit-limit-tokens", "30000", "x-ratelimit-remaining-tokens", "29000", "x-ratelimit-reset-tokens", "2s",
		}, classify.Quota{500, 499, 120 * time.Millisecond}, classify.Quota{30000, 29000, 2 * time.Second}},
		"anthropic, the scarcest of three": {[]string{
			"anthropic-ratelimit-requests-limit", "50", "anthropic-ratelimit-requests-remaining", "0",
			"anthropic-ratelimit-requests-reset", "2026-11-25T04:00:09Z",
			"anthropic-ratelimit-input-tokens-limit", "40000", "anthropic-ratelimit-input-tokens-remaining", "39000",
			"anthropic-ratelimit-output-tokens-limit", "8000", "anthropic-ratelimit-output-tokens-remaining", "100",
			"anthropic-ratelimit-output-tokens-reset", "2026-11-25T04:00:30Z",
		}, classify.Quota{50, 0, 9 * time.Second}, classify.Quota{8000, 100, 30 * time.Second}},
		"nothing used of either: the smaller": {[]string{
			"anthropic-ratelimit-input-tokens-limit", "40000", "anthropic-ratelimit-input-tokens-remaining", "40000",
			"anthropic-ratelimit-output-tokens-limit", "8000", "anthropic-ratelimit-output-tokens-remaining", "8000",
		}, classify.Quota{}, classify.Quota{8000, 8000, 0}},
		"the draft of the IETF":   {[]string{"ratelimit-limit", "10", "ratelimit-remaining", "3", "ratelimit-reset", "7"}, classify.Quota{10, 3, 7 * time.Second}, classify.Quota{}},
		"unknown, as Azure says":  {[]string{"x-ratelimit-limit-tokens", "-1", "x-ratelimit-remaining-tokens", "-1"}, classify.Quota{}, classify.Quota{}},
		"garbage":                 {[]string{"x-ratelimit-limit-requests", "many", "x-ratelimit-remaining-requests", "some"}, classify.Quota{}, classify.Quota{}},
		"no limit":                {[]string{"x-ratelimit-remaining-requests", "3"}, classify.Quota{}, classify.Quota{}},
		"more left than there is": {[]string{"x-ratelimit-limit-requests", "3", "x-ratelimit-remaining-requests", "4"}, classify.Quota{}, classify.Quota{}},
		"no reset":                {[]string{"x-ratelimit-limit-requests", "3", "x-ratelimit-remaining-requests", "2", "x-ratelimit-reset-requests", "soon"}, classify.Quota{3, 2, 0}, classify.Quota{}},
	} {
		for range 20 { // headers come in any order
			requests, tokens := classify.Quotas(header(c.headers...), now)
			require.Equal(t, c.requests, requests, name)
			require.Equal(t, c.tokens, tokens, name)
		}
	}
}

package resilience_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTransportSilenceBeforeAStream: the SDKs of OpenAI and Anthropic ask for a
// stream in the body, and for JSON in Accept.
func TestTransportSilenceBeforeAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, silent, streams(word, stop))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"model":"m","stream":true}`))
		require.NoError(t, err)
		req.Header.Set("Accept", "application/json")
		start := time.Now()
		resp, err := stacked(t).Transport(f.base, always("m")).RoundTrip(req)
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.InDelta(t, 30*time.Second, time.Since(start), float64(time.Second), "FirstChunk, not Attempt")
	})
}

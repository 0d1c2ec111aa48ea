package resilience_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTransportWithoutAnAnswer: what carries no answer is none that is broken,
// whatever its headers call it.
func TestTransportWithoutAnAnswer(t *testing.T) {
	for proto, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for name, tc := range map[string]struct {
			status int
			body   string
		}{
			"no content":   {http.StatusNoContent, ""},
			"not modified": {http.StatusNotModified, ""},
			"moved":        {http.StatusTemporaryRedirect, ""},
			"found":        {http.StatusFound, "Found"},
		} {
			t.Run(proto+" "+name, func(t *testing.T) {
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", jsonType)
					w.WriteHeader(tc.status)
					_ = http.NewResponseController(w).Flush()
					_, _ = io.WriteString(w, tc.body)
				}))
				server.EnableHTTP2 = two
				server.StartTLS()
				defer server.Close()
				defer server.Client().CloseIdleConnections()
				p := stack(t)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, server.URL, http.NoBody)
				require.NoError(t, err)
				resp, err := p.Transport(server.Client().Transport, nil).RoundTrip(req)
				require.NoError(t, err)
				require.Equal(t, tc.status, resp.StatusCode)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, tc.body, string(body))
				require.NoError(t, resp.Body.Close())
				idle(t, p)
			})
		}
	}
}

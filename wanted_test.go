package resilience

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestWantsStream(t *testing.T) {
	for body, want := range map[string]bool{
		`{"stream":true}`:                                          true,
		` { "model" : "m", "stream" : true } `:                     true,
		`{"stream": false}`:                                        false,
		`{"stream": null}`:                                         false,
		`{"messages":[{"stream":true}],"model":"m"}`:               false,
		`{"options":{"stream":true}}`:                              false,
		`{"messages":["\"stream\":true"]}`:                         false,
		`{"a":"stream","b":true}`:                                  false,
		`{"str\u0065am":true}`:                                     false, // nobody writes it so
		`{"streams":true}`:                                         false,
		`{"x":"\\","stream":true}`:                                 true,
		`{"x":"` + strings.Repeat("y", 9<<10) + `","stream":true}`: true,
		`[{"stream":true}]`:                                        false,
		`"stream":true`:                                            false,
		`{"stream":`:                                               false,
		``:                                                         false,
		`}}}{{{"stream":true`:                                      false,
	} {
		require.Equal(t, want, saysStream(strings.NewReader(body)), body)
		require.Equal(t, want, saysStream(iotest.OneByteReader(strings.NewReader(body))), body)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://host/v1/messages", strings.NewReader(body))
		require.NoError(t, err)
		require.Equal(t, want, wantsStream(req), body)
		sent, err := io.ReadAll(req.Body)
		require.NoError(t, err)
		require.Equal(t, body, string(sent), "it is not consumed")
	}
	for url, want := range map[string]bool{
		"http://host/v1beta/models/m:streamGenerateContent?alt=sse": true,
		"http://host/v1beta/models/m:generateContent":               false,
		"http://host/stream": false,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, io.NopCloser(strings.NewReader(`{"stream":true}`)))
		require.NoError(t, err)
		require.Equal(t, want, wantsStream(req), url)
	}
}

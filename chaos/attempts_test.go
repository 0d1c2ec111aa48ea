package chaos

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// looking is a client that looks at what the provider has noted as soon as
// something comes.
type looking struct {
	*httptest.ResponseRecorder
	p     *Provider
	texts int // that came
	short bool
}

func (l *looking) Write(data []byte) (int, error) {
	if strings.Contains(string(data), `"content":"`) && !strings.Contains(string(data), `"role"`) {
		l.texts++
		l.short = l.short || l.p.Attempts()[0].Tokens < l.texts
	}
	return l.ResponseRecorder.Write(data)
}

// A test that has read three tokens may assert that three were sent.
func TestAttemptsAreNotBehindTheClient(t *testing.T) {
	p := provider(t, Model{Text: "one two three"})
	w := &looking{ResponseRecorder: httptest.NewRecorder(), p: p}
	p.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(dialects[0].streamBody)))
	require.Equal(t, 3, w.texts)
	require.False(t, w.short)
}

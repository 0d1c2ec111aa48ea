package chaos

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever a client sends, it gets a response that is JSON or a stream, and no
// error that blames the server.
func FuzzRequests(f *testing.F) {
	paths := []string{
		"/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/v1beta/models/m:generateContent",
		"/v1beta/models/m:streamGenerateContent?alt=sse", "/v1beta/models/:", "/v1/models", "/nowhere",
	}
	for i, d := range dialects {
		f.Add(uint8(i), []byte(d.body), "Bearer k", "POST")
		f.Add(uint8(i), []byte(d.streamBody), "", "POST")
		f.Add(uint8(i), []byte(d.continued("One two").body), "Bearer", "PUT")
	}
	for i, body := range []string{
		`{"model":"m","messages":[{"role":"user","content":null}],"max_tokens":-1,"stream":true}`,
		`{"model":"m","max_tokens":1e3,"system":[{"text":"x"},{}],"messages":[{}],"tools":[{"name":"x"}]}`,
		`{"model":"m","input":[[1],"x",null,{}],"dimensions":99999,"encoding_format":"base64"}`,
		`{"contents":[{"role":"model","parts":[{"text":"\ud800"},{}]}],"tools":[{},{"functionDeclarations":[{"name":"f"}]}]}`,
	} {
		f.Add(uint8(i), []byte(body), "Basic x", "POST")
	}
	p, err := NewProvider(ProviderConfig{
		Models: []Model{{Text: sentence, Arguments: `{"x":[1,2,3]}`}, {Name: "m"}, {Name: "n", NoPrefill: true, Text: sentence}},
		Keys:   map[string]Fault{"k": {Name: KeyRevoked}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path uint8, body []byte, auth, method string) {
		if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
			method = http.MethodPost
		}
		r := httptest.NewRequestWithContext(context.Background(), method, paths[int(path)%len(paths)], strings.NewReader(string(body)))
		r.Header["Authorization"] = []string{auth}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("no JSON: %s", w.Body)
		}
	})
}

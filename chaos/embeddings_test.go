package chaos

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func embed(t *testing.T, p *Provider, body string) (int, string) {
	t.Helper()
	s := dialects[0].send(t, p, "/v1/embeddings", body)
	require.NoError(t, s.err)
	return s.StatusCode, s.body
}

func TestEmbeddings(t *testing.T) {
	p := provider(t, Model{Name: "e"})
	vectors := func(body string) [][]float64 {
		status, text := embed(t, p, body)
		require.Equal(t, 200, status, text)
		var got struct {
			Data []struct {
				Index     int
				Embedding []float64
			}
			Model string
			Usage map[string]int
		}
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, "e", got.Model)
		var out [][]float64
		for i, d := range got.Data {
			require.Equal(t, i, d.Index)
			out = append(out, d.Embedding)
		}
		return out
	}
	one := vectors(`{"model":"e","input":"Hello"}`)
	require.Len(t, one, 1)
	require.Len(t, one[0], 8)
	sum := 0.0
	for _, x := range one[0] {
		sum += x * x
	}
	require.InDelta(t, 1, sum, 1e-6)
	require.Equal(t, one, vectors(`{"model":"e","input":"Hello"}`))
	several := vectors(`{"model":"e","input":["Hello","you"],"dimensions":3}`)
	require.Len(t, several, 2)
	require.Len(t, several[0], 3)
	require.NotEqual(t, several[0], several[1])
	require.Len(t, vectors(`{"model":"e","input":[1,2,3]}`), 1)
	require.Len(t, vectors(`{"model":"e","input":[[1,2,3],[4]]}`), 2)

	_, text := embed(t, p, `{"model":"e","input":"Hello","encoding_format":"base64"}`)
	var got struct{ Data []struct{ Embedding string } }
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	raw, err := base64.StdEncoding.DecodeString(got.Data[0].Embedding)
	require.NoError(t, err)
	require.Len(t, raw, 4*8)
}

func TestEmbeddingsThatFail(t *testing.T) {
	p := provider(t, Model{Name: "e", Script: []Fault{{Status: 503}, {Name: NoChoices}, {Name: NoUsage}, {Name: HTML}}})
	const ask = `{"model":"e","input":"Hello"}`
	status, _ := embed(t, p, ask)
	require.Equal(t, 503, status)
	_, text := embed(t, p, ask)
	require.Contains(t, text, `"data":[]`)
	_, text = embed(t, p, ask)
	require.NotContains(t, text, "usage")
	_, text = embed(t, p, ask)
	require.Contains(t, text, "<html>")
	for body, phrase := range map[string]string{
		`{"model":"e"}`: "'input' must be", `{"model":"e","input":[]}`: "'input' must be", `{"model":"e","input":7}`: "'input' must be",
		`{"input":"x"}`: "must provide a model", `[`: "could not parse",
		`{"model":"e","input":[` + strings.Repeat(`"x",`, maxInputs) + `"x"]}`: "'input' must be",
	} {
		status, text := embed(t, p, body)
		require.Equal(t, 400, status, body)
		require.Contains(t, text, phrase)
	}
}

func TestLists(t *testing.T) {
	p := provider(t, Model{Name: "b"}, Model{Name: "a"}, Model{})
	for _, c := range []struct{ path, header, want string }{
		{"/v1/models", "", `{"data":[{"created":1767225600,"id":"a","object":"model","owned_by":"chaos"},`},
		{"/v1/models", "Anthropic-Version", `"display_name":"a","id":"a","type":"model"}`},
		{"/v1beta/models", "", `{"models":[{"displayName":"a","name":"models/a"},`},
	} {
		req, err := http.NewRequest(http.MethodGet, "http://p"+c.path, nil)
		require.NoError(t, err)
		if c.header != "" {
			req.Header.Set(c.header, "2023-06-01")
		}
		res, err := p.Client().Do(req)
		require.NoError(t, err)
		var text strings.Builder
		_, err = io.Copy(&text, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Contains(t, text.String(), c.want)
		require.NotContains(t, text.String(), `""`)
	}
}

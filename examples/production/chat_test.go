package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
)

const events = "text/event-stream"

// play returns the text of events, and the last one of another name.
func play(t *testing.T, r io.Reader) (text, end string, err error) {
	t.Helper()
	name, lines := "", bufio.NewScanner(r)
	for lines.Scan() {
		if now, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = now
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var part string
		require.NoError(t, json.Unmarshal([]byte(data), &part))
		if name == "message" {
			text += part
		} else {
			end += name + " " + part
		}
	}
	return text, end, lines.Err()
}

func TestAnswers(t *testing.T) {
	well := fake(t, chaos.Model{})
	for name, c := range map[string]struct {
		first chaos.Fault
		model string // that begins
		end   string
		held  string // is the first model then, by that
	}{
		"well":           {chaos.Fault{}, "atlas-large", "done atlas-large", ""},
		"down":           {chaos.Fault{Name: chaos.Reset}, "boreal-chat", "done boreal-chat", ""},
		"out of quota":   {chaos.Fault{Name: chaos.QuotaSpent}, "boreal-chat", "done boreal-chat", "held by quota"},
		"breaks halfway": {chaos.Fault{Name: chaos.Cut, Tokens: 8}, "atlas-large", "done boreal-chat", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := chaos.Model{}
			if c.first.Name != chaos.None {
				m.Failures = []chaos.Failure{{Fault: c.first, Share: 1}}
			}
			p := begin(t, write(t, pair(fake(t, m), well)))
			_, last, _ := strings.Cut(c.end, " ")

			res := post(t, p.base, "X-Tenant", "acme")
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, last, res.Header.Get("X-Model"))
			require.Equal(t, sky, body(t, res))
			p.has(t, "msg=answered tenant=acme")

			res = post(t, p.base, "Accept", events)
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, events, res.Header.Get("Content-Type"))
			text, end, err := play(t, res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, sky, text)
			require.Equal(t, c.end, end)
			require.Equal(t, c.model, res.Header.Get("X-Model"))

			_, reasons := ready(t, p.base)
			require.Contains(t, reasons["atlas-large"], c.held)
			require.Equal(t, c.held == "", reasons["atlas-large"] == "")
		})
	}
}

func TestBrokenStreamSaysSo(t *testing.T) {
	url := fake(t, chaos.Model{Script: []chaos.Fault{{Name: chaos.Cut, Tokens: 8}, {Status: 400}, {Status: 400}, {Status: 400}}})
	p := begin(t, write(t, file("", model("atlas-large", "atlas", 0, url))))
	res := post(t, p.base, "Accept", events)
	defer res.Body.Close()
	text, end, err := play(t, res.Body)
	require.NoError(t, err)
	require.Equal(t, "error truncated", end)
	require.Len(t, strings.Fields(text), 8)
	p.has(t, `msg="no answer"`)
}

func TestRefusals(t *testing.T) {
	url := fake(t, chaos.Model{Failures: []chaos.Failure{{Fault: chaos.Fault{Status: 429, Wait: 90 * time.Second}, Share: 1}}})
	p := begin(t, write(t, pair(url, url)))
	for _, want := range []struct {
		text string
		code int
	}{{"rate_limited\n", 429}, {"rejected\n", 429}} { // by the providers, then by what holds their models
		res := post(t, p.base)
		require.Equal(t, want.text, body(t, res))
		require.Equal(t, want.code, res.StatusCode)
		require.Contains(t, []string{"89", "90"}, res.Header.Get("Retry-After"))
	}
	res, err := http.Post(p.base+"/chat", "text/plain", strings.NewReader("Why?"))
	require.NoError(t, err)
	require.Equal(t, 400, res.StatusCode)
	require.Equal(t, "want a form with q\n", body(t, res))
	res = post(t, p.base, "X-Priority", "urgent")
	require.Equal(t, 400, res.StatusCode)
	require.Equal(t, "want an X-Priority of low, normal, high or critical\n", body(t, res))
	code, _ := get(t, p.base+"/chat")
	require.Equal(t, 405, code)
}

func TestReadiness(t *testing.T) {
	url := fake(t, chaos.Model{Failures: []chaos.Failure{{Fault: chaos.Fault{Name: chaos.KeyRevoked}, Share: 1}}})
	config := write(t, pair(url, url))
	p := begin(t, config)
	code, reasons := ready(t, p.base)
	require.Equal(t, 200, code)
	require.Equal(t, map[string]string{"atlas-large": "", "boreal-chat": ""}, reasons)

	res := post(t, p.base)
	require.Equal(t, "unauthorized\n", body(t, res))
	require.Equal(t, 502, res.StatusCode)
	code, reasons = ready(t, p.base)
	require.Equal(t, 503, code)
	require.Contains(t, reasons["atlas-large"], "held by credential")
	require.Contains(t, reasons["boreal-chat"], "held by credential")
	code, _ = get(t, p.base+"/livez")
	require.Equal(t, 200, code)

	replace(t, config, file("", model("atlas-small", "atlas", 0, fake(t, chaos.Model{}))))
	until(t, func() bool { code, reasons = ready(t, p.base); return code == 200 }, "%s", p)
	require.Equal(t, map[string]string{"atlas-small": ""}, reasons)
}

// TestBypass takes the library out of the path.
func TestBypass(t *testing.T) {
	url := fake(t, chaos.Model{})
	p := begin(t, write(t, file(`, "bypass": true`, model("atlas-large", "atlas", 0, url))))
	for _, accept := range []string{"", events} {
		res := post(t, p.base, "Accept", accept)
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, "atlas-large", res.Header.Get("X-Model"))
		require.NotEmpty(t, body(t, res))
	}
	p.has(t, "report.bypassed=true")
}

package chaos

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider(t,
			Model{Name: "m", Text: sentence, Script: []Fault{{Status: 429}, {}, {Status: 500}}, Failures: []Failure{{Fault{Status: 503}, 1, nil}}},
			Model{Name: "other", Text: sentence, Script: []Fault{{Status: 529}}},
		)
		var got []int
		for range 5 {
			got = append(got, dialects[0].ask(t, p, false).StatusCode)
		}
		require.Equal(t, []int{429, 200, 500, 503, 503}, got)
		other := dialects[0]
		other.body = strings.Replace(other.body, `"m"`, `"other"`, 1)
		require.Equal(t, 529, other.ask(t, p, false).StatusCode, "each model has its own")
		require.Equal(t, 200, other.ask(t, p, false).StatusCode)
	})
}

// A call that names itself has the script to itself.
func TestScriptsByCall(t *testing.T) {
	p := provider(t, Model{Text: sentence, Script: []Fault{{Status: 429}, {Status: 500}}})
	client := p.Client()
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			for n, want := range []int{429, 500, 200} {
				req, err := http.NewRequest(http.MethodPost, "http://p/v1/messages", strings.NewReader(dialects[1].body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set(HeaderCall, strconv.Itoa(i))
				req.Header.Set(HeaderTry, strconv.Itoa(n))
				res, err := client.Do(req)
				if err != nil || res.StatusCode != want {
					t.Error(err, res)
					return
				}
				_ = res.Body.Close()
			}
		})
	}
	calls.Wait()
}

func TestIncidentsOfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider(t, Model{Text: sentence, Incidents: []Incident{{Fault: Fault{Status: 503}, For: time.Minute}}})
		require.Equal(t, 503, dialects[0].ask(t, p, false).StatusCode)
		time.Sleep(time.Minute - 1)
		require.Equal(t, 503, dialects[0].ask(t, p, false).StatusCode)
		time.Sleep(1)
		require.Equal(t, 200, dialects[0].ask(t, p, false).StatusCode)
	})
}

// continued asks to go on after text.
func (d dialect) continued(text string) dialect {
	turn := `,{"role":"assistant","content":` + strconv.Quote(text) + `}]`
	if d.name == "gemini" {
		turn = `,{"role":"model","parts":[{"text":` + strconv.Quote(text) + `}]}]`
	}
	cut := func(body string) string { return body[:strings.LastIndex(body, "]")] + turn + "}" }
	d.body, d.streamBody = cut(d.body), cut(d.streamBody)
	return d
}

func TestContinuation(t *testing.T) {
	each(t, func(b bubble) {
		t, d, stream := b.t, b.dialect, b.stream
		p := provider(t, Model{Text: sentence})
		for prefill, rest := range map[string]string{
			"One two three": " four five six.", "One two three ": "four five six.", "One tw": "o three four five six.",
			"": sentence, sentence: "", "Uno dos": sentence,
		} {
			s := d.continued(prefill).ask(t, p, stream)
			require.Equal(t, rest, s.said)
			require.Equal(t, stream, d.complete(s))
			all := p.Attempts()
			require.Equal(t, len(prefill), all[len(all)-1].Prefill)
		}
		p = provider(t, Model{Text: sentence, NoPrefill: true, Script: []Fault{{Status: 500}}})
		for _, prefill := range []string{"One", ""} {
			s := d.continued(prefill).ask(t, p, stream)
			require.Equal(t, 400, s.StatusCode)
			require.Contains(t, s.body, "does not continue")
		}
		require.Equal(t, 500, d.ask(t, p, stream).StatusCode, "the script was not touched")
		require.Equal(t, sentence, d.ask(t, p, stream).said)
	})
}

// What was cut off and its continuation are the whole.
func TestRescueByContinuation(t *testing.T) {
	each(t, func(b bubble) {
		t, d, stream := b.t, b.dialect, b.stream
		if !stream {
			return
		}
		p := played(t, Fault{Name: Cut, Tokens: 4})
		first := d.ask(t, p, true).said
		require.Equal(t, sentence, first+d.continued(first).ask(t, p, true).said)
	})
}

func TestAnswersEndAtTheLimitOfTheRequest(t *testing.T) {
	limits := []string{`"max_completion_tokens":2,`, ``, `"generationConfig":{"maxOutputTokens":2},`}
	for i, reason := range []string{`"length"`, `"max_tokens"`, `"MAX_TOKENS"`} {
		synctest.Test(t, func(t *testing.T) {
			d := dialects[i]
			d.body = strings.Replace("{"+limits[i]+d.body[1:], `"max_tokens":100`, `"max_tokens":2`, 1)
			s := d.ask(t, played(t), false)
			require.Equal(t, "One two", s.said)
			require.Contains(t, s.body, reason)
		})
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	p := provider(t)
	for i := range remembered + 10 {
		p.journal.begin(Attempt{Model: strconv.Itoa(i), Path: strings.Repeat("x", 1000)})
	}
	got := p.Attempts()
	require.LessOrEqual(t, len(got), remembered)
	require.Equal(t, strconv.Itoa(remembered+9), got[len(got)-1].Model)
	require.Len(t, got[0].Path, 200)
	require.Len(t, p.journal.counts, kept)
}

func TestAttemptsAreCopies(t *testing.T) {
	p := played(t, Fault{Status: 500})
	dialects[0].ask(t, p, false)
	p.Attempts()[0].Model = "changed"
	require.Equal(t, "m", p.Attempts()[0].Model)
	require.Equal(t, Fault{Name: ServerError, Status: 500}, p.Attempts()[0].Fault)
	require.Equal(t, 500, p.Attempts()[0].Status)
}

// A configuration is data: it survives JSON.
func TestConfigIsPlainData(t *testing.T) {
	cfg := ProviderConfig{Seed: 3, Keys: map[string]Fault{"k": {Status: 401}}, Models: append(FailoverBench(), Model{
		Name: "m", Text: "t", Arguments: "{}", FirstToken: Law{{0.5, 1}}, Rate: Always(2),
		Incidents: []Incident{{Fault: Fault{Name: Slow}, From: 1, For: 2, Slower: 3, Share: 0.5, After: Always(1)}},
	})}
	data, err := json.Marshal(cfg)
	require.NoError(t, err)
	var back ProviderConfig
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, cfg, back)
}

func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]ProviderConfig{
		"provider.speed: a speed of -1":                                                          {Speed: -1},
		"provider.models.m: is there twice":                                                      {Models: []Model{{Name: "m"}, {Name: "m"}}},
		`provider.models["gpt-4.1"].script[0].status: 200 is no status`:                          {Models: []Model{{Name: "gpt-4.1", Script: []Fault{{Status: 200}}}}},
		"provider.models.m.arguments: are no JSON":                                               only1(Model{Arguments: "{"}),
		"provider.models.m.firstToken: the quantity":                                             only1(Model{FirstToken: Always(-1)}),
		"provider.models.m.rate: quantiles":                                                      only1(Model{Rate: Law{{0.5, 2}, {0.1, 1}}}),
		`provider.models.m.script[1].name: there is no fault "resett"; did you`:                  only1(Model{Script: []Fault{{}, {Name: "resett"}}}),
		"provider.models.m.script[0].tokens: means nothing to reset":                             script(Fault{Name: Reset, Tokens: 1}),
		"provider.models.m.script[0].wait: means nothing to cut":                                 script(Fault{Name: Cut, Wait: 1}),
		"provider.models.m.script[0].text: means nothing to none":                                script(Fault{Text: "x"}),
		"provider.models.m.script[0]: has a negative time":                                       script(Fault{Name: Stall, For: -1}),
		"provider.models.m.script[0]: counts out of bounds: tokens -1":                           script(Fault{Name: Cut, Tokens: -1}),
		"provider.models.m.script[0]: counts out of bounds: tokens 0, times 0 (0 to 100000), si": script(Fault{Name: GzipBomb, Size: 1<<30 + 1}),
		`provider.models.m.script[0].waitAs: "hours" is no way`:                                  script(Fault{Status: 429, WaitAs: "hours"}),
		"provider.models.m.script[0].retryAfter: stands instead":                                 script(Fault{Status: 429, Wait: 1, RetryAfter: "1"}),
		"provider.models.m.script[0].retryAfter: has a line break":                               script(Fault{Status: 429, RetryAfter: "1\r\nX: y"}),
		"provider.models.m.failures[0].share: a share of 1.5":                                    failures(Failure{Fault: Fault{Name: Reset}, Share: 1.5}),
		"provider.models.m.failures: have together a share of 1.2":                               failures(Failure{Fault{Name: Reset}, 0.6, nil}, Failure{Fault{Name: Blank}, 0.6, nil}),
		"provider.models.m.failures[0].fault: throttled needs an incident":                       failures(Failure{Fault: Fault{Name: Throttled}}),
		"provider.models.m.failures[0].share: is missing":                                        failures(Failure{Fault: Fault{Name: Reset}}),
		"provider.models.m.failures[0].fault: is empty":                                          failures(Failure{Share: 1}),
		"provider.models.m.incidents[0].fault: is empty":                                         incident(Incident{For: 1}),
		"provider.models.m.incidents[0]: from 0s for 0s":                                         incident(Incident{Fault: Fault{Name: Silent}}),
		"provider.models.m.incidents[0]: from -1ns for 1ns":                                      incident(Incident{Fault: Fault{Name: Silent}, From: -1, For: 1}),
		"provider.models.m.incidents[0].slower: a factor of 1":                                   incident(Incident{Fault: Fault{Name: Slow}, For: 1, Slower: 1}),
		"provider.models.m.incidents[0].slower: means nothing to silent":                         incident(Incident{Fault: Fault{Name: Silent}, For: 1, Slower: 2}),
		"provider.models.m.incidents[0]: a slow incident has a factor":                           incident(Incident{Fault: Fault{Name: Slow, After: 1}, For: 1, Slower: 2}),
		"provider.models.m.incidents[0].share: a share of -1":                                    incident(Incident{Fault: Fault{Status: 503}, For: 1, Share: -1}),
		"provider.models.m.incidents[0].after: the quantity at 0.5 is 0":                         incident(Incident{Fault: Fault{Status: 503}, For: 1, After: Always(0)}),
		"provider.keys." + Fingerprint("sk") + ".name":                                           {Keys: map[string]Fault{"sk": {Name: "?"}}},
		"is empty: a request without a key":                                                      {Keys: map[string]Fault{"": {Status: 401}}},
	} {
		_, err := NewProvider(cfg)
		require.ErrorContains(t, err, want)
	}
	cfg := only1(Model{FirstToken: Always(-1), Rate: Always(-1)})
	cfg.Speed = -1
	_, err := NewProvider(cfg)
	require.Len(t, strings.Split(err.Error(), "\n"), 3, "all at once")
}

func only1(m Model) ProviderConfig {
	m.Name = "m"
	return ProviderConfig{Models: []Model{m}}
}

func script(f ...Fault) ProviderConfig     { return only1(Model{Script: f}) }
func failures(f ...Failure) ProviderConfig { return only1(Model{Failures: f}) }
func incident(i Incident) ProviderConfig   { return only1(Model{Incidents: []Incident{i}}) }

// Every fault is a known one, is described, and can be played bare.
func TestFaultsAreKnown(t *testing.T) {
	names := Faults()
	require.Greater(t, len(names), 40)
	for _, n := range names {
		f := Fault{Name: n}
		_, err := NewProvider(script(f))
		require.Equal(t, n.AtWire(), err == nil, "%v", err)
		require.True(t, n.AtWire() || n.InProcess())
		require.Equal(t, string(n), f.String())
		_, refuses := meanings[n]
		require.Equal(t, refuses, f.refuses())
		require.NotContains(t, string(n), " ")
	}
	for n := range meanings {
		require.Equal(t, refusal, looks[n])
	}
	require.Zero(t, FaultName("?").Status())
	require.Zero(t, Silent.Status())
	require.Equal(t, 200, None.Status())
	require.Equal(t, 529, Overloaded.Status())
	require.Equal(t, "none", Fault{}.String())
	require.Equal(t, "503 wait 1s", Fault{Status: 503, Wait: time.Second}.String())
}

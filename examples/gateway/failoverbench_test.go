package main

import (
	"context"
	"flag"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/internal/openai"
)

var long = flag.Bool("long", false, "play all scenarios, also with 50 calls at once; takes seven minutes")

// play asks what is at base as often at once as it says, one series after the
// other, and then for a healthy answer.
func (s scenario) play(ctx context.Context, client *http.Client, base string, p *chaos.Provider, stream bool, at int) played {
	fallback := s.fallback
	if fallback == "" {
		fallback = "fb-ok"
	}
	primary := "fb-" + strings.ToLower(s.id)
	out := played{began: time.Now(), at: at}
	for i := range max(s.calls, 1) {
		time.Sleep(time.Until(out.began.Add(time.Duration(i) * s.every)))
		answers := make([]answer, at)
		var all sync.WaitGroup
		for j := range answers {
			all.Go(func() { answers[j] = ask(ctx, client, base, question{primary, []string{fallback}, stream}) })
		}
		all.Wait()
		out.answers = append(out.answers, answers...)
	}
	for _, a := range p.Attempts() {
		if a.Model == primary {
			out.primary = append(out.primary, a.Time)
		}
	}
	out.healthy = ask(ctx, client, base, question{"fb-ok", nil, stream})
	out.text = chaos.FailoverBench()[0].Text
	return out
}

// benchModels are those of the bench. What fails once does so for each of
// several calls at once.
func benchModels(at int) []chaos.Model {
	models := chaos.FailoverBench()
	for i := range models {
		models[i].Script = slices.Repeat(models[i].Script, at)
	}
	return models
}

// A contestant starts what is to be judged, before a provider at a URL.
type contestant func(t *testing.T, provider string) (base string)

func throughGateway(t *testing.T, provider string) string {
	t.Helper()
	var infos []map[string]any
	for _, m := range chaos.FailoverBench() {
		info := map[string]any{"id": m.Name, "labels": map[string]string{"url": provider + "/v1"}}
		if strings.HasSuffix(m.Name, "ok") {
			info["contextWindow"] = 1_000_000
		}
		infos = append(infos, info)
	}
	return startGateway(t, string(openai.Marshal(map[string]any{"models": infos}))).base
}

// direct is a proxy that does nothing else.
func direct(t *testing.T, provider string) string {
	t.Helper()
	to, err := url.Parse(provider)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = quiet
	return startServer(t, proxy)
}

// bench plays scenarios at the same time, each with a provider and a contestant
// of its own.
func bench(t *testing.T, who contestant, play []scenario, at int, want func(scenario, bool) verdict) {
	t.Helper()
	type game struct {
		scenario

		stream bool
		result played
	}
	var games []*game
	var all sync.WaitGroup
	slots := make(chan struct{}, 200/at) // what is judged is not the machine
	for _, s := range play {
		for _, stream := range []bool{true, false} {
			if !stream && s.streams {
				continue
			}
			slots <- struct{}{}
			p, err := chaos.NewProvider(chaos.ProviderConfig{Models: benchModels(at)})
			require.NoError(t, err)
			t.Cleanup(p.Close)
			base := who(t, startServer(t, p))
			g := &game{scenario: s, stream: stream}
			games = append(games, g)
			all.Go(func() {
				g.result = g.play(t.Context(), newClient(t), base, p, g.stream, at)
				<-slots
			})
		}
	}
	all.Wait()
	for _, g := range games {
		name := g.id + "/" + map[bool]string{true: "stream", false: "plain"}[g.stream]
		t.Run(name, func(t *testing.T) {
			got, why := g.judge(g.result)
			t.Log(g.line(g.result, got))
			require.Equal(t, want(g.scenario, g.stream), got, why)
		})
	}
}

// list has the scenarios to play.
func list() []scenario {
	return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return s.slow && !*long })
}

func passes(scenario, bool) verdict { return pass }

func TestFailoverBench(t *testing.T) {
	bench(t, throughGateway, list(), 1, passes)
}

func TestFailoverBenchAtOnce(t *testing.T) {
	if !*long {
		t.Skip("-long plays each scenario with 50 calls at once")
	}
	bench(t, throughGateway, scenarios, 50, passes)
}

// TestFailoverBenchDirect is what the judge makes of no gateway at all.
func TestFailoverBenchDirect(t *testing.T) {
	bench(t, direct, list(), 1, func(s scenario, _ bool) verdict {
		switch s.id {
		case "S11", "S13":
			return pass
		case "S07":
			return partial
		case "S06", "S08", "S09", "S10", "S14":
			return failed
		default:
			return safe
		}
	})
}

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
	"github.com/cmmv-hive/resilience/internal/failoverbench"
	"github.com/cmmv-hive/resilience/internal/openai"
)

var long = flag.Bool("long", false, "play all scenarios, also with 50 calls at once; takes seven minutes")

// play plays s against what is at base.
func play(ctx context.Context, s failoverbench.Scenario, client *http.Client, base string, p *chaos.Provider, stream bool, at int) failoverbench.Played {
	return s.Play(at, chaos.FailoverBench()[0].Text, stream, func(q failoverbench.Question) failoverbench.Answer {
		return ask(ctx, client, base, q).Answer
	}, func(model string) []time.Time { return times(p, model) })
}

// times says when a model was asked.
func times(p *chaos.Provider, model string) (list []time.Time) {
	for _, a := range p.Attempts() {
		if a.Model == model {
			list = append(list, a.Time)
		}
	}
	return list
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
func bench(t *testing.T, who contestant, scenarios []failoverbench.Scenario, at int, want func(failoverbench.Scenario, bool) failoverbench.Verdict) {
	t.Helper()
	type game struct {
		failoverbench.Scenario

		stream bool
		result failoverbench.Played
	}
	var games []*game
	var all sync.WaitGroup
	slots := make(chan struct{}, 200/at) // what is judged is not the machine
	for _, s := range scenarios {
		for _, stream := range []bool{true, false} {
			if !stream && s.Streams {
				continue
			}
			slots <- struct{}{}
			p, err := chaos.NewProvider(chaos.ProviderConfig{Models: benchModels(at)})
			require.NoError(t, err)
			t.Cleanup(p.Close)
			base := who(t, startServer(t, p))
			g := &game{Scenario: s, stream: stream}
			games = append(games, g)
			all.Go(func() {
				g.result = play(t.Context(), g.Scenario, newClient(t), base, p, g.stream, at)
				<-slots
			})
		}
	}
	all.Wait()
	for _, g := range games {
		name := g.ID + "/" + map[bool]string{true: "stream", false: "plain"}[g.stream]
		t.Run(name, func(t *testing.T) {
			got, why := g.Judge(g.result)
			t.Log(g.Line(g.result, got))
			require.Equal(t, want(g.Scenario, g.stream), got, why)
		})
	}
}

// list has the scenarios to play.
func list() []failoverbench.Scenario {
	return slices.DeleteFunc(failoverbench.Scenarios(), func(s failoverbench.Scenario) bool { return s.Slow && !*long })
}

func passes(failoverbench.Scenario, bool) failoverbench.Verdict { return failoverbench.Pass }

func TestFailoverBench(t *testing.T) {
	bench(t, throughGateway, list(), 1, passes)
}

func TestFailoverBenchAtOnce(t *testing.T) {
	if !*long {
		t.Skip("-long plays each scenario with 50 calls at once")
	}
	bench(t, throughGateway, failoverbench.Scenarios(), 50, passes)
}

// TestFailoverBenchDirect is what the judge makes of no gateway at all.
func TestFailoverBenchDirect(t *testing.T) {
	bench(t, direct, list(), 1, func(s failoverbench.Scenario, _ bool) failoverbench.Verdict {
		switch s.ID {
		case "S11", "S13":
			return failoverbench.Pass
		case "S07":
			return failoverbench.Partial
		case "S06", "S08", "S09", "S10", "S14":
			return failoverbench.Fail
		default:
			return failoverbench.Safe
		}
	})
}

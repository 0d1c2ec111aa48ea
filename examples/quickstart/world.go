package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience/internal/provider"
)

// Where the figures come from, as printed before a run.
const sources = `latency:   first tokens of atlas-large and boreal-chat as 4,906 Claude Code calls had them
           (semianalysisai/cc-traces-weka, opus 4.7 and 4.6); of cirrus-70b and delta-70b as
           Bedrock and Replicate gave them for Llama 2 70B (Ray, LLMPerf Leaderboard,
           December 2023); tokens a second as 1,083 endpoints of OpenRouter, August 2026
failures:  0.80 % of attempts, in the mix of 315 transient failures among 39,436 calls
           (ctala/ai-benchmarks, 2026); one incident each, as long as the 25th percentile of
           repairs at Anthropic, 0.33 h, or OpenAI, 0.58 h (Chu et al., ICPE '25), at a
           time drawn from the seed; a partial outage fails 30 %, as their formula weighs it;
           the throttled provider refuses 86.7 %, as one of LLMPerf's did; the slow one takes
           5.6 times as long, OpenRouter's 99th percentile of changes from day to day
prices:    quantiles .9, .75, .5 and .25 of 850 endpoints of OpenRouter, 22 August 2026`

// A Fake is a provider that is imitated, and what it asks for its tokens.
type Fake struct {
	provider.Plan
	Input, Output float64 // US dollars per million tokens
}

// tokenRate is in tokens a second: OpenRouter's endpoints with at least 100
// requests, 31 July to 22 August 2026.
var tokenRate = provider.Law{{P: 0.1, V: 17}, {P: 0.5, V: 45}, {P: 0.9, V: 105}}

// failures is the mix of what went wrong for a while in 39,436 calls to 168
// models, April to August 2026, after the SDK had retried. The times are
// medians until the failure showed. What took longer than any caller here
// waits is not different from silence.
var failures = []provider.Failure{
	{Fault: provider.RateLimited, Share: 169 / recordedCalls, After: provider.Always(2.3)},
	{Fault: provider.NoChoices, Share: 63 / recordedCalls},
	{Fault: provider.Blank, Share: 24 / recordedCalls, After: provider.Always(23.7)},
	{Fault: provider.GatewayTimeout, Share: 20 / recordedCalls, After: provider.Always(19)},
	{Fault: provider.Silent, Share: 13 / recordedCalls},
	{Fault: provider.BadGateway, Share: 11 / recordedCalls, After: provider.Always(372)},
	{Fault: provider.ServerError, Share: 7 / recordedCalls, After: provider.Always(8.3)},
	{Fault: provider.Unavailable, Share: 5 / recordedCalls, After: unavailableAfter},
	{Fault: provider.Reset, Share: 3 / recordedCalls, After: provider.Always(300)},
}

const recordedCalls = 39_436.0

var (
	unavailableAfter = provider.Always(5)
	limitedAfter     = provider.Always(2.3)
)

// How long an incident lasts: the 25th percentile of repairs. Hours, to fit
// in the one that is replayed.
const (
	repairAnthropic = 0.33 * float64(time.Hour)
	repairOpenAI    = 0.58 * float64(time.Hour)
)

// fakes returns the providers of a run that lasts span. The first is the one
// that a service would use alone.
func fakes(seed uint64, span time.Duration) []Fake {
	opus47 := provider.Law{{P: 0.1, V: 1.78}, {P: 0.5, V: 2.62}, {P: 0.9, V: 5}, {P: 0.95, V: 6.97}, {P: 0.99, V: 14.3}}
	opus46 := provider.Law{{P: 0.1, V: 1.73}, {P: 0.5, V: 3.33}, {P: 0.9, V: 7.14}, {P: 0.95, V: 9.23}, {P: 0.99, V: 17.6}}
	bedrock := provider.Law{{P: 0.1, V: 0.36}, {P: 0.5, V: 0.39}, {P: 0.95, V: 0.54}, {P: 0.99, V: 0.69}}
	replicate := provider.Law{{P: 0.1, V: 1.01}, {P: 0.5, V: 1.19}, {P: 0.95, V: 24.23}, {P: 0.99, V: 63.63}}

	fake := func(model string, law provider.Law, input, output, repair float64, i provider.Incident) Fake {
		i.From, i.For = place(seed, model, span, time.Duration(repair))
		return Fake{provider.Plan{
			Model: model, FirstToken: law, Rate: tokenRate, Failures: failures, Incidents: []provider.Incident{i},
		}, input, output}
	}
	return []Fake{
		fake("atlas-large", opus47, 2.60, 14.00, repairAnthropic,
			provider.Incident{Fault: provider.Unavailable, After: unavailableAfter}),
		fake("boreal-chat", opus46, 1.00, 3.75, repairOpenAI,
			provider.Incident{Fault: provider.Overloaded, Share: 0.3, After: unavailableAfter}),
		fake("cirrus-70b", bedrock, 0.32, 1.32, repairOpenAI,
			provider.Incident{Fault: provider.Throttled, Share: 0.867, After: limitedAfter}),
		fake("delta-70b", replicate, 0.14, 0.455, repairAnthropic,
			provider.Incident{Fault: provider.Slow, Slower: 5.6}),
	}
}

// place says when a model's incident begins and how long it lasts. It always
// comes and, in a span shorter than an hour, is shortened so that it goes.
func place(seed uint64, model string, span, repair time.Duration) (from, length time.Duration) {
	h := fnv.New64a()
	h.Write([]byte(model))
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	length = min(repair, span*3/5)
	return time.Duration(rng.Float64() * float64(span-length)), length
}

// Cost is what a call of so many tokens costs, in US dollars.
func (f Fake) Cost(input, output int64) float64 {
	return (float64(input)*f.Input + float64(output)*f.Output) / 1e6
}

// describe is the table of providers that opens a run.
func describe(fakes []Fake) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %15s %20s   %s\n", "model", "$/M tokens", "first token p50 p99", "incident")
	for _, f := range fakes {
		i := f.Incidents[0]
		what := i.Fault.String()
		if s := i.Fault.Status(); s >= 400 {
			what = fmt.Sprintf("%s (%d)", what, s)
		}
		if i.Share != 0 {
			what = fmt.Sprintf("%s, %.1f %% of attempts", what, 100*i.Share)
		}
		if i.Slower != 0 {
			what = fmt.Sprintf("%s, by %.1f times", what, i.Slower)
		}
		price := fmt.Sprintf("%.2f in %.2f out", f.Input, f.Output)
		first := fmt.Sprintf("%.1f s %6.1f s", f.FirstToken.At(0.5), f.FirstToken.At(0.99))
		fmt.Fprintf(&b, "%-12s %15s %20s   %s–%s %s\n", f.Model, price, first, clock(i.From), clock(i.From+i.For), what)
	}
	return b.String()
}

// clock is a time of the run as minutes and seconds.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

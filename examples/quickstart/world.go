package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
)

// Where the figures come from, as printed before a run.
const sources = `latency:   first token of atlas-large and boreal-chat as in 4,906 calls of Claude Code
           (semianalysisai/cc-traces-weka, opus 4.7 and 4.6), of cirrus-70b and delta-70b as
           of Llama 2 70B at Bedrock and Replicate (Ray, LLMPerf Leaderboard, 2023);
           tokens a second as of 1,083 endpoints of OpenRouter (August 2026)
failures:  0.80 % of attempts, in the mix of 315 passing failures of 39,436 calls
           (ctala/ai-benchmarks, 2026). One incident each, from a time drawn from the seed,
           as long as a quarter of repairs at most takes: 0.33 h at Anthropic, 0.58 h at
           OpenAI (Chu et al., ICPE '25). A partial outage fails 30 %, as they weigh it;
           a slow provider takes twice as long, as 8.7 % of OpenRouter's endpoints do from
           one day to the next; a throttled one refuses 86.7 %, as one did in LLMPerf
prices:    quantiles .9, .75, .5 and .25 of 850 endpoints of OpenRouter (22 August 2026)
`

// A Fake is a provider that is imitated, and what it asks for its tokens.
type Fake struct {
	chaos.Model
	Price resilience.Price
}

// tokenRate is in tokens a second: OpenRouter's endpoints with at least 100
// requests, 31 July to 22 August 2026.
var tokenRate = chaos.Law{{P: 0.1, V: 17}, {P: 0.5, V: 45}, {P: 0.9, V: 105}}

// The mix of what went wrong for a while in 39,436 calls to 168 models, April
// to August 2026, after their SDK had retried. The times are medians until the
// failure showed; some are longer than anybody here waits.
var failures = []chaos.Failure{
	{Fault: chaos.Fault{Name: chaos.RateLimited}, Share: 169 / recordedCalls, After: limitedAfter},
	{Fault: chaos.Fault{Name: chaos.NoChoices}, Share: 63 / recordedCalls},
	{Fault: chaos.Fault{Name: chaos.Blank}, Share: 24 / recordedCalls, After: chaos.Always(23.7)},
	{Fault: chaos.Fault{Name: chaos.GatewayTimeout}, Share: 20 / recordedCalls, After: chaos.Always(19.1)},
	{Fault: chaos.Fault{Name: chaos.Silent}, Share: 13 / recordedCalls},
	{Fault: chaos.Fault{Name: chaos.BadGateway}, Share: 11 / recordedCalls, After: chaos.Always(372)},
	{Fault: chaos.Fault{Name: chaos.ServerError}, Share: 7 / recordedCalls, After: chaos.Always(8.3)},
	{Fault: chaos.Fault{Name: chaos.Unavailable}, Share: 5 / recordedCalls, After: unavailableAfter},
	{Fault: chaos.Fault{Name: chaos.Reset}, Share: 3 / recordedCalls, After: chaos.Always(300)},
}

const recordedCalls = 39_436.0

var (
	limitedAfter     = chaos.Always(2.3)
	unavailableAfter = chaos.Always(5.1)
)

// How long an incident lasts, so that it fits in the hour that is replayed: the
// first quartile of the times to repair at Anthropic and OpenAI.
const (
	repairAnthropic = 33 * time.Hour / 100
	repairOpenAI    = 58 * time.Hour / 100
)

// newFakes returns the providers of a run that lasts span. The first is the
// one that a service of one model would use.
func newFakes(seed uint64, span time.Duration) []Fake {
	opus47 := chaos.Law{{P: 0.1, V: 1.78}, {P: 0.5, V: 2.62}, {P: 0.9, V: 5}, {P: 0.95, V: 6.97}, {P: 0.99, V: 14.3}}
	opus46 := chaos.Law{{P: 0.1, V: 1.73}, {P: 0.5, V: 3.33}, {P: 0.9, V: 7.14}, {P: 0.95, V: 9.23}, {P: 0.99, V: 17.6}}
	bedrock := chaos.Law{{P: 0.1, V: 0.36}, {P: 0.5, V: 0.39}, {P: 0.95, V: 0.54}, {P: 0.99, V: 0.69}}
	replicate := chaos.Law{{P: 0.1, V: 1.01}, {P: 0.5, V: 1.19}, {P: 0.95, V: 24.23}, {P: 0.99, V: 63.63}}

	fake := func(model string, firstToken chaos.Law, input, output float64, repair time.Duration, i chaos.Incident) Fake {
		i.From, i.For = place(seed, model, span, repair)
		return Fake{
			chaos.Model{
				Name: model, FirstToken: firstToken, Rate: tokenRate,
				Failures: failures, Incidents: []chaos.Incident{i},
			},
			resilience.Price{Input: input, Output: output},
		}
	}
	return []Fake{
		fake("atlas-large", opus47, 2.60, 14.00, repairAnthropic,
			chaos.Incident{Fault: chaos.Fault{Name: chaos.Unavailable}, After: unavailableAfter}),
		fake("boreal-chat", opus46, 1.00, 3.75, repairOpenAI,
			chaos.Incident{Fault: chaos.Fault{Name: chaos.Slow}, Slower: 2}),
		fake("cirrus-70b", bedrock, 0.32, 1.32, repairOpenAI,
			chaos.Incident{Fault: chaos.Fault{Name: chaos.Throttled}, Share: 0.867, After: limitedAfter}),
		fake("delta-70b", replicate, 0.14, 0.455, repairAnthropic,
			chaos.Incident{Fault: chaos.Fault{Name: chaos.Overloaded}, Share: 0.3, After: unavailableAfter}),
	}
}

// place says when a model's incident begins and how long it lasts. It always
// comes and, where the span is short, is shortened so that it goes.
func place(seed uint64, model string, span, repair time.Duration) (from, length time.Duration) {
	length = min(repair, span*3/5)
	return time.Duration(chance(seed, model).Float64() * float64(span-length)), length
}

// chance is a source of random numbers of its own for each purpose.
func chance(seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// describe is the table of providers that opens a run.
func describe(fakes []Fake) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %18s %22s   %s\n", "model", "$ per M tokens", "first token p50, p99", "incident")
	for _, f := range fakes {
		i := f.Incidents[0]
		what := string(i.Fault.Name)
		if s := i.Fault.Name.Status(); s >= 400 {
			what = fmt.Sprintf("%s (%d)", what, s)
		}
		if i.Share != 0 {
			what = fmt.Sprintf("%s, %.1f %% of attempts", what, 100*i.Share)
		}
		if i.Slower != 0 {
			what = fmt.Sprintf("%s, %.0f times as long", what, i.Slower)
		}
		price := fmt.Sprintf("%.2f in %.2f out", f.Price.Input, f.Price.Output)
		first := fmt.Sprintf("%.1f s, %.1f s", f.FirstToken.At(0.5), f.FirstToken.At(0.99))
		fmt.Fprintf(&b, "%-12s %18s %22s   %s–%s %s\n", f.Name, price, first, clock(i.From), clock(i.From+i.For), what)
	}
	return b.String()
}

// clock is a time of the run as minutes and seconds.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

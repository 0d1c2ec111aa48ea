package monitor

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cmmv-hive/resilience"
)

// operation is what all calls are to the conventions, which have no word for what a
// service calls for.
const operation = "chat"

// A convention is a metric of the OpenTelemetry conventions for generative AI, under
// the name that Prometheus gives it. It is of all deployments of a model at a provider.
type convention struct {
	desc   *prometheus.Desc
	spread func(*resilience.Totals) *resilience.Distribution
	bounds []float64 // of spread; without one it is tokens
}

// deployments are totals by model and provider.
type deployments map[deployment]*resilience.Totals

type deployment struct{ name, provider string }

func (d deployments) add(info resilience.ModelInfo, t *resilience.Totals) {
	at := deployment{info.Name, info.Provider}
	sum := d[at]
	if sum == nil {
		sum = &resilience.Totals{}
		d[at] = sum
	}
	sum.Took.Add(&t.Took)
	sum.First.Add(&t.First)
	sum.PerToken.Add(&t.PerToken)
	for i := range t.Input {
		sum.Input[i] += t.Input[i]
		sum.Output[i] += t.Output[i]
	}
	sum.Usage.Input += t.Usage.Input
	sum.Usage.Output += t.Usage.Output
}

// conventions is the table of these names.
func conventions() []convention {
	of := func(name, help string, bounds []float64, spread func(*resilience.Totals) *resilience.Distribution, more ...string) convention {
		labels := append([]string{"gen_ai_operation_name", "gen_ai_request_model", "gen_ai_provider_name"}, more...)
		return convention{prometheus.NewDesc("gen_ai_"+name, help, labels, nil), spread, bounds}
	}
	took := func(t *resilience.Totals) *resilience.Distribution { return &t.Took }
	return []convention{
		of("client_operation_duration_seconds", "How long attempts took.", durations[:], took),
		of("server_request_duration_seconds", "How long attempts took.", durations[:], took),
		of("client_operation_time_to_first_chunk_seconds", "How long it took to the first meaningful chunk.", durations[:],
			func(t *resilience.Totals) *resilience.Distribution { return &t.First }),
		of("server_time_to_first_token_seconds", "How long it took to the first meaningful chunk.", firsts[:],
			func(t *resilience.Totals) *resilience.Distribution { return &t.First }),
		of("server_time_per_output_token_seconds", "How long streams took for a token, after the first.", tokenTimes[:],
			func(t *resilience.Totals) *resilience.Distribution { return &t.PerToken }),
		of("client_token_usage", "Tokens of attempts.", nil, nil, "gen_ai_token_type"),
	}
}

func (c *convention) collect(ch chan<- prometheus.Metric, at deployment, t *resilience.Totals) {
	labels := []string{operation, at.name, at.provider}
	if c.spread != nil {
		if d := c.spread(t); d.Count() > 0 {
			ch <- newHistogram(c.desc, c.bounds, d, labels...)
		}
		return
	}
	ch <- newTokens(c.desc, &t.Input, t.Usage.Input, append(labels[:3:3], "input")...)
	ch <- newTokens(c.desc, &t.Output, t.Usage.Output, append(labels[:3:3], "output")...)
}

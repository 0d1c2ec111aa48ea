package monitor

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cmmv-hive/resilience"
)

// Describe implements [prometheus.Collector]. What is registered by hand knows of other
// features' numbers only after NewPool.
func (m *Monitor) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range m.families {
		ch <- f.desc
	}
	for _, c := range m.genAI {
		ch <- c.desc
	}
	for _, own := range m.own {
		ch <- own.desc
	}
}

// Collect implements [prometheus.Collector]. Before the monitor belongs to a pool it
// collects nothing.
func (m *Monitor) Collect(ch chan<- prometheus.Metric) {
	if m.pool == nil {
		return
	}
	for _, f := range m.families {
		if f.pool != nil {
			f.pool(func(v float64, labels ...string) { ch <- prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...) })
		}
	}
	models := m.pool.Models()
	models = models[:min(len(models), m.config.Load().Models)]
	within := make(map[*resilience.Model][]string, len(models))
	sums := deployments{}
	for _, of := range models {
		r := &reading{happened: m.counts.Of(of), of: of}
		r.Totals, _ = of.Totals()
		info := of.Info()
		who := []string{info.ID, info.Name, info.Provider}
		within[of] = who
		m.collect(ch, r, who)
		if m.genAI != nil {
			sums.add(info, &r.Totals)
		}
	}
	for _, own := range m.own {
		own.collect(ch, within)
	}
	for who, sum := range sums {
		for _, c := range m.genAI {
			c.collect(ch, who, sum)
		}
	}
}

// collect tells of a model.
func (m *Monitor) collect(ch chan<- prometheus.Metric, r *reading, who []string) {
	for _, f := range m.families {
		switch {
		case f.spread != nil:
			if d := f.spread(r); d.Count() > 0 {
				ch <- newHistogram(f.desc, f.bounds, d, who...)
			}
		case f.model != nil:
			f.model(r, func(v float64, labels ...string) {
				ch <- prometheus.MustNewConstMetric(f.desc, f.kind, v, append(who[:3:3], labels...)...)
			})
		}
	}
}

// owned is what a feature tells of itself.
type owned struct {
	resilience.Metric

	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newOwned(of resilience.Metric) owned {
	var labels []string
	if of.Model {
		labels = append(labels, modelLabels...)
	}
	if of.Label != "" {
		labels = append(labels, of.Label)
	}
	own := owned{of, prometheus.NewDesc(prefix+of.Name, of.Help, labels, nil), gauge}
	if strings.HasSuffix(of.Name, "_total") {
		own.kind = counter
	}
	return own
}

// collect tells of the models within.
func (o *owned) collect(ch chan<- prometheus.Metric, within map[*resilience.Model][]string) {
	o.Read(func(s resilience.Sample) {
		var labels []string
		if o.Model {
			who := within[s.Model]
			if who == nil {
				return
			}
			labels = append(labels, who...)
		}
		if o.Label != "" {
			labels = append(labels, s.Label)
		}
		ch <- prometheus.MustNewConstMetric(o.desc, o.kind, s.Value, labels...)
	})
}

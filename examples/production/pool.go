package main

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/health"
	"github.com/cmmv-hive/resilience/monitor"
	"github.com/cmmv-hive/resilience/recovery"
	"github.com/cmmv-hive/resilience/stack"
)

// protection is what the file's settings lie over.
var protection = stack.Config{Timeouts: resilience.Timeouts{Call: 45 * time.Second, FirstChunk: 20 * time.Second}}

// newPool returns a pool whose metrics are in metrics, and what checks its models.
func newPool(o options, a api, metrics prometheus.Registerer, log *slog.Logger) (*resilience.Pool, *health.Checker, error) {
	checker := health.New(health.Config{})
	all := []resilience.Feature{
		monitor.New(monitor.Config{Registerer: metrics}),
		stack.New(protection), checker, recovery.New(recovery.Config{}), degrade.New(degrade.Config{}),
		resilience.Probe(a.list), resilience.Logger(log), resilience.ConfigFile(o.config, o.every),
	}
	if o.audit != "" {
		all = append(all, resilience.AuditFile(o.audit))
	}
	pool, err := resilience.NewPool(all...)
	return pool, checker, err
}

package main

import (
	"log/slog"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

// features protect the models. What the file says lies over what is said here.
func features() []resilience.Feature {
	return []resilience.Feature{
		resilience.Timeouts{Call: 45 * time.Second, FirstChunk: 20 * time.Second},
		fallback.New(fallback.Config{}),
		retry.New(retry.Config{}),
		breaker.New(breaker.Config{}),
	}
}

func newPool(o options, log *slog.Logger) (*resilience.Pool, error) {
	all := append(features(), resilience.Logger(log), resilience.ConfigFile(o.config, o.every))
	if o.audit != "" {
		all = append(all, resilience.AuditFile(o.audit))
	}
	return resilience.NewPool(all...)
}

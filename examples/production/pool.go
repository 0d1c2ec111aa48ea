package main

import (
	"log/slog"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/stack"
)

// protection is what the file's settings lie over.
var protection = stack.Config{Timeouts: resilience.Timeouts{Call: 45 * time.Second, FirstChunk: 20 * time.Second}}

func newPool(o options, log *slog.Logger) (*resilience.Pool, error) {
	all := []resilience.Feature{stack.New(protection), resilience.Logger(log), resilience.ConfigFile(o.config, o.every)}
	if o.audit != "" {
		all = append(all, resilience.AuditFile(o.audit))
	}
	return resilience.NewPool(all...)
}

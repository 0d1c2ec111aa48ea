// Package otel tells OpenTelemetry of calls: a span for each call and one for each
// attempt within it, and the metrics that the conventions for generative AI give to
// clients. It is a module of its own, so that who does not use OpenTelemetry need
// not have it.
//
// Names are those of the semantic conventions for generative AI, which are still
// in development. The span of an attempt is in the context that whoever asks the
// model gets, so that spans of an HTTP client or an SDK are its children.
//
// All other metrics of the library come from package monitor, as Prometheus has
// them; a bridge of OpenTelemetry's own, contrib/bridges/prometheus, reads them
// from the same registry.
package otel

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmmv-hive/resilience"
)

// scope is what spans and metrics are of.
const scope = "github.com/cmmv-hive/resilience/monitor/otel"

// Config configures a [Bridge]. The zero value is ready to use.
type Config struct {
	// Tracers and Meters make spans and metrics; nil means those that are set
	// for the process, as is usual with OpenTelemetry. The noop packages of
	// OpenTelemetry turn one of them off.
	Tracers trace.TracerProvider
	Meters  metric.MeterProvider

	// Operation returns gen_ai.operation.name for an operation of the
	// service; nil means "chat" for all. What it returns is a label of metrics, so
	// there must be few.
	Operation func(op string) string
}

// A Bridge is the feature.
type Bridge struct {
	given   Config
	pool    *resilience.Pool
	tracer  trace.Tracer
	metrics instruments
}

// New returns a bridge.
func New(cfg Config) *Bridge { return &Bridge{given: cfg} }

// Install implements [resilience.Feature].
func (b *Bridge) Install(s *resilience.Setup) error {
	if b.pool != nil {
		return &resilience.ConfigError{Path: "otel", Problem: "this bridge belongs to another pool"}
	}
	tracers, meters := b.given.Tracers, b.given.Meters
	if tracers == nil {
		tracers = otel.GetTracerProvider()
	}
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	if b.given.Operation == nil {
		b.given.Operation = func(string) string { return "chat" }
	}
	var err error
	if b.metrics, err = newInstruments(meters.Meter(scope)); err != nil {
		return &resilience.ConfigError{Path: "otel", Problem: err.Error()}
	}
	b.pool = s.Pool()
	b.tracer = tracers.Tracer(scope)
	s.Wrap(resilience.LayerObserve, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error { return b.call(ctx, c, next) }
	})
	s.Wrap(resilience.LayerTimeout, func(m *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error { return b.attempt(ctx, c, m, next) }
	})
	return nil
}

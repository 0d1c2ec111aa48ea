package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/cmmv-hive/resilience"
)

// instruments are the metrics of the conventions that a client has.
type instruments struct {
	duration metric.Float64Histogram
	toFirst  metric.Float64Histogram
	tokens   metric.Int64Histogram
}

func newInstruments(m metric.Meter) (instruments, error) {
	seconds := metric.WithExplicitBucketBoundaries(
		.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36)
	duration, err1 := m.Float64Histogram("gen_ai.client.operation.duration", seconds, metric.WithUnit("s"),
		metric.WithDescription("How long an attempt took, of streams to their end."))
	toFirst, err2 := m.Float64Histogram("gen_ai.client.operation.time_to_first_chunk", seconds, metric.WithUnit("s"),
		metric.WithDescription("How long it took to the first meaningful chunk of a stream."))
	tokens, err3 := m.Int64Histogram("gen_ai.client.token.usage", metric.WithUnit("{token}"),
		metric.WithExplicitBucketBoundaries(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864),
		metric.WithDescription("Tokens of an attempt."))
	return instruments{duration, toFirst, tokens}, errors.Join(err1, err2, err3)
}

func (i *instruments) first(ctx context.Context, took float64, common []attribute.KeyValue) {
	i.toFirst.Record(ctx, took, metric.WithAttributes(common...))
}

func (i *instruments) attempt(ctx context.Context, took float64, used resilience.Usage, err error, common []attribute.KeyValue) {
	all := metric.WithAttributes(common...)
	if err != nil {
		i.duration.Record(ctx, took, all, metric.WithAttributes(attribute.String(errorType, resilience.KindOf(err).String())))
	} else {
		i.duration.Record(ctx, took, all)
	}
	if used.Input > 0 {
		i.tokens.Record(ctx, used.Input, all, metric.WithAttributes(attribute.String(tokenType, "input")))
	}
	if used.Output > 0 {
		i.tokens.Record(ctx, used.Output, all, metric.WithAttributes(attribute.String(tokenType, "output")))
	}
}

package otel

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmmv-hive/resilience"
)

// Attributes.
const (
	operationName = "gen_ai.operation.name"
	providerName  = "gen_ai.provider.name"
	requestModel  = "gen_ai.request.model"
	responseModel = "gen_ai.response.model"
	stream        = "gen_ai.request.stream"
	firstChunk    = "gen_ai.response.time_to_first_chunk"
	tokenType     = "gen_ai.token.type"
	errorType     = "error.type"

	callOp      = "resilience.op"
	callAttempt = "resilience.attempt"
	callTries   = "resilience.attempts"
	modelID     = "resilience.model.id"
	lastResort  = "resilience.last_resort"
)

// call makes a span around a call. It ends with the call's stream, if there is
// one.
func (b *Bridge) call(ctx context.Context, c *resilience.Call, next resilience.Handler) error {
	what := b.given.Operation(c.Op())
	title, attrs := what, []attribute.KeyValue{attribute.String(operationName, what)}
	if asked := c.Asked(); asked != "" {
		title += " " + asked
		attrs = append(attrs, attribute.String(requestModel, asked))
	}
	if op := c.Op(); op != "" {
		attrs = append(attrs, attribute.String(callOp, clip(op)))
	}
	if c.Streams() {
		attrs = append(attrs, attribute.Bool(stream, true))
	}
	ctx, span := b.tracer.Start(ctx, title, trace.WithAttributes(attrs...))
	return ended(ctx, c, next, func(err error) {
		if span.IsRecording() {
			span.SetAttributes(attribute.Int(callTries, c.Attempt()))
			if m := c.Model(); m != nil && err == nil {
				span.SetAttributes(attribute.String(responseModel, m.Name()), attribute.Bool(lastResort, c.LastResort()))
			}
		}
		finish(span, err)
	})
}

// attempt makes a span around an attempt, and measures it.
func (b *Bridge) attempt(ctx context.Context, c *resilience.Call, m *resilience.Model, next resilience.Handler) error {
	what, info, start := b.given.Operation(c.Op()), m.Info(), b.pool.Now()
	common := []attribute.KeyValue{attribute.String(operationName, what), attribute.String(requestModel, m.Name())}
	if info.Provider != "" {
		common = append(common, attribute.String(providerName, info.Provider))
	}
	ctx, span := b.tracer.Start(ctx, what+" "+m.Name(), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(common...))
	span.SetAttributes(attribute.String(modelID, m.ID()), attribute.Int(callAttempt, c.Attempt()+1))
	if c.Streams() {
		span.SetAttributes(attribute.Bool(stream, true))
		answer := next
		next = func(ctx context.Context, c *resilience.Call) error {
			err := answer(ctx, c)
			if err == nil {
				took := (b.pool.Now() - start).Seconds()
				span.SetAttributes(attribute.Float64(firstChunk, took))
				b.metrics.first(ctx, took, common)
			}
			return err
		}
	}
	return ended(ctx, c, next, func(err error) {
		used := c.Usage()
		if span.IsRecording() {
			span.SetAttributes(usage(used)...)
		}
		b.metrics.attempt(ctx, (b.pool.Now() - start).Seconds(), used, err, common)
		finish(span, err)
	})
}

// ended calls next, and end once with how it went: at the end of the stream, if
// there is one, and also when next panics.
func ended(ctx context.Context, c *resilience.Call, next resilience.Handler, end func(error)) error {
	returned := false
	defer func() {
		if !returned {
			end(resilience.Unknown)
		}
	}()
	err := next(ctx, c)
	returned = true
	if err == nil && c.Running() {
		c.OnEnd(end)
		return nil
	}
	end(err)
	return err
}

// finish ends a span. What a caller canceled is no error; what providers say stays
// with them, as it may hold what the caller said.
func finish(span trace.Span, err error) {
	if err != nil {
		kind := resilience.KindOf(err)
		span.SetAttributes(attribute.String(errorType, kind.String()))
		if kind != resilience.Canceled {
			span.SetStatus(codes.Error, kind.String())
		}
	}
	span.End()
}

// usage returns the tokens that are known.
func usage(u resilience.Usage) (attrs []attribute.KeyValue) {
	for _, t := range []struct {
		name string
		n    int64
	}{
		{"gen_ai.usage.input_tokens", u.Input},
		{"gen_ai.usage.output_tokens", u.Output},
		{"gen_ai.usage.cache_read.input_tokens", u.CachedInput},
		{"gen_ai.usage.cache_creation.input_tokens", u.CacheWrite},
		{"gen_ai.usage.reasoning.output_tokens", u.Reasoning},
	} {
		if t.n > 0 {
			attrs = append(attrs, attribute.Int64(t.name, t.n))
		}
	}
	return attrs
}

// clip bounds a name that a caller chose, and makes it UTF-8: exporters lose all
// that goes with what is not.
func clip(name string) string {
	const most = 64
	return strings.ToValidUTF8(name[:min(len(name), most)], "")
}

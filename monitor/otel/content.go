package otel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmmv-hive/resilience"
)

// contentEvent is what the conventions call an event with the content of a request
// and its answer.
const contentEvent = "gen_ai.client.inference.operation.details"

// Content adds to the span of an attempt what was asked and answered, as redact has
// it: only the attributes that it returns are told, and an event with none is not
// made. The conventions have gen_ai.input.messages and gen_ai.output.messages for
// them. It goes around a caller, inside the client:
//
//	resilience.Bind("gpt-5", otel.Content(redact)(caller))
//
// Redact is called for attempts whose span is recorded, on the goroutine that makes
// the attempt; resp is zero if there was an error. An answer that is a stream has
// only begun then, and must not be read.
func Content[Req, Resp any](redact func(req Req, resp Resp, err error) []attribute.KeyValue) resilience.Middleware[Req, Resp] {
	return func(next resilience.ModelCaller[Req, Resp]) resilience.ModelCaller[Req, Resp] {
		return resilience.FuncOf(func(ctx context.Context, req Req) (Resp, error) {
			resp, err := next.Call(ctx, req)
			if span := trace.SpanFromContext(ctx); span.IsRecording() {
				if attrs := redact(req, resp, err); len(attrs) > 0 {
					span.AddEvent(contentEvent, trace.WithAttributes(attrs...))
				}
			}
			return resp, err
		})
	}
}

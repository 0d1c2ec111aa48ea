package otel_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/monitor/otel"
)

func Example() {
	spans := tracetest.NewInMemoryExporter()
	pool, err := resilience.NewPool(
		fallback.New(fallback.Config{}),
		otel.New(otel.Config{Tracers: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))}))
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := resilience.NewClient(pool,
		resilience.BindFunc("gpt-5", func(context.Context, string) (string, error) { return "", resilience.Overloaded }),
		resilience.BindFunc("claude-sonnet-5", func(context.Context, string) (string, error) { return "Rayleigh scattering.", nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := chat.Call(context.Background(), "Why is the sky blue?")
	fmt.Println(answer, err)
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name+":", span.Status.Code)
	}
	// Output:
	// Rayleigh scattering. <nil>
	// chat gpt-5: Error
	// chat claude-sonnet-5: Unset
	// chat: Unset
}

package otel_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/monitor/otel"
)

// seen is where spans and metrics go.
type seen struct {
	spans  *tracetest.InMemoryExporter
	reader *sdkmetric.ManualReader
	cfg    otel.Config
}

func newSeen() *seen {
	s := &seen{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	s.cfg = otel.Config{
		Tracers: sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans)),
		Meters:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader)),
	}
	return s
}

// tree returns the spans as "name<parent", in the order in which they ended.
func (s *seen) tree() (list []string) {
	spans := s.spans.GetSpans()
	names := map[trace.SpanID]string{}
	for _, sp := range spans {
		names[sp.SpanContext.SpanID()] = sp.Name
	}
	for _, sp := range spans {
		list = append(list, sp.Name+"<"+names[sp.Parent.SpanID()])
	}
	return list
}

func (s *seen) span(t require.TestingT, name string) tracetest.SpanStub {
	for _, sp := range s.spans.GetSpans() {
		if sp.Name == name {
			return sp
		}
	}
	require.Fail(t, "no span "+name)
	return tracetest.SpanStub{}
}

// points returns how often each metric was recorded, by attributes.
func (s *seen) points(t require.TestingT) map[string]uint64 {
	var data metricdata.ResourceMetrics
	require.NoError(t, s.reader.Collect(context.Background(), &data))
	all := map[string]uint64{}
	add := func(name string, set attribute.Set, n uint64) {
		all[name+" "+set.Encoded(attribute.DefaultEncoder())] = n
	}
	for _, sm := range data.ScopeMetrics {
		for _, m := range sm.Metrics {
			switch h := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range h.DataPoints {
					add(m.Name, p.Attributes, p.Count)
				}
			case metricdata.Histogram[int64]:
				for _, p := range h.DataPoints {
					add(m.Name, p.Attributes, p.Count)
				}
			}
		}
	}
	return all
}

func attrs(sp tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range sp.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func pool(t require.TestingT, s *seen, features ...resilience.Feature) *resilience.Pool {
	p, err := resilience.NewPool(append([]resilience.Feature{
		otel.New(s.cfg), fallback.New(fallback.Config{}),
		resilience.Models(
			resilience.ModelInfo{ID: "gpt-5@eu", Name: "gpt-5", Provider: "openai"},
			resilience.ModelInfo{ID: "claude", Provider: "anthropic"}),
	}, features...)...)
	require.NoError(t, err)
	return p
}

func TestCall(t *testing.T) {
	s := newSeen()
	var inner trace.SpanContext
	c, err := resilience.NewClient(pool(t, s),
		resilience.BindFunc("gpt-5@eu", func(context.Context, string) (string, error) {
			return "", fmt.Errorf("%w: secret", resilience.Overloaded)
		}),
		resilience.BindFunc("claude", func(ctx context.Context, _ string) (string, error) {
			inner = trace.SpanContextFromContext(ctx)
			resilience.ReportUsage(ctx, resilience.Usage{Input: 7, Output: 3})
			return "fine", nil
		}))
	require.NoError(t, err)
	_, err = c.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Op: "sum" + strings.Repeat("x", 100)}), "prompt")
	require.NoError(t, err)

	require.Equal(t, []string{"chat gpt-5<chat", "chat claude<chat", "chat<"}, s.tree())
	failed, fine, whole := s.span(t, "chat gpt-5"), s.span(t, "chat claude"), s.span(t, "chat")
	require.Equal(t, inner, fine.SpanContext, "who asks the model is within the attempt's span")
	require.Equal(t, codes.Error, failed.Status.Code)
	require.Equal(t, trace.SpanKindClient, failed.SpanKind)
	require.Equal(t, map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5",
		"resilience.model.id": "gpt-5@eu", "resilience.attempt": "1", "error.type": "overloaded",
	}, attrs(failed))
	require.Equal(t, map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude",
		"resilience.model.id": "claude", "resilience.attempt": "2",
		"gen_ai.usage.input_tokens": "7", "gen_ai.usage.output_tokens": "3",
	}, attrs(fine))
	require.Equal(t, map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.response.model": "claude", "resilience.last_resort": "false",
		"resilience.op": "sum" + strings.Repeat("x", 61), "resilience.attempts": "2",
	}, attrs(whole))
	require.Equal(t, codes.Unset, whole.Status.Code)
	require.NotContains(t, fmt.Sprint(s.spans.GetSpans()), "secret")

	claude := "gen_ai.operation.name=chat,gen_ai.provider.name=anthropic,gen_ai.request.model=claude"
	require.Equal(t, map[string]uint64{
		"gen_ai.client.operation.duration " + claude:                        1,
		"gen_ai.client.token.usage " + claude + ",gen_ai.token.type=input":  1,
		"gen_ai.client.token.usage " + claude + ",gen_ai.token.type=output": 1,
		"gen_ai.client.operation.duration error.type=overloaded,gen_ai.operation.name=chat," +
			"gen_ai.provider.name=openai,gen_ai.request.model=gpt-5": 1,
	}, s.points(t))
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeen()
		for _, breaks := range []bool{false, true} {
			s.spans.Reset()
			c, err := resilience.NewClient(pool(t, s), resilience.BindStream("claude", func(context.Context, string) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					time.Sleep(time.Second)
					if !yield("one", nil) {
						return
					}
					time.Sleep(time.Second)
					if breaks {
						yield("", resilience.Unreachable)
					} else {
						yield("two", nil)
					}
				}
			}, resilience.StreamHooks[string, string]{}))
			require.NoError(t, err)
			stream, err := c.Call(t.Context(), "")
			require.NoError(t, err)
			require.Empty(t, s.spans.GetSpans(), "it goes on")
			for _, e := range stream.All() {
				err = e
			}
			require.Equal(t, breaks, err != nil)
			require.Equal(t, []string{"chat claude<chat", "chat<"}, s.tree())
			attempt := s.span(t, "chat claude")
			require.Equal(t, "1", attrs(attempt)["gen_ai.response.time_to_first_chunk"])
			require.Equal(t, 2*time.Second, attempt.EndTime.Sub(attempt.StartTime))
			require.Equal(t, breaks, attempt.Status.Code == codes.Error)
			require.Equal(t, breaks, s.span(t, "chat").Status.Code == codes.Error)
		}
	})
}

func TestHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeen()
		p, err := resilience.NewPool(otel.New(s.cfg), fallback.New(fallback.Config{Strategy: fallback.Hedged, HedgeAfter: time.Second}))
		require.NoError(t, err)
		c, err := resilience.NewClient(p,
			resilience.BindFunc("slow", func(ctx context.Context, _ string) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}),
			resilience.BindFunc("quick", func(context.Context, string) (string, error) { return "fine", nil }))
		require.NoError(t, err)
		_, err = c.Call(t.Context(), "")
		require.NoError(t, err)
		synctest.Wait()
		require.ElementsMatch(t, []string{"chat slow<chat", "chat quick<chat", "chat<"}, s.tree())
		require.Equal(t, codes.Unset, s.span(t, "chat slow").Status.Code, "it was not wanted any more")
	})
}

func TestCanceledAndPanicking(t *testing.T) {
	s := newSeen()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := resilience.NewClient(pool(t, s), resilience.BindFunc("claude", func(ctx context.Context, req string) (string, error) {
		if req == "panic" {
			panic("no")
		}
		cancel()
		return "", ctx.Err()
	}))
	require.NoError(t, err)
	_, err = c.Call(ctx, "")
	require.ErrorIs(t, err, resilience.Canceled)
	require.Equal(t, codes.Unset, s.span(t, "chat").Status.Code)
	require.Equal(t, "canceled", attrs(s.span(t, "chat claude"))["error.type"])

	s.spans.Reset()
	require.Panics(t, func() { _, _ = c.Call(t.Context(), "panic") })
	require.Equal(t, []string{"chat claude<chat", "chat<"}, s.tree())
	require.Equal(t, codes.Error, s.span(t, "chat").Status.Code)
}

func TestContent(t *testing.T) {
	s := newSeen()
	asked := resilience.FuncOf(func(context.Context, string) (string, error) { return "blue, says 555-1234", nil })
	redact := func(req, resp string, err error) []attribute.KeyValue {
		if req == "private" {
			return nil
		}
		return []attribute.KeyValue{
			attribute.String("gen_ai.input.messages", req),
			attribute.String("gen_ai.output.messages", strings.ReplaceAll(resp, "555-1234", "…")),
		}
	}
	c, err := resilience.NewClient(pool(t, s), resilience.Bind("claude", otel.Content(redact)(asked)))
	require.NoError(t, err)
	for _, req := range []string{"why?", "private"} {
		_, err = c.Call(t.Context(), req)
		require.NoError(t, err)
	}
	told := fmt.Sprint(s.spans.GetSpans())
	require.Contains(t, told, "blue, says …")
	require.NotContains(t, told, "private")
	require.NotContains(t, told, "555-1234")
	require.Len(t, s.span(t, "chat claude").Events, 1)
}

func TestInstalledTwice(t *testing.T) {
	b := otel.New(otel.Config{})
	_, err := resilience.NewPool(b)
	require.NoError(t, err)
	_, err = resilience.NewPool(b)
	require.ErrorContains(t, err, "otel: this bridge belongs to another pool")
}

// A text that is not UTF-8 makes exporters lose all that they send with it.
func TestForeignNames(t *testing.T) {
	s := newSeen()
	c, err := resilience.NewClient(pool(t, s), resilience.BindFunc("claude", func(context.Context, string) (string, error) { return "", nil }))
	require.NoError(t, err)
	for _, foreign := range []string{"x" + strings.Repeat("é", 1000), "\xff\xfe"} {
		_, _ = c.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Op: foreign}), "")
	}
	require.Len(t, s.spans.GetSpans(), 4)
	for _, sp := range s.spans.GetSpans() {
		require.True(t, utf8.ValidString(sp.Name))
		require.LessOrEqual(t, len(sp.Name), 80)
		for _, a := range sp.Attributes {
			require.True(t, utf8.ValidString(a.Value.String()), a.Key)
			require.LessOrEqual(t, len(a.Value.String()), 64, a.Key)
		}
	}
}

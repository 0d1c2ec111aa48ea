package monitor_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/monitor"
	"github.com/cmmv-hive/resilience/stack"
)

var by = resilience.Control{Actor: "mia", Reason: "a test"}

// world is two deployments of one model, and another one, which answer what is set.
type world struct {
	*resilience.Client[string, string]
	*prometheus.Registry
	pool   *resilience.Pool
	answer map[string]func(ctx context.Context) (string, error)
}

func newWorld(t require.TestingT, cfg monitor.Config, features ...resilience.Feature) *world {
	w := &world{Registry: prometheus.NewPedanticRegistry(), answer: map[string]func(context.Context) (string, error){}}
	cfg.Registerer = w.Registry
	var err error
	w.pool, err = resilience.NewPool(append([]resilience.Feature{
		monitor.New(cfg),
		resilience.Models(
			resilience.ModelInfo{ID: "gpt-5@eu", Name: "gpt-5", Provider: "azure", Price: resilience.Price{Input: 1, Output: 10}},
			resilience.ModelInfo{ID: "gpt-5@us", Name: "gpt-5", Provider: "azure", Tier: 1, Price: resilience.Price{Input: 1, Output: 10}},
			resilience.ModelInfo{ID: "claude", Provider: "anthropic", Tier: 2}),
	}, features...)...)
	require.NoError(t, err)
	bind := func(id string) resilience.ClientOption[string, string] {
		return resilience.BindFunc(id, func(ctx context.Context, _ string) (string, error) {
			if fn := w.answer[id]; fn != nil {
				return fn(ctx)
			}
			resilience.ReportUsage(ctx, resilience.Usage{Input: 1000, Output: 100})
			return "fine", nil
		})
	}
	w.Client, err = resilience.NewClient(w.pool, bind("gpt-5@eu"), bind("gpt-5@us"), bind("claude"))
	require.NoError(t, err)
	return w
}

// value returns a series' value, found by its name and some of its labels as
// "label=value", and whether there is one.
func (w *world) value(t require.TestingT, name string, labels ...string) (float64, bool) {
	all, err := w.Gather()
	require.NoError(t, err)
	for _, f := range all {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if !has(m, labels) {
				continue
			}
			switch {
			case f.GetType() == dto.MetricType_COUNTER:
				return m.GetCounter().GetValue(), true
			case f.GetType() == dto.MetricType_GAUGE:
				return m.GetGauge().GetValue(), true
			default:
				return float64(m.GetHistogram().GetSampleCount()), true
			}
		}
	}
	return 0, false
}

func (w *world) equal(t require.TestingT, want float64, name string, labels ...string) {
	got, ok := w.value(t, name, labels...)
	require.True(t, ok, "%s %v", name, labels)
	require.InDelta(t, want, got, 1e-9, "%s %v", name, labels)
}

func has(m *dto.Metric, labels []string) bool {
	for _, l := range labels {
		if !slices.ContainsFunc(m.GetLabel(), func(p *dto.LabelPair) bool { return p.GetName()+"="+p.GetValue() == l }) {
			return false
		}
	}
	return true
}

func fails(kind resilience.Kind) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return "", kind }
}

func TestNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{}, stack.New(stack.Config{}), degrade.New(degrade.Config{}))
		ctx := resilience.WithOptions(t.Context(), resilience.CallOptions{Op: "sum"})
		for range 3 {
			_, err := w.Call(ctx, "")
			require.NoError(t, err)
		}
		w.answer["gpt-5@eu"] = fails(resilience.QuotaSpent)
		_, err := w.Call(ctx, "")
		require.NoError(t, err)
		for _, id := range []string{"gpt-5@us", "claude"} {
			w.answer[id] = fails(resilience.Invalid)
		}
		_, err = w.Call(ctx, "")
		require.Error(t, err)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_, err = w.Call(gone, "")
		require.Error(t, err)

		w.equal(t, 4, "resilience_calls_total", "outcome=ok")
		w.equal(t, 1, "resilience_calls_total", "outcome=invalid")
		w.equal(t, 1, "resilience_calls_total", "outcome=canceled")
		w.equal(t, 1, "resilience_troubled_calls_total", "op=sum", "outcome=rescued")
		w.equal(t, 1, "resilience_troubled_calls_total", "op=sum", "outcome=failed")
		w.equal(t, 1, "resilience_troubled_calls_total", "op=sum", "outcome=canceled")
		w.equal(t, 0, "resilience_calls_in_flight")
		w.equal(t, 3, "resilience_attempts_total", "model=gpt-5@eu", "name=gpt-5", "provider=azure", "kind=ok")
		w.equal(t, 1, "resilience_attempts_total", "model=gpt-5@eu", "kind=quota_spent")
		w.equal(t, 1, "resilience_attempts_total", "model=gpt-5@us", "kind=ok")
		w.equal(t, 1, "resilience_attempts_total", "model=gpt-5@us", "kind=invalid")
		w.equal(t, 4, "resilience_attempt_duration_seconds", "model=gpt-5@eu")
		w.equal(t, 3000, "resilience_tokens_total", "model=gpt-5@eu", "type=input")
		w.equal(t, 300, "resilience_tokens_total", "model=gpt-5@eu", "type=output")
		w.equal(t, 3*(1000*1e-6+100*10e-6), "resilience_cost_dollars_total", "model=gpt-5@eu")
		w.equal(t, 1, "resilience_fallbacks_total", "model=gpt-5@us")
		w.equal(t, 1, "resilience_model_status", "model=gpt-5@eu", "status=unavailable")
		w.equal(t, 1, "resilience_model_status", "model=claude", "status=available")
		w.equal(t, 1, "resilience_held", "model=gpt-5@eu", "by=quota")
		w.equal(t, 1, "resilience_breaker_state", "model=claude", "state=closed")
		w.equal(t, 0, "resilience_breaker_state", "model=claude", "state=open")
		w.equal(t, 1, "resilience_degradation_level", "level=none")
		w.equal(t, 1, "resilience_config_generation")
		_, there := w.value(t, "resilience_held", "model=claude")
		require.False(t, there)
		left, there := w.value(t, "resilience_retry_budget_left")
		require.True(t, there)
		require.LessOrEqual(t, left, 10.)
		require.Greater(t, left, 9.)

		require.NoError(t, w.pool.Reload(t.Context(), []byte(`{"monitor":{"names":7}}`), by))
		require.Error(t, w.pool.Reload(t.Context(), []byte(`{"monitor":{"names":-7}}`), by))
		w.equal(t, 1, "resilience_config_reloads_total", "outcome=applied")
		w.equal(t, 1, "resilience_config_reloads_total", "outcome=refused")
		w.equal(t, 2, "resilience_config_generation")
	})
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		pool, err := resilience.NewPool(monitor.New(monitor.Config{Registerer: registry, GenAI: true}))
		require.NoError(t, err)
		w := &world{Registry: registry, pool: pool}
		c, err := resilience.NewClient(pool, resilience.BindStream("m", func(ctx context.Context, req string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				time.Sleep(time.Second)
				if !yield("one", nil) {
					return
				}
				time.Sleep(10 * time.Second)
				if req == "breaks" {
					yield("", resilience.Unreachable)
					return
				}
				resilience.ReportUsage(ctx, resilience.Usage{Input: 7, Output: 101})
				yield("two", nil)
			}
		}, resilience.StreamHooks[string, string]{}))
		require.NoError(t, err)
		for _, req := range []string{"", "breaks"} {
			s, err := c.Call(t.Context(), req)
			require.NoError(t, err)
			w.equal(t, 1, "resilience_streams_open", "model=m")
			w.equal(t, 1, "resilience_calls_in_flight")
			for range s.All() {
			}
		}
		w.equal(t, 0, "resilience_streams_open", "model=m")
		w.equal(t, 2, "resilience_streams_total", "model=m")
		w.equal(t, 1, "resilience_streams_broken_total", "model=m")
		w.equal(t, 2, "resilience_attempt_duration_seconds", "model=m")
		w.equal(t, 2, "resilience_time_to_first_token_seconds", "model=m")
		w.equal(t, 1, "resilience_time_per_output_token_seconds", "model=m")
		w.equal(t, 2, "gen_ai_client_operation_duration_seconds", "gen_ai_request_model=m", "gen_ai_operation_name=chat")
		w.equal(t, 2, "gen_ai_server_time_to_first_token_seconds")
		w.equal(t, 1, "gen_ai_client_token_usage", "gen_ai_token_type=input")
	})
}

func TestVotes(t *testing.T) {
	w := newWorld(t, monitor.Config{})
	for _, e := range []resilience.Event{{To: "opened"}, {To: "approved", Disagreement: .4}, {To: "opened"}} {
		e.Kind = resilience.EventRound
		w.pool.Emit(t.Context(), e)
	}
	w.equal(t, 2, "resilience_rounds_total", "to=opened")
	w.equal(t, 1, "resilience_rounds_total", "to=approved")
	w.equal(t, 0.4, "resilience_round_disagreement_ratio")
}

func TestLint(t *testing.T) {
	w := newWorld(t, monitor.Config{GenAI: true, TenantGroup: strings.ToUpper}, stack.New(stack.Config{}))
	_, err := w.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Op: "sum", Tenant: "acme"}), "")
	require.NoError(t, err)
	problems, err := testutil.GatherAndLint(w.Registry)
	require.NoError(t, err)
	for _, p := range problems {
		t.Error(p.Metric, p.Text)
	}
	w.equal(t, 0.002, "resilience_group_cost_dollars_total", "group=ACME")
}

func TestDeploymentsOfOneModelAreOneToTheConventions(t *testing.T) {
	w := newWorld(t, monitor.Config{GenAI: true})
	for _, id := range []string{"gpt-5@eu", "gpt-5@us"} {
		_, err := w.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Model: id}), "")
		require.NoError(t, err)
	}
	w.equal(t, 2, "gen_ai_client_operation_duration_seconds", "gen_ai_request_model=gpt-5", "gen_ai_provider_name=azure")
	w.equal(t, 2, "gen_ai_client_token_usage", "gen_ai_request_model=gpt-5", "gen_ai_token_type=output")
}

func TestHistogram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, monitor.Config{})
		waits := []time.Duration{0, 3 * time.Millisecond, 300 * time.Millisecond, 310 * time.Millisecond, 2 * time.Second, 100 * time.Second, 700 * time.Second}
		for _, d := range waits {
			w.answer["gpt-5@eu"] = func(context.Context) (string, error) {
				time.Sleep(d)
				return "", nil
			}
			_, err := w.Call(t.Context(), "")
			require.NoError(t, err)
		}
		all, err := w.Gather()
		require.NoError(t, err)
		i := slices.IndexFunc(all, func(f *dto.MetricFamily) bool { return f.GetName() == "resilience_attempt_duration_seconds" })
		j := slices.IndexFunc(all[i].GetMetric(), func(m *dto.Metric) bool { return has(m, []string{"model=gpt-5@eu"}) })
		h := all[i].GetMetric()[j].GetHistogram()
		require.EqualValues(t, len(waits), h.GetSampleCount())
		require.InEpsilon(t, 802.613, h.GetSampleSum(), 1./15)
		classic := map[float64]uint64{}
		for _, b := range h.GetBucket() {
			classic[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		require.EqualValues(t, 2, classic[.01])
		require.EqualValues(t, 2, classic[.16])
		require.EqualValues(t, 4, classic[.32])
		require.EqualValues(t, 4, classic[1.28])
		require.EqualValues(t, 5, classic[2.56])
		require.EqualValues(t, 6, classic[163.84])
		require.EqualValues(t, 6, classic[655.36])

		var native []float64 // upper bounds, once for each sample
		at, count := int32(0), int64(0)
		deltas := h.GetPositiveDelta()
		for _, span := range h.GetPositiveSpan() {
			at += span.GetOffset()
			for range span.GetLength() {
				count += deltas[0]
				deltas = deltas[1:]
				for range count {
					native = append(native, math.Exp2(float64(at)/8))
				}
				at++
			}
		}
		require.Empty(t, deltas)
		require.Len(t, native, len(waits))
		for i, d := range waits[1:] {
			require.InEpsilon(t, d.Seconds(), native[i+1], .18, d)
		}
	})
}

// heap is what is in use, in bytes.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func TestForeignNames(t *testing.T) {
	const foreign = 1_000_000
	n := foreign
	if testing.Short() {
		n = 10_000
	}
	w := newWorld(t, monitor.Config{TenantGroup: func(tenant string) string { return tenant }})
	w.answer["gpt-5@eu"], w.answer["gpt-5@us"] = fails(resilience.Invalid), fails(resilience.Invalid)
	count := func() int {
		all, err := w.Gather()
		require.NoError(t, err)
		series := 0
		for _, f := range all {
			series += len(f.GetMetric())
		}
		return series
	}
	call := func(i int) {
		name := fmt.Sprintf("name-%d", i)
		if i%7 == 0 {
			name += "\xff"
		}
		_, _ = w.Call(resilience.WithOptions(t.Context(), resilience.CallOptions{Op: name, Tenant: name, Model: "gpt-5"}), "")
	}
	for i := range 1000 {
		call(i)
	}
	before, memory := count(), heap()
	for i := range n {
		call(i)
	}
	require.Equal(t, before, count())
	require.InDelta(t, memory, heap(), 2e6)
	w.equal(t, float64(n+1000), "resilience_calls_total", "outcome=invalid")
	dropped, _ := w.value(t, "resilience_series_dropped_total", "label=op")
	require.Greater(t, dropped, float64(n)*.9)
	w.equal(t, dropped, "resilience_troubled_calls_total", "op=other", "outcome=failed")
}

func TestReload(t *testing.T) {
	w := newWorld(t, monitor.Config{Models: 2})
	w.equal(t, 1, "resilience_models_dropped")
	_, there := w.value(t, "resilience_model_status", "model=claude")
	require.False(t, there)
	require.NoError(t, w.pool.Reload(t.Context(), []byte(`{"models":[{"id":"claude"},{"id":"gpt-5@us"}]}`), by))
	w.equal(t, 0, "resilience_models_dropped")
	w.equal(t, 1, "resilience_model_status", "model=claude", "status=available")
	_, there = w.value(t, "resilience_model_status", "model=gpt-5@eu")
	require.False(t, there)
}

func TestRegistration(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, err := resilience.NewPool(monitor.New(monitor.Config{Registerer: registry}))
	require.NoError(t, err)
	_, err = resilience.NewPool(monitor.New(monitor.Config{Registerer: registry}))
	require.ErrorContains(t, err, "monitor.registerer: has a monitor already: give each a label of its own, by prometheus.WrapRegistererWith")

	again := prometheus.NewRegistry()
	_, err = resilience.NewPool(monitor.New(monitor.Config{Registerer: again}), nil)
	require.Error(t, err)
	_, err = resilience.NewPool(monitor.New(monitor.Config{Registerer: again}))
	require.NoError(t, err, "a pool that did not come to be registers nothing")

	registry = prometheus.NewRegistry()
	for _, pool := range []string{"chat", "embeddings"} {
		r := prometheus.WrapRegistererWith(prometheus.Labels{"pool": pool}, registry)
		_, err = resilience.NewPool(monitor.New(monitor.Config{Registerer: r}))
		require.NoError(t, err)
	}
	_, err = registry.Gather()
	require.NoError(t, err)

	mine := monitor.New(monitor.Config{})
	byHand := prometheus.NewPedanticRegistry()
	_, err = resilience.NewPool(mine, stack.New(stack.Config{}))
	require.NoError(t, err)
	require.NoError(t, byHand.Register(mine))
	all, err := byHand.Gather()
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(all, func(f *dto.MetricFamily) bool { return f.GetName() == "resilience_retry_budget_left" }))
	require.True(t, byHand.Unregister(mine))

	_, err = resilience.NewPool(mine)
	require.ErrorContains(t, err, "monitor: this monitor belongs to another pool")
	_, err = resilience.NewPool(monitor.New(monitor.Config{Names: 1e6}))
	require.ErrorContains(t, err, "monitor.names")
}

func TestNotInstalled(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(monitor.New(monitor.Config{}))
	all, err := registry.Gather()
	require.NoError(t, err)
	require.Empty(t, all)
}

func TestHTTP(t *testing.T) {
	w := newWorld(t, monitor.Config{})
	_, err := w.Call(t.Context(), "")
	require.NoError(t, err)
	srv := httptest.NewServer(promhttp.HandlerFor(w.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	defer srv.Close()
	for _, accept := range []string{"", "application/openmetrics-text", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Accept", accept)
		resp, err := srv.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Contains(t, string(body), "resilience_calls_total")
	}
	srv.CloseClientConnections()
}

func TestScrapesStopNobody(t *testing.T) {
	w := newWorld(t, monitor.Config{GenAI: true}, stack.New(stack.Config{}))
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_, err := w.Gather()
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			_ = w.pool.Reload(t.Context(), []byte(`{"models":[{"id":"gpt-5@eu"},{"id":"claude"},{"id":"gpt-5@us","tier":`+fmt.Sprint(i)+`}]}`), by)
		}
	})
	for range 2000 {
		_, err := w.Call(t.Context(), "")
		require.NoError(t, err)
	}
	close(done)
	wg.Wait()
	w.equal(t, 2000, "resilience_calls_total", "outcome=ok")
	require.NoError(t, w.pool.Drain(t.Context()))
	w.equal(t, 1, "resilience_draining")
}

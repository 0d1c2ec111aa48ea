package chaos_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/internal/settings"
	"github.com/cmmv-hive/resilience/stack"
)

var by = resilience.Control{Actor: "test", Reason: "a test"}

// A lab is a pool with an injector, and clients of its models that answer at
// once: with their ID, or with a stream of it and five more chunks.
type lab struct {
	pool     *resilience.Pool
	injector *chaos.Injector
	chat     *resilience.Client[string, string]
	streams  *resilience.Client[string, *resilience.Stream[string]]
	mu       sync.Mutex
	asked    map[string]int
}

func newLab(t *testing.T, cfg chaos.InjectorConfig, features ...resilience.Feature) *lab {
	t.Helper()
	l := &lab{injector: chaos.NewInjector(cfg), asked: map[string]int{}}
	var err error
	l.pool, err = resilience.NewPool(append(features, l.injector, resilience.Seed(rand.NewPCG(1, 1)), resilience.Models(
		resilience.ModelInfo{ID: "a", Provider: "x", Region: "eu"},
		resilience.ModelInfo{ID: "b", Provider: "x", Region: "us"},
		resilience.ModelInfo{ID: "c", Provider: "y", Region: "us", Name: "sea"}))...)
	require.NoError(t, err)
	ask := func(m *resilience.Model) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.asked[m.ID()]++
	}
	l.chat, err = resilience.NewClient(l.pool, resilience.BindAll(func(_ context.Context, m *resilience.Model, _ string) (string, error) {
		ask(m)
		return m.ID(), nil
	}))
	require.NoError(t, err)
	l.streams, err = resilience.NewClient(l.pool, resilience.BindAllStreams(func(_ context.Context, m *resilience.Model, _ string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			ask(m)
			for _, chunk := range []string{m.ID(), "1", "2", "3", "4", "end"} {
				if !yield(chunk, nil) {
					return
				}
			}
		}
	}, resilience.StreamHooks[string, string]{Terminal: func(s string) bool { return s == "end" }}))
	require.NoError(t, err)
	return l
}

// read returns the chunks of a stream from one model, and how it ended.
func (l *lab) read(ctx context.Context, model string) (chunks []string, err error) {
	s, err := l.streams.Pin(model).Call(ctx, "")
	if err != nil {
		return nil, err
	}
	for chunk, err := range s.All() {
		if err != nil {
			return chunks, err
		}
		chunks = append(chunks, chunk)
	}
	return chunks, nil
}

func (l *lab) ask(ctx context.Context, model string) (resilience.Report, error) {
	_, rep, err := l.chat.Pin(model).Do(ctx, "", resilience.CallOptions{})
	return rep, err
}

func at(models ...string) chaos.Where { return chaos.Where{Models: models} }

var enabled = chaos.InjectorConfig{Enabled: true}

// TestFaultsInProcess is what a call meets, with and without a stream.
func TestFaultsInProcess(t *testing.T) {
	const timeout = 20 * time.Second
	for _, c := range []struct {
		fault     chaos.Fault
		kind      resilience.Kind
		status    int
		wait      time.Duration
		took      time.Duration
		streaming resilience.Kind // kind as it is, if 0
		delivered int
		longer    time.Duration // of the stream; a gap is over after it
	}{
		{fault: chaos.Fault{Status: 429, Wait: 2 * time.Second}, kind: resilience.RateLimited, status: 429, wait: 2 * time.Second},
		{fault: chaos.Fault{Status: 429, Wait: 2 * time.Second, WaitAs: chaos.WaitDate}, kind: resilience.RateLimited, status: 429, wait: 2 * time.Second},
		{fault: chaos.Fault{Status: 429, Wait: 2 * time.Second, WaitAs: chaos.WaitBody}, kind: resilience.RateLimited, status: 429, wait: 2 * time.Second},
		{fault: chaos.Fault{Status: 429, RetryAfter: "-7"}, kind: resilience.RateLimited, status: 429},
		{fault: chaos.Fault{Name: chaos.Throttled}, kind: resilience.RateLimited, status: 429, wait: time.Minute},
		{fault: chaos.Fault{Name: chaos.QuotaSpent}, kind: resilience.QuotaSpent, status: 429},
		{fault: chaos.Fault{Name: chaos.KeyRevoked}, kind: resilience.Unauthorized, status: 401},
		{fault: chaos.Fault{Name: chaos.ModelRetired}, kind: resilience.NotFound, status: 404},
		{fault: chaos.Fault{Name: chaos.Filtered}, kind: resilience.Filtered, status: 400},
		{fault: chaos.Fault{Name: chaos.TooLong}, kind: resilience.TooLong, status: 400},
		{fault: chaos.Fault{Name: chaos.Overloaded, After: time.Second}, kind: resilience.Overloaded, status: 529, took: time.Second},
		{fault: chaos.Fault{Name: chaos.ServerError}, kind: resilience.Unreachable, status: 500},
		{fault: chaos.Fault{Name: chaos.Reset}, kind: resilience.Unreachable},
		{fault: chaos.Fault{Name: chaos.StaleConnection}, kind: resilience.Unreachable},
		{fault: chaos.Fault{Name: chaos.NoSuchHost, After: 5 * time.Second}, kind: resilience.Unreachable, took: 5 * time.Second},
		{fault: chaos.Fault{Name: chaos.ConnectionRefused}, kind: resilience.Unreachable},
		{fault: chaos.Fault{Name: chaos.TLSHandshake}, kind: resilience.Unreachable},
		{fault: chaos.Fault{Name: chaos.CertificateExpired}, kind: resilience.Unreachable},
		{fault: chaos.Fault{Name: chaos.Silent}, kind: resilience.TimedOut, took: timeout},
		{fault: chaos.Fault{Name: chaos.HeadersOnly, For: 3 * time.Second}, kind: resilience.Unreachable, took: 3 * time.Second},
		{fault: chaos.Fault{Name: chaos.Slow, After: 2 * time.Second}, took: 2 * time.Second},
		{fault: chaos.Fault{Name: chaos.SlowStart, After: 2 * time.Second}, took: 2 * time.Second},
		{fault: chaos.Fault{Name: chaos.Drip, Pace: 2 * time.Second}, longer: 12 * time.Second},
		{fault: chaos.Fault{Name: chaos.Cut, Tokens: 2}, kind: resilience.Unreachable, streaming: resilience.Truncated, delivered: 2},
		{fault: chaos.Fault{Name: chaos.CutByReset, Tokens: 3}, kind: resilience.Unreachable, streaming: resilience.Truncated, delivered: 3},
		{fault: chaos.Fault{Name: chaos.StreamError, Tokens: 1}, kind: resilience.Overloaded, status: 529, streaming: resilience.Truncated, delivered: 1},
		{fault: chaos.Fault{Name: chaos.StreamError}, kind: resilience.Overloaded, status: 529},
		{fault: chaos.Fault{Name: chaos.StreamError, Status: 429}, kind: resilience.RateLimited, status: 429},
		{fault: chaos.Fault{Name: chaos.Malformed, Tokens: 1}, kind: resilience.Malformed, streaming: resilience.Truncated, delivered: 1},
		{fault: chaos.Fault{Name: chaos.Stall, Tokens: 2, For: 5 * time.Second}, kind: resilience.Unreachable, took: 5 * time.Second, streaming: resilience.Truncated, delivered: 2},
		{fault: chaos.Fault{Name: chaos.Stall, Tokens: 2}, kind: resilience.TimedOut, took: timeout, streaming: resilience.Truncated, delivered: 2, longer: 7*time.Second + 1},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, enabled, resilience.Timeouts{Attempt: timeout, FirstChunk: timeout, Gap: 7 * time.Second})
				stop, err := l.injector.Inject(time.Minute, chaos.Injection{Fault: c.fault, Where: at("a")})
				require.NoError(t, err)
				defer stop()
				start := time.Now()
				rep, err := l.ask(t.Context(), "a")
				require.Equal(t, c.kind.String(), resilience.KindOf(err).String(), err)
				require.Equal(t, c.took, time.Since(start))
				require.Equal(t, c.wait, resilience.RetryAfter(err))
				require.Equal(t, c.status, rep.Attempts[0].Status)
				require.Equal(t, c.fault.Name != chaos.Drip, rep.Attempts[0].Faulted)
				require.Equal(t, c.kind == 0, l.asked["a"] == 1, "the model was asked")

				start = time.Now()
				chunks, err := l.read(t.Context(), "a")
				want := c.streaming
				if want == 0 {
					want = c.kind
				}
				require.Equal(t, want.String(), resilience.KindOf(err).String(), err)
				if c.longer > 0 {
					require.Equal(t, c.longer, time.Since(start))
				} else {
					require.Equal(t, c.took, time.Since(start))
				}
				if want == resilience.Truncated {
					require.Len(t, chunks, c.delivered)
				}
				rep, err = l.ask(t.Context(), "b")
				require.NoError(t, err)
				require.False(t, rep.Attempts[0].Faulted, "another model")
			})
		})
	}
}

// Faults end by themselves, or at once when they are stopped, and take nobody
// with them who was waiting for them.
func TestFaultsEnd(t *testing.T) {
	for name, end := range map[string]func(l *lab, stop func()) error{
		"by themselves": func(*lab, func()) error { return nil },
		"stopped":       func(_ *lab, stop func()) error { stop(); stop(); return nil },
		"switched off": func(l *lab, _ func()) error {
			return l.pool.Reload(context.Background(), []byte(`{"chaos": {"enabled": false}}`), by)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, enabled)
				stop, err := l.injector.Inject(time.Minute,
					chaos.Injection{Fault: chaos.Fault{Name: chaos.Silent}, Where: at("a")},
					chaos.Injection{Fault: chaos.Fault{Name: chaos.Stall, Tokens: 1}, Where: at("b")})
				require.NoError(t, err)
				var calls sync.WaitGroup
				calls.Go(func() {
					_, err := l.ask(t.Context(), "a")
					require.NoError(t, err, "it was waiting, and is asked in the end")
				})
				calls.Go(func() {
					chunks, err := l.read(t.Context(), "b")
					require.NoError(t, err)
					require.Len(t, chunks, 6)
				})
				time.Sleep(10 * time.Second)
				start := time.Now()
				require.NoError(t, end(l, stop))
				calls.Wait()
				want := time.Duration(0)
				if name == "by themselves" {
					want = 50 * time.Second
				}
				require.Equal(t, want, time.Since(start))
				rep, err := l.ask(t.Context(), "a")
				require.NoError(t, err)
				require.False(t, rep.Attempts[0].Faulted)
				_, err = l.injector.Inject(time.Minute, chaos.Injection{Fault: chaos.Fault{Status: 500}, Where: at("a")})
				if name == "switched off" {
					require.EqualError(t, err, "chaos.enabled: chaos is switched off; set it to true")
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}

// What is injected is checked as a whole, and nothing of it is injected if
// something is wrong.
func TestInjectRefuses(t *testing.T) {
	down := chaos.Fault{Status: 503}
	for _, c := range []struct {
		cfg    chaos.InjectorConfig
		ttl    time.Duration
		inject []chaos.Injection
		want   []string
	}{
		{chaos.InjectorConfig{}, time.Minute, []chaos.Injection{{Fault: down}}, []string{"chaos.enabled: chaos is switched off; set it to true"}},
		{enabled, time.Minute, nil, []string{"method: is empty: there is nothing to inject"}},
		{enabled, 0, []chaos.Injection{{Fault: down, Where: at("a")}}, []string{"ttl: is 0s: faults need a time to live"}},
		{enabled, time.Minute, []chaos.Injection{
			{Fault: chaos.Fault{Name: chaos.Garbled}}, {}, {Fault: chaos.Fault{Name: "silen"}},
			{Fault: down, Grow: time.Second, When: chaos.Schedule{Rate: 1.5, On: time.Second, Spans: []chaos.Span{{}}}},
			{Fault: chaos.Fault{Name: chaos.Stall, KeepAlive: time.Second}}, {Fault: chaos.Fault{Name: chaos.Malformed, Times: 2}},
		}, []string{
			"method[0].fault.name: garbled is played at the wire: use a Provider", "method[1].fault: is empty: want a name or a status",
			`method[2].fault.name: there is no fault "silen"; did you mean "silent"?`, "method[3].grow: means nothing to 503",
			"method[3].when.rate: ", "method[3].when.on: on 1s and off 0s", "method[3].when.spans[0].for: is missing",
			"method[4].fault.keepAlive: ", "method[5].fault.times: ",
		}},
		{enabled, time.Minute, []chaos.Injection{
			{Fault: down, Where: at("see")}, {Fault: down, Where: chaos.Where{Providers: []string{"z"}, Regions: []string{"eu"}}},
			{Fault: down, Where: chaos.Where{Providers: []string{"y"}, Regions: []string{"eu"}}}, {Fault: down, Where: chaos.Where{Count: -3}},
		}, []string{
			`method[0].where.models[0]: no model of the pool is meant; did you mean "sea"?`, "method[1].where.providers[0]: no model of the pool is meant",
			"method[2].where: no model of the pool is meant", "method[3].where: no model of the pool is meant",
		}},
		{enabled, time.Minute, []chaos.Injection{{Fault: down}}, []string{"blast.models: 3 models of 3 would be hit at once, and 2 are allowed"}},
		{enabled, time.Minute, []chaos.Injection{
			{Fault: down, Where: at("a"), When: chaos.Schedule{For: 30 * time.Second}},
			{Fault: down, Where: chaos.Where{Providers: []string{"x"}}, When: chaos.Schedule{From: 20 * time.Second}},
			{Fault: down, Where: at("sea"), When: chaos.Schedule{From: 59 * time.Second}},
		}, []string{"blast.models: 3 models of 3"}},
		{chaos.InjectorConfig{Enabled: true, Blast: chaos.Blast{Models: 3, For: time.Second, Share: .1}}, time.Minute,
			[]chaos.Injection{{Fault: down, When: chaos.Schedule{Rate: .2}}},
			[]string{"blast.for: the faults last 1m0s, and 1s are allowed", "blast.share: unavailable 503 strikes 0.2 of the attempts at every model, and 0.1 is allowed"}},
	} {
		l := newLab(t, c.cfg)
		stop, err := l.injector.Inject(c.ttl, c.inject...)
		require.Nil(t, stop)
		for _, want := range c.want {
			require.ErrorContains(t, err, want)
		}
		_, err = l.ask(t.Context(), "a")
		require.NoError(t, err)
	}
	_, err := chaos.NewInjector(enabled).Inject(time.Minute, chaos.Injection{Fault: down})
	require.EqualError(t, err, "chaos: the injector is not installed: give it to NewPool")
	_, err = resilience.NewPool(chaos.NewInjector(chaos.InjectorConfig{Blast: chaos.Blast{Share: 2}}))
	require.ErrorContains(t, err, "chaos.blast.share: ")
	for _, speed := range []float64{-1, 1e-9, 1e6} { // a clock that fast would stand still within hours, and faults last
		_, err = resilience.NewPool(chaos.NewInjector(chaos.InjectorConfig{Speed: speed}))
		require.ErrorContains(t, err, "is no speed, want 0.001 to 1000")
	}

	l := newLab(t, enabled) // one after the other is not at once
	_, err = l.injector.Inject(time.Minute,
		chaos.Injection{Fault: down, Where: at("a"), When: chaos.Schedule{For: 20 * time.Second}},
		chaos.Injection{Fault: down, Where: at("b"), When: chaos.Schedule{From: 20 * time.Second, For: 20 * time.Second}},
		chaos.Injection{Fault: down, Where: at("c"), When: chaos.Schedule{From: 40 * time.Second}})
	require.NoError(t, err)
}

// What is injected at different times counts together while it lasts.
func TestBlastOfAll(t *testing.T) {
	down := chaos.Fault{Status: 503}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, enabled)
		for _, model := range []string{"a", "b"} {
			_, err := l.injector.Inject(time.Minute, chaos.Injection{Fault: down, Where: at(model)})
			require.NoError(t, err)
		}
		stop, err := l.injector.Inject(time.Minute, chaos.Injection{Fault: down, Where: at("b")})
		require.NoError(t, err, "it is hit already")
		defer stop()
		third := chaos.Injection{Fault: down, Where: at("c")}
		none, err := l.injector.Inject(time.Second, third)
		require.EqualError(t, err, "blast.models: with the faults that are injected already 3 models would be hit at once, and 2 are allowed")
		require.Nil(t, none)
		_, err = l.ask(t.Context(), "c")
		require.NoError(t, err)
		third.When.From = time.Minute
		_, err = l.injector.Inject(2*time.Minute, third)
		require.NoError(t, err, "the others are over by then")
		time.Sleep(time.Minute)
		_, err = l.injector.Inject(time.Minute, chaos.Injection{Fault: down, Where: at("a")})
		require.NoError(t, err)
	})
}

// Where more is struck than is allowed, which traffic decides, the faults end.
func TestBlastShare(t *testing.T) {
	l := newLab(t, chaos.InjectorConfig{Enabled: true, Blast: chaos.Blast{Share: .25}})
	_, err := l.injector.Inject(time.Minute, chaos.Injection{Fault: chaos.Fault{Status: 503}, Where: at("a")})
	require.NoError(t, err)
	failed := 0
	for n := range 200 {
		if _, err := l.ask(t.Context(), []string{"a", "b"}[n%2]); err != nil {
			failed++
		}
	}
	require.Equal(t, 10, failed, "of the first twenty")

	l = newLab(t, chaos.InjectorConfig{Enabled: true, Blast: chaos.Blast{Share: .25}})
	for range 2 { // a fifth of a half, twice
		_, err = l.injector.Inject(time.Minute, chaos.Injection{Fault: chaos.Fault{Status: 503}, Where: at("a"), When: chaos.Schedule{Rate: .4}})
		require.NoError(t, err)
	}
	failed = 0
	for n := range 1000 {
		if _, err := l.ask(t.Context(), []string{"a", "b"}[n%2]); err != nil {
			failed++
		}
	}
	require.Less(t, failed, 250)
	require.Greater(t, failed, 5)
}

// Which attempts are struck depends on the seed, the injection and the count of
// attempts at the model alone: not on other models, other injections, or on
// what happens at the same time.
func TestWhatIsStruckIsDecided(t *testing.T) {
	some := chaos.Injection{Name: "some", Fault: chaos.Fault{Status: 500}, Where: at("a", "b"), When: chaos.Schedule{Rate: .3}}
	struck := func(seed uint64, model string, n int, injections ...chaos.Injection) (list []int) {
		l := newLab(t, chaos.InjectorConfig{Enabled: true, Seed: seed})
		_, err := l.injector.Inject(10*time.Minute, injections...)
		require.NoError(t, err)
		for i := range n {
			if _, err := l.ask(t.Context(), model); err != nil {
				list = append(list, i)
			}
			_, _ = l.ask(t.Context(), "b")
		}
		return list
	}
	first := struck(7, "a", 300, some)
	require.InDelta(t, 90, len(first), 25)
	require.Equal(t, first, struck(7, "a", 300, chaos.Injection{Name: "other", Fault: chaos.Fault{Status: 503}, Where: at("b")}, some))
	require.Equal(t, first[:2], struck(7, "a", first[1]+1, some))
	require.NotEqual(t, first, struck(8, "a", 300, some))
	require.NotEqual(t, first, struck(7, "b", 300, some))

	l := newLab(t, chaos.InjectorConfig{Enabled: true, Seed: 7})
	_, err := l.injector.Inject(10*time.Minute, some)
	require.NoError(t, err)
	var calls sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for range 300 {
		calls.Go(func() {
			if _, err := l.ask(t.Context(), "a"); err != nil {
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	calls.Wait()
	require.Len(t, first, failed)
}

func TestInjectorSettings(t *testing.T) {
	require.NoError(t, settings.Lint(chaos.InjectorConfig{}))
	require.NoError(t, settings.Lint(chaos.Experiment{}))
	l := newLab(t, chaos.InjectorConfig{Enabled: true, Seed: 3}, stack.New(stack.Config{}))
	require.Contains(t, fmt.Sprint(l.pool.Stack()), "fault    chaos    enabled=true seed=3 blast.models=all-but-one blast.share=1 blast.for=10m")
	err := l.pool.Reload(t.Context(), []byte(`{"chaos": {"enable": true, "blast": {"share": 0}}}`), by)
	require.ErrorContains(t, err, `chaos.enable: unknown key; did you mean "enabled"?`)
	require.ErrorContains(t, err, "chaos.blast.share: 0 means the default here")
	_, err = resilience.NewPool(l.injector)
	require.ErrorContains(t, err, "chaos: the injector is installed already")
}

package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestPriceCost(t *testing.T) {
	full := resilience.Price{Input: 3, CachedInput: 0.3, CacheWrite: 3.75, Output: 15}
	for name, c := range map[string]struct {
		price resilience.Price
		usage resilience.Usage
		want  float64
		known bool
	}{
		"unknown":               {resilience.Price{}, resilience.Usage{Input: 1e6}, 0, false},
		"free":                  {resilience.Price{Free: true}, resilience.Usage{Input: 1e6}, 0, true},
		"nothing used":          {full, resilience.Usage{}, 0, true},
		"input and output":      {full, resilience.Usage{Input: 1e6, Output: 1e5}, 4.5, true},
		"parts of the input":    {full, resilience.Usage{Input: 1e6, CachedInput: 5e5, CacheWrite: 1e5}, 0.4*3 + 0.5*0.3 + 0.1*3.75, true},
		"reasoning is output":   {full, resilience.Usage{Output: 1e6, Reasoning: 9e5}, 15, true},
		"no price for parts":    {resilience.Price{Input: 2, Output: 4}, resilience.Usage{Input: 1e6, CachedInput: 5e5, CacheWrite: 5e5}, 2, true},
		"more parts than a sum": {full, resilience.Usage{Input: 10, CachedInput: 1e6}, 0.3, true},
	} {
		got, known := c.price.Cost(c.usage)
		require.InDelta(t, c.want, got, 1e-9, name)
		require.Equal(t, c.known, known, name)
	}
}

func TestUsageAndCost(t *testing.T) {
	type hooks = resilience.Hooks[string, string]
	priced := resilience.Models(resilience.ModelInfo{ID: "a", Price: resilience.Price{Input: 2}})
	told := resilience.Usage{Input: 1e6}
	costs := 0
	for name, c := range map[string]struct {
		call  ask
		hooks hooks
		want  resilience.Usage
		cost  float64
	}{
		"none":        {says("x"), hooks{}, resilience.Usage{}, 0},
		"by the hook": {says("x"), hooks{Usage: func(string, string) resilience.Usage { return told }}, told, 2},
		"what was told wins": {func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, resilience.Usage{Input: 5e5})
			resilience.ReportUsage(ctx, resilience.Usage{Input: 5e5, Output: 7})
			return "x", nil
		}, hooks{Usage: func(string, string) resilience.Usage { return resilience.Usage{Input: 99} }}, resilience.Usage{Input: 1e6, Output: 7}, 2},
		"a failure costs too": {func(ctx context.Context, _ string) (string, error) {
			resilience.ReportUsage(ctx, told)
			return "", errBroken
		}, hooks{}, told, 2},
		"an answer that is no good": {says("x"), hooks{
			Usage:    func(string, string) resilience.Usage { return told },
			Validate: func(string, string) error { return errBroken },
		}, told, 2},
		"fees": {says("x"), hooks{
			Usage: func(string, string) resilience.Usage { return told },
			Cost: func(m *resilience.Model, req, resp string, u resilience.Usage) float64 {
				require.NotEmpty(t, resp)
				costs++
				require.Equal(t, []any{"a", "req", told}, []any{m.ID(), req, u})
				return 7
			},
		}, told, 7},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, priced)
			cl := newClient(t, p, resilience.BindFunc("a", c.call), c.hooks)
			_, rep, _ := cl.Do(t.Context(), "req", resilience.CallOptions{})
			require.Equal(t, c.want, rep.Usage)
			require.InDelta(t, c.cost, rep.Cost, 1e-9)
			require.Equal(t, c.want, rep.Attempts[0].Usage)
			require.InDelta(t, c.cost, rep.Attempts[0].Cost, 1e-9)
			s := p.Model("a").Stats(time.Minute)
			require.Equal(t, c.want, s.Usage)
			require.InDelta(t, c.cost, s.Cost, 1e-9)
		})
	}
	require.Equal(t, 1, costs, "asked once an attempt")
}

func TestReportUsageFromManyGoroutinesAndTooLate(t *testing.T) {
	var kept context.Context
	p := newPool(t)
	c := newClient(t, p, resilience.BindFunc("a", func(ctx context.Context, _ string) (string, error) {
		kept = ctx //nolint:fatcontext // to look at after the call
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 100 {
					resilience.ReportUsage(ctx, resilience.Usage{Input: 1, Output: 2, Reasoning: 1, CachedInput: 1, CacheWrite: 1})
				}
			})
		}
		wg.Wait()
		return "x", nil
	}))
	_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
	require.NoError(t, err)
	want := resilience.Usage{Input: 800, Output: 1600, Reasoning: 800, CachedInput: 800, CacheWrite: 800}
	require.Equal(t, want, rep.Usage)
	resilience.ReportUsage(kept, want)
	require.Equal(t, want, p.Model("a").Stats(time.Minute).Usage, "nothing counts after the end")
	resilience.ReportUsage(t.Context(), want)
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want resilience.Kind
	}{
		"an error":        {errBroken, resilience.Malformed},
		"one with a kind": {fmt.Errorf("%w: no", resilience.Filtered), resilience.Filtered},
		"a kind":          {resilience.Truncated, resilience.Truncated},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t)
			cl := newClient(t, p, resilience.BindFunc("a", says("answer")), resilience.Hooks[string, string]{
				Validate: func(req, answer string) error {
					require.Equal(t, []string{"req", "answer"}, []string{req, answer})
					return c.err
				},
			})
			_, err := cl.Call(t.Context(), "req")
			require.Equal(t, c.want, resilience.KindOf(err))
			require.ErrorIs(t, err, c.err)
			stats := p.Model("a").Stats(time.Minute)
			require.Equal(t, []int64{1, 1, 0}, []int64{stats.Calls, stats.Malformed, stats.Failures})
		})
	}
}

func TestDefaultAnswers(t *testing.T) {
	p := newPool(t)
	var fail error
	c := newClient(t, p, resilience.BindFunc("a", fails(resilience.Overloaded)), resilience.Hooks[string, string]{
		Default: func(req string, err error) (string, error) {
			require.Equal(t, "req", req)
			require.ErrorIs(t, err, resilience.Overloaded)
			return "default", fail
		},
	})
	answer, rep, err := c.Do(t.Context(), "req", resilience.CallOptions{})
	require.NoError(t, err)
	require.Equal(t, "default", answer)
	require.True(t, rep.Defaulted)
	require.Nil(t, rep.Model)
	require.Len(t, rep.Attempts, 1)
	fail = errBroken
	_, rep, err = c.Do(t.Context(), "req", resilience.CallOptions{})
	require.Equal(t, errBroken, err)
	require.False(t, rep.Defaulted)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Call(ctx, "req")
	require.Equal(t, resilience.Canceled, resilience.KindOf(err), "nobody waits for it")
}

type answerer interface{ Answer() string }

type textAnswer string

func (a textAnswer) Answer() string { return string(a) }

// answers reports the kind of a call whose caller returns resp and no error.
func answers[Resp any](t *testing.T, resp Resp) resilience.Kind {
	t.Helper()
	_, err := resilience.Wrap(resilience.FuncOf(func(context.Context, string) (Resp, error) { return resp, nil })).Call(t.Context(), "")
	return resilience.KindOf(err)
}

func TestNilResponses(t *testing.T) {
	const malformed = resilience.Malformed
	require.Equal(t, malformed, answers[*int](t, nil))
	require.Equal(t, malformed, answers[map[string]int](t, nil))
	require.Equal(t, malformed, answers[func()](t, nil))
	require.Equal(t, malformed, answers[chan int](t, nil))
	require.Equal(t, malformed, answers[any](t, nil))
	require.Equal(t, malformed, answers[answerer](t, nil))
	require.Equal(t, malformed, answers[answerer](t, (*textAnswer)(nil)), "a nil pointer in an interface")

	require.Zero(t, answers(t, new(int)))
	require.Zero(t, answers(t, map[string]int{}))
	require.Zero(t, answers(t, func() {}))
	require.Zero(t, answers(t, make(chan int)))
	require.Zero(t, answers[any](t, "text"))
	require.Zero(t, answers[any](t, 0))
	require.Zero(t, answers[any](t, struct{}{}))
	require.Zero(t, answers[any](t, []byte(nil)), "a slice may be empty")
	require.Zero(t, answers[answerer](t, textAnswer("")))
	require.Zero(t, answers[[]float64](t, nil))
	require.Zero(t, answers(t, ""))
	require.Zero(t, answers(t, math.NaN()))
}

func TestAdapt(t *testing.T) {
	type preq struct{ text string }
	type presp struct{ text string }
	var inErr, callErr, outErr error
	var model *resilience.Model
	adapted := resilience.Adapt(
		func(_ context.Context, req preq) (presp, error) { return presp{req.text + "!"}, callErr },
		func(ctx context.Context, m *resilience.Model, req string) (preq, error) {
			model = m
			return preq{"<" + req + ">"}, inErr
		},
		func(r presp) (string, error) { return r.text + "?", outErr })

	answer, err := adapted.Call(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, "<x>!?", answer)
	require.Nil(t, model, "outside of a pool")

	c := newClient(t, newPool(t), resilience.Bind("a", adapted))
	_, err = c.Call(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, "a", model.ID())

	filtered := fmt.Errorf("%w: x", resilience.Filtered)
	for _, step := range []struct {
		in, call, out error
		want          resilience.Kind
	}{
		{errBroken, nil, nil, resilience.Invalid},
		{filtered, nil, nil, resilience.Filtered},
		{nil, nil, errBroken, resilience.Malformed},
		{nil, nil, filtered, resilience.Filtered},
		{nil, resilience.Overloaded, errors.New("not reached"), resilience.Overloaded},
	} {
		inErr, callErr, outErr = step.in, step.call, step.out
		for _, call := range []ask{adapted, c.Call} {
			_, err = call(t.Context(), "x")
			require.Equal(t, step.want, resilience.KindOf(err))
		}
	}
}

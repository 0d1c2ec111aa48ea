package stack_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
	"github.com/cmmv-hive/resilience/stack"
)

var by = resilience.Control{Actor: "test", Reason: "a test"}

type (
	ask    = resilience.Func[string, string]
	option = resilience.ClientOption[string, string]
)

func newPool(t *testing.T, features ...resilience.Feature) *resilience.Pool {
	t.Helper()
	p, err := resilience.NewPool(features...)
	require.NoError(t, err)
	return p
}

func newClient(t *testing.T, p *resilience.Pool, asks map[string]ask) *resilience.Client[string, string] {
	t.Helper()
	var opts []option
	for _, m := range p.Models() {
		opts = append(opts, resilience.BindFunc(m.ID(), asks[m.ID()]))
	}
	c, err := resilience.NewClient(p, opts...)
	require.NoError(t, err)
	return c
}

func says(text string) ask {
	return func(context.Context, string) (string, error) { return text, nil }
}

func fails(err error) ask {
	return func(context.Context, string) (string, error) { return "", err }
}

func TestPlaces(t *testing.T) {
	p := newPool(t, stack.New(stack.Config{}), resilience.Models(resilience.ModelInfo{ID: "a"}))
	var places []string
	for _, line := range p.Stack() {
		var layer, name string
		_, _ = fmt.Sscan(line, &layer, &name)
		places = append(places, layer+" "+name)
	}
	require.Equal(t, []string{"route fallback", "route balance", "retry retry", "limit limiter", "breaker breaker", "timeout timeouts"}, places)
}

func TestOnesOwnTakesThePlace(t *testing.T) {
	down := fails(resilience.Overloaded)
	for name, features := range map[string][]resilience.Feature{
		"after":  {stack.New(stack.Config{}), breaker.New(breaker.Config{Consecutive: 1})},
		"before": {breaker.New(breaker.Config{Consecutive: 1}), stack.New(stack.Config{})},
	} {
		p := newPool(t, append(features, resilience.Models(resilience.ModelInfo{ID: "a"}))...)
		_, _, err := newClient(t, p, map[string]ask{"a": down}).Do(t.Context(), "", resilience.CallOptions{Attempts: -1})
		require.ErrorIs(t, err, resilience.Overloaded)
		require.False(t, p.Model("a").Available(), name)
	}
	_, err := resilience.NewPool(stack.New(stack.Config{}), breaker.New(breaker.Config{}), breaker.New(breaker.Config{}))
	require.ErrorContains(t, err, "breaker: two features own this section")
	c := stack.Wrap(stack.Config{}, resilience.FuncOf(down))
	require.Panics(t, func() { retry.Wrap(c, retry.Config{}) }, "it has one already")
}

func TestObserveOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, stack.New(stack.Config{ObserveOnly: true}), resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}))
		asked := 0
		down := func(context.Context, string) (string, error) { asked++; return "", resilience.Overloaded }
		c := newClient(t, p, map[string]ask{"a": down, "b": down})
		for range 50 {
			_, err := c.Call(t.Context(), "")
			require.ErrorIs(t, err, resilience.Overloaded)
		}
		require.Equal(t, 50, asked)
		require.True(t, p.Model("a").Available())
	})
}

// TestBadConfiguration is of files as people write them: all that is wrong is
// said, and nothing of it takes effect.
func TestBadConfiguration(t *testing.T) {
	p := newPool(t, stack.New(stack.Config{}), resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}))
	c := newClient(t, p, map[string]ask{"a": says("fine"), "b": says("fine")})
	before := p.Stack()
	for _, bad := range []struct {
		file  string
		paths []string
	}{
		{`{
			"models": [{"id": "a", "weight": -1}, {"id": "a"}, {"id": "b", "limits": {"concurrency": -3}}],
			"fallback": {"strategy": "paralel", "standIns": {"a": ["b", "a"], "c": ["a"]}},
			"balance": {"algorithm": "round-robin"},
			"limiter": {"inFlight": 4, "tenant": 9},
			"retry": {"atempts": 3},
			"breaker": {"openFor": "10m", "maxOpenFor": "5m"},
			"timeouts": {"call": 0}
		}`, []string{
			"models[0].weight: ", "models[1].id: ", "models[2].limits: ",
			"fallback.strategy: ", "fallback.standIns.a[1]: ", "fallback.standIns.c: ",
			"balance.algorithm: ", "limiter.tenant: ", "retry.atempts: ", "breaker.openFor: ", "timeouts.call: ",
		}},
		{`{"models": []}`, []string{"models: is empty"}},
		{`{"models": [{"id": "z"}]}`, []string{"models: leave a client without a model"}},
	} {
		err := p.Reload(t.Context(), []byte(bad.file), by)
		for _, path := range bad.paths {
			require.ErrorContains(t, err, path)
		}
		require.Equal(t, before, p.Stack())
		answer, err := c.Call(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "fine", answer)
	}
	require.EqualValues(t, 1, p.Generation())

	_, err := resilience.NewPool(stack.New(stack.Config{
		Fallback: fallback.Config{Strategy: "sideways"}, Balance: balance.Config{Algorithm: "best"}, Retry: retry.Config{Multiplier: 0.5},
	}))
	for _, path := range []string{"fallback.strategy: ", "balance.algorithm: ", "retry.multiplier: "} {
		require.ErrorContains(t, err, path)
	}
}

// What a reload says of models holds for the next call, and what is known about
// them stays.
func TestReloadWhileCallsRun(t *testing.T) {
	for name, c := range map[string]struct {
		config stack.Config
		file   string
		opts   resilience.CallOptions
	}{
		"tier":   {stack.Config{}, `{"models": [{"id": "a", "tier": 1}, {"id": "b"}]}`, resilience.CallOptions{}},
		"price":  {stack.Config{Balance: balance.Config{Algorithm: balance.Cheapest}}, `{"models": [{"id": "a", "price": {"input": 9, "cachedInput": 9, "cacheWrite": 9, "output": 9}}, {"id": "b", "price": {"input": 1, "cachedInput": 1, "cacheWrite": 1, "output": 1}}]}`, resilience.CallOptions{}},
		"region": {stack.Config{Balance: balance.Config{Algorithm: balance.Regional}}, `{"models": [{"id": "a", "region": "us"}, {"id": "b", "region": "eu"}]}`, resilience.CallOptions{Region: "eu"}},
		"require": {stack.Config{}, `{"models": [{"id": "a"}, {"id": "b", "capabilities": ["vision"]}]}`,
			resilience.CallOptions{Require: []string{"vision"}}},
		"name":     {stack.Config{}, `{"models": [{"id": "a"}, {"id": "b", "name": "gpt"}]}`, resilience.CallOptions{Model: "gpt"}},
		"strategy": {stack.Config{}, `{"models": [{"id": "a", "tier": 2}, {"id": "b", "tier": 1}], "fallback": {"strategy": "sequential"}}`, resilience.CallOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, stack.New(c.config), resilience.Models(resilience.ModelInfo{ID: "a"}, resilience.ModelInfo{ID: "b"}))
			client := newClient(t, p, map[string]ask{"a": says("a"), "b": says("b")})
			stop, stopped := make(chan struct{}), make(chan error)
			go func() {
				for {
					select {
					case <-stop:
						stopped <- nil
						return
					default:
						if _, err := client.Call(context.Background(), ""); err != nil {
							stopped <- err
							return
						}
					}
				}
			}()
			m := p.Model("b")
			require.NoError(t, p.Reload(t.Context(), []byte(c.file), by))
			require.Same(t, m, p.Model("b"))
			for range 20 {
				answer, _, err := client.Do(t.Context(), "", c.opts)
				require.NoError(t, err)
				require.Equal(t, "b", answer)
			}
			close(stop)
			require.NoError(t, <-stopped)
		})
	}
}

// A limit that a reload lowers is kept at once, by those who come.
func TestReloadOfLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, stack.New(stack.Config{Limiter: balance.LimiterConfig{Wait: -1}}), resilience.Models(
			resilience.ModelInfo{ID: "a", Limits: resilience.Limits{Concurrency: 8}}))
		c := newClient(t, p, map[string]ask{"a": func(context.Context, string) (string, error) { time.Sleep(time.Second); return "", nil }})
		admitted := func() (n int) {
			results := make(chan error)
			for range 20 {
				go func() { _, err := c.Call(t.Context(), ""); results <- err }()
			}
			for range 20 {
				if <-results == nil {
					n++
				}
			}
			return n
		}
		require.Equal(t, 8, admitted())
		require.NoError(t, p.Reload(t.Context(), []byte(`{"models": [{"id": "a", "limits": {"concurrency": 3}}]}`), by))
		require.Equal(t, 3, admitted())
	})
}

package retry

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

// send makes calls that fail with probability p each time they are tried, and
// returns the attempts and the successes a call. No time passes.
func send(t *testing.T, cfg Config, calls int, p float64) (load, success float64) {
	t.Helper()
	cfg.Base = -1
	dice := newDice(7)
	synctest.Test(t, func(t *testing.T) {
		policy := New(cfg)
		policy.random = dice.below1
		for range calls {
			_, err := Do(t.Context(), policy, func(context.Context) (int, error) {
				load++
				if dice.below1() < p {
					return 0, &resilience.Error{Kind: resilience.Overloaded}
				}
				return 0, nil
			})
			if err == nil {
				success++
			}
		}
	})
	return load / float64(calls), success / float64(calls)
}

func TestPublishedRetryArithmetic(t *testing.T) {
	for _, tt := range []struct{ p, load float64 }{{.1, 1.111}, {.3, 1.417}, {.5, 1.875}, {.9, 3.439}, {1, 4}} {
		load, _ := send(t, Config{Attempts: 4, Budget: -1}, 50_000, tt.p)
		t.Logf("published: attempts a call of 4 without a budget, p = %.1f: measured %.3f, reference %.3f, target ±1 %%", tt.p, load, tt.load)
		require.InEpsilon(t, tt.load, load, 0.01)
	}
	for _, tt := range []struct{ p, success, load float64 }{
		{.05, 1.0, 1.053}, {.1, .989, 1.099}, {.2, .870, 1.087}, {.3, .753, 1.075}, {.5, .526, 1.053}, {.9, .101, 1.010}, {1, 0, 1.000},
	} {
		load, success := send(t, Config{Attempts: 4, Budget: 0.1}, 50_000, tt.p)
		t.Logf("published: success and load at 0.1 a success, p = %.2f: measured %.3f, %.3f, reference %.3f, %.3f, target ±0.01", tt.p, success, load, tt.success, tt.load)
		require.InDelta(t, tt.load, load, 0.01)
		require.InDelta(t, tt.success, success, 0.01)
	}
	load, _ := send(t, Config{Attempts: 3}, 1000, 1)
	t.Logf("published: attempts a call when 1000 all fail: measured %.2f, reference AWS 1.10, SRE 1.1, target ≤ 1.1", load)
	require.Equal(t, 1+burst/1000.0, load)

	for _, tt := range []struct{ layers, attempts, naive int }{{3, 4, 64}, {5, 3, 243}} {
		n := nested(t, tt.layers, Config{Attempts: tt.attempts, Base: -1})
		t.Logf("published: attempts through %d layers of %d: measured %d, reference %d, target %d", tt.layers, tt.attempts, n, tt.naive, tt.attempts)
		require.Equal(t, tt.attempts, n)
	}
}

// nested sends one call, that always fails, through layers that are each a
// pool of their own, and returns the attempts.
func nested(t *testing.T, layers int, cfg Config) (attempts int) {
	t.Helper()
	var caller resilience.ModelCaller[string, string] = resilience.FuncOf(func(context.Context, string) (string, error) {
		attempts++
		return "", failed(resilience.Overloaded)
	})
	for i := range layers {
		pool, err := resilience.NewPool(New(cfg))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.Bind(string(rune('a'+i)), caller))
		require.NoError(t, err)
		caller = client
	}
	_, err := caller.Call(t.Context(), "")
	require.ErrorIs(t, err, resilience.Overloaded)
	return attempts
}

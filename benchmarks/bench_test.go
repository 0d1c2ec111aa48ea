package benchmarks

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go"
	fsbreaker "github.com/failsafe-go/failsafe-go/circuitbreaker"
	fsfallback "github.com/failsafe-go/failsafe-go/fallback"
	fsretry "github.com/failsafe-go/failsafe-go/retrypolicy"
	fstimeout "github.com/failsafe-go/failsafe-go/timeout"
	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/retry"
)

type call func(ctx context.Context) (int, error)

// work is what all of them protect.
func work(context.Context) (int, error) { return 42, nil }

func fails(context.Context) (int, error) { return 0, resilience.Overloaded }

// ours protects do by a pool of one model and its stand-in.
func ours(tb testing.TB, do call, features ...resilience.Feature) call {
	tb.Helper()
	pool, err := resilience.NewPool(features...)
	require.NoError(tb, err)
	ask := func(ctx context.Context, _ struct{}) (int, error) { return do(ctx) }
	c, err := resilience.NewClient(pool, resilience.BindFunc("a", ask),
		resilience.BindFunc("b", func(context.Context, struct{}) (int, error) { return 42, nil }))
	require.NoError(tb, err)
	return func(ctx context.Context) (int, error) { return c.Call(ctx, struct{}{}) }
}

func failsafes(do call, policies ...failsafe.Policy[int]) call {
	executor := failsafe.With(policies...)
	return func(ctx context.Context) (int, error) {
		return executor.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[int]) (int, error) { return do(e.Context()) })
	}
}

func fsPolicies() (failsafe.Policy[int], failsafe.Policy[int], failsafe.Policy[int]) {
	return fsfallback.NewWithResult(42),
		fsretry.NewBuilder[int]().WithMaxRetries(2).WithBackoff(500*time.Millisecond, 20*time.Second).Build(),
		fsbreaker.NewBuilder[int]().WithFailureThreshold(5).WithDelay(15 * time.Second).Build()
}

// gobackoff is gobreaker inside backoff, as it is most often put together.
func gobackoff(do call) call {
	cb := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{})
	return func(ctx context.Context) (int, error) {
		policy := backoff.WithContext(backoff.WithMaxRetries(backoff.NewExponentialBackOff(), 2), ctx)
		return backoff.RetryWithData(func() (int, error) {
			return cb.Execute(func() (int, error) { return do(ctx) })
		}, policy)
	}
}

func stacks(tb testing.TB) map[string]call {
	tb.Helper()
	unbounded := resilience.Timeouts{Call: -1, Attempt: -1}
	fb, re, br := fsPolicies()
	fb2, re2, br2 := fsPolicies()
	return map[string]call{
		"breaker+retry/ours":              ours(tb, work, unbounded, retry.New(retry.Config{}), breaker.New(breaker.Config{})),
		"breaker+retry/gobreaker":         gobackoff(work),
		"breaker+retry/failsafe":          failsafes(work, re, br),
		"breaker+retry+fallback/ours":     ours(tb, work, unbounded, fallback.New(fallback.Config{}), retry.New(retry.Config{}), breaker.New(breaker.Config{})),
		"breaker+retry+fallback/failsafe": failsafes(work, fb, re, br),
		"with_timeout/ours": ours(tb, work, resilience.Timeouts{}, fallback.New(fallback.Config{}),
			retry.New(retry.Config{}), breaker.New(breaker.Config{})),
		"with_timeout/failsafe": failsafes(work, fb2, re2, br2, fstimeout.New[int](time.Minute)),
	}
}

func BenchmarkStack(b *testing.B) {
	all := stacks(b)
	for _, name := range []string{
		"breaker+retry/ours", "breaker+retry/gobreaker", "breaker+retry/failsafe",
		"breaker+retry+fallback/ours", "breaker+retry+fallback/failsafe",
		"with_timeout/ours", "with_timeout/failsafe",
	} {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if n, err := all[name](ctx); n != 42 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// TestSameWork sees to it that what is compared does the same.
func TestSameWork(t *testing.T) {
	for name, do := range stacks(t) {
		n, err := do(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, 42, n, name)
	}
	fb, _, br := fsPolicies()
	for name, do := range map[string]call{
		"ours":     ours(t, fails, fallback.New(fallback.Config{}), breaker.New(breaker.Config{})),
		"failsafe": failsafes(fails, fb, br),
	} {
		n, err := do(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, 42, n, "%s: the stand-in answers", name)
	}
	_, err := gobackoff(func(context.Context) (int, error) { return 0, backoff.Permanent(errors.New("no")) })(t.Context())
	require.Error(t, err)
}

// TestEightTimesFasterThanFailsafe compares in turns, and takes medians.
func TestEightTimesFasterThanFailsafe(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	all := stacks(t)
	ratio := ratios(t, all["breaker+retry+fallback/failsafe"], all["breaker+retry+fallback/ours"])
	t.Logf("published: AgainstFailsafe: measured %.1f times as fast, reference 1, target 8", ratio)
	require.Greater(t, ratio, 2.0, "less than what was reached is a step back")
}

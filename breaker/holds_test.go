package breaker_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

// limited is a 429 as a client returns it.
type limited struct {
	StatusCode int
	Header     http.Header
}

func (*limited) Error() string { return "limited" }

func heldBy(m *resilience.Model) (by []string, longest time.Duration) {
	for _, h := range m.Holds() {
		by = append(by, h.By.String())
		longest = max(longest, time.Until(h.Until))
	}
	return by, longest
}

func TestHoldsDoubleUntilTheModelAnswers(t *testing.T) {
	for kind, by := range map[resilience.Kind]string{
		resilience.Unauthorized: "credential", resilience.QuotaSpent: "quota", resilience.NotFound: "health",
	} {
		virtual(t, kind.String(), func(b *bench) {
			b.with(breaker.Config{OpenFor: 10 * time.Second, MaxOpenFor: time.Minute})
			for _, want := range []time.Duration{10, 20, 40, 80, 160, 300, 300} { // outages are probed sooner
				require.ErrorIs(b, b.call(answer(kind)), kind)
				who, longest := heldBy(b.model)
				require.Equal(b, []string{by}, who)
				require.Equal(b, want*time.Second, longest)
				asked := b.asked
				require.ErrorIs(b, b.call(answer(nil)), resilience.Rejected)
				require.Equal(b, asked, b.asked, "a held model is not asked")
				time.Sleep(longest)
			}
			require.NoError(b, b.call(answer(nil)))
			require.ErrorIs(b, b.call(answer(kind)), kind)
			_, longest := heldBy(b.model)
			require.Equal(b, 10*time.Second, longest, "an answer begins it anew")
			b.is(breaker.Closed)
		})
	}
}

func TestLimits(t *testing.T) {
	virtual(t, "until the reset", func(b *bench) {
		b.with(breaker.Config{})
		err := &limited{429, http.Header{"Retry-After": {"42"}}}
		require.ErrorIs(b, b.call(answer(err)), resilience.RateLimited)
		who, longest := heldBy(b.model)
		require.Equal(b, []string{"limit"}, who)
		require.Equal(b, 42*time.Second, longest)
	})
	virtual(t, "for a moment that doubles, if nobody says", func(b *bench) {
		b.with(breaker.Config{})
		for _, want := range []time.Duration{1, 2, 4, 8} {
			require.ErrorIs(b, b.call(answer(resilience.RateLimited)), resilience.RateLimited)
			_, longest := heldBy(b.model)
			require.Equal(b, want*time.Second, longest)
			time.Sleep(longest)
		}
		require.NoError(b, b.call(answer(nil)))
		_ = b.call(answer(resilience.RateLimited))
		_, longest := heldBy(b.model)
		require.Equal(b, time.Second, longest)
	})
	virtual(t, "a short one is waited for where there is no other model", func(b *bench) {
		b.with(breaker.Config{})
		_ = b.call(answer(resilience.RateLimited))
		start := time.Now()
		require.NoError(b, b.call(answer(nil)))
		require.GreaterOrEqual(b, time.Since(start), time.Second)
		require.LessOrEqual(b, time.Since(start), 1250*time.Millisecond)
	})
}

// Calls under way together are one piece of news.
func TestHoldsCountOnce(t *testing.T) {
	virtual(t, "fifty refused at once", func(b *bench) {
		b.with(breaker.Config{})
		b.together(50, func(context.Context) error { time.Sleep(time.Second); return resilience.Unauthorized })
		_, longest := heldBy(b.model)
		require.Equal(b, 15*time.Second, longest)
	})
	virtual(t, "an answer that is older than the hold does not lift it", func(b *bench) {
		b.with(breaker.Config{})
		first := true
		var mu sync.Mutex
		b.together(2, func(context.Context) error {
			mu.Lock()
			quick := first
			first = false
			mu.Unlock()
			if quick {
				time.Sleep(time.Second)
				return resilience.Unauthorized
			}
			time.Sleep(2 * time.Second)
			return nil
		})
		who, _ := heldBy(b.model)
		require.Equal(b, []string{"credential"}, who)
	})
}

func TestHoldsAreForgotten(t *testing.T) {
	virtual(t, "by Reset", func(b *bench) {
		b.with(breaker.Config{})
		_ = b.call(answer(resilience.NotFound))
		by := resilience.Control{Actor: "ana", Reason: "the model is back"}
		require.NoError(b, b.pool.Reset(b.Context(), b.model, by))
		require.True(b, b.model.Available())
		_ = b.call(answer(resilience.NotFound))
		_, longest := heldBy(b.model)
		require.Equal(b, 15*time.Second, longest)
	})
	virtual(t, "and never set by one that only observes", func(b *bench) {
		b.with(breaker.Config{ObserveOnly: true})
		sub := b.pool.Subscribe(10, resilience.EventHold)
		defer sub.Close()
		for range 10 {
			require.ErrorIs(b, b.call(answer(resilience.QuotaSpent)), resilience.QuotaSpent)
		}
		require.True(b, b.model.Available())
		require.Len(b, sub.C, 1, "told once, as it would have held")
		e := <-sub.C
		require.True(b, e.Would)
		require.Equal(b, "quota", e.To)
	})
}

// together makes n calls at once and waits for them.
func (b *bench) together(n int, do func(context.Context) error) {
	client, err := resilience.NewClient(b.pool, resilience.BindFunc("m", func(ctx context.Context, _ string) (string, error) {
		return "", do(ctx)
	}))
	require.NoError(b, err)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { _, _ = client.Call(b.Context(), "") })
	}
	wg.Wait()
}

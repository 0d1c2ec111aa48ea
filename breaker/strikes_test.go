package breaker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

// held returns for how long who holds the model, zero if nobody does.
func (b *bench) held(by resilience.HoldBy) time.Duration {
	for _, h := range b.model.Holds() {
		if h.By == by {
			return time.Until(h.Until)
		}
	}
	return 0
}

// refuse makes the model fail with err as soon as it is asked again, and
// returns for how long it is held then.
func (b *bench) refuse(err error) time.Duration {
	b.Helper()
	by := resilience.KindOf(err).Hold()
	time.Sleep(b.held(by))
	require.ErrorIs(b, b.call(answer(err)), resilience.KindOf(err))
	return b.held(by)
}

func TestHoldsByKind(t *testing.T) {
	for _, kind := range kinds {
		virtual(t, kind.String(), func(b *bench) {
			b.with(breaker.Config{})
			_ = b.call(answer(kind))
			want := 15 * time.Second
			switch kind.Hold() {
			case 0:
				want = 0
			case resilience.HoldLimit:
				want = time.Second
			}
			require.Equal(b, want, b.held(kind.Hold()))
			require.Equal(b, want == 0, b.model.Available())
			b.is(breaker.Closed)
		})
	}
}

func TestProviderNamesTheEnd(t *testing.T) {
	told := func(kind resilience.Kind, d time.Duration) error { return &resilience.Error{Kind: kind, RetryAfter: d} }
	virtual(t, "of a limit, and is believed", func(b *bench) {
		b.with(breaker.Config{})
		for _, d := range []time.Duration{20 * time.Second, 10 * time.Minute, 7 * time.Second} {
			require.Equal(b, d, b.refuse(told(resilience.RateLimited, d)))
		}
		require.Equal(b, time.Second, b.refuse(resilience.RateLimited), "they are no strikes")
	})
	virtual(t, "of anything else, and gets no less", func(b *bench) {
		b.with(breaker.Config{})
		require.Equal(b, time.Hour, b.refuse(told(resilience.QuotaSpent, time.Hour)))
		require.Equal(b, 30*time.Second, b.refuse(told(resilience.QuotaSpent, time.Second)))
	})
}

func TestStrikes(t *testing.T) {
	virtual(t, "other failures do not end the row", func(b *bench) {
		b.with(breaker.Config{})
		b.refuse(resilience.NotFound)
		time.Sleep(15 * time.Second)
		b.fail(1, resilience.Unreachable)
		require.Equal(b, 30*time.Second, b.refuse(resilience.NotFound))
	})
	virtual(t, "nor does a refusal of another kind", func(b *bench) {
		b.with(breaker.Config{})
		b.refuse(resilience.NotFound)
		time.Sleep(15 * time.Second)
		require.Equal(b, 30*time.Second, b.refuse(resilience.Unauthorized))
	})
	virtual(t, "one that set out before the last one is none", func(b *bench) {
		b.with(breaker.Config{})
		end := b.overlapping(2)
		end(resilience.NotFound)
		time.Sleep(20 * time.Second)
		end(resilience.NotFound)
		require.Zero(b, b.held(resilience.HoldHealth))
		require.Equal(b, 30*time.Second, b.refuse(resilience.NotFound))
	})
	virtual(t, "the first after an answer counts at once", func(b *bench) {
		b.with(breaker.Config{}, lastResort())
		b.refuse(resilience.NotFound)
		require.NoError(b, b.call(answer(nil)))
		require.Zero(b, b.held(resilience.HoldHealth))
		require.ErrorIs(b, b.call(answer(resilience.NotFound)), resilience.NotFound)
		require.Equal(b, 15*time.Second, b.held(resilience.HoldHealth))
	})
	virtual(t, "an answer lifts what they set, and nothing else", func(b *bench) {
		b.with(breaker.Config{}, lastResort())
		other := resilience.Hold{By: resilience.HoldCredential, Until: time.Now().Add(time.Hour)}
		b.refuse(resilience.Unauthorized)
		require.NoError(b, b.call(answer(nil)))
		require.Empty(b, b.model.Holds())
		b.model.Hold(b.Context(), other)
		require.ErrorIs(b, b.call(answer(resilience.NotFound)), resilience.NotFound)
		require.NoError(b, b.call(answer(nil)))
		require.Zero(b, b.held(resilience.HoldHealth))
		require.Equal(b, time.Hour, b.held(resilience.HoldCredential))
	})
	virtual(t, "an answer to a caller's own key lifts nothing", func(b *bench) {
		b.with(breaker.Config{})
		b.refuse(resilience.Unauthorized)
		b.do = answer(nil)
		_, _, err := b.client.Do(b.Context(), "", resilience.CallOptions{Key: "acme"})
		require.NoError(b, err)
		require.Equal(b, 15*time.Second, b.held(resilience.HoldCredential))
		require.Equal(b, 30*time.Second, b.refuse(resilience.Unauthorized), "nor does it end the row")
	})
	virtual(t, "a refusal by a layer further in is none", func(b *bench) {
		b.with(breaker.Config{}, layer(answer(resilience.Unauthorized)))
		require.ErrorIs(b, b.call(nil), resilience.Unauthorized)
		require.True(b, b.model.Available())
		b.with(breaker.Config{}, layer(answer(resilience.Invalid)))
		for range 10 {
			require.ErrorIs(b, b.call(nil), resilience.Invalid)
		}
		b.is(breaker.Closed)
	})
}

// overlapping starts n calls, and returns a function that ends the next one.
func (b *bench) overlapping(n int) (end func(error)) {
	outcomes, ended := make(chan error), make(chan struct{})
	client, err := resilience.NewClient(b.pool, resilience.BindFunc("m", func(context.Context, string) (string, error) {
		return "", <-outcomes
	}))
	require.NoError(b, err)
	for range n {
		go func() {
			_, _ = client.Call(b.Context(), "")
			ended <- struct{}{}
		}()
	}
	time.Sleep(1)
	return func(err error) {
		outcomes <- err
		<-ended
	}
}

package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

var ops = resilience.Control{Actor: "ops", Reason: "provider maintenance"}

func until(d time.Duration) resilience.Control {
	by := ops
	by.Until = time.Now().Add(d)
	return by
}

func TestOpenByHand(t *testing.T) {
	virtual(t, "until a time", func(b *bench) {
		b.with(breaker.Config{})
		require.NoError(b, b.Open(b.Context(), b.model, until(time.Hour)))
		b.is(breaker.Open)
		require.Equal(b, time.Hour, time.Until(b.hold().Until))
		require.Equal(b, "ops: provider maintenance", b.hold().Reason)
		time.Sleep(time.Hour - 1)
		err := b.call(answer(nil))
		require.ErrorIs(b, err, resilience.Rejected)
		time.Sleep(1)
		b.is(breaker.HalfOpen)
		require.NoError(b, b.call(answer(nil)))
		b.is(breaker.HalfOpen)
		require.NoError(b, b.call(answer(nil)))
		b.is(breaker.Closed)
	})
	virtual(t, "for less than it would be open", func(b *bench) {
		b.with(breaker.Config{})
		b.trip()
		require.NoError(b, b.Open(b.Context(), b.model, until(time.Second)))
		require.Equal(b, time.Second, time.Until(b.hold().Until))
		time.Sleep(time.Second)
		require.NoError(b, b.call(answer(nil)))
	})
	virtual(t, "after it was isolated", func(b *bench) {
		b.with(breaker.Config{})
		require.NoError(b, b.Isolate(b.Context(), b.model, ops))
		require.NoError(b, b.Open(b.Context(), b.model, until(time.Second)))
		require.Equal(b, time.Second, time.Until(b.hold().Until))
		b.is(breaker.Open)
	})
}

func TestIsolate(t *testing.T) {
	virtual(t, "until Close", func(b *bench) {
		b.with(breaker.Config{})
		require.NoError(b, b.Isolate(b.Context(), b.model, ops))
		require.True(b, b.hold().Until.IsZero())
		time.Sleep(24 * 365 * time.Hour)
		b.is(breaker.Isolated)
		require.ErrorIs(b, b.call(answer(nil)), resilience.Rejected)
		require.NoError(b, b.Close(b.Context(), b.model, ops))
		require.Empty(b, b.model.Holds())
		require.NoError(b, b.call(answer(nil)))
		b.is(breaker.Closed)
		require.Equal(b, []string{
			"closed → isolated, ops: provider maintenance", "isolated → closed, ops: provider maintenance",
		}, b.events())
	})
	virtual(t, "calls under way go on, uncounted", func(b *bench) {
		b.with(breaker.Config{Consecutive: 1})
		require.ErrorIs(b, b.call(func(ctx context.Context) error {
			require.NoError(b, b.Isolate(ctx, b.model, ops))
			require.NoError(b, b.Close(ctx, b.model, ops))
			return resilience.Unreachable
		}), resilience.Unreachable)
		b.is(breaker.Closed)
	})
}

func TestControlsAreAudited(t *testing.T) {
	type order struct {
		what string
		do   func(b *bench, by resilience.Control) error
		by   func() resilience.Control
		to   breaker.State
	}
	orders := []order{
		{"breaker.open", func(b *bench, by resilience.Control) error { return b.Open(b.Context(), b.model, by) },
			func() resilience.Control { return until(time.Minute) }, breaker.Open},
		{"breaker.isolate", func(b *bench, by resilience.Control) error { return b.Isolate(b.Context(), b.model, by) },
			func() resilience.Control { return ops }, breaker.Isolated},
		{"breaker.close", func(b *bench, by resilience.Control) error { return b.Close(b.Context(), b.model, by) },
			func() resilience.Control { return ops }, breaker.Closed},
	}
	refused := errors.New("not today")
	for _, o := range orders {
		virtual(t, o.what, func(b *bench) {
			var seen []resilience.Change
			var verdict error
			b.with(breaker.Config{}, resilience.Audit(func(_ context.Context, c resilience.Change) error {
				require.NotEqual(b, o.to, b.State(b.model), "the audit comes first")
				seen = append(seen, c)
				return verdict
			}))
			if o.to == breaker.Closed {
				b.trip()
			}
			from := b.State(b.model)

			verdict = refused
			require.ErrorIs(b, o.do(b, o.by()), refused)
			b.is(from)
			verdict = nil
			for _, lacking := range []resilience.Control{{Reason: "why"}, {Actor: "who"}} {
				lacking.Until = o.by().Until
				require.Error(b, o.do(b, lacking))
				b.is(from)
			}
			require.NoError(b, o.do(b, o.by()))
			b.is(o.to)
			require.Len(b, seen, 2)
			c := seen[1]
			require.Equal(b, []string{o.what, from.String(), o.to.String(), "ops"}, []string{c.What, c.From, c.To, c.Actor})
			require.Same(b, b.model, c.Model)
		})
	}
}

func TestControlsThatMakeNoSense(t *testing.T) {
	virtual(t, "are refused", func(b *bench) {
		b.with(breaker.Config{})
		for name, err := range map[string]error{
			"open without end":    b.Open(b.Context(), b.model, ops),
			"open until now":      b.Open(b.Context(), b.model, until(0)),
			"isolate with an end": b.Isolate(b.Context(), b.model, until(time.Hour)),
			"no model":            b.Close(b.Context(), nil, ops),
			"not installed":       breaker.New(breaker.Config{}).Close(b.Context(), b.model, ops),
		} {
			var problem *resilience.ConfigError
			require.ErrorAs(b, err, &problem, name)
		}
		b.is(breaker.Closed)
		require.Equal(b, breaker.Closed, breaker.New(breaker.Config{}).State(b.model))
	})
}

package breaker_test

import (
	"context"
	"io"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/breaker"
)

// begin returns a stream that has begun, the first chunk after so long, and a
// function that reads it to its end, an error or none.
func (b *bench) begin(after time.Duration, end error) (read func()) {
	b.Helper()
	client, err := resilience.NewClient(b.pool, resilience.BindStream("m", func(context.Context, string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			time.Sleep(after)
			if yield("first", nil) && end != nil {
				yield("", end)
			}
		}
	}))
	require.NoError(b, err)
	stream, err := client.Call(b.Context(), "")
	require.NoError(b, err)
	return func() {
		b.Helper()
		var last error
		for _, err := range stream.All() {
			last = err
		}
		require.ErrorIs(b, last, end)
	}
}

func TestStreams(t *testing.T) {
	virtual(t, "that break open the breaker", func(b *bench) {
		b.with(breaker.Config{})
		for range 5 {
			read := b.begin(0, io.ErrUnexpectedEOF)
			b.is(breaker.Closed)
			read()
		}
		b.is(breaker.Open)
	})
	virtual(t, "are no success while they go on", func(b *bench) {
		b.with(breaker.Config{})
		b.fail(4, resilience.Unreachable)
		read := b.begin(0, nil)
		b.fail(1, resilience.Unreachable)
		b.is(breaker.Open)
		read()
		b.is(breaker.Open)
	})
	virtual(t, "that are whole part a row of failures", func(b *bench) {
		b.with(breaker.Config{})
		b.fail(4, resilience.Unreachable)
		b.begin(0, nil)()
		b.fail(4, resilience.Unreachable)
		b.is(breaker.Closed)
	})
	virtual(t, "settle a probe at the first chunk, whatever comes then", func(b *bench) {
		b.with(breaker.Config{Probes: 1, Consecutive: 1})
		b.fail(1, resilience.Unreachable)
		time.Sleep(time.Until(b.hold().Until))
		read := b.begin(0, io.ErrUnexpectedEOF)
		b.is(breaker.Closed)
		read()
		b.is(breaker.Closed)
	})
	virtual(t, "are slow if their first chunk is", func(b *bench) {
		b.with(breaker.Config{SlowRate: 0.5, SlowAfter: time.Second, MinCalls: 4})
		for range 10 {
			b.begin(time.Second, nil)()
		}
		for range 9 {
			b.begin(time.Second+1, nil)()
		}
		b.is(breaker.Closed)
		b.begin(time.Second+1, nil)()
		b.is(breaker.Open)
		require.Equal(b, []string{"closed → open, 50% of 20 calls were slow"}, b.events())
	})
}

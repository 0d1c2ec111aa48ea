package resilience_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestDrainWaitsForOpenCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t)
		c := newClient(t, p, resilience.BindFunc("a", func(context.Context, string) (string, error) {
			time.Sleep(10 * time.Second)
			return "done", nil
		}))
		var answer string
		go func() { answer, _ = c.Call(t.Context(), "") }()
		synctest.Wait()
		require.Equal(t, int64(1), p.InFlight())
		require.False(t, p.Draining())

		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBroken)
		defer cancel()
		err := p.Drain(ctx)
		require.EqualError(t, err, "resilience: drain ended with 1 call open: broken")
		require.ErrorIs(t, err, errBroken)
		require.True(t, p.Draining(), "for good")

		_, rep, err := c.Do(t.Context(), "", resilience.CallOptions{})
		require.EqualError(t, err, "refused: the pool is draining")
		require.ErrorIs(t, err, resilience.Rejected)
		require.Empty(t, rep.Attempts)
		limit(t, p, "a", time.Hour)
		_, _, err = c.Do(t.Context(), "", resilience.CallOptions{})
		require.EqualError(t, err, "refused: the pool is draining", "whatever else is wrong")

		start := time.Now()
		require.NoError(t, p.Drain(t.Context()))
		require.Equal(t, 9*time.Second, time.Since(start))
		synctest.Wait()
		require.Equal(t, "done", answer)
		require.NoError(t, p.Drain(t.Context()), "more than once")
	})
}

func TestDrainWithoutCalls(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		p := newPool(t, models("a"))
		require.NoError(t, p.Drain(ctx), "there is nothing to wait for")
		require.NoError(t, p.Drain(t.Context()))
	}
}

func TestDrainUnderLoad(t *testing.T) {
	p := newPool(t)
	c := newClient(t, p, echo("a")...)
	refused := make(chan bool, 8)
	for range cap(refused) {
		go func() {
			for {
				if _, err := c.Call(t.Context(), ""); err != nil {
					refused <- true
					return
				}
			}
		}()
	}
	require.NoError(t, p.Drain(t.Context()))
	for range cap(refused) {
		<-refused
	}
	idle(t, p)
}

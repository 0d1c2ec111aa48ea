package resilience_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func probed(t *testing.T, fn func(ctx context.Context, m *resilience.Model) error, infos ...resilience.ModelInfo) *resilience.Pool {
	t.Helper()
	if len(infos) == 0 {
		infos = []resilience.ModelInfo{{ID: "a"}}
	}
	return newPool(t, resilience.Probe(fn), resilience.Models(infos...))
}

// What a probe finds is classified and kept; what nobody waited for is not.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fails error
		took, asked := 20*time.Millisecond, 0
		p := probed(t, func(ctx context.Context, _ *resilience.Model) error {
			asked++
			select {
			case <-time.After(took):
				return fails
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		m := p.Model("a")
		require.True(t, p.Probes())
		_, was := m.Probed()
		require.False(t, was)

		got := m.Probe(t.Context(), time.Second)
		require.NoError(t, got.Err)
		require.Equal(t, took, got.Took)
		require.Equal(t, p.Now(), got.At)

		fails = errors.New("503 the prompt was: secret")
		got = m.Probe(t.Context(), time.Second)
		require.ErrorIs(t, got.Err, resilience.Overloaded)
		require.EqualError(t, got.Err, "a: overloaded: probe failed")
		last, was := m.Probed()
		require.True(t, was)
		require.Equal(t, got, last)
		require.Equal(t, 1, last.Row)

		took = time.Minute
		got = m.Probe(t.Context(), time.Second)
		require.ErrorIs(t, got.Err, resilience.TimedOut)
		require.EqualError(t, got.Err, "a: timed_out: no answer to a probe within 1s")
		last, _ = m.Probed()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got = m.Probe(ctx, time.Minute)
		require.ErrorIs(t, got.Err, resilience.Canceled)
		still, _ := m.Probed()
		require.Equal(t, last, still, "it was left")
		before := asked
		require.ErrorIs(t, m.Probe(ctx, time.Minute).Err, resilience.Canceled)
		require.Equal(t, before, asked, "nobody waits for it")
		require.Zero(t, m.Stats(time.Minute).Calls, "a probe is no call")
	})
}

// Of one model there is one probe at a time, whoever asks; what it does wrong ends
// nothing but itself.
func TestProbesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, most, n atomic.Int64
		do := func(context.Context) error { return nil }
		p := probed(t, func(ctx context.Context, _ *resilience.Model) error {
			n.Add(1)
			most.Store(max(most.Load(), under.Add(1)))
			defer under.Add(-1)
			time.Sleep(time.Second)
			return do(ctx)
		})
		m := p.Model("a")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { require.NoError(t, m.Probe(t.Context(), time.Minute).Err) })
		}
		all.Wait()
		require.EqualValues(t, 1, most.Load())
		require.EqualValues(t, 1, n.Load())

		do = func(context.Context) error { panic("secret") }
		require.EqualError(t, m.Probe(t.Context(), time.Minute).Err, "a: unknown: probe failed")
		do = func(context.Context) error { runtime.Goexit(); return nil }
		all.Go(func() { m.Probe(t.Context(), time.Minute) })
		all.Wait()
		do = func(context.Context) error { return nil }
		require.NoError(t, m.Probe(t.Context(), time.Minute).Err)

		// Who waits for a probe that is left makes one.
		impatient, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		do = func(ctx context.Context) error { return ctx.Err() }
		before := n.Load()
		all.Go(func() { require.ErrorIs(t, m.Probe(impatient, time.Minute).Err, resilience.Canceled) })
		all.Go(func() {
			time.Sleep(100 * time.Millisecond)
			require.NoError(t, m.Probe(t.Context(), time.Minute).Err)
		})
		all.Wait()
		require.Equal(t, before+2, n.Load())
	})
}

// A probe has a key of the model's, and a pool without one says so.
func TestProbeNeeds(t *testing.T) {
	var key string
	p := probed(t, func(ctx context.Context, _ *resilience.Model) error {
		key = resilience.KeyFrom(ctx)
		return nil
	}, resilience.ModelInfo{ID: "a", Keys: []string{"one"}})
	require.NoError(t, p.Model("a").Probe(t.Context(), time.Second).Err)
	require.Equal(t, "one", key)

	p = newPool(t, resilience.Models(resilience.ModelInfo{ID: "a"}))
	require.False(t, p.Probes())
	require.EqualError(t, p.Model("a").Probe(t.Context(), time.Second).Err, "a: rejected: the pool has no probe")

	fine := func(context.Context, *resilience.Model) error { return nil }
	_, err := resilience.NewPool(resilience.Probe(nil))
	require.EqualError(t, err, "probe: the function is nil")
	_, err = resilience.NewPool(resilience.Probe(fine), resilience.Probe(fine))
	require.EqualError(t, err, "probe: is given twice; let one function serve all models")
}

package degrade_test

import (
	"context"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/degrade"
	"github.com/cmmv-hive/resilience/fallback"
)

// A stream that breaks is a call that failed.
func TestBrokenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := degrade.New(degrade.Config{})
		pool, err := resilience.NewPool(c, resilience.Models(ids("a")...))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindStream("a",
			func(context.Context, string) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					if yield("one", nil) {
						yield("", resilience.Unreachable)
					}
				}
			}, resilience.StreamHooks[string, string]{}))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- pool.Run(ctx) }()
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			stream, err := client.Call(t.Context(), "?")
			if err != nil {
				require.ErrorIs(t, err, resilience.Rejected)
				continue
			}
			var broke error
			for _, err := range stream.All() {
				broke = err
			}
			require.ErrorIs(t, broke, resilience.Truncated)
		}
		require.Greater(t, c.Level(), degrade.Minimal)
		cancel()
		require.NoError(t, <-done)
	})
}

// Streams that break together are no reason to turn away calls, which are served.
func TestBrokenStreamsAreNotThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := resilience.NewPool(degrade.New(degrade.Config{}), resilience.Models(ids("a")...))
		require.NoError(t, err)
		down := make(chan struct{})
		client, err := resilience.NewClient(pool, resilience.BindStream("a",
			func(context.Context, string) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					if yield("one", nil) {
						<-down
						yield("", resilience.Unreachable)
					}
				}
			}, resilience.StreamHooks[string, string]{}))
		require.NoError(t, err)
		var readers sync.WaitGroup
		begin := func() {
			stream, err := client.Call(t.Context(), "?")
			require.NoError(t, err)
			readers.Go(func() {
				for range stream.All() {
				}
			})
		}
		for range 200 {
			begin()
		}
		time.Sleep(time.Minute)
		close(down)
		readers.Wait()
		for range 100 {
			begin()
			time.Sleep(10 * time.Millisecond)
		}
		readers.Wait()
	})
}

// Refusals of calls within a call are not failures of that one.
func TestOwnRefusalsWithin(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a", "b"), func(r *rig) {
		r.do = func(ctx context.Context, _ *resilience.Model, q string) (string, error) {
			if q == "inner" {
				return "fine", nil
			}
			answer, _, err := r.client.Do(ctx, "inner", resilience.CallOptions{Priority: resilience.Low})
			return answer, err
		}
		stop := r.run()
		defer stop()
		r.override(degrade.Severe, 2*time.Minute)
		for range 1200 {
			_ = r.ask(resilience.Normal)
			time.Sleep(200 * time.Millisecond)
		}
		require.Equal(r, degrade.None, r.controller.Level())
		require.Len(r, r.changes(), 2)
	})
}

// A model that is pinned is named.
func TestPinnedApart(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a", "b"), func(r *rig) {
		r.do = func(_ context.Context, m *resilience.Model, _ string) (string, error) {
			if m.ID() == "a" {
				return "", resilience.Overloaded
			}
			return "", nil
		}
		for range 2000 {
			for range 4 {
				_, _ = r.client.Pin("a").Call(r.Context(), "?")
			}
			_, err := r.client.Pin("b").Call(r.Context(), "?")
			require.NoError(r, err)
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// Where a call has no choice, none was made for it.
func TestCheaperOfOne(t *testing.T) {
	cfg := degrade.Config{Levels: map[string]degrade.Step{"severe": {Cheaper: true}}}
	infos := []resilience.ModelInfo{
		{ID: "dear", Price: resilience.Price{Input: 10, Output: 10}}, {ID: "cheap", Tier: 1, Price: resilience.Price{Input: 1, Output: 1}},
	}
	degraded(t, cfg, infos, func(r *rig) {
		r.override(degrade.Severe, time.Hour)
		_, rep, err := r.client.Do(r.Context(), "?", resilience.CallOptions{Model: "dear"})
		require.NoError(r, err)
		require.Empty(r, rep.GivenUp)
	}, fallback.New(fallback.Config{}))
}

// Long names are cut between letters.
func TestFeatureNames(t *testing.T) {
	degraded(t, degrade.Config{}, ids("a"), func(r *rig) {
		r.override(degrade.Severe, time.Hour)
		r.do = func(ctx context.Context, _ *resilience.Model, _ string) (string, error) {
			degrade.Enabled(ctx, "x"+strings.Repeat("é", 60)+"\n")
			return "", nil
		}
		_, rep, err := r.client.Do(r.Context(), "?", resilience.CallOptions{})
		require.NoError(r, err)
		require.True(r, utf8.ValidString(rep.GivenUp[0]))
	})
}

package resilience_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
)

func TestRouteLoad(t *testing.T) {
	var busy, room int64
	var others []bool
	streams := true
	p := newPool(t, resilience.Models(
		resilience.ModelInfo{ID: "a", Limits: resilience.Limits{Concurrency: 4}, Capabilities: []string{"tools"}},
		resilience.ModelInfo{ID: "b", Limits: resilience.Limits{Concurrency: 2}},
		resilience.ModelInfo{ID: "c"}, // of which nothing is known
	), feature(func(s *resilience.Setup) error {
		s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
			busy, room = r.Load()
			streams = r.Call().Streams()
			others = nil
			for r.Next(ctx, false) != nil {
				others = append(others, r.Others())
			}
			return next(ctx, r.Call())
		})
		return nil
	}))
	c := newClient(t, p, echo("a", "b", "c")...)
	look := func(opts resilience.CallOptions) []int64 {
		_, _, err := c.Do(t.Context(), "?", opts)
		require.NoError(t, err)
		return []int64{busy, room}
	}
	require.Equal(t, []int64{0, 6}, look(resilience.CallOptions{}))
	require.Equal(t, []bool{true, true, false}, others)
	require.False(t, streams)
	require.Equal(t, []int64{0, 0}, look(resilience.CallOptions{Model: "c"}))
	require.Equal(t, []int64{0, 4}, look(resilience.CallOptions{Require: []string{"tools"}}))
	p.Model("a").Hold(t.Context(), resilience.Hold{By: resilience.HoldQuota, Until: time.Now().Add(time.Hour)})
	require.Equal(t, []int64{0, 2}, look(resilience.CallOptions{}))
	p.Model("b").SetCapacity(1)
	require.Equal(t, []int64{0, 1}, look(resilience.CallOptions{}), "what is learnt counts")

	p = newPool(t, resilience.Models(resilience.ModelInfo{ID: "a", Limits: resilience.Limits{Concurrency: 2}}, resilience.ModelInfo{ID: "b"}),
		feature(func(s *resilience.Setup) error {
			s.Route(func(ctx context.Context, r *resilience.Route, next resilience.Handler) error {
				r.Next(ctx, false)
				busy, room = r.Load()
				return next(ctx, r.Call())
			})
			return nil
		}))
	deep := 0
	c = newClient(t, p, resilience.BindFunc("a", func(ctx context.Context, req string) (string, error) {
		if deep++; deep < 4 {
			return c.Call(ctx, req)
		}
		return "", nil
	}))
	_, err := c.Call(t.Context(), "?")
	require.NoError(t, err)
	require.Equal(t, []int64{2, 2}, []int64{busy, room}, "three are under way, more than there is room for")
}

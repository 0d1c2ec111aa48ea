package resilience_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

// thrifty makes all calls prefer what is cheaper.
type thrifty struct{}

func (thrifty) Install(s *resilience.Setup) error {
	s.Wrap(resilience.LayerAdmit, func(_ *resilience.Model, next resilience.Handler) resilience.Handler {
		return func(ctx context.Context, c *resilience.Call) error {
			c.PreferCheaper()
			return next(ctx, c)
		}
	})
	return nil
}

// backwards picks the last one that may be used, or that is held.
type backwards struct{ held bool }

func (b backwards) Install(s *resilience.Setup) error {
	s.Pick(b)
	return nil
}

func (b backwards) Pick(_ *resilience.Call, from resilience.Candidates) *resilience.Model {
	for i := from.Len() - 1; i >= 0; i-- {
		if m := from.At(i); m != nil {
			return m
		}
		if m := from.Held(i); m != nil && b.held {
			return m
		}
	}
	return nil
}

func TestPreferCheaper(t *testing.T) {
	at := func(price float64) resilience.Price { return resilience.Price{Input: price, Output: price} }
	infos := []resilience.ModelInfo{
		{ID: "unknown"}, {ID: "ten", Price: at(10)}, {ID: "two", Tier: 1, Price: at(2)}, {ID: "two-too", Tier: 1, Price: at(2)},
		{ID: "one", Tier: 2, Price: at(1)}, {ID: "free", Tier: 3, Price: resilience.Price{Free: true}},
	}
	for name, c := range map[string]struct {
		picker resilience.Feature
		opts   resilience.CallOptions
		held   []string
		want   []string
	}{
		"all of them": {nil, resilience.CallOptions{Attempts: 9}, nil, []string{"free", "one", "two", "two-too", "ten", "unknown"}},
		"a picker chooses among the same": {
			backwards{}, resilience.CallOptions{Attempts: 9}, nil, []string{"free", "one", "two-too", "two", "ten", "unknown"},
		},
		"held ones are left out": {nil, resilience.CallOptions{Attempts: 2}, []string{"free", "two"}, []string{"one", "two-too"}},
		"what is not held before a last resort": {
			backwards{held: true}, resilience.CallOptions{Attempts: 1}, []string{"free"}, []string{"one"},
		},
		"what is asked for": {nil, resilience.CallOptions{Model: "ten", Fallbacks: []string{"two"}, Attempts: 9}, nil, []string{"two", "ten"}},
		"without a price":   {nil, resilience.CallOptions{Model: "unknown"}, nil, []string{"unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			features := []resilience.Feature{thrifty{}, resilience.Models(infos...), fallback.New(fallback.Config{})}
			if c.picker != nil {
				features = append(features, c.picker)
			}
			pool, err := resilience.NewPool(features...)
			require.NoError(t, err)
			var asked []string
			client, err := resilience.NewClient(pool, resilience.BindAll(func(_ context.Context, m *resilience.Model, _ string) (string, error) {
				asked = append(asked, m.ID())
				return "", resilience.Overloaded
			}))
			require.NoError(t, err)
			for _, id := range c.held {
				pool.Model(id).Hold(t.Context(), resilience.Hold{By: resilience.HoldHealth, Until: time.Now().Add(time.Hour)})
			}
			_, _, err = client.Do(t.Context(), "?", c.opts)
			require.ErrorIs(t, err, resilience.Overloaded)
			require.Equal(t, c.want, asked)
		})
	}
}

package stack_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/fallback"
	"github.com/cmmv-hive/resilience/stack"
)

// What a call requires holds whatever happens to the models that have it, and
// however the pool goes through them.
func TestHardRules(t *testing.T) {
	strategies := []fallback.Strategy{fallback.Sequential, fallback.Parallel, fallback.Weighted, fallback.Random, fallback.Hedged}
	algorithms := []balance.Algorithm{
		balance.TwoChoices, balance.RoundRobin, balance.Weighted, balance.WeightedRandom, balance.LeastInFlight,
		balance.LeastLatency, balance.Cheapest, balance.Regional, balance.Scored, balance.Priority,
	}
	troubles := map[string]func(ctx context.Context, m *resilience.Model) ask{
		"down": func(context.Context, *resilience.Model) ask { return fails(resilience.Overloaded) },
		"held": func(ctx context.Context, m *resilience.Model) ask {
			m.Hold(ctx, resilience.Hold{By: resilience.HoldBreaker, Until: time.Now().Add(time.Hour)})
			return fails(resilience.Unreachable)
		},
		"full": func(_ context.Context, m *resilience.Model) ask {
			m.SetFull(true)
			return fails(resilience.RateLimited)
		},
		"slow": func(context.Context, *resilience.Model) ask {
			return func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", context.Cause(ctx) }
		},
		"too small": func(context.Context, *resilience.Model) ask { return fails(resilience.TooLong) },
		"refuses":   func(context.Context, *resilience.Model) ask { return fails(resilience.Filtered) },
	}
	score := func(m *resilience.Model) float64 { return float64(len(m.Info().Region)) }
	for _, strategy := range strategies {
		for _, algorithm := range algorithms {
			for trouble, what := range troubles {
				t.Run(fmt.Sprint(strategy, "/", algorithm, "/", trouble), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := newPool(t, stack.New(stack.Config{
							Fallback: fallback.Config{
								Strategy: strategy, Width: 4, HedgeAfter: time.Second, LastResort: true, Filtered: true,
								StandIns: map[string][]string{"eu-1": {"us-1", "eu-2", "us-2"}},
							},
							Balance: balance.Config{Algorithm: algorithm, Score: score, LastResort: 1},
						}), resilience.Models(
							resilience.ModelInfo{ID: "us-1", Region: "us"}, resilience.ModelInfo{ID: "eu-1", Region: "eu"},
							resilience.ModelInfo{ID: "us-2", Region: "us", Capabilities: []string{"vision"}},
							resilience.ModelInfo{ID: "eu-2", Region: "eu", Capabilities: []string{"vision"}, Tier: 1}))
						abroad := 0
						asks := map[string]ask{}
						for _, m := range p.Models() {
							if m.Info().Region == "eu" {
								asks[m.ID()] = what(t.Context(), m)
							} else {
								asks[m.ID()] = func(context.Context, string) (string, error) { abroad++; return "", nil }
							}
						}
						c := newClient(t, p, asks)
						for _, opts := range []resilience.CallOptions{
							{}, {Model: "eu-1"}, {Model: "eu-1", Fallbacks: []string{"us-1", "us-2"}}, {Region: "us"}, {Affinity: "session"}, {Tenant: "t"},
						} {
							opts.Require, opts.Priority, opts.Timeout = []string{"eu"}, resilience.Critical, 20*time.Second
							_, rep, err := c.Do(t.Context(), "", opts)
							require.Error(t, err)
							for _, a := range rep.Attempts {
								require.Equal(t, "eu", a.Model.Info().Region)
							}
						}
						require.Zero(t, abroad)

						for _, id := range []string{"us-1", "us-2"} {
							require.NoError(t, p.Model(id).Drain(t.Context(), by))
						}
						_, _, _ = c.Do(t.Context(), "", resilience.CallOptions{Priority: resilience.Critical, Require: []string{"us"}, Timeout: 20 * time.Second})
						require.Zero(t, abroad, "what people took out stays out")
					})
				})
			}
		}
	}
}

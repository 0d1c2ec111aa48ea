package balance_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/balance"
	"github.com/cmmv-hive/resilience/internal/simtest"
)

// utilisations is the part of its slots that each server uses at a steady load.
func utilisations(t *testing.T, cfg balance.Config, slots []int, load float64) (used []float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const lasts, service = time.Hour, 2 * time.Second
		room := 0
		servers := map[string]*simtest.Server{}
		var infos []resilience.ModelInfo
		for i, n := range slots {
			room += n
			info := resilience.ModelInfo{ID: fmt.Sprint("m", i), Weight: float64(n)}
			infos = append(infos, info)
			servers[info.ID] = simtest.NewServer(uint64(i)+3, n, simtest.LogNormal(service, .5))
		}
		pool, err := resilience.NewPool(balance.New(cfg), resilience.Models(infos...))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindAll(func(ctx context.Context, m *resilience.Model, _ struct{}) (struct{}, error) {
			return struct{}{}, servers[m.ID()].Do(ctx)
		}))
		require.NoError(t, err)
		simtest.Arrive(t.Context(), 5, load*float64(room)/service.Seconds(), lasts, func(time.Duration) {
			_, err := client.Call(t.Context(), struct{}{})
			require.NoError(t, err)
		})
		for i, n := range slots {
			used = append(used, float64(servers[fmt.Sprint("m", i)].Asked())*service.Seconds()/float64(n)/lasts.Seconds())
		}
	})
	return used
}

// At a steady load all models are used alike; nearly so where they have room for
// different numbers and their weights say it.
func TestUtilisation(t *testing.T) {
	for _, c := range []struct {
		name  string
		slots []int
		load  float64
		most  float64
	}{
		{"alike", []int{16, 16, 16, 16, 16}, .6, .05},
		{"busy", []int{16, 16, 16, 16, 16}, .85, .05},
		{"unlike", []int{8, 16, 32, 64}, .6, .1},
		{"unlike and busy", []int{8, 16, 32, 64}, .85, .1},
	} {
		used := utilisations(t, balance.Config{}, c.slots, c.load)
		least, most := used[0], used[0]
		for _, u := range used {
			least, most = min(least, u), max(most, u)
		}
		t.Logf("published: utilisation of models at a load of %v, %s: measured %.3f to %.3f, reference none, target within %v of each other", c.load, c.name, least, most, c.most)
		require.Less(t, most-least, c.most, "%v", used)
	}
	used := utilisations(t, balance.Config{Algorithm: balance.RoundRobin}, []int{8, 64}, .5)
	require.Greater(t, used[0]-used[1], .05, "what does not look at room is not")
}

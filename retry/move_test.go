package retry

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/fallback"
)

func TestMovesAreCheaperThanRetries(t *testing.T) {
	b := newBudget(0, 0.1)
	for b.take(0, 0.1) {
	}
	moved := 0
	for b.move(0, 0.1) {
		moved++
	}
	require.Equal(t, 10*burst, moved, "the overdraft, a success each")
	require.False(t, b.take(0, 0.1))
	b.deposit()
	require.True(t, b.move(0, 0.1), "a success pays for a move")
	require.False(t, b.move(0, 0.1))
	require.False(t, b.take(100*time.Second, 0.1), "retries wait until the overdraft is paid back")
	require.True(t, b.take(110*time.Second, 0.1))
	require.True(t, newBudget(0, -1).move(0, -1), "negative is no limit")
}

// While one model of two is down, no call is lost for want of budget; while
// both are, the moves stop, and with them the load that they add.
func TestMovesStopWhenNothingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		both := false
		ask := func(_ context.Context, m *resilience.Model, _ string) (string, error) {
			asked[m.ID()]++
			if both || m.ID() == "a" {
				return "", resilience.Overloaded
			}
			return "fine", nil
		}
		pool, err := resilience.NewPool(fallback.New(fallback.Config{}), New(Config{}), resilience.Models(
			resilience.ModelInfo{ID: "a", Provider: "p"}, resilience.ModelInfo{ID: "b", Provider: "p"}))
		require.NoError(t, err)
		client, err := resilience.NewClient(pool, resilience.BindProvider("p", ask))
		require.NoError(t, err)
		for range 1000 {
			_, err := client.Call(t.Context(), "?")
			require.NoError(t, err)
		}
		require.Less(t, asked["a"], 1100)
		both = true
		clear(asked)
		for range 1000 {
			_, err := client.Call(t.Context(), "?")
			require.ErrorIs(t, err, resilience.Overloaded)
		}
		require.LessOrEqual(t, asked["a"]+asked["b"], 1000+burst+20*burst)
	})
}

package chaos_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/chaos"
	"github.com/cmmv-hive/resilience/retry"
)

// A scripted model plays its steps in order, and the last one again and again.
func ExampleScript() {
	model := chaos.Script[string, string](chaos.Fail(resilience.Overloaded), chaos.Reply("Air scatters blue."))
	chat := retry.Wrap(model, retry.Config{Base: time.Millisecond})
	answer, err := chat.Call(context.Background(), "Why is the sky blue?")
	fmt.Println(answer, err, len(model.Requests()))
	// Output: Air scatters blue. <nil> 2
}

func TestScripted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := chaos.Script[string, int](chaos.Reply(1, time.Second), chaos.Reply("one"), chaos.Hang(), chaos.Fail(resilience.QuotaSpent, time.Second))
		c := resilience.Wrap(m, resilience.Timeouts{Attempt: 5 * time.Second})
		for _, want := range []struct {
			kind resilience.Kind
			took time.Duration
		}{{0, time.Second}, {resilience.Invalid, 0}, {resilience.TimedOut, 5 * time.Second}, {resilience.QuotaSpent, time.Second}, {resilience.QuotaSpent, time.Second}} {
			start := time.Now()
			_, err := c.Call(t.Context(), "q")
			require.Equal(t, want.kind, resilience.KindOf(err), err)
			require.Equal(t, want.took, time.Since(start))
		}
		require.Len(t, m.Requests(), 5)
		_, err := chaos.Script[string, int](chaos.Reply("one")).Call(t.Context(), "")
		require.EqualError(t, err, "invalid: step 1 of the script answers with a string, and the model with a int")
		n, err := chaos.Script[string, int]().Call(t.Context(), "")
		require.NoError(t, err)
		require.Zero(t, n)
		_, err = resilience.Wrap(chaos.Script[string, int](chaos.Hang()), resilience.Timeouts{Attempt: time.Second}).Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.TimedOut)
	})
}

func TestScriptedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := chaos.Script[string, *resilience.Stream[string]](
			chaos.Chunks(true, time.Second, "a", "b"), chaos.Chunks(false, time.Second, "a", "b"), chaos.Fail(resilience.Overloaded))
		c := resilience.Wrap(m)
		for _, whole := range []bool{false, true} {
			start := time.Now()
			s, err := c.Call(t.Context(), "")
			require.NoError(t, err)
			var got []string
			for chunk, e := range s.All() {
				if err = e; e == nil {
					got = append(got, chunk)
				}
			}
			require.Equal(t, []string{"a", "b"}, got)
			require.Equal(t, 2*time.Second, time.Since(start))
			if whole {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, resilience.Truncated)
			}
		}
		_, err := c.Call(t.Context(), "")
		require.ErrorIs(t, err, resilience.Overloaded)
	})
}

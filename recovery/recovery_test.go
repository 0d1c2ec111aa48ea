package recovery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/recovery"
)

func TestOneOutage(t *testing.T) {
	virtual(t, "with a probe", func(t bubble) {
		w := newWorld(t, recovery.Config{}, []string{"a", "b"}).run()
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		require.Equal(t, []string{"held"}, w.steps("a"))
		for range 60 {
			w.call(10, time.Second)
			require.False(t, w.model("a").Available(), "no user's call is spent")
		}
		require.Equal(t, 5, w.asked("a"))
		require.Len(t, w.probed("a"), 3)
		w.fail(nil, "a")
		end := time.Now()
		for !w.model("a").Available() {
			w.call(10, 100*time.Millisecond)
		}
		require.Less(t, time.Since(end), 30*time.Second)
		require.InDelta(t, .1, w.model("a").Ramp(), .001)
		w.call(100, 35*time.Second)
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
		require.Equal(t, []string{
			"held", "probing", "held", "probing", "held", "probing", "held", "probing",
			"ramping 10 %", "ramping 20 %", "ramping 35 %", "ramping 50 %", "ramping 70 %", "ramping 85 %", "recovered",
		}, w.steps("a"))
		t.Log(w.History(), w.Times())
	})
	virtual(t, "without a probe", func(t bubble) {
		w := newProbedWorld(t, recovery.Config{}, []string{"a", "b"}, false).run()
		w.fail(resilience.Overloaded, "a")
		w.trip("a")
		w.call(10, 40*time.Second)
		w.fail(nil, "a")
		w.call(10, 90*time.Second)
		t.Log(w.steps("a"), w.History(), w.Times())
		require.InDelta(t, 1, w.model("a").Ramp(), 0)
	})
}
